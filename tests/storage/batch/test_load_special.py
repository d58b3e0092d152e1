"""The states that special wallets and requests are decided on: windows of spending, what is due, programmes; and what
plain requests never ask for.
"""

import json
import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.storage.ledgers import (
    SALTS,
    Ledger,
    advance,
    assert_books_balance,
    balances,
    capture,
    change,
    hold,
    insert_ledger,
    make_database,
    make_ledger,
    merge,
    new_writer,
    promotional,
    settle,
    soon,
    spend,
    topup,
    transfer,
)
from wallet.errors import StaleContext
from wallet.ledger.model import ORIGIN_SERVICE, Attachment, LotCategory
from wallet.ledger.outcomes import Applied, RefusalCode
from wallet.ledger.requests import Grant, Request
from wallet.storage.batch.commit import BEGINNINGS_MAX, commit_batch, prepare
from wallet.storage.batch.load import Loaded, load
from wallet.storage.batch.wallets_to_lock import find_wallets_to_lock
from wallet.storage.batch.write_attachments import net_grants, net_moves
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

IDS = IdSource()
LOAD_SPENT = load_statements("batch/load_special.sql")["load_spent"]


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(4))


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[BatchWriter]:
    async with new_writer(database_url) as writer:
        yield writer


@pytest.fixture
async def writing(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection set up as writers set up theirs."""
    connection = await make_database(database_url).connect("test", finds_by_key=True)
    await prepare(connection)
    yield connection
    connection.terminate()


async def commit(writer: BatchWriter, *batch: Request) -> list[Any]:
    return list(await soon(writer.commit(batch)))


async def loaded_for(connection: asyncpg.Connection, *batch: Request) -> Loaded:
    """The context that a batch would be decided on."""
    assets = AssetCache()
    names = await find_wallets_to_lock(Shard(connection), batch, assets, {})
    async with connection.transaction():
        return await load(Shard(connection), batch, assets, names)


class Counting:
    """A connection that counts what it is asked."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval"):
            return method

        async def ask(sql: str, *arguments: Any) -> Any:
            self.asked.append(sql)
            return await method(sql, *arguments)

        return ask


async def asked_for(writing: asyncpg.Connection, cache: AssetCache, *batch: Request) -> int:
    counting = Counting(writing)
    await soon(
        commit_batch(
            Shard(counting), batch, batch_id=IDS.new_id(), assets=cache, salts=SALTS, commit_seconds_max=10, steps={}
        )
    )  # fmt: skip
    return len(counting.asked)


