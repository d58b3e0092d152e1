"""The keepers of several processes beside each other: who leads, and what the leader tells."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from wallet.service.keepers.leader import BLOCKED_LOG_SECONDS, LEAD_SECONDS, PRUNE_SECONDS, KeeperReport, Keepers
from wallet.settings import Settings
from wallet.storage.connections.database import Database

INTERVAL = 0.25
KEEPER_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wallet keeper'"
)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def ignore(_: KeeperReport) -> None:
    """For tests that ask the keepers themselves."""


def keepers_of(dsn: str, *, observe: Callable[[KeeperReport], None] = ignore, clock: Clock | None = None) -> Keepers:
    settings = Settings(fence_interval_seconds=INTERVAL, snapshot_deltas_min=1, connect_seconds_max=2.0)
    return Keepers(Database(dsn=dsn, settings=settings), observe=observe, now=clock or Clock())


@asynccontextmanager
async def two_keepers(dsn: str) -> AsyncIterator[tuple[Keepers, Keepers]]:
    first, second = keepers_of(dsn), keepers_of(dsn)
    yield first, second
    await first.close()
    await second.close()


async def end_keeper_sessions(connection: asyncpg.Connection) -> None:
    await connection.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM ({KEEPER_SESSIONS}) AS session")


async def until_leader(keepers: Keepers) -> None:
    """Step until it leads: a session that was closed a moment ago may still be ending."""
    async with asyncio.timeout(60):
        while not keepers.report.is_leader:
            await keepers.run_round()
            await asyncio.sleep(0.01)


async def until_moved(keepers: Keepers, seq: int) -> None:
    """Step until the watermark is there: autovacuum, too, may hold the fence back for a moment."""
    async with asyncio.timeout(60):
        while keepers.report.watermark_seq < seq:
            await keepers.run_round()
            await asyncio.sleep(0.01)


async def take_seq(connection: asyncpg.Connection) -> int:
    seq: int = await connection.fetchval("SELECT nextval('batch_seq')")
    return seq


# Leadership


async def test_of_two_keepers_exactly_one_leads(database_url: str) -> None:
    async with two_keepers(database_url) as (first, second):
        for _ in range(3):
            await first.run_round()
            await second.run_round()
        assert (first.report.is_leader, second.report.is_leader) == (True, False)


async def test_the_second_takes_over_when_the_firsts_connection_is_terminated(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two_keepers(database_url) as (first, second):
        await first.run_round()
        await end_keeper_sessions(connection)
        await until_leader(second)
        await first.run_round()
        await first.run_round()
        assert (first.report.is_leader, second.report.is_leader) == (False, True)


async def test_the_second_takes_over_when_the_first_is_closed(database_url: str) -> None:
    async with two_keepers(database_url) as (first, second):
        await first.run_round()
        await second.run_round()
        await first.close()
        await until_leader(second)
        assert not first.report.is_leader


async def test_a_leader_that_lost_its_connection_leads_again(database_url: str, connection: asyncpg.Connection) -> None:
    keepers = keepers_of(database_url)
    await keepers.run_round()
    await end_keeper_sessions(connection)
    assert await keepers.run_round() == LEAD_SECONDS
    assert not keepers.report.is_leader
    await until_leader(keepers)
    await keepers.close()


async def test_who_does_not_lead_asks_again_each_second(database_url: str) -> None:
    async with two_keepers(database_url) as (first, second):
        await first.run_round()
        assert await second.run_round() == LEAD_SECONDS


async def test_a_database_that_is_not_there_is_tried_again_and_logged_once(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[KeeperReport] = []
    keepers = keepers_of(database_url.replace("/wallet_test_", "/wallet_test_no_"), observe=reports.append)
    assert [await keepers.run_round() for _ in range(3)] == [LEAD_SECONDS] * 3
    assert [report.is_leader for report in reports] == [False] * 3
    # The log says what is wrong, and that the keepers pause.
    said = [record.name for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["wallet.storage.connections.database", "wallet.service.keepers.leader"]


async def test_in_the_background_the_watermark_follows_the_batches(
    database_url: str, connection: asyncpg.Connection
) -> None:
    seq = await take_seq(connection)
    reports: asyncio.Queue[KeeperReport] = asyncio.Queue()
    keepers = keepers_of(database_url, observe=reports.put_nowait)
    keepers.start()
    async with asyncio.timeout(60):
        while (await reports.get()).watermark_seq < seq:
            pass
    await keepers.close()
    assert await connection.fetchval("SELECT seq FROM watermarks") == seq


async def test_closed_keepers_leave_no_session_behind(database_url: str, connection: asyncpg.Connection) -> None:
    reports: asyncio.Queue[KeeperReport] = asyncio.Queue()
    keepers = keepers_of(database_url, observe=reports.put_nowait)
    keepers.start()
    async with asyncio.timeout(60):
        assert (await reports.get()).is_leader
        await keepers.close()
        while await connection.fetchval(f"SELECT count(*) FROM pg_sleep(0.01), ({KEEPER_SESSIONS}) AS session"):
            pass


async def test_keepers_that_never_began_can_be_closed(database_url: str) -> None:
    await keepers_of(database_url).close()


# The work and the reports of the leader


async def test_an_idle_ledger_is_looked_at_and_nothing_is_written(
    database_url: str, connection: asyncpg.Connection
) -> None:
    keepers = keepers_of(database_url)
    await until_moved(keepers, await take_seq(connection))
    # The row's place and writer: any update changes them.
    before = await connection.fetchrow("SELECT ctid, xmin, moved_at FROM watermarks")
    assert [await keepers.run_round() for _ in range(3)] == [INTERVAL] * 3
    assert await connection.fetchrow("SELECT ctid, xmin, moved_at FROM watermarks") == before
    await keepers.close()


async def test_a_fence_that_is_held_back_ages_and_its_blocker_is_named(
    database_url: str, connection: asyncpg.Connection
) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    await until_moved(keepers, await take_seq(connection))
    async with connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        seq = await take_seq(connection)
        await keepers.run_round()
        clock.seconds += 7
        await keepers.run_round()
        report = keepers.report
    assert report.watermark_seq < seq
    assert report.fence_age_seconds >= 7
    assert connection.get_server_pid() in [blocker.pid for blocker in report.blockers]
    await keepers.close()


async def test_a_fence_that_was_held_back_is_young_again_once_it_is_passed(
    database_url: str, connection: asyncpg.Connection
) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    async with connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        seq = await take_seq(connection)
        await keepers.run_round()
        clock.seconds += 7
        await keepers.run_round()
    await until_moved(keepers, seq)
    await keepers.run_round()
    assert (keepers.report.fence_age_seconds, keepers.report.blockers) == (0, ())
    await keepers.close()


async def test_a_fence_held_back_for_long_is_logged_once_with_its_blocker(
    database_url: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    async with connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        await take_seq(connection)
        await keepers.run_round()
        clock.seconds += BLOCKED_LOG_SECONDS
        await keepers.run_round()
        await keepers.run_round()
    [message] = [record.message for record in caplog.records if "held back" in record.message]
    assert f"(pid {connection.get_server_pid()})" in message
    await keepers.close()


async def test_the_age_of_a_fence_is_told_by_the_leader_only(database_url: str) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    await keepers.run_round()
    await keepers.close()
    clock.seconds += 100
    assert keepers.report.fence_age_seconds == 0


async def test_a_fence_just_set_is_looked_at_again_soon(database_url: str, connection: asyncpg.Connection) -> None:
    keepers = keepers_of(database_url)
    async with connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        await take_seq(connection)
        assert await keepers.run_round() < INTERVAL
    await keepers.close()


async def test_old_declines_are_pruned_now_and_then(database_url: str, connection: asyncpg.Connection) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    await keepers.run_round()
    await connection.execute(
        "INSERT INTO declines (created_at, shard, origin, reference_id, type, code)"
        " VALUES ('2000-01-01', 0, 'api', 'r', 'spend', 'insufficient_funds')"
    )
    await keepers.run_round()
    assert await connection.fetchval("SELECT count(*) FROM declines") == 1
    clock.seconds += PRUNE_SECONDS
    await keepers.run_round()
    assert await connection.fetchval("SELECT count(*) FROM declines") == 0
    await keepers.close()


async def test_snapshots_follow_the_watermark(database_url: str, connection: asyncpg.Connection) -> None:
    clock = Clock()
    keepers = keepers_of(database_url, clock=clock)
    await connection.execute(
        "INSERT INTO assets (scale, code, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id, created_at)"
        " VALUES (0, 'GOLD', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now())"
    )
    await connection.execute(
        "INSERT INTO system_deltas (seq, shard, wallet_id, amount)"
        " SELECT nextval('batch_seq'), 0, treasury_wallet_id, -5 FROM assets"
    )
    await until_moved(keepers, 1)
    clock.seconds += 10
    await keepers.run_round()
    assert await connection.fetchval("SELECT balance FROM system_snapshots") == -5
    await keepers.close()
