"""However much is due, it is posted: by portions of a bounded size, in the order that one batch would have taken."""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.ledgers import (
    SALTS,
    Ledger,
    advance,
    assert_books_balance,
    balances,
    group,
    hold,
    insert_ledger,
    make_database,
    make_ledger,
    merge,
    promotional,
    settle,
    soon,
    spend,
    topup,
)
from wallet.errors import OutcomeUnknown, StorageUnavailable
from wallet.ledger.outcomes import Applied, RefusalCode, Settled
from wallet.ledger.requests import Request, Settle
from wallet.storage.batch.commit import commit_batch, prepare
from wallet.storage.batch.due_steps import ManyDue, MoreIsDue
from wallet.storage.batch.load import load
from wallet.storage.batch.wallets_to_lock import find_wallets_to_lock
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.shard import Shard
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

IDS = IdSource()
PORTION = 20
PORTIONS_MAX = 8
WHOLE = 10_000

# The history of each wallet that callers can see, in order. Ids and times are of their own in every database.
HISTORY = """
    SELECT line.wallet_id, line.position, t.type, line.change, line.held_change, line.after,
           dense_rank() OVER (ORDER BY t.effective_at) AS due_rank
      FROM (SELECT wallet_id, position, transaction_id, direction * amount AS change, 0 AS held_change,
                   balance_after AS after FROM ledger_entries WHERE balance_after IS NOT NULL
            UNION ALL
            SELECT wallet_id, position, transaction_id, 0, held_change, held_after FROM hold_steps) AS line
      JOIN transactions AS t ON t.id = line.transaction_id
     ORDER BY line.wallet_id, line.position"""


@asynccontextmanager
async def new_writer(dsn: str, portion: int = PORTION) -> AsyncIterator[BatchWriter]:
    writer = BatchWriter(
        make_database(dsn),
        AssetCache(),
        observe=lambda _items, _steps: None,
        due_steps_max=portion,
        portions_max=PORTIONS_MAX,
    )
    yield writer
    await writer.close()


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(12))


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[BatchWriter]:
    async with new_writer(database_url) as writer:
        yield writer


async def commit(writer: BatchWriter, *batch: Request) -> list[Any]:
    return list(await soon(writer.commit(batch)))


async def applied(writer: BatchWriter, *batch: Request) -> None:
    answers = await commit(writer, *batch)
    assert {type(each) for each in answers} == {Applied}, answers


async def settle_all(writer: BatchWriter, wallet: UUID) -> int:
    """How many portions it took."""
    portions = 1
    while (await commit(writer, settle(wallet))) == [Settled(is_all=False)]:
        portions += 1
    return portions


async def largest_batch(connection: asyncpg.Connection) -> int:
    largest: int = await connection.fetchval(
        "SELECT coalesce(max(transactions), 0) FROM batches JOIN transactions AS t USING (seq) WHERE origin = 'service'"
    )
    return largest


async def due_lots(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM lots WHERE expires_at <= ledger_now() AND remaining > 0"
    )
    return count


def lots(wallet: UUID, count: int, *, seconds: int = 60) -> list[Request]:
    return [promotional(wallet, 1, f"lot {wallet} {n}", expires_in_seconds=seconds) for n in range(count)]


def tangle(wallets: Sequence[UUID], seed: int) -> list[Request]:
    """Lots, and holds on them that are captured into one another's wallets or given back, all with an end."""
    chance = random.Random(seed)
    ends = iter(chance.sample(range(1_000, 9_000), 200))
    requests: list[Request] = []
    for n in range(60):
        at = next(ends)
        owner, target = chance.sample(wallets, 2)
        requests.append(promotional(owner, 100 + n, f"lot {n}", expires_in_seconds=at))
        # At the very instant of the lot, some time before, or after it.
        held_until = chance.choice([at, next(ends)])
        more: dict[str, Any] = {"target": target, "capture_at_expiry": chance.random() < 0.7}
        requests.append(hold(owner, chance.randint(1, 100), f"hold {n}", expires_in_seconds=held_until, **more))
    return requests


@pytest.fixture
def another_database_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as dsn:
        yield dsn


