"""The committer over a store that commits when the test says so."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.service.writes.fake_store import GatedStore, answers, sent
from tests.storage.ledgers import SECONDS_MAX, again, make_ledger, soon, spend, topup
from wallet.errors import InvariantViolated, OutcomeUnknown, Overloaded, StorageUnavailable, WalletError
from wallet.ledger.model import Direction
from wallet.ledger.outcomes import Applied, Grouped, Outcome, RefusalCode, Refused, Replayed
from wallet.ledger.requests import ORIGIN_WALLET, ChangeWallet, Group, Leg, Post, Request, Settle, Single
from wallet.service.writes.bulk import Chunk
from wallet.service.writes.committer import LEGS_PER_ITEM_MAX, OVERLAP_SECONDS, Committer
from wallet.storage.batch.sized_writer import Writer

LEDGER = make_ledger(wallets=2)
ALICE, BOB = LEDGER.wallets


@pytest.fixture
def store() -> GatedStore:
    return GatedStore(LEDGER)


@asynccontextmanager
async def running(
    *writers: Writer,
    queue: int = 1_000,
    items: int = 100,
    overlap_seconds: float = OVERLAP_SECONDS,
    wait_seconds_max: float = math.inf,
) -> AsyncIterator[Committer]:
    committer = Committer(
        writers,
        queue_depth_max=queue,
        batch_items_max=items,
        overlap_seconds=overlap_seconds,
        wait_seconds_max=wait_seconds_max,
    )
    committer.start()
    try:
        yield committer
    finally:
        await soon(committer.drain(0))


def topups(count: int, *, name: str = "r") -> Iterator[Post]:
    return (topup(ALICE, 1, f"{name}{number}") for number in range(count))


async def test_what_arrives_while_a_batch_commits_is_the_next_batch(store: GatedStore) -> None:
    async with running(store) as committer:
        first = await sent(committer, topup(ALICE, 5, "first"))
        assert await store.begun() == ["first"]
        rest = await sent(committer, *topups(30))
        store.let_pass()
        assert await store.begun() == [f"r{number}" for number in range(30)]
        assert all(isinstance(answer, Applied) for answer in await answers(first + rest))


async def test_a_batch_has_no_more_items_than_the_bound(store: GatedStore) -> None:
    async with running(store, items=10) as committer:
        await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        tasks = await sent(committer, *topups(25))
        store.let_pass()
        assert [len(await store.begun()) for _ in range(3)] == [10, 10, 5]
        assert all(isinstance(answer, Applied) for answer in await answers(tasks))


def many_legs(count: int, reference_id: str) -> Post:
    ledger = make_ledger(count)
    legs = tuple(Leg(wallet, Direction.CREDIT, 1) for wallet in ledger.wallets)
    return Post(ledger.wallets[0], "api", reference_id, b"", "settlement", legs)


async def test_a_batch_has_no_more_legs_than_the_bound(store: GatedStore) -> None:
    async with running(store, items=5) as committer:
        await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        half = 5 * LEGS_PER_ITEM_MAX // 2
        await sent(committer, many_legs(half, "a"), many_legs(half, "b"), many_legs(2, "c"))
        store.let_pass()
        assert [await store.begun(), await store.begun()] == [["a", "b"], ["c"]]


async def test_a_request_with_more_legs_than_the_bound_is_a_batch_of_its_own(store: GatedStore) -> None:
    async with running(store, items=2) as committer:
        await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        await sent(committer, many_legs(2 * LEGS_PER_ITEM_MAX + 1, "big"), topup(ALICE, 1, "small"))
        store.let_pass()
        assert [await store.begun(), await store.begun()] == [["big"], ["small"]]


async def test_a_full_queue_refuses_and_applies_nothing(store: GatedStore) -> None:
    async with running(store, queue=3) as committer:
        accepted = await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        accepted += await sent(committer, *topups(3))
        with pytest.raises(Overloaded):
            await committer.submit(topup(ALICE, 100, "too much"))
        store.let_pass()
        assert all(isinstance(answer, Applied) for answer in await answers(accepted))
    assert store.wallets[ALICE].balance == 4


async def test_parked_duplicates_count_as_waiting(store: GatedStore) -> None:
    async with running(store, store, queue=3) as committer:
        first = topup(ALICE, 1, "first")
        tasks = await sent(committer, first)
        assert await store.begun() == ["first"]
        tasks += await sent(committer, again(first), again(first), again(first))
        assert committer.queue_depth == 3
        with pytest.raises(Overloaded):
            await committer.submit(topup(ALICE, 100, "too much"))
        store.let_pass()
        await answers(tasks)
        assert committer.queue_depth == 0


async def test_the_money_of_a_caller_who_hung_up_moves_all_the_same(store: GatedStore) -> None:
    async with running(store) as committer:
        impatient, patient = await sent(committer, topup(ALICE, 7, "hung up"), topup(BOB, 1, "waits"))
        await store.begun()
        impatient.cancel()
        store.let_pass()
        assert isinstance(await soon(patient), Applied)
        assert isinstance(await soon(committer.submit(topup(ALICE, 7, "hung up"))), Replayed)
    assert store.wallets[ALICE].balance == 7


async def test_a_caller_who_hangs_up_in_the_queue_is_served_in_order(store: GatedStore) -> None:
    async with running(store) as committer:
        await sent(committer, topup(ALICE, 5, "first"))
        await store.begun()
        impatient, patient = await sent(committer, topup(BOB, 7, "hung up"), spend(BOB, 7, "needs it"))
        impatient.cancel()
        store.let_pass()
        assert isinstance(await soon(patient), Applied)


async def test_a_duplicate_of_a_request_in_flight_is_replayed_after_it(store: GatedStore) -> None:
    async with running(store, store) as committer:
        request = topup(ALICE, 5, "same")
        first = await sent(committer, request)
        assert await store.begun() == ["same"]
        second = await sent(committer, again(request))
        assert store.nothing_begun, "the duplicate must not enter a batch beside the first"
        store.let_pass()
        applied, replayed = await answers(first + second)
        assert isinstance(applied, Applied)
        assert replayed == Replayed(applied.posted)


async def test_a_duplicate_of_a_refused_request_is_decided_on_its_own(store: GatedStore) -> None:
    async with running(store, store) as committer:
        request = spend(ALICE, 5, "same")
        first = await sent(committer, request)
        assert await store.begun() == ["same"]
        second = await sent(committer, topup(ALICE, 5, "money"), again(request))
        assert await store.begun() == ["money"]
        store.let_pass()
        refused, _, applied = await answers(first + second)
        assert isinstance(refused, Refused)
        assert isinstance(applied, Applied)


@pytest.mark.parametrize("writers", [1, 2, 4])
async def test_of_a_hundred_racing_duplicates_exactly_one_is_applied(store: GatedStore, writers: int) -> None:
    async with running(*[store] * writers, items=7) as committer:
        request = topup(ALICE, 5, "same")
        tasks = await sent(committer, *(again(request) for _ in range(100)))
        store.let_pass()
        kinds = [type(answer) for answer in await answers(tasks)]
        assert (kinds.count(Applied), kinds.count(Replayed)) == (1, 99)
    assert store.wallets[ALICE].balance == 5


async def test_parked_requests_come_before_those_that_arrived_later(store: GatedStore) -> None:
    other = GatedStore(LEDGER)
    async with running(store, other, items=2) as committer:
        request = topup(ALICE, 5, "same")
        await sent(committer, request)
        assert await store.begun() == ["same"]
        await sent(committer, again(request), topup(ALICE, 1, "beside"))
        assert await other.begun() == ["beside"]
        tasks = await sent(committer, topup(ALICE, 1, "later"), topup(ALICE, 1, "last"))
        store.let_pass()
        assert await store.begun() == ["same", "later"]
        await answers(tasks)


async def test_answers_come_in_the_order_of_the_requests(store: GatedStore) -> None:
    order: list[str] = []

    async def noted(committer: Committer, request: Request) -> None:
        await committer.submit(request)
        order.append(request.reference_id)

    async with running(store, items=4) as committer:
        tasks = [asyncio.create_task(noted(committer, request)) for request in topups(10)]
        store.let_pass()
        await asyncio.wait_for(asyncio.gather(*tasks), SECONDS_MAX)
    assert order == [f"r{number}" for number in range(10)]


async def test_draining_answers_everything_that_was_accepted(store: GatedStore) -> None:
    async with running(store, store, items=3) as committer:
        tasks = await sent(committer, *topups(20), *(topup(ALICE, 1, "r0") for _ in range(5)))
        await store.begun()
        draining = asyncio.create_task(committer.drain(SECONDS_MAX))
        store.let_pass()
        await soon(draining)
        kinds = [type(answer) for answer in await answers(tasks)]
        assert (kinds.count(Applied), kinds.count(Replayed)) == (20, 5)
    assert store.closed


async def test_nothing_is_accepted_while_draining(store: GatedStore) -> None:
    async with running(store) as committer:
        await soon(committer.drain(SECONDS_MAX))
        with pytest.raises(StorageUnavailable):
            await committer.submit(topup(ALICE, 1, "late"))


async def test_at_the_deadline_what_is_queued_was_not_applied_and_what_is_in_flight_is_unknown(
    store: GatedStore,
) -> None:
    async with running(store) as committer:
        in_flight = await sent(committer, topup(ALICE, 1, "in flight"))
        await store.begun()
        queued = await sent(committer, topup(ALICE, 1, "queued"))
        await soon(committer.drain(0))
        assert [type(answer) for answer in await answers(in_flight + queued)] == [OutcomeUnknown, StorageUnavailable]
        assert store.nothing_begun


async def test_at_the_deadline_no_batch_of_parked_requests_begins(store: GatedStore) -> None:
    async with running(store, store) as committer:
        request = topup(ALICE, 1, "same")
        in_flight = await sent(committer, request)
        await store.begun()
        parked = await sent(committer, again(request))
        await soon(committer.drain(0))
        assert [type(answer) for answer in await answers(in_flight + parked)] == [OutcomeUnknown, OutcomeUnknown]
        assert store.nothing_begun


async def test_a_fault_stops_the_writer_and_says_so_to_everybody(
    store: GatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store, store) as committer:
        request = topup(ALICE, 1, "in flight")
        in_flight = await sent(committer, request)
        await store.begun()
        parked = await sent(committer, again(request))
        store.fault = InvariantViolated("broken")
        store.let_pass()
        assert [type(answer) for answer in await answers(in_flight + parked)] == [OutcomeUnknown, OutcomeUnknown]
        assert committer.fault is store.fault
        assert "in flight" in caplog.text, "the batch is dumped for whoever is paged"
        with pytest.raises(StorageUnavailable):
            await committer.submit(topup(ALICE, 1, "later"))
    assert store.wallets[ALICE].balance == 0


@pytest.mark.parametrize("error", [StorageUnavailable, OutcomeUnknown])
async def test_a_duplicate_is_never_told_that_nothing_was_applied_once_its_first_was(
    store: GatedStore, error: type[WalletError]
) -> None:
    async with running(store) as committer:
        request = topup(ALICE, 1, "same")
        first = await sent(committer, request)
        await store.begun()
        duplicate = await sent(committer, again(request))
        store.let_pass(1)
        assert [type(answer) for answer in await answers(first)] == [Applied]
        await store.begun()
        store.fault = error("away")
        store.let_pass()
        assert [type(answer) for answer in await answers(duplicate)] == [OutcomeUnknown]


async def test_beside_a_batch_another_begins_when_half_as_many_wait(store: GatedStore) -> None:
    async with running(store, store, overlap_seconds=1_000) as committer:
        large = await sent(committer, *topups(20))
        assert len(await store.begun()) == 20
        small = await sent(committer, *topups(9, name="s"))
        assert store.nothing_begun
        small += await sent(committer, *topups(1, name="t"))
        assert len(await store.begun()) == 10
        store.let_pass()
        assert all(isinstance(answer, Applied) for answer in await answers(large + small))


async def test_beside_a_batch_that_is_stuck_any_begins(store: GatedStore) -> None:
    async with running(store, store, overlap_seconds=0.001) as committer:
        large = await sent(committer, *topups(20))
        assert len(await store.begun()) == 20
        small = await sent(committer, *topups(1, name="s"))
        assert len(await store.begun()) == 1
        store.let_pass()
        assert all(isinstance(answer, Applied) for answer in await answers(large + small))


async def test_a_fault_of_one_writer_lets_the_batch_of_the_other_end() -> None:
    broken, sound = GatedStore(LEDGER), GatedStore(LEDGER)
    broken.fault = InvariantViolated("broken")
    async with running(broken, sound) as committer:
        first = await sent(committer, topup(ALICE, 1, "one"))
        second = await sent(committer, topup(ALICE, 1, "two"))
        begun = {(await broken.begun())[0], (await sound.begun())[0]}
        assert begun == {"one", "two"}
        broken.let_pass()
        sound.let_pass()
        kinds = {type(answer) for answer in await answers(first + second)}
        assert kinds == {Applied, OutcomeUnknown}


@pytest.mark.parametrize("error", [StorageUnavailable, OutcomeUnknown])
async def test_a_batch_that_does_not_go_through_is_told_to_its_callers_and_the_next_one_goes_on(
    store: GatedStore, error: type[WalletError]
) -> None:
    async with running(store) as committer:
        store.fault = error("away")
        tasks = await sent(committer, *topups(3))
        await store.begun()
        store.let_pass(1)
        assert {type(answer) for answer in await answers(tasks)} == {error}
        store.fault = None
        store.let_pass()
        assert isinstance(await soon(committer.submit(topup(ALICE, 1, "next"))), Applied)
        assert committer.fault is None


async def test_each_caller_gets_his_own_answer(store: GatedStore) -> None:
    async with running(store) as committer:
        tasks = await sent(committer, topup(ALICE, 5, "a"), spend(ALICE, 9, "b"), topup(ALICE, 6, "a"))
        store.let_pass()
        applied, poor, reused = await answers(tasks)
        assert isinstance(applied, Applied)
        assert isinstance(poor, Refused)
        assert poor.code is RefusalCode.INSUFFICIENT_FUNDS
        assert isinstance(reused, Refused)
        assert reused.differs == ("amount",)


class HalfBadStore(GatedStore):
    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]:  # type: ignore[override]
        return [StorageUnavailable("not this one"), *await super().commit(batch[1:])]


async def test_an_error_of_one_request_is_raised_to_its_caller_alone() -> None:
    store = HalfBadStore(LEDGER)
    async with running(store) as committer:
        tasks = await sent(committer, topup(ALICE, 5, "bad"), topup(ALICE, 6, "good"))
        store.let_pass()
        assert [type(answer) for answer in await answers(tasks)] == [StorageUnavailable, Applied]


def group(*items: Single, name: str = "group") -> Group:
    return Group(ALICE, "group", name, items)


def kinds_of(answer: Outcome | BaseException) -> list[type]:
    assert isinstance(answer, Grouped)
    return [type(each) for each in answer.outcomes]


async def test_a_group_is_weighed_by_all_of_its_items(store: GatedStore) -> None:
    async with running(store, items=5) as committer:
        await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        half = group(*topups(5 * LEGS_PER_ITEM_MAX // 4, name="h"), name="half")
        whole = group(*topups(5 * LEGS_PER_ITEM_MAX, name="w"), name="more than a batch")
        await sent(committer, half, topup(ALICE, 1, "beside"), whole, topup(ALICE, 1, "after"))
        store.let_pass()
        assert [await store.begun() for _ in range(3)] == [["half", "beside"], ["more than a batch"], ["after"]]


async def test_a_group_takes_as_many_places_in_the_queue_as_it_has_items(store: GatedStore) -> None:
    async with running(store, queue=10) as committer:
        first = await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        tasks = await sent(committer, group(*topups(8)))
        assert committer.queue_depth == 8
        with pytest.raises(Overloaded):
            await committer.submit(group(*topups(3, name="too many ")))
        tasks += await sent(committer, *topups(2, name="just as many "))
        store.let_pass()
        await answers(first + tasks)
        assert committer.queue_depth == 0


async def test_a_group_larger_than_the_queue_is_let_into_an_empty_one(store: GatedStore) -> None:
    async with running(store, queue=3) as committer:
        store.let_pass()
        assert kinds_of(await soon(committer.submit(group(*topups(9))))) == [Applied] * 9


async def test_a_request_in_flight_holds_up_a_group_that_has_its_reference(store: GatedStore) -> None:
    async with running(store, store) as committer:
        single = topup(ALICE, 5, "same")
        first = await sent(committer, single)
        assert await store.begun() == ["same"]
        second = await sent(committer, group(topup(BOB, 1, "other"), again(single)))
        assert store.nothing_begun
        store.let_pass()
        applied, grouped = await answers(first + second)
        assert isinstance(applied, Applied)
        assert kinds_of(grouped) == [Applied, Replayed]


async def test_a_group_in_flight_holds_up_a_request_with_one_of_its_references(store: GatedStore) -> None:
    async with running(store, store) as committer:
        single = topup(ALICE, 5, "same")
        first = await sent(committer, group(topup(BOB, 1, "other"), single))
        assert await store.begun() == ["group"]
        second = await sent(committer, again(single), group(again(single), name="another"))
        assert store.nothing_begun
        assert committer.queue_depth == 2
        store.let_pass()
        grouped, replayed, replayed_group = await answers(first + second)
        assert kinds_of(grouped) == [Applied, Applied]
        assert isinstance(replayed, Replayed)
        assert kinds_of(replayed_group) == [Replayed]
        assert committer.queue_depth == 0


async def test_a_group_waits_for_each_of_its_references(store: GatedStore) -> None:
    other = GatedStore(LEDGER)
    async with running(store, other) as committer:
        one, two = topup(ALICE, 1, "one"), topup(BOB, 1, "two")
        first = await sent(committer, one)
        assert await store.begun() == ["one"]
        second = await sent(committer, two)
        assert await other.begun() == ["two"]
        grouped = await sent(committer, group(again(one), again(two)))
        store.let_pass()
        await answers(first)
        await asyncio.sleep(0.01)
        assert store.nothing_begun
        other.let_pass()
        await answers(second + grouped)


async def test_a_group_whose_reference_came_back_unknown_is_unknown(store: GatedStore) -> None:
    async with running(store, store) as committer:
        single = topup(ALICE, 5, "same")
        first = await sent(committer, single)
        await store.begun()
        second = await sent(committer, group(topup(BOB, 1, "other"), again(single)))
        store.fault = OutcomeUnknown("away")
        store.let_pass(1)
        assert [type(answer) for answer in await answers(first + second)] == [OutcomeUnknown, OutcomeUnknown]
        assert committer.queue_depth == 0


async def test_a_group_that_was_not_applied_is_in_doubt_if_another_had_one_of_its_references(
    store: GatedStore,
) -> None:
    async with running(store) as committer:
        single = topup(ALICE, 5, "same")
        await sent(committer, topup(BOB, 1, "first"))
        await store.begun()
        tasks = await sent(committer, single, group(topup(BOB, 1, "other"), again(single)), topup(BOB, 1, "apart"))
        await soon(committer.drain(0))
        kinds = [type(answer) for answer in await answers(tasks)]
        assert kinds == [StorageUnavailable, OutcomeUnknown, StorageUnavailable]


@pytest.mark.parametrize(
    "request_",
    [
        ChangeWallet(ALICE, ORIGIN_WALLET, str(ALICE), b"", "change", ALICE),
        Settle(ALICE, "service", "settle", ALICE),
    ],
    ids=["change", "settle"],
)
async def test_what_has_no_reference_waits_for_nobody(request_: Request) -> None:
    first, second = GatedStore(LEDGER), GatedStore(LEDGER)
    async with running(first, second) as committer:
        await sent(committer, request_)
        await first.begun()
        await sent(committer, request_)
        assert await second.begun() == [request_.reference_id]
        first.fault = second.fault = StorageUnavailable("away")
        first.let_pass()
        second.let_pass()


async def test_accepted_requests_keep_their_order_and_their_answers(store: GatedStore) -> None:
    async with running(store) as committer:
        futures: list[asyncio.Future[Outcome]] = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for request_, future in zip(
            (topup(ALICE, 5, "a"), spend(ALICE, 5, "b"), spend(ALICE, 1, "c")), futures, strict=True
        ):
            committer.accept(request_, future)
        store.let_pass()
        done = [await soon(future) for future in futures]
        assert [type(outcome) for outcome in done] == [Applied, Applied, Refused]


WAIT_SECONDS = 0.05
"""No measurement: how long the committers below let anybody wait."""


async def test_who_is_not_decided_in_time_is_told_what_is_known(store: GatedStore) -> None:
    async with running(store, store, queue=3, wait_seconds_max=WAIT_SECONDS) as committer:
        first, other = topup(ALICE, 1, "first"), topup(ALICE, 1, "other")
        under_way = await sent(committer, first)
        assert await store.begun() == ["first"]
        under_way += await sent(committer, other)
        assert await store.begun() == ["other"]
        parked = await sent(committer, again(first))
        queued = await sent(committer, topup(BOB, 1, "waits"), again(topup(BOB, 1, "waits too")))
        kinds = [[type(each) for each in await answers(tasks)] for tasks in (under_way, parked, queued)]
        assert kinds == [[OutcomeUnknown] * 2, [OutcomeUnknown], [StorageUnavailable] * 2]
        assert committer.queue_depth == 0, "the places are free again"
        store.let_pass()
        assert isinstance(await soon(committer.submit(again(first))), Replayed)
        assert isinstance(await soon(committer.submit(topup(BOB, 1, "waits"))), Applied)
    assert store.wallets[ALICE].balance == 2
    assert store.wallets[BOB].balance == 1


async def test_of_two_equal_requests_in_the_queue_the_second_is_in_doubt_when_both_are_late(
    store: GatedStore,
) -> None:
    async with running(store, wait_seconds_max=WAIT_SECONDS) as committer:
        await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        twin = topup(BOB, 1, "twin")
        tasks = await sent(committer, twin, again(twin))
        assert [type(each) for each in await answers(tasks)] == [StorageUnavailable, OutcomeUnknown]
        store.let_pass()


async def test_a_chunk_that_is_late_is_answered_once_and_gives_its_place_back_once(store: GatedStore) -> None:
    async with running(store, wait_seconds_max=WAIT_SECONDS) as committer:
        noted: list[Sequence[object]] = []
        chunk = Chunk(committer, list(topups(3)), noted.append)
        assert await store.begun() == ["r0", "r1", "r2"]
        assert [type(each) for each in await soon(chunk.answers())] == [OutcomeUnknown] * 3
        store.let_pass()
        assert isinstance(await soon(committer.submit(topup(ALICE, 1, "r0"))), Replayed)
        assert len(noted) == 1


async def test_it_tells_how_long_nothing_has_moved(store: GatedStore) -> None:
    async with running(store) as committer:
        assert committer.standstill_seconds == 0
        tasks = await sent(committer, topup(ALICE, 1, "first"))
        assert await store.begun() == ["first"]
        await asyncio.sleep(WAIT_SECONDS)
        assert committer.standstill_seconds >= WAIT_SECONDS / 2
        store.let_pass()
        await answers(tasks)
        assert committer.standstill_seconds == 0
