"""The fence and its watermark, snapshots and pruning, on a real database with real batches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.storage.posting import commit_all, make_asset, make_wallets, spend, topup, transfer, writer_of
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.leadership import limit_idleness
from wallet.storage.upkeep.pruning import PRUNED_MAX, prune_declines
from wallet.storage.upkeep.snapshots import append_snapshots
from wallet.storage.upkeep.statistics import analyze_outgrown
from wallet.storage.upkeep.watermark import Fence, find_blockers, move_watermark, read_progress, set_fence

BALANCE = """
SELECT coalesce(latest.balance, 0) + coalesce((
        SELECT sum(amount) FROM system_deltas
         WHERE shard = 0 AND wallet_id = $1 AND seq > coalesce(latest.upto_seq, 0)), 0)
  FROM (SELECT) AS once
  LEFT JOIN (
        SELECT upto_seq, balance FROM system_snapshots
         WHERE shard = 0 AND wallet_id = $1 ORDER BY upto_seq DESC LIMIT 1) AS latest ON true
"""


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def slow_batch(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A write transaction that has its xid and its seq, as a batch has, and has not committed."""
    async with connected(dsn) as writer:
        await writer.execute("BEGIN; SELECT pg_current_xact_id()")
        await writer.execute(
            "INSERT INTO batches (seq, created_at, transactions, shard, id)"
            " VALUES (nextval('batch_seq'), now(), 0, 0, gen_random_uuid())"
        )
        yield writer


async def take_seq(connection: asyncpg.Connection) -> int:
    seq: int = await connection.fetchval("SELECT nextval('batch_seq')")
    return seq


async def fence_at_last_seq(connection: asyncpg.Connection) -> Fence:
    progress = await read_progress(Shard(connection))
    return await set_fence(connection, seq=progress.last_seq)


async def move_past(connection: asyncpg.Connection, fence: Fence) -> int:
    """Move the watermark as soon as nobody else in the cluster (autovacuum, another test) is in between."""
    async with asyncio.timeout(60):
        while (moved_to := await move_watermark(Shard(connection), fence)) is None:
            await connection.execute("SELECT pg_sleep(0.005)")
    return moved_to


async def move_to_last_seq(connection: asyncpg.Connection) -> int:
    return await move_past(connection, await fence_at_last_seq(connection))


async def watermark(connection: asyncpg.Connection) -> int:
    return (await read_progress(Shard(connection))).watermark_seq


# Progress and the fence


async def test_a_sequence_that_nobody_used_has_given_no_seq(connection: asyncpg.Connection) -> None:
    assert (await read_progress(Shard(connection))).last_seq == 0


