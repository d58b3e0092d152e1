"""Two bulk batches under way: what may begin beside what, and that order is kept all the same."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from tests.service.writes.fake_store import FakeStore, GatedStore, answers, sent
from tests.storage.ledgers import again, capture, group, hold, make_ledger, merge, refund, soon, spend, topup, transfer
from wallet.errors import StorageUnavailable
from wallet.ledger.footprint import singles
from wallet.ledger.outcomes import Applied, Outcome, Refused
from wallet.ledger.requests import Post, Request
from wallet.service.writes.ordered_committer import OrderedCommitter
from wallet.storage.batch.sized_writer import Writer
from wallet.storage.batch.wallets_to_lock import wallets_locked
from wallet.storage.rows.asset_cache import AssetCache

LEDGER = make_ledger(wallets=30)
A, B, C, D, E, F, *_ = LEDGER.wallets
ASSETS = AssetCache()
ASSETS.add(LEDGER.asset)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore(LEDGER)


@asynccontextmanager
async def running(*writers: Writer, items: int = 100) -> AsyncIterator[OrderedCommitter]:
    committer = OrderedCommitter(
        writers,
        queue_depth_max=10_000,
        batch_items_max=items,
        wallets_of=lambda request: wallets_locked(request, ASSETS),
    )
    committer.start()
    try:
        yield committer
    finally:
        await soon(committer.drain(0))


async def nothing_begins(store: GatedStore) -> bool:
    for _ in range(10):
        await asyncio.sleep(0)
    return store.nothing_begun


async def test_a_batch_begins_beside_another_with_what_shares_no_wallet_with_it(store: GatedStore) -> None:
    async with running(store, store, items=2) as committer:
        await sent(committer, topup(A, 1, "a"), topup(B, 1, "b"))
        assert await store.begun() == ["a", "b"]
        await sent(committer, topup(C, 1, "c"), spend(A, 1, "a2"), topup(D, 1, "d"))
        assert await store.begun() == ["c", "d"]
        store.let_pass(1)
        assert await store.begun() == ["a2"]


async def test_who_shares_a_wallet_with_one_left_behind_stays_behind_it(store: GatedStore) -> None:
    async with running(store, store, items=4) as committer:
        await sent(committer, topup(A, 1, "a"))
        assert await store.begun() == ["a"]
        await sent(
            committer, transfer(A, B, 1, "ab"), transfer(B, C, 1, "bc"), transfer(C, D, 1, "cd"), topup(E, 1, "e")
        )
        assert await store.begun() == ["e"]
        store.let_pass()
        assert await store.begun() == ["ab", "bc", "cd"]


async def test_who_shares_a_reference_stays_behind_whatever_wallets_it_names(store: GatedStore) -> None:
    async with running(store, store) as committer:
        await sent(committer, topup(A, 1, "r"))
        assert await store.begun() == ["r"]
        tasks = await sent(committer, topup(B, 1, "r"), topup(B, 1, "b"), topup(C, 1, "c"))
        assert await store.begun() == ["c"]
        store.let_pass()
        assert await store.begun() == ["r", "b"]
        assert [type(answer) for answer in await answers(tasks)] == [Refused, Applied, Applied]


async def test_a_wallet_that_is_never_locked_keeps_nobody_apart(store: GatedStore) -> None:
    async with running(store, store, items=1) as committer:
        await sent(committer, spend(A, 1, "a"), spend(B, 1, "b"))
        assert [await store.begun(), await store.begun()] == [["a"], ["b"]]


UNKNOWN: list[Request] = [
    capture(UUID(int=1), "x"),
    refund(UUID(int=1), "x"),
    merge(E, F, "x"),
    group(topup(E, 1, "x"), capture(UUID(int=1), "y")),
    topup(E, 1, "x")._replace(asset_code="UNSEEN"),
]


@pytest.mark.parametrize("unknown", UNKNOWN, ids=lambda request: type(request).__name__)
async def test_what_only_the_database_knows_the_wallets_of_is_under_way_alone(
    store: GatedStore, unknown: Request
) -> None:
    async with running(store, store, items=2) as committer:
        await sent(committer, topup(A, 1, "a"), topup(A, 1, "a1"), unknown, topup(B, 1, "b"), topup(C, 1, "c"))
        assert await store.begun() == ["a", "a1"]
        assert await nothing_begins(store)
        store.let_pass(1)
        assert await store.begun() == [unknown.reference_id, "b"]
        assert await nothing_begins(store)
        store.let_pass(1)
        assert await store.begun() == ["c"]


@pytest.mark.parametrize(
    "known", [hold(B, 1, "x"), group(topup(B, 1, "x"), topup(C, 1, "y"))], ids=lambda request: type(request).__name__
)
async def test_what_names_its_wallets_itself_begins_beside_others(store: GatedStore, known: Request) -> None:
    async with running(store, store) as committer:
        await sent(committer, topup(A, 1, "a"))
        await store.begun()
        await sent(committer, spend(A, 1, "a1"), known)
        assert await store.begun() == [known.reference_id]


async def test_who_is_left_behind_is_the_first_of_the_next_batch(store: GatedStore) -> None:
    async with running(store, store, items=2) as committer:
        await sent(committer, topup(A, 1, "a"), topup(B, 1, "b"))
        await store.begun()
        await sent(committer, transfer(A, C, 1, "late"), topup(D, 1, "d"), topup(E, 1, "e"))
        assert await store.begun() == ["d", "e"]
        # However much comes that is free to go.
        await sent(committer, *(topup(F, 1, f"f{number}") for number in range(10)))
        store.let_pass(1)
        assert await store.begun() == ["late", "f0"]


async def test_one_wallet_that_everybody_names_makes_progress_batch_by_batch(store: GatedStore) -> None:
    async with running(store, store, items=3) as committer:
        tasks = await sent(committer, *(topup(A, 1, str(number)) for number in range(8)))
        for batch in (["0", "1", "2"], ["3", "4", "5"], ["6", "7"]):
            assert await store.begun() == batch
            assert await nothing_begins(store)
            store.let_pass(1)
        assert all(isinstance(answer, Applied) for answer in await answers(tasks))


async def test_a_batch_leaves_no_more_behind_than_it_may_have_itself(store: GatedStore) -> None:
    async with running(store, store, items=2) as committer:
        await sent(committer, topup(A, 1, "a"), topup(A, 1, "a1"))
        await store.begun()
        await sent(committer, topup(A, 1, "behind0"), topup(A, 1, "behind1"), topup(B, 1, "b"))
        assert await nothing_begins(store)
        store.let_pass(1)
        assert await store.begun() == ["behind0", "behind1"]


async def test_what_arrives_is_looked_at_while_everything_else_waits(store: GatedStore) -> None:
    async with running(store, store, items=2) as committer:
        await sent(committer, topup(A, 1, "a"), topup(A, 1, "a1"))
        await store.begun()
        await sent(committer, topup(A, 1, "a2"))
        assert await nothing_begins(store)
        await sent(committer, topup(B, 1, "b"))
        assert await store.begun() == ["b"]


async def test_a_batch_that_fails_lets_those_go_on_that_waited_for_it() -> None:
    first, second = GatedStore(LEDGER), GatedStore(LEDGER)
    first.fault = StorageUnavailable("away")
    async with running(first, second, items=2) as committer:
        tasks = await sent(committer, topup(A, 1, "a"))
        assert await first.begun() == ["a"]
        tasks += await sent(committer, topup(A, 1, "a1"), topup(B, 1, "b"))
        assert await second.begun() == ["b"]
        first.let_pass(1)
        await soon(asyncio.wait(tasks[:1]))
        first.fault = None
        assert await first.begun() == ["a1"]
        first.let_pass()
        second.let_pass()
        assert [type(answer) for answer in await answers(tasks)] == [StorageUnavailable, Applied, Applied]


async def test_what_waits_for_others_is_decided_at_shutdown_too(store: GatedStore) -> None:
    async with running(store, store, items=1) as committer:
        tasks = await sent(committer, topup(A, 1, "a"), topup(A, 1, "a1"), capture(UUID(int=1), "x"), topup(B, 1, "b"))
        await store.begun()
        store.let_pass()
        await soon(committer.drain(5))
        assert [type(answer) for answer in await answers(tasks)] == [Applied, Applied, Refused, Applied]


class RestlessStore(FakeStore):
    """Takes its time, decides a batch in parts as a writer does that halves it, and notes in which order."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(LEDGER)
        self.decided: list[Request] = []
        self.together_max = 0
        self._chance = chance
        self._together = 0

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        self._together += 1
        self.together_max = max(self.together_max, self._together)
        outcomes: list[Outcome] = []
        parts = self._chance.choice((1, 1, 2))
        for part in range(parts):
            for _ in range(self._chance.randrange(20)):
                await asyncio.sleep(0)
            requests = batch[part * len(batch) // parts : (part + 1) * len(batch) // parts]
            self.decided += requests
            outcomes += await super().commit(requests)
        self._together -= 1
        return outcomes


def names(request: Request) -> set[object]:
    found: set[object] = set(wallets_locked(request, ASSETS) or ())
    return found | {(each.origin, each.reference_id) for each in singles((request,))}


def random_requests(chance: random.Random, count: int) -> Iterator[Request]:
    earlier: list[Post] = []
    for number in range(count):
        first, second, third = chance.sample(LEDGER.wallets, 3)
        match chance.randrange(20):
            case 0:
                yield capture(UUID(int=number), f"r{number}")
            case 1 | 2 if earlier:
                yield again(chance.choice(earlier))
            case 3:
                yield group(transfer(first, second, 3, f"r{number}"), transfer(second, third, 2, f"s{number}"))
            case 4 | 5 | 6:
                yield topup(first, chance.randrange(1, 9), f"r{number}")
            case 7:
                yield spend(first, chance.randrange(1, 9), f"r{number}")
            case _:
                earlier.append(transfer(first, second, chance.randrange(1, 9), f"r{number}"))
                yield earlier[-1]


@pytest.mark.parametrize("seed", range(20))
async def test_several_batches_under_way_come_to_what_one_after_the_other_would(seed: int) -> None:
    chance = random.Random(seed)
    requests = list(random_requests(chance, 300))
    restless = RestlessStore(chance)
    async with running(*[restless] * chance.choice((2, 3)), items=chance.choice((1, 4, 8))) as committer:
        tasks: list[asyncio.Task[Outcome]] = []
        while len(tasks) < len(requests):
            tasks += await sent(committer, *requests[len(tasks) : len(tasks) + chance.randrange(1, 60)])
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)
        found = await answers(tasks)
    in_order = await FakeStore(LEDGER).commit(requests)
    assert [type(answer) for answer in found] == [type(outcome) for outcome in in_order]
    assert restless.together_max >= 2
    assert_in_order(requests, restless.decided)


def assert_in_order(requests: Sequence[Request], decided: Sequence[Request]) -> None:
    """Between all that share a wallet or a reference, and before and after what may share any."""
    places = {id(request): place for place, request in enumerate(decided)}
    last: dict[object, int] = {}
    last_of_all = last_alone = -1
    for request in requests:
        place = places[id(request)]
        assert place > last_alone
        if wallets_locked(request, ASSETS) is None:
            assert place > last_of_all
            last_alone = place
        assert all(place > last.get(name, -1) for name in names(request))
        last.update(dict.fromkeys(names(request), place))
        last_of_all = max(last_of_all, place)