async def history_of_tangle(dsn: str, portion: int, ledger: Ledger, requests: Sequence[Request]) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    await insert_ledger(connection, ledger)
    async with new_writer(dsn, portion) as writer:
        await applied(writer, *requests)
        await advance(connection, seconds=10_000)
        portions = sum([await settle_all(writer, wallet) for wallet in sorted(ledger.wallets)])
    assert (portions > 2 * len(ledger.wallets)) == (portion < WHOLE)
    assert await connection.fetchval("SELECT count(*) FROM wallets WHERE next_due_at IS NOT NULL") == 0
    await assert_books_balance(connection)
    rows = await connection.fetch(HISTORY)
    await connection.close()
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("portion", [1, 7])
async def test_portions_leave_what_one_batch_leaves(
    database_url: str, another_database_url: str, portion: int, seed: int
) -> None:
    ledger = make_ledger(5)
    requests = tangle(sorted(ledger.wallets), seed)
    by_portions = await history_of_tangle(database_url, portion, ledger, requests)
    assert by_portions == await history_of_tangle(another_database_url, WHOLE, ledger, requests)


async def test_no_batch_posts_more_than_a_portion_and_each_goes_on_where_the_last_one_ended(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    # At one instant, so that only their ids order them.
    await applied(writer, *lots(alice, 5 * PORTION))
    await advance(connection, seconds=61)
    for n in range(1, 5):
        assert await commit(writer, settle(alice)) == [Settled(is_all=False)]
        assert await due_lots(connection) == (5 - n) * PORTION
    assert await commit(writer, settle(alice)) == [Settled()]
    assert await largest_batch(connection) == PORTION
    posted = await connection.fetch(
        "SELECT reference_id FROM transactions JOIN ledger_entries ON transaction_id = id"
        " WHERE type = 'expiry' AND wallet_id = $1 ORDER BY position",
        alice,
    )
    assert [row["reference_id"] for row in posted] == sorted(row["reference_id"] for row in posted)
    await assert_books_balance(connection)


async def test_a_request_is_decided_once_all_that_is_due_before_it_is_posted(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    await applied(writer, topup(alice, 5, "main"), *lots(alice, (PORTIONS_MAX - 1) * PORTION))
    await advance(connection, seconds=61)
    first, too_much, rest = await commit(writer, topup(bob, 1, "b"), spend(alice, 6, "s"), spend(alice, 5, "t"))
    assert [type(first), type(rest)] == [Applied, Applied]
    assert (too_much.code, too_much.available) == (RefusalCode.INSUFFICIENT_FUNDS, 5)
    assert (await balances(connection, ledger))[:2] == [0, 1]
    assert await largest_batch(connection) <= PORTION + 3
    await assert_books_balance(connection)


async def test_what_is_due_beyond_that_is_worked_off_with_each_try_and_neighbours_are_decided(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, *_ = ledger.wallets
    for_one_try = PORTIONS_MAX * PORTION
    await applied(writer, topup(alice, 5, "main"), *lots(alice, 2 * for_one_try + 1), *lots(carol, 1))
    await advance(connection, seconds=61)
    batch = [
        spend(alice, 5, "s1"),
        topup(bob, 1, "b1"),
        spend(alice, 1, "s2"),
        topup(carol, 1, "c1"),
        topup(bob, 1, "b2"),
    ]
    late, one, also_late, other, two = await commit(writer, *batch)
    assert [type(late), type(also_late)] == [MoreIsDue, MoreIsDue]
    assert [type(one), type(other), type(two)] == [Applied] * 3
    assert await due_lots(connection) == for_one_try + 1
    assert [type(each) for each in await commit(writer, spend(alice, 1, "s3"))] == [MoreIsDue]
    assert await due_lots(connection) == 1
    s1, *_, s2 = await commit(writer, *batch[:1], *batch[2:3])
    assert isinstance(s1, Applied)
    assert s2.available == 0
    assert (await balances(connection, ledger))[:3] == [0, 2, 1]
    await assert_books_balance(connection)


async def test_who_settles_beside_others_gets_a_portion_and_hurts_nobody(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    await applied(writer, *lots(alice, 2 * PORTION))
    await advance(connection, seconds=61)
    first, second, settled = await commit(writer, topup(bob, 1, "b1"), topup(bob, 1, "b2"), settle(alice))
    assert [type(first), type(second), settled] == [Applied, Applied, Settled(is_all=False)]
    assert await due_lots(connection) == PORTION


async def test_many_wallets_with_a_little_due_are_settled_in_batches_of_a_bounded_size(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    await applied(writer, *(lot for wallet in ledger.wallets for lot in lots(wallet, PORTION // 2)))
    await advance(connection, seconds=61)
    assert await commit(writer, *map(settle, ledger.wallets)) == [Settled()] * len(ledger.wallets)
    assert await largest_batch(connection) <= PORTION
    assert await due_lots(connection) == 0


async def test_a_group_over_many_wallets_with_a_little_due_is_decided_in_one_try(
    connection: asyncpg.Connection, database_url: str
) -> None:
    ledger = await insert_ledger(connection, make_ledger(3 * PORTION))
    async with new_writer(database_url) as writer:
        await applied(writer, *(lot for wallet in ledger.wallets for lot in lots(wallet, 1)))
        await advance(connection, seconds=61)
        [grouped] = await commit(writer, group(*(topup(wallet, 1, f"t {wallet}") for wallet in ledger.wallets)))
    assert {type(outcome) for outcome in grouped.outcomes} == {Applied}
    assert await balances(connection, ledger) == [1] * len(ledger.wallets)
    assert await largest_batch(connection) <= PORTION
    await assert_books_balance(connection)


async def test_holds_of_many_wallets_that_are_captured_into_one_are_captured_by_portions(
    connection: asyncpg.Connection, database_url: str
) -> None:
    ledger = await insert_ledger(connection, make_ledger(4 * PORTION + 1))
    shop, *guests = ledger.wallets
    due: dict[str, Any] = {"target": shop, "capture_at_expiry": True}
    async with new_writer(database_url) as writer:
        await applied(writer, *(topup(guest, 2, f"m {guest}") for guest in guests))
        placed = [hold(guest, 1, f"h{n}", expires_in_seconds=90 - n, **due) for n, guest in enumerate(guests)]
        await applied(writer, *placed)
        await advance(connection, seconds=100)
        assert await commit(writer, settle(guests[-1])) == [Settled(is_all=False)]
        assert await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'captured'") == PORTION
        # The first to place a hold, the last whose hold is due.
        [spent] = await commit(writer, spend(guests[0], 2, "s"))
        assert (spent.code, spent.available) == (RefusalCode.INSUFFICIENT_FUNDS, 1)
    assert await balances(connection, ledger) == [len(guests)] + [1] * len(guests)
    await assert_books_balance(connection)


async def test_a_hold_with_more_slices_than_a_portion_has_steps_is_one_of_its_own(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    await applied(writer, *lots(alice, 2 * PORTION, seconds=90))
    await applied(writer, hold(alice, 2 * PORTION, "h", expires_in_seconds=60))
    await applied(writer, promotional(alice, 1, "one more", expires_in_seconds=65))
    await advance(connection, seconds=70)
    assert await commit(writer, settle(alice)) == [Settled(is_all=False)]
    assert await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'open'") == 0
    assert await due_lots(connection) == 1
    assert await commit(writer, settle(alice)) == [Settled()]
    assert (await balances(connection, ledger))[0] == 2 * PORTION
    await assert_books_balance(connection)


@pytest.mark.parametrize("from_end", [0, -1])
async def test_a_chain_of_ten_by_way_of_merged_wallets_is_settled_from_either_end(
    connection: asyncpg.Connection, database_url: str, from_end: int
) -> None:
    """Each hold is captured into a wallet that was merged into the one of the next hold."""
    ledger = await insert_ledger(connection, make_ledger(21))
    links, aims = ledger.wallets[:11], ledger.wallets[11:]
    due: dict[str, Any] = {"expires_in_seconds": 60, "capture_at_expiry": True}
    async with new_writer(database_url, WHOLE) as writer:
        await applied(writer, *(topup(source, 1, f"m{n}") for n, source in enumerate(links[:-1])))
        await applied(writer, *(hold(links[n], 1, f"h{n}", target=aim, **due) for n, aim in enumerate(aims)))
        await applied(writer, *(merge(aim, links[n + 1], f"merge {n}") for n, aim in enumerate(aims)))
        await advance(connection, seconds=61)
        assert isinstance((await commit(writer, topup(links[from_end], 1, "one")))[0], Applied)
    assert await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'captured'") == 10
    await assert_books_balance(connection)


async def test_a_portion_of_a_chain_is_settled_from_its_front(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    due: dict[str, Any] = {"capture_at_expiry": True}
    chain = list(zip(ledger.wallets, ledger.wallets[1:], strict=False))
    async with new_writer(database_url, 3) as writer:
        await applied(
            writer,
            topup(ledger.wallets[0], 1, "m"),
            *(topup(source, 1, f"m{n}") for n, (source, _) in enumerate(chain)),
        )
        holds = [
            hold(source, 1, f"h{n}", target=target, expires_in_seconds=60 + n, **due)
            for n, (source, target) in enumerate(chain)
        ]
        await applied(writer, *holds)
        await advance(connection, seconds=100)
        assert await commit(writer, settle(ledger.wallets[-1])) == [Settled(is_all=False)]
        captured = await connection.fetch("SELECT id FROM holds WHERE status = 'captured' ORDER BY expires_at")
        assert [row["id"] for row in captured] == [each.id for each in holds[:3]]
        assert await settle_all(writer, ledger.wallets[-1]) == 3
    assert await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'captured'") == 11
    await assert_books_balance(connection)


class Unlucky(BatchWriter):
    """One whose portions come to nothing, in a way that the test says."""

    error: Exception

    async def _commit_once(self, batch: Sequence[Request]) -> Sequence[Any]:
        if isinstance(batch[0], Settle):
            raise self.error
        return await super()._commit_once(batch)


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), StorageUnavailable("away")])
async def test_a_portion_that_is_lost_leaves_no_doubt_about_the_request_that_waits_for_it(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, database_url: str, error: Exception
) -> None:
    alice, bob, *_ = ledger.wallets
    await applied(writer, *lots(alice, 2 * PORTION))
    await advance(connection, seconds=61)
    unlucky = Unlucky(
        make_database(database_url, unknown_seconds_max=0.1), AssetCache(), observe=lambda _items, _steps: None,
        due_steps_max=PORTION,
    )  # fmt: skip
    unlucky.error = error
    first, second = await commit(unlucky, topup(bob, 1, "b"), spend(alice, 1, "s"))
    await unlucky.close()
    assert isinstance(first, Applied)
    assert isinstance(second, StorageUnavailable)


# Loading


@pytest.fixture
async def writing(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await make_database(database_url).connect("test", finds_by_key=True)
    await prepare(connection)
    yield connection
    connection.terminate()


async def test_no_more_is_loaded_than_a_portion_posts(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, writing: asyncpg.Connection
) -> None:
    alice = ledger.wallets[0]
    await applied(writer, *lots(alice, 3, seconds=60), topup(alice, 9, "main"))
    await applied(writer, hold(alice, 2, "h", expires_in_seconds=30))
    await applied(writer, *(promotional(alice, 1, f"more {n}", expires_in_seconds=61) for n in range(3 * PORTION)))
    await applied(writer, *(promotional(alice, 1, f"not yet {n}", expires_in_seconds=999) for n in range(9)))
    await advance(connection, seconds=70)
    assets, batch = AssetCache(), [settle(alice)]
    names = await find_wallets_to_lock(Shard(writing), batch, assets, {})
    async with writing.transaction():
        context = (await load(Shard(writing), batch, assets, names, due_steps_max=PORTION)).context
    assert context.due_until is not None
    # The hold counts for its two slices, and the lots that it reserves come with it.
    assert (len(context.holds), len(context.lots)) == (1, PORTION - 2 + 2)


async def test_a_chain_begins_twice_however_long_it_is(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, writing: asyncpg.Connection
) -> None:
    due: dict[str, Any] = {"expires_in_seconds": 60, "capture_at_expiry": True}
    chain = list(zip(ledger.wallets, ledger.wallets[1:], strict=False))
    await applied(writer, *(topup(source, 1, f"m{n}") for n, (source, _) in enumerate(chain)))
    await applied(writer, *(hold(source, 1, f"h{n}", target=target, **due) for n, (source, target) in enumerate(chain)))
    await advance(connection, seconds=61)
    asked: list[str] = []
    writing.add_query_logger(lambda record: asked.append(record.query))
    await commit_batch(
        Shard(writing), [settle(ledger.wallets[-1])], batch_id=IDS.new_id(), assets=AssetCache(),
        salts=SALTS, commit_seconds_max=10, steps={},
    )  # fmt: skip
    assert sum("EXECUTE lock_wallets" in query for query in asked) == 2


async def test_what_has_fallen_due_since_is_no_answer_to_a_lost_commit(
    ledger: Ledger, writer: BatchWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try may have been committed: only a reference that is found says so, and none is looked for anew."""
    came_to = iter([OutcomeUnknown("lost"), ManyDue([ledger.wallets[0]])])

    async def commit_batch(*_: Any, **__: Any) -> Sequence[Any]:
        raise next(came_to)

    monkeypatch.setattr("wallet.storage.batch.writer.commit_batch", commit_batch)
    with pytest.raises(OutcomeUnknown, match="lost"):
        await soon(writer.commit([topup(ledger.wallets[0], 5, "t")]))
    assert next(came_to, None) is None
