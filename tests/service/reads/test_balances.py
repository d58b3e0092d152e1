"""Concurrent balance reads share queries, and never one that may have read the past."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from wallet.errors import NotFound, Overloaded, StorageUnavailable
from wallet.service.reads.balances import IDS_PER_QUERY_MAX, Balances
from wallet.storage.reads.balances import Balance

ALICE, BOB, NOBODY = UUID(int=1), UUID(int=2), UUID(int=99)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ledger:
    """A source that reads its balances when a query is sent, and answers when the gate is open."""

    def __init__(self) -> None:
        self.amounts = {ALICE: 100, BOB: 50}
        self.queries: list[list[UUID]] = []
        self.sent = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.closed = False

    async def balances(self, wallet_ids: Sequence[UUID]) -> Mapping[UUID, Balance]:
        self.queries.append(list(wallet_ids))
        read = {each: balance(each, self.amounts[each]) for each in wallet_ids if each in self.amounts}
        self.sent.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return read

    async def close(self) -> None:
        self.closed = True


def balance(wallet_id: UUID, amount: int) -> Balance:
    return Balance(wallet_id, "GOLD", 0, amount, 0, amount, 1, NOW)


@pytest.fixture
async def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def balances(ledger: Ledger) -> AsyncIterator[Balances]:
    balances = Balances(ledger, waiting_max=5_000)
    yield balances
    ledger.gate.set()
    await balances.drain(1)


async def until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def ask_while_shut(ledger: Ledger, balances: Balances, *wallet_ids: UUID) -> list[asyncio.Task[Balance]]:
    """Ask, and come back when the query is under way and cannot end."""
    ledger.gate.clear()
    ledger.sent.clear()
    asked = [asyncio.create_task(balances.balance(each)) for each in wallet_ids]
    await ledger.sent.wait()
    return asked


async def test_a_balance_is_what_the_source_says(balances: Balances) -> None:
    assert await balances.balance(ALICE) == balance(ALICE, 100)


async def test_a_wallet_that_does_not_exist_is_not_found(balances: Balances) -> None:
    with pytest.raises(NotFound) as raised:
        await balances.balance(NOBODY)
    assert raised.value.code == "wallet_not_found"


async def test_those_who_ask_at_once_share_one_query(ledger: Ledger, balances: Balances) -> None:
    asked = [ALICE, BOB, ALICE, ALICE]
    answers = await asyncio.gather(*(balances.balance(each) for each in asked))
    assert [each.wallet_id for each in answers] == asked
    assert ledger.queries == [[ALICE, BOB]]


async def test_one_who_is_not_found_does_not_harm_the_others(ledger: Ledger, balances: Balances) -> None:
    answers = await asyncio.gather(balances.balance(NOBODY), balances.balance(ALICE), return_exceptions=True)
    assert isinstance(answers[0], NotFound)
    assert answers[1] == balance(ALICE, 100)
    assert len(ledger.queries) == 1


async def test_who_asks_while_a_query_is_under_way_gets_the_next_one(ledger: Ledger, balances: Balances) -> None:
    (earlier,) = await ask_while_shut(ledger, balances, ALICE)
    ledger.amounts[ALICE] = 70  # a spend is accepted, and its caller looks
    later = asyncio.create_task(balances.balance(ALICE))
    await asyncio.sleep(0)
    ledger.gate.set()
    assert (await earlier).balance == 100
    assert (await later).balance == 70


async def test_all_who_ask_while_a_query_is_under_way_share_the_next_one(ledger: Ledger, balances: Balances) -> None:
    await ask_while_shut(ledger, balances, ALICE)
    later = [asyncio.create_task(balances.balance(each)) for each in (ALICE, BOB, BOB)]
    await asyncio.sleep(0)
    ledger.gate.set()
    await asyncio.gather(*later)
    assert ledger.queries == [[ALICE], [ALICE, BOB]]


async def test_a_query_asks_for_a_bounded_number_of_wallets(ledger: Ledger, balances: Balances) -> None:
    wallet_ids = [uuid4() for _ in range(2 * IDS_PER_QUERY_MAX + 1)]
    ledger.amounts.update(dict.fromkeys(wallet_ids, 1))
    answers = await asyncio.gather(*(balances.balance(each) for each in wallet_ids))
    assert [each.wallet_id for each in answers] == wallet_ids
    assert [len(query) for query in ledger.queries] == [IDS_PER_QUERY_MAX, IDS_PER_QUERY_MAX, 1]


async def test_beyond_the_bound_nobody_waits_and_afterwards_everybody_may_again(ledger: Ledger) -> None:
    balances = Balances(ledger, waiting_max=2)
    asked = await ask_while_shut(ledger, balances, ALICE, ALICE)
    with pytest.raises(Overloaded):
        await balances.balance(ALICE)
    ledger.gate.set()
    await asyncio.gather(*asked)
    assert await balances.balance(BOB) == balance(BOB, 50)


async def test_who_hangs_up_does_not_take_the_others_along(ledger: Ledger, balances: Balances) -> None:
    gone, stays = await ask_while_shut(ledger, balances, ALICE, ALICE)
    gone.cancel()
    await until(gone.done)
    ledger.gate.set()
    assert await stays == balance(ALICE, 100)


async def test_who_hangs_up_before_the_query_is_sent_does_not_take_the_others_along(
    ledger: Ledger, balances: Balances
) -> None:
    await ask_while_shut(ledger, balances, BOB)
    gone, stays = [asyncio.create_task(balances.balance(ALICE)) for _ in range(2)]
    await asyncio.sleep(0)
    gone.cancel()
    ledger.gate.set()
    assert await stays == balance(ALICE, 100)
    assert gone.cancelled()


async def test_those_who_hang_up_leave_room_for_others(ledger: Ledger) -> None:
    balances = Balances(ledger, waiting_max=2)
    for asked in await ask_while_shut(ledger, balances, ALICE, BOB):
        asked.cancel()
    ledger.gate.set()
    await until(lambda: len(ledger.queries) == 1)
    answers = await asyncio.gather(*(balances.balance(ALICE) for _ in range(2)))
    assert len(answers) == 2


async def test_an_error_reaches_everybody_who_waits_for_that_query(ledger: Ledger, balances: Balances) -> None:
    asked = await ask_while_shut(ledger, balances, ALICE, BOB, ALICE)
    ledger.error = StorageUnavailable("the database cannot be reached")
    ledger.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers] == [StorageUnavailable] * 3
    assert len({id(each) for each in answers}) == 3


async def test_after_an_error_the_next_query_is_sent(ledger: Ledger, balances: Balances) -> None:
    ledger.error = StorageUnavailable("the database cannot be reached")
    with pytest.raises(StorageUnavailable):
        await balances.balance(ALICE)
    ledger.error = None
    assert await balances.balance(ALICE) == balance(ALICE, 100)


async def test_a_fault_of_the_source_reaches_its_callers_and_stops_nobody_else(
    ledger: Ledger, balances: Balances
) -> None:
    ledger.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await balances.balance(ALICE)
    ledger.error = None
    assert await balances.balance(ALICE) == balance(ALICE, 100)


async def test_drain_answers_those_who_wait_and_refuses_those_who_come(ledger: Ledger) -> None:
    balances = Balances(ledger, waiting_max=10)
    (asked,) = await ask_while_shut(ledger, balances, ALICE)
    gathered = asyncio.create_task(balances.balance(BOB))
    await asyncio.sleep(0)
    draining = asyncio.create_task(balances.drain(5))
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await balances.balance(ALICE)
    ledger.gate.set()
    await draining
    assert (await asked, await gathered) == (balance(ALICE, 100), balance(BOB, 50))
    assert ledger.closed


async def test_drain_leaves_nobody_without_an_answer_when_the_source_has_none(ledger: Ledger) -> None:
    balances = Balances(ledger, waiting_max=10)
    asked = await ask_while_shut(ledger, balances, ALICE)
    asked.append(asyncio.create_task(balances.balance(BOB)))
    await asyncio.sleep(0)
    await balances.drain(0)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers] == [StorageUnavailable] * 2
    assert ledger.closed
