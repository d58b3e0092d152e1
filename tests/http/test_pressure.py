"""More comes than the queue takes, over HTTP and on a real database."""

import asyncio

import asyncpg
import pytest

from tests.http.client import LANES, MIKASA_WALLET, code_of, new_reference, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE, CLIENTS = 5, 60


@pytest.mark.parametrize("lane", LANES)
async def test_beyond_a_full_queue_it_is_overloaded_and_nothing_is_applied(
    demo_database_url: str, ledger: asyncpg.Connection, lane: str
) -> None:
    async with running_api(demo_database_url, queue_depth_max=QUEUE, **LANES[lane]) as api:
        path = f"/wallets/{MIKASA_WALLET}"
        before = (await api.json(f"{path}/balance"))["balance"]
        references = [new_reference() for _ in range(CLIENTS)]
        bodies = [{"reference_id": each, "amount": 1, "asset_code": "gold"} for each in references]
        # Nothing is committed while a stranger holds the wallet, so what comes piles up.
        async with ledger.transaction():
            await ledger.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", MIKASA_WALLET)
            asking = [asyncio.create_task(api.post(f"{path}/topup", body)) for body in bodies]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(*asking)
        accepted = [reference for reference, each in zip(references, answers, strict=True) if each.status_code == 201]
        told = {code_of(each) for each in answers if each.status_code != 201}
        assert told == {(503, "overloaded")}
        assert len(accepted) >= QUEUE
        assert (await api.json(f"{path}/balance"))["balance"] == before + len(accepted)
        applied = await ledger.fetch("SELECT reference_id FROM transactions WHERE reference_id = ANY($1)", references)
        assert {row["reference_id"] for row in applied} == set(accepted)
