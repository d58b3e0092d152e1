"""A bound key's promotional credit stays that, whatever kind of movement takes it to another user's wallet."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tests.http.asked import held, leg, movement, pass_time, step, transaction, transfer
from tests.http.client import GOLD_REVENUE, Api
from tests.http.keyed import Person, keyed, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

LASTS_SECONDS = 600


@dataclass(frozen=True)
class Case:
    """A holder of a bound key, its wallet with 5 of promotional credit, and the back end."""

    me: Person
    back_end: Api
    ledger: asyncpg.Connection

    @property
    def client(self) -> Api:
        return self.me.client

    async def capture(self, by: Api, hold: Any) -> None:
        await by.made(f"/holds/{hold['id']}/capture", step())

    async def in_bulk(self, mode: str, **item: Any) -> None:
        answer = await self.client.post("/batches", {"mode": mode, "items": [item]})
        assert answer.json()["items"][0]["status"] == 201, answer.text


Way = Callable[[Case], Awaitable[Any]]


def _spend(case: Case, **fields: Any) -> dict[str, Any]:
    return movement(5, target_wallet_id=case.me.second, **fields)


def _general(case: Case) -> dict[str, Any]:
    return transaction(leg(case.me.second, "credit", 5), leg(case.me.wallet, "debit", 5))


async def _hold(case: Case, by: Api, **fields: Any) -> Any:
    return await held(by, case.me.wallet, 5, target_wallet_id=case.me.second, **fields)


async def _held_and_captured(case: Case, placed_by: Api, captured_by: Api) -> None:
    await case.capture(captured_by, await _hold(case, placed_by))


async def _busy_until_its_expiry(case: Case) -> None:
    await _hold(case, case.client, expires_in_seconds=60, on_expiry="capture")
    await pass_time(case.ledger, 61)


async def _increased_by_the_key(case: Case) -> None:
    hold = await held(case.back_end, case.me.wallet, 4, target_wallet_id=case.me.second)
    await case.client.made(f"/holds/{hold['id']}/increase", step(amount=1))
    await case.capture(case.back_end, hold)


async def _tried_and_done(case: Case) -> None:
    path = f"/wallets/{case.me.wallet}/spend"
    foretold = (await case.client.post(path, _spend(case, dry_run=True))).json()
    done = await case.client.made(path, _spend(case))
    assert foretold["drawn"] == done["drawn"]
    assert foretold["entries"] == done["entries"]


WAYS: Mapping[str, Way] = {
    "a spend": lambda case: case.client.made(f"/wallets/{case.me.wallet}/spend", _spend(case)),
    "a spend of up to so much": lambda case: case.client.made(
        f"/wallets/{case.me.wallet}/spend", {**_spend(case, amount_mode="up_to"), "amount": 99}
    ),
    "a spend that was tried before": _tried_and_done,
    "a transfer": lambda case: case.client.made("/transfers", transfer(case.me.wallet, case.me.second, 5)),
    "a general transaction": lambda case: case.client.made("/transactions", _general(case)),
    "a hold that it captures": lambda case: _held_and_captured(case, case.client, case.client),
    "a hold that the back end captures": lambda case: _held_and_captured(case, case.client, case.back_end),
    "a hold of the back end's that it captures": lambda case: _held_and_captured(case, case.back_end, case.client),
    "a hold that is captured at its expiry": _busy_until_its_expiry,
    "a hold that it increases": _increased_by_the_key,
    "a batch, all or none": lambda case: case.in_bulk("atomic", op="spend", wallet_id=case.me.wallet, **_spend(case)),
    "a batch, each for itself": lambda case: case.in_bulk("independent", op="transaction", **_general(case)),
}

OF_THE_BACK_END: Mapping[str, Way] = {
    "a spend": lambda case: case.back_end.made(f"/wallets/{case.me.wallet}/spend", _spend(case)),
    "a general transaction": lambda case: case.back_end.made("/transactions", _general(case)),
    "a hold": lambda case: _held_and_captured(case, case.back_end, case.back_end),
}


@pytest.fixture(params=["user_id", "wallet_ids"])
def bound_to(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def a_case(api: Api, ledger: asyncpg.Connection, *, bound_to: str = "user_id") -> Case:
    me = await person(api, balance=1)
    await api.moved("spend", me.wallet, 1)
    lot = {"category": "promotional", "priority": 7, "expires_in_seconds": LASTS_SECONDS}
    await api.made(f"/wallets/{me.wallet}/bonus", movement(5, lot=lot))
    if bound_to == "wallet_ids":
        client = await keyed(api, "read", "spend", wallet_ids=list(me.own))
        me = Person(id=me.id, client=client, wallet=me.wallet, second=me.second)
    return Case(me, api, ledger)


async def live_lots(case: Case, wallet: str) -> list[tuple[Any, ...]]:
    lots = (await case.client.json(f"/wallets/{wallet}/lots"))["data"]
    return [(lot["category"], lot["priority"], lot["expires_at"], lot["remaining"]) for lot in lots if lot["remaining"]]


@pytest.mark.parametrize("way", WAYS)
async def test_it_arrives_as_what_it_was_and_is_gone_when_it_would_have_been(
    api: Api, ledger: asyncpg.Connection, way: str, bound_to: str
) -> None:
    case = await a_case(api, ledger, bound_to=bound_to)
    before = await live_lots(case, case.me.wallet)
    await WAYS[way](case)
    assert await live_lots(case, case.me.second) == before
    assert await live_lots(case, case.me.wallet) == []
    await pass_time(ledger, LASTS_SECONDS)
    assert [await api.balance(wallet) for wallet in case.me.own] == [0, 0]


@pytest.mark.parametrize("way", OF_THE_BACK_END)
async def test_what_the_back_end_moves_arrives_as_main_credit(api: Api, ledger: asyncpg.Connection, way: str) -> None:
    case = await a_case(api, ledger)
    await OF_THE_BACK_END[way](case)
    assert await live_lots(case, case.me.second) == []
    await pass_time(ledger, LASTS_SECONDS)
    assert await api.balance(case.me.second) == 5


async def test_what_revenue_gets_is_no_lot(api: Api, ledger: asyncpg.Connection) -> None:
    case = await a_case(api, ledger)
    legs = leg(case.me.wallet, "debit", 5), leg(GOLD_REVENUE, "credit", 2), leg(case.me.second, "credit", 3)
    await case.client.made("/transactions", transaction(*legs))
    assert [remaining for *_, remaining in await live_lots(case, case.me.second)] == [3]


async def test_a_hold_does_not_save_what_expires_meanwhile(api: Api, ledger: asyncpg.Connection) -> None:
    case = await a_case(api, ledger)
    hold = await _hold(case, case.client)
    await pass_time(ledger, LASTS_SECONDS + 1)
    assert await api.balance(case.me.wallet) == 5
    await case.capture(case.client, hold)
    assert [await api.balance(wallet) for wallet in case.me.own] == [0, 0]
    newest = (await case.client.json(f"/wallets/{case.me.second}/entries"))["data"][0]
    assert (await api.json(f"/transactions/{newest['transaction_id']}"))["type"] == "expiry"


async def test_a_debt_is_not_repaid_by_what_expires(api: Api, ledger: asyncpg.Connection) -> None:
    case = await a_case(api, ledger)
    third = (await api.made("/wallets", {"asset_code": "GOLD", "user_id": case.me.id}))["id"]
    assert (await api.patch(f"/wallets/{case.me.second}", {"overdraft_limit": 5})).status_code == 200
    await case.client.made("/transfers", transfer(case.me.second, third, 5))
    await case.client.made("/transfers", transfer(case.me.wallet, case.me.second, 5))
    assert [remaining for *_, remaining in await live_lots(case, case.me.second)] == [5]
    await pass_time(ledger, LASTS_SECONDS)
    assert [await api.balance(wallet) for wallet in (*case.me.own, third)] == [0, -5, 5]


async def test_somebody_elses_lots_are_not_named(api: Api, ledger: asyncpg.Connection) -> None:
    case, other = await a_case(api, ledger), await api.wallet()
    moved = await case.client.made(f"/wallets/{case.me.wallet}/spend", movement(5, target_wallet_id=other))
    assert "lot_ids" not in moved
    assert len((await api.json(f"/transactions/{moved['id']}"))["lot_ids"]) == 1


async def test_a_refund_puts_the_lots_back(api: Api, ledger: asyncpg.Connection) -> None:
    case = await a_case(api, ledger)
    before = await live_lots(case, case.me.wallet)
    moved = await case.client.made("/transactions", _general(case))
    await api.made(f"/transactions/{moved['id']}/refund", step())
    assert await live_lots(case, case.me.wallet) == before
    assert await live_lots(case, case.me.second) == []
