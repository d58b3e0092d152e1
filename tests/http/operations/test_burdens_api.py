"""The limits on lots and holds, over HTTP: the refusals, and what a bound key hears of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.http.asked import held, movement, transfer, with_lot
from tests.http.client import Api, code_of, running_api
from tests.http.keyed import person

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPIRING = {"expires_in_seconds": 60, "on_expiry": "capture"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(demo_database_url: str) -> AsyncIterator[Api]:
    """A service whose wallets may have two lots, and two open holds."""
    async with running_api(demo_database_url, wallet_lots_max=2, wallet_holds_max=2) as api:
        yield api


async def test_one_lot_too_many_is_refused(narrow: Api) -> None:
    wallet = await with_lot(narrow, 5)
    await narrow.made(f"/wallets/{wallet}/topup", movement(5, lot={"category": "paid"}))
    answer = await narrow.post(f"/wallets/{wallet}/topup", movement(5, lot={"category": "paid"}))
    assert code_of(answer) == (422, "too_many_lots")
    assert (answer.json()["wallet_id"], answer.json()["limit"]) == (wallet, 2)
    assert await narrow.balance(wallet) == 10
    await narrow.moved("topup", wallet, 5)


async def test_one_hold_too_many_is_refused(narrow: Api) -> None:
    wallet, target = await narrow.wallet(10), await narrow.wallet()
    for _ in range(2):
        await held(narrow, wallet, 1, target_wallet_id=target, **EXPIRING)
    answer = await narrow.post("/holds", movement(1, wallet_id=wallet))
    assert code_of(answer) == (422, "too_many_holds")
    assert (answer.json()["wallet_id"], answer.json()["limit"]) == (wallet, 2)
    other = await narrow.wallet(10)
    answer = await narrow.post("/holds", movement(1, wallet_id=other, target_wallet_id=target, **EXPIRING))
    assert code_of(answer) == (422, "too_many_holds")
    assert answer.json()["wallet_id"] == target
    await held(narrow, other, 1, target_wallet_id=target)


async def test_a_bound_key_may_fill_half_and_learns_no_number_of_others(narrow: Api) -> None:
    me, other = await person(narrow), await person(narrow)
    for category in ("paid", "promotional"):
        await narrow.made(f"/wallets/{me.wallet}/topup", movement(5, lot={"category": category}))
    answer = await me.client.post("/transfers", transfer(me.wallet, other.wallet, 10))
    assert code_of(answer) == (422, "too_many_lots")
    assert answer.json()["wallet_id"] == other.wallet
    assert "limit" not in answer.json()
    await narrow.made("/transfers", transfer(me.wallet, other.wallet, 10))
    await held(me.client, me.wallet, 1, target_wallet_id=other.wallet, **EXPIRING)
    answer = await me.client.post("/holds", movement(1, wallet_id=me.wallet))
    assert code_of(answer) == (422, "too_many_holds")
    assert answer.json()["limit"] == 1
    third = await person(narrow)
    body = movement(1, wallet_id=third.wallet, target_wallet_id=other.wallet, **EXPIRING)
    answer = await third.client.post("/holds", body)
    assert code_of(answer) == (422, "too_many_holds")
    assert "limit" not in answer.json()
    assert " 1 " not in answer.json()["detail"]
    await held(narrow, third.wallet, 1, target_wallet_id=other.wallet, **EXPIRING)