async def test_a_sequence_set_by_hand_counts_by_what_it_has_given(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT setval('batch_seq', 7, false)")
    assert (await read_progress(Shard(connection))).last_seq == 6


async def test_the_watermark_moves_to_the_last_seq_when_nobody_writes(connection: asyncpg.Connection) -> None:
    seq = await take_seq(connection)
    assert await move_to_last_seq(connection) == seq
    assert await watermark(connection) == seq


async def test_a_writer_that_has_its_seq_and_has_not_committed_holds_the_watermark_below_it(
    database_url: str, connection: asyncpg.Connection
) -> None:
    before = await take_seq(connection)
    assert await move_to_last_seq(connection) == before
    async with slow_batch(database_url):
        await take_seq(connection)
        assert await move_watermark(Shard(connection), await fence_at_last_seq(connection)) is None
        assert await watermark(connection) == before


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_the_watermark_passes_the_slow_writer_once_it_is_done(
    database_url: str, connection: asyncpg.Connection, end: str
) -> None:
    async with slow_batch(database_url) as writer:
        fence = await fence_at_last_seq(connection)
        assert await move_watermark(Shard(connection), fence) is None
        await writer.execute(end)
        assert await move_past(connection, fence) == fence.seq


async def test_a_writer_that_begins_after_the_fence_does_not_hold_it(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await take_seq(connection)
    fence = await fence_at_last_seq(connection)
    async with slow_batch(database_url):
        assert await move_past(connection, fence) == fence.seq


async def test_a_stale_leader_does_not_move_the_watermark_back(connection: asyncpg.Connection) -> None:
    await take_seq(connection)
    stale = await fence_at_last_seq(connection)
    ahead = await take_seq(connection)
    await move_to_last_seq(connection)
    assert await move_past(connection, stale) == ahead
    assert await watermark(connection) == ahead


async def test_two_leaders_at_once_leave_the_watermark_at_the_further_fence(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await take_seq(connection)
    near = await fence_at_last_seq(connection)
    await take_seq(connection)
    far = await fence_at_last_seq(connection)
    async with connected(database_url) as other:
        await asyncio.gather(move_past(connection, far), move_past(other, near))
    assert await watermark(connection) == far.seq


# Blockers


async def test_an_idle_database_transaction_in_another_database_holds_the_watermark_but_not_the_money(
    empty_database_url: str, database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    async with connected(empty_database_url) as idle:
        await idle.execute("BEGIN; SELECT pg_current_xact_id()")
        await commit_all(writer, [topup(wallet, 5)])
        assert await move_watermark(Shard(connection), await fence_at_last_seq(connection)) is None
        await idle.execute("ROLLBACK")
        assert await move_to_last_seq(connection) == 1
    await writer.close()
    assert await connection.fetchval("SELECT balance FROM wallets WHERE id = $1", wallet) == 5


async def test_an_idle_database_transaction_is_named_as_the_blocker(
    empty_database_url: str, connection: asyncpg.Connection
) -> None:
    async with connected(empty_database_url) as idle:
        await idle.execute("SET application_name = 'forgotten console'")
        await idle.execute("BEGIN; SELECT pg_current_xact_id()")
        blockers = await find_blockers(connection, await fence_at_last_seq(connection))
        pid, database = idle.get_server_pid(), await idle.fetchval("SELECT current_database()")
    [blocker] = [each for each in blockers if each.pid == pid]
    assert (blocker.application, blocker.state) == ("forgotten console", "idle in transaction")
    assert blocker.database == database
    assert blocker.age_seconds is not None
    assert blocker.age_seconds >= 0


async def test_a_reader_that_has_no_xid_is_no_blocker(database_url: str, connection: asyncpg.Connection) -> None:
    async with connected(database_url) as reader:
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM wallets")
        fence = await fence_at_last_seq(connection)
        blockers = await find_blockers(connection, fence)
        assert reader.get_server_pid() not in {each.pid for each in blockers}
        assert await move_past(connection, fence) == fence.seq


async def test_a_blocker_says_who_it_is_in_one_line(database_url: str, connection: asyncpg.Connection) -> None:
    async with slow_batch(database_url) as writer:
        blockers = await find_blockers(connection, await fence_at_last_seq(connection))
        assert any(f"(pid {writer.get_server_pid()}) in database wallet_test" in str(each) for each in blockers)


async def test_a_prepared_database_transaction_is_named_by_its_gid(
    empty_database_url: str, connection: asyncpg.Connection
) -> None:
    if await connection.fetchval("SELECT current_setting('max_prepared_transactions')") == "0":
        pytest.skip("this server has max_prepared_transactions = 0")
    async with connected(empty_database_url) as other:
        await other.execute("BEGIN; SELECT pg_current_xact_id()")
        await other.execute("PREPARE TRANSACTION 'left behind'")
        try:
            blockers = await find_blockers(connection, await fence_at_last_seq(connection))
        finally:
            await other.execute("ROLLBACK PREPARED 'left behind'")
    assert ("left behind", None, "prepared") in {(each.application, each.pid, each.state) for each in blockers}


# Snapshots


async def balance(connection: asyncpg.Connection, wallet_id: UUID) -> int:
    return int(await connection.fetchval(BALANCE, wallet_id))


async def test_a_snapshot_is_appended_at_the_watermark_once_there_are_enough_deltas(
    database_url: str, connection: asyncpg.Connection
) -> None:
    system = await make_asset(connection, "GOLD")
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    await commit_all(writer, [topup(wallet, 5)], [topup(wallet, 6)], [spend(wallet, 1)])
    await writer.close()
    await move_to_last_seq(connection)
    assert await append_snapshots(Shard(connection), deltas_min=2) == 1
    rows = await connection.fetch("SELECT wallet_id, upto_seq, balance FROM system_snapshots")
    assert [tuple(row) for row in rows] == [(system["treasury"], 3, -11)]


async def test_no_snapshot_covers_a_delta_beyond_the_watermark(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    await commit_all(writer, [topup(wallet, 5)])
    await move_to_last_seq(connection)
    await commit_all(writer, [topup(wallet, 6)])
    await writer.close()
    assert await append_snapshots(Shard(connection), deltas_min=2) == 0
    assert await append_snapshots(Shard(connection), deltas_min=1) == 1
    assert await connection.fetchval("SELECT balance FROM system_snapshots") == -5


async def test_a_snapshot_that_is_there_is_not_appended_again(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    await commit_all(writer, [topup(wallet, 5)])
    await writer.close()
    await move_to_last_seq(connection)
    async with connected(database_url) as other:
        appended = await asyncio.gather(*(append_snapshots(Shard(each), deltas_min=1) for each in (connection, other)))
    assert sum(appended) == 1
    assert await append_snapshots(Shard(connection), deltas_min=1) == 0


async def test_a_system_balance_is_exact_at_each_moment_while_writers_and_the_keeper_run(
    database_url: str, connection: asyncpg.Connection
) -> None:
    system = await make_asset(connection, "GOLD")
    wallets = await make_wallets(connection, "GOLD", 4)
    writers = [writer_of(database_url) for _ in range(2)]
    are_writing = True

    async def write(writer_number: int) -> None:
        for turn in range(40):
            first, second = wallets[writer_number], wallets[(turn + 1) % 4]
            batch = [topup(first, 10), spend(first, 1)]
            if first != second:
                batch.append(transfer(first, second, 2))
            await commit_all(writers[writer_number], batch)

    async def keep(keeper: asyncpg.Connection) -> None:
        while are_writing:
            await move_to_last_seq(keeper)
            await append_snapshots(Shard(keeper), deltas_min=3)

    async def watch(reader: asyncpg.Connection) -> None:
        while are_writing:
            async with reader.transaction(isolation="repeatable_read", readonly=True):
                total = await reader.fetchval("SELECT sum(balance) FROM wallets WHERE locked")
                total += sum([await balance(reader, each) for each in system.values()])
            assert total == 0

    async with connected(database_url) as keeper, connected(database_url) as reader, asyncio.TaskGroup() as group:
        group.create_task(keep(keeper))
        group.create_task(watch(reader))
        await asyncio.gather(write(0), write(1))
        are_writing = False
    for writer in writers:
        await writer.close()
    assert await balance(connection, system["treasury"]) == -800
    assert await connection.fetchval("SELECT count(*) FROM system_snapshots") > 2


# Declines


async def decline(connection: asyncpg.Connection, *, days_ago: int, count: int = 1) -> None:
    await connection.execute(
        "INSERT INTO declines (created_at, shard, origin, reference_id, type, code)"
        " SELECT $1, 0, 'api', 'r' || n, 'spend', 'insufficient_funds' FROM generate_series(1, $2::int) AS n",
        datetime.now(UTC) - timedelta(days=days_ago),
        count,
    )


async def test_declines_are_deleted_when_they_are_old_enough(connection: asyncpg.Connection) -> None:
    await decline(connection, days_ago=91)
    await decline(connection, days_ago=89)
    assert await prune_declines(Shard(connection), days=90) == 1
    assert await prune_declines(Shard(connection), days=90) == 0
    assert await connection.fetchval("SELECT count(*) FROM declines") == 1


async def test_one_step_deletes_a_bounded_number_of_declines(connection: asyncpg.Connection) -> None:
    await decline(connection, days_ago=91, count=PRUNED_MAX + 1)
    assert await prune_declines(Shard(connection), days=90) == PRUNED_MAX
    assert await prune_declines(Shard(connection), days=90) == 1


# The session


async def test_the_server_ends_a_session_that_has_said_nothing_for_too_long(database_url: str) -> None:
    async with connected(database_url) as keeper:
        ended = asyncio.Event()
        keeper.add_termination_listener(lambda _: ended.set())
        await limit_idleness(keeper, 0.01)
        await ended.wait()


# Statistics


async def until_outgrown(connection: asyncpg.Connection) -> tuple[str, ...]:
    """The analysed tables, once the server has counted the inserted rows."""
    tables: tuple[str, ...] = ()
    async with asyncio.timeout(60):
        while not tables:
            await asyncio.sleep(0.1)
            tables = await analyze_outgrown(connection)
    return tables


async def test_a_table_that_has_outgrown_its_statistics_gets_new_ones_once(database_url: str) -> None:
    async with connected(database_url) as connection:
        await connection.execute("ALTER TABLE users SET (autovacuum_enabled = off)")
        await connection.execute(
            "INSERT INTO users (created_at, shard, id, name)"
            " SELECT now(), 0, gen_random_uuid(), 'somebody' FROM generate_series(1, 1200)"
        )
        assert await until_outgrown(connection) == ("public.users",)
        assert await connection.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'users'") == 1200
        assert await analyze_outgrown(connection) == ()
