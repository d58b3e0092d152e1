"""A wallet or a reference that another session of the database holds is told apart from a database that is away."""

import asyncio
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.http.client import MIKASA_WALLET, Api, code_of, new_reference
from wallet.service.writes.commands import ORIGIN_API

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HELD: Final = "SELECT FROM wallets WHERE id = $1 FOR UPDATE"
_TAKEN: Final = """
INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint)
SELECT seq, now(), now(), 0, $1, $2, $3, 'topup', '' FROM batches LIMIT 1
"""


def topup(reference_id: str) -> dict[str, object]:
    return {"reference_id": reference_id, "amount": 1, "asset_code": "gold"}


async def test_a_wallet_that_a_stranger_holds_is_busy_and_others_are_served(
    api: Api, ledger: asyncpg.Connection
) -> None:
    held, free = await api.wallet(), await api.wallet()
    reference = new_reference()
    async with ledger.transaction():
        await ledger.execute(_HELD, UUID(held))
        busy, served = await asyncio.gather(
            api.post(f"/wallets/{held}/topup", topup(reference)),
            api.post(f"/wallets/{free}/topup", topup(new_reference())),
        )
    assert code_of(busy) == (503, "wallet_busy")
    assert (busy.json()["applied"], busy.json()["retry"]) == ("no", "later")
    assert served.status_code == 201
    assert (await api.post(f"/wallets/{held}/topup", topup(reference))).status_code == 201


async def test_a_reference_that_a_stranger_has_not_committed_is_busy(api: Api, ledger: asyncpg.Connection) -> None:
    await api.moved("topup", MIKASA_WALLET, 1)
    wallet, reference = await api.wallet(), new_reference()
    undone = ledger.transaction()
    await undone.start()
    try:
        await ledger.execute(_TAKEN, uuid4(), ORIGIN_API, reference)
        busy = await api.post(f"/wallets/{wallet}/topup", topup(reference))
    finally:
        await undone.rollback()
    assert code_of(busy) == (503, "wallet_busy")
    assert (await api.post(f"/wallets/{wallet}/topup", topup(reference))).status_code == 201


async def test_an_item_of_a_batch_says_so_too(api: Api, ledger: asyncpg.Connection) -> None:
    held, free = await api.wallet(), await api.wallet()
    items = [{"op": "topup", "wallet_id": each, **topup(new_reference())} for each in (held, free)]
    async with ledger.transaction():
        await ledger.execute(_HELD, UUID(held))
        answer = await api.post("/batches", {"mode": "independent", "items": items})
    busy, served = answer.json()["items"]
    assert (busy["status"], busy["body"]["code"], busy["body"]["applied"], busy["body"]["retry"]) == (
        503, "wallet_busy", "no", "later",
    )  # fmt: skip
    assert served["status"] == 201