async def test_plain_movements_take_four_round_trips_and_others_a_few_more_however_many(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice, bob, *_ = ledger.wallets
    cache = AssetCache()
    await asked_for(writing, cache, topup(alice, 100, "first"))
    assert await asked_for(writing, cache, topup(alice, 1, "a")) == 4
    assert await asked_for(writing, cache, *(transfer(alice, bob, 1, f"b{n}") for n in range(50))) == 4
    held = [hold(alice, 1, f"h{n}") for n in range(9)]
    assert await asked_for(writing, cache, held[0]) == 5
    # If there may be others, they are counted, once for all.
    assert await asked_for(writing, cache, held[1]) == await asked_for(writing, cache, *held[2:]) == 6
    # An ordinary wallet stays one while it has a hold without an expiry.
    assert await asked_for(writing, cache, spend(alice, 1, "c")) == 4
    captured = await asked_for(writing, cache, capture(held[0].id, "d0"))
    assert captured == await asked_for(writing, cache, *(capture(held[n].id, f"d{n}") for n in range(1, 9)))
    assert captured == 7  # what it points at, and the hold itself


# Windows of spending


async def _insert_history(
    connection: asyncpg.Connection, ledger: Ledger, wallet: UUID, chance: random.Random, lines: int
) -> datetime:
    """Debits and credits of all types, with gaps among positions, several at one instant and some posted late; the last
    instant.
    """
    at, position, rows = datetime(2026, 1, 30, tzinfo=UTC), 0, []
    types = ["spend", "transfer", "capture", "sale", "topup", "bonus", "grant", "refund", "expiry", "merge"]
    for _ in range(lines):
        position += chance.choice([1, 1, 2, 9])
        at += chance.choice([timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(hours=7)])
        late = chance.choice([timedelta(0), timedelta(hours=5)])
        line = (chance.choice([1, -1]), chance.choice(types), chance.randint(1, 2**62), IDS.new_id())
        rows.append((position, at, *line, chance.choice(["api", "service"]), at - late))
    await connection.executemany(
        "INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint)"
        " VALUES (1, $1, $5, 0, $2, $4, $2::uuid::text, $3, '')",
        [(at, id_, type_, origin, effective_at) for _, at, _, type_, _, id_, origin, effective_at in rows],
    )
    await connection.execute(
        "INSERT INTO ledger_entries (position, created_at, direction, amount, transaction_id, wallet_id, asset_id,"
        " shard, leg) SELECT l.position, l.at, l.direction, l.amount, l.id, $6::uuid, 1, 0, 0"
        " FROM unnest($1::bigint[], $2::timestamptz[], $3::smallint[], $4::bigint[], $5::uuid[])"
        " AS l (position, at, direction, amount, id)"
        " UNION ALL SELECT l.position, l.at, -l.direction, l.amount, l.id, $7::uuid, 1, 0, 1"
        " FROM unnest($1::bigint[], $2::timestamptz[], $3::smallint[], $4::bigint[], $5::uuid[])"
        " AS l (position, at, direction, amount, id)",
        *[[row[n] for row in rows] for n in (0, 1, 2, 4, 5)],
        wallet,
        IDS.new_id(),
    )
    await connection.execute(
        "UPDATE wallets SET version = $2, last_entry_at = $3 WHERE id = $1", wallet, position + 3, at
    )
    return at


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_spent_in_a_window_is_what_adding_up_all_history_says(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    alice, bob, *_ = ledger.wallets
    lines = [1, 7, 60, 400][seed]
    last_at = await _insert_history(connection, ledger, alice, chance, lines)
    afters = [last_at - timedelta(seconds=chance.choice([0, 1, 3600, 86_400, 10**6, 10**8])) for _ in range(12)]
    version = await connection.fetchval("SELECT version FROM wallets WHERE id = $1", alice)
    # Also a wallet without a history, in between.
    wallets, versions = [alice, bob] * 12, [version, 0] * 12
    rows = await writing.fetch(LOAD_SPENT, 0, wallets, versions, [at for at in afters for _ in "ab"])
    for at, row in zip(afters, rows[::2], strict=True):
        expected = await connection.fetchrow(
            "SELECT coalesce(sum(e.amount), 0), min(at) FROM ledger_entries AS e"
            " JOIN transactions AS t ON t.id = transaction_id,"
            " LATERAL (SELECT CASE WHEN origin = 'service' THEN effective_at ELSE e.created_at END AS at) AS counts"
            " WHERE wallet_id = $1 AND direction = -1 AND at > $2"
            " AND type NOT IN ('topup', 'bonus', 'grant', 'refund', 'expiry', 'merge')",
            alice,
            at,
        )
        assert tuple(row) == tuple(expected)
    assert {tuple(row) for row in rows[1::2]} == {(0, None)}


async def test_the_start_of_a_window_is_found_without_reading_all_history(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice = ledger.wallets[0]
    await _insert_history(connection, ledger, alice, random.Random(1), 2_000)
    await connection.execute("VACUUM ANALYZE")
    version = await connection.fetchval("SELECT version FROM wallets WHERE id = $1", alice)
    after = await connection.fetchval(
        "SELECT created_at FROM ledger_entries WHERE wallet_id = $1 ORDER BY position DESC OFFSET 20 LIMIT 1", alice
    )
    statement = await writing.prepare("EXPLAIN (ANALYZE, FORMAT JSON) " + LOAD_SPENT)
    [plan] = json.loads(await statement.fetchval(0, [alice], [version], [after]))

    def rows_read(node: Mapping[str, Any]) -> float:
        own = node["Actual Rows"] * node["Actual Loops"] if node.get("Relation Name") == "ledger_entries" else 0
        return own + node.get("Rows Removed by Filter", 0) + sum(map(rows_read, node.get("Plans", ())))

    assert rows_read(plan["Plan"]) < 100


async def test_a_day_ends_to_the_instant_and_a_month_with_the_calendar(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, writing: asyncpg.Connection
) -> None:
    alice = ledger.wallets[0]
    _, spent, _ = await commit(writer, topup(alice, 100, "m"), spend(alice, 30, "s"), change(alice, limit_day=50))
    at = spent.posted.created_at
    standing = (await loaded_for(writing, settle(alice))).context.wallets[alice].standing
    assert (standing.spent_day, standing.day_resets_at) == (30, at + timedelta(days=1))
    await connection.execute(
        "UPDATE wallets SET limit_month = 99, last_entry_at = $2 WHERE id = $1", alice, at + timedelta(days=1)
    )
    loaded = await loaded_for(writing, settle(alice))
    standing = loaded.context.wallets[alice].standing
    assert (loaded.decided_at, standing.spent_day, standing.day_resets_at) == (at + timedelta(days=1), 0, None)
    assert standing.limit_month == 99


@pytest.mark.parametrize(
    ("now", "counts", "resets_at"),
    [
        ("2030-02-28 23:59:59.999999", True, "2030-03-01"),
        ("2030-03-01 00:00:00", False, None),
        ("2031-12-05", False, None),
    ],
)
async def test_the_month_is_the_calendars(
    connection: asyncpg.Connection,
    ledger: Ledger,
    writer: BatchWriter,
    writing: asyncpg.Connection,
    now: str,
    counts: bool,
    resets_at: str | None,
) -> None:
    alice = ledger.wallets[0]
    first_of_february = datetime(2030, 2, 1, tzinfo=UTC)
    await commit(writer, topup(alice, 100, "money"), change(alice, limit_month=50))
    await connection.execute("UPDATE wallets SET last_entry_at = $2 WHERE id = $1", alice, first_of_february)
    await commit(writer, spend(alice, 20, "at its first instant"))
    await connection.execute(
        "UPDATE wallets SET last_entry_at = $2 WHERE id = $1", alice, datetime.fromisoformat(now).replace(tzinfo=UTC)
    )
    standing = (await loaded_for(writing, settle(alice))).context.wallets[alice].standing
    expected = None if resets_at is None else datetime.fromisoformat(resets_at).replace(tzinfo=UTC)
    assert (standing.spent_month, standing.month_resets_at) == (20 if counts else 0, expected)


# Due steps


async def test_the_next_instant_at_which_something_is_due_counts_holds_from_elsewhere(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, writing: asyncpg.Connection
) -> None:
    alice, bob, carol, dora = ledger.wallets
    await commit(
        writer,
        promotional(alice, 50, "l1", expires_in_seconds=60),
        promotional(alice, 5, "l2", expires_in_seconds=4000),
        topup(bob, 50, "m"),
        hold(alice, 1, "h1", expires_in_seconds=3000),
        hold(bob, 1, "h2", expires_in_seconds=2000, target=carol, capture_at_expiry=True),
        hold(bob, 1, "h3", expires_in_seconds=1000, target=alice),
        merge(carol, alice, "merged"),
    )
    assert (await loaded_for(writing, settle(alice))).context.next_due == {}
    await advance(connection, seconds=61)
    loaded = await loaded_for(writing, settle(alice))
    [due] = loaded.context.next_due.values()
    assert due == await connection.fetchval("SELECT expires_at FROM holds WHERE target_wallet_id = $1", carol)
    assert dora not in loaded.context.wallets


async def test_what_changes_each_time_it_is_looked_at_is_given_up_after_some_tries(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, writing: asyncpg.Connection
) -> None:
    # The hold's wallet is another one whenever the locks are there: as if it were merged each time in between.
    alice, *others = ledger.wallets
    _, held = await commit(writer, topup(alice, 5, "money"), hold(alice, 5, "h"))
    turns = iter([*others, *(make_ledger(BEGINNINGS_MAX).wallets)])

    class Hasty(Counting):
        def __getattr__(self, name: str) -> Any:
            ask = super().__getattr__(name)
            if name != "execute":
                return ask

            async def move_and_ask(sql: str, *arguments: Any) -> Any:
                if "EXECUTE lock_wallets" in sql:
                    await connection.execute("UPDATE holds SET wallet_id = $1", next(turns))
                return await ask(sql, *arguments)

            return move_and_ask

    hasty = Hasty(writing)
    with pytest.raises(StaleContext):
        await soon(
            commit_batch(
                Shard(hasty), [capture(held.posted.id, "c")], batch_id=IDS.new_id(), assets=AssetCache(),
                salts=SALTS, commit_seconds_max=10, steps={},
            )
        )  # fmt: skip
    assert sum("EXECUTE lock_wallets" in sql for sql in hasty.asked) == BEGINNINGS_MAX
    assert not writing.is_in_transaction()


# Programmes


async def _attach(
    connection: asyncpg.Connection, wallet: UUID, anchor_at: datetime, *, per: str = "month", ends_at: Any = None
) -> UUID:
    programme_id = IDS.new_id()
    await connection.execute(
        "INSERT INTO programmes (amount, created_at, ends_at, asset_id, shard, priority, id, per, category)"
        " VALUES (10, now(), $1, 1, 0, 50, $2, $3, 'promotional')",
        ends_at,
        programme_id,
        per,
    )
    await connection.execute(
        "INSERT INTO programme_wallets (anchor_at, next_at, shard, programme_id, wallet_id) VALUES ($1, $1, 0, $2, $3)",
        anchor_at,
        programme_id,
        wallet,
    )
    return programme_id


def grant(programme_id: UUID, wallet: UUID, period: int, at: datetime, *, rollover_max: int | None = None) -> Grant:
    reference_id = f"grant:{programme_id}:{wallet}:{at.isoformat()}"
    return Grant(
        IDS.new_id(), ORIGIN_SERVICE, reference_id, b"", programme_id, wallet, "GOLD", period, at, 10, rollover_max,
        LotCategory.PROMOTIONAL, 50, None,
    )  # fmt: skip


async def test_the_start_of_each_period_is_computed_from_the_anchor(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    anchor = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    programme_id = await _attach(connection, alice, anchor, ends_at=datetime(2026, 4, 30, 12, 30, tzinfo=UTC))
    starts = []
    at: datetime | None = anchor
    for period in range(3):
        assert at is not None
        [applied] = await commit(writer, grant(programme_id, alice, period, at))
        assert isinstance(applied, Applied)
        at = await connection.fetchval("SELECT next_at FROM programme_wallets")
        starts.append(None if at is None else (at.month, at.day, at.hour, at.minute))
    assert starts == [(2, 28, 12, 30), (3, 31, 12, 30), None]
    assert await connection.fetchval("SELECT next_period FROM programme_wallets") == 3
    assert (await balances(connection, ledger))[0] == 30
    await assert_books_balance(connection)


async def test_periods_granted_in_one_batch_are_each_granted_once(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    programme_id = await _attach(connection, alice, anchor, per="week")
    grants = [grant(programme_id, alice, n, anchor + timedelta(weeks=n), rollover_max=10) for n in range(3)]
    answers = await commit(writer, *grants)
    assert [len(each.posted.entries) for each in answers] == [2, 2, 0]
    assert answers[2].posted.details.skipped is not None
    row = await connection.fetchrow("SELECT next_period, next_at FROM programme_wallets")
    assert tuple(row) == (3, anchor + timedelta(weeks=3))
    assert await commit(writer, *grants) == answers
    await assert_books_balance(connection)


async def test_a_merge_takes_programmes_along_or_ends_them(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, _ = ledger.wallets
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    both, one = await _attach(connection, alice, anchor), await _attach(connection, alice, anchor)
    await connection.execute(
        "INSERT INTO programme_wallets (anchor_at, next_at, next_period, shard, programme_id, wallet_id)"
        " VALUES ($1, $1, 7, 0, $2, $3)",
        anchor,
        both,
        bob,
    )
    await connection.execute(
        "INSERT INTO programme_wallets (anchor_at, ended_at, next_period, shard, programme_id, wallet_id)"
        " VALUES ($1, $1, 5, 0, $2, $3)",
        anchor - timedelta(days=5),
        one,
        carol,
    )
    granted, *merged = await commit(
        writer, grant(one, alice, 0, anchor), merge(alice, bob, "m1"), merge(bob, carol, "m2")
    )
    assert isinstance(granted, Applied)
    assert {type(each) for each in merged} == {Applied}
    rows = await connection.fetch("SELECT programme_id, wallet_id, next_period FROM programme_wallets"
                                  " WHERE ended_at IS NULL")  # fmt: skip
    assert {tuple(row) for row in rows} == {(both, carol, 7), (one, carol, 1)}
    rows = await connection.fetch("SELECT wallet_id, next_at FROM programme_wallets WHERE ended_at IS NOT NULL")
    assert sorted(map(tuple, rows)) == sorted([(alice, None), (alice, None), (bob, None)])
    [refused] = await commit(writer, grant(one, alice, 1, anchor + timedelta(days=31)))
    assert refused.code in (RefusalCode.PROGRAMME_NOT_FOUND, RefusalCode.WALLET_MERGED)


def test_moves_and_grants_in_a_row_come_to_what_is_stored() -> None:
    p, q, a, b, c = (IDS.new_id() for _ in range(5))
    moved = [(Attachment(p, a, 1), b), (Attachment(p, b, 2), c), (Attachment(q, a, 0), None)]
    assert net_moves(moved) == {(p, a): c, (q, a): None}
    granted = [Attachment(p, a, 0), Attachment(p, b, 1), Attachment(p, c, 2), Attachment(q, a, 4), Attachment(q, b, 6)]
    assert net_grants(granted, moved) == {(p, c): (0, 3), (q, b): (6, 7)}
