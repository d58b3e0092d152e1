"""Grants by real batches: each period once, whatever is cut off, killed or done twice in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.ledgers import assert_books_balance, soon
from tests.storage.posting import database_of, make_asset, make_wallets
from tests.storage.tcp_proxy import Message, executes, is_commit, proxy_to
from wallet.errors import OutcomeUnknown, Overloaded
from wallet.ledger.model import LotCategory
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request
from wallet.service.due.keeper import DUE_SECONDS, DueKeeper, DueReport, Submit
from wallet.service.programmes import Programmes
from wallet.service.reads.cursors import Cursors
from wallet.service.reads.pages import Pages
from wallet.service.writes.committer import Committer
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.registry.programmes import Attached, ProgrammeStore, Terms
from wallet.storage.registry.resources import Created
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.upkeep.clock import advance_clock

DAY = timedelta(days=1)
MOMENTS = {
    "at the lock": b"EXECUTE lock_wallets",
    "at the attachments": b"FROM programme_wallets",
    "at the write": b"batch_seq",
    "as the attachment moves on": b"UPDATE programme_wallets",
    "at the commit": None,
}


def comes(moment: bytes | None) -> Callable[[Message], bool]:
    """How a moment is recognised: by what is executed, or by the commit."""
    return is_commit if moment is None else executes(moment)


class Process:
    """The parts of one process: a committer with two writers, and a keeper of what is due."""

    def __init__(self, dsn: str, *, keeper_dsn: str | None = None) -> None:
        database, assets = database_of(dsn, unknown_seconds_max=5.0), AssetCache()
        self.committer = Committer(
            [BatchWriter(database, assets, observe=lambda items, steps: None) for _ in range(2)],
            queue_depth_max=1_000,
            batch_items_max=50,
        )
        self.reports: list[DueReport] = []
        self.clock_seconds = 0.0
        self.keeper = DueKeeper(
            database_of(keeper_dsn or dsn), self.committer.submit, observe=self.reports.append, now=self._now
        )

    def _now(self) -> float:
        return self.clock_seconds

    async def post_all(self) -> None:
        """Step until nothing is due, whatever goes wrong meanwhile."""
        async with asyncio.timeout(120):
            while True:
                self.reports.clear()
                wait = await self.keeper.run_round()
                self.clock_seconds += DUE_SECONDS  # what rests gets up again, soon
                if wait and self.reports and not self.reports[-1].lag_seconds:
                    return
                await asyncio.sleep(0)


@asynccontextmanager
async def running(dsn: str, *, keeper_dsn: str | None = None) -> AsyncIterator[Process]:
    process = Process(dsn, keeper_dsn=keeper_dsn)
    process.committer.start()
    try:
        yield process
    finally:
        await process.keeper.close()
        await process.committer.drain(5)


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[ProgrammeStore]:
    pool = await database_of(database_url).pool("test", connections_max=2)
    yield ProgrammeStore(ShardPool(pool, seconds_max=10))
    pool.terminate()


@pytest_asyncio.fixture
async def wallets(connection: asyncpg.Connection) -> list[UUID]:
    await make_asset(connection, "GOLD")
    return sorted(await make_wallets(connection, "GOLD", 4))


def terms(**fields: Any) -> Terms:
    plain: dict[str, Any] = {
        "asset_code": "GOLD",
        "amount": 10,
        "per": "day",
        "rollover_max": None,
        "expires_in_seconds": None,
        "category": LotCategory.PROMOTIONAL,
        "priority": 50,
        "ends_at": None,
    }
    return Terms(**plain | fields)


async def attached_since(
    store: ProgrammeStore, connection: asyncpg.Connection, wallet: UUID, since: datetime, **fields: Any
) -> UUID:
    """A programme of its own that the wallet has been attached to since then, without a keeper."""
    programme = (await store.create(terms(**fields))).resource
    assert isinstance(await store.attach(programme.id, wallet), Created)
    await connection.execute(
        "UPDATE programme_wallets SET anchor_at = $2, next_at = $2 WHERE programme_id = $1", programme.id, since
    )
    return programme.id


async def days_ago(connection: asyncpg.Connection, days: float) -> datetime:
    now: datetime = await connection.fetchval("SELECT ledger_now()")
    return now - days * DAY


async def grants(connection: asyncpg.Connection, programme: UUID) -> list[tuple[datetime, int]]:
    """The periods granted of a programme: when each started and what it moved, in order of starts."""
    rows = await connection.fetch(
        "SELECT t.effective_at, coalesce(max(e.amount), 0) AS amount"
        "  FROM transactions AS t LEFT JOIN ledger_entries AS e ON e.transaction_id = t.id"
        " WHERE t.type = 'grant' AND t.reference_id LIKE 'grant:' || $1 || ':%' GROUP BY t.id, t.effective_at"
        " ORDER BY t.effective_at",
        str(programme),
    )
    return [(row["effective_at"], row["amount"]) for row in rows]


async def balance(connection: asyncpg.Connection, wallet: UUID) -> int:
    found: int = await connection.fetchval("SELECT balance FROM wallets WHERE id = $1", wallet)
    return found


# Periods


async def test_missed_days_are_granted_each_with_its_own_start(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    since = await days_ago(connection, 3.5)
    programme = await attached_since(store, connection, wallets[0], since)
    async with running(database_url) as process:
        await process.post_all()
    assert await grants(connection, programme) == [(since + number * DAY, 10) for number in range(4)]
    row = await connection.fetchrow("SELECT next_period, next_at FROM programme_wallets")
    assert tuple(row) == (4, since + 4 * DAY)
    await assert_books_balance(connection)


@pytest.mark.parametrize(
    ("per", "since", "starts"),
    [
        ("month", "2025-12-31T10:00", ["12-31", "01-31", "02-28", "03-31", "04-30", "05-31", "06-30"]),
        ("month", "2028-01-30T10:00", ["01-30", "02-29", "03-30", "04-30"]),
        ("week", "2026-02-25T10:00", ["02-25", "03-04", "03-11"]),
        ("day", "2028-02-28T10:00", ["02-28", "02-29", "03-01"]),
    ],
)
async def test_periods_are_counted_from_the_anchor_in_utc(
    database_url: str,
    store: ProgrammeStore,
    connection: asyncpg.Connection,
    wallets: list[UUID],
    per: str,
    since: str,
    starts: list[str],
) -> None:
    anchor = datetime.fromisoformat(since).replace(tzinfo=UTC)
    year = anchor.year + 1 if starts[0] == "12-31" else anchor.year
    last = datetime.fromisoformat(f"{year}-{starts[-1]}T10:00").replace(tzinfo=UTC)
    # The ledger's clock is at the last of them; it only goes forward.
    await advance_clock(connection, last)
    programme = await attached_since(
        store, connection, wallets[0], anchor, per=per, ends_at=last + timedelta(microseconds=1)
    )
    async with running(database_url) as process:
        await process.post_all()
    assert [at.strftime("%m-%d %H:%M") for at, _ in await grants(connection, programme)] == [
        f"{day} 10:00" for day in starts
    ]
    assert await connection.fetchval("SELECT next_at FROM programme_wallets") is None


async def test_a_lot_expires_counted_from_its_period_and_one_that_would_have_is_skipped(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    since = await days_ago(connection, 2.5)
    programme = await attached_since(store, connection, wallets[0], since, expires_in_seconds=86_400)
    async with running(database_url) as process:
        await process.post_all()
    assert await grants(connection, programme) == [(since, 0), (since + DAY, 0), (since + 2 * DAY, 10)]
    assert await connection.fetchval("SELECT expires_at FROM lots") == since + 3 * DAY


# Faults


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "unsent"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_connection_cut_between_any_two_steps_neither_skips_nor_doubles(
    database_url: str,
    store: ProgrammeStore,
    connection: asyncpg.Connection,
    wallets: list[UUID],
    moment: str,
    reached: bool,
) -> None:
    since = await days_ago(connection, 2.5)
    programme = await attached_since(store, connection, wallets[0], since)
    async with proxy_to(database_url) as proxy, running(proxy.dsn, keeper_dsn=database_url) as process:
        trap = proxy.trap(comes(MOMENTS[moment]), let_through=reached)
        posting = asyncio.create_task(process.post_all())
        await soon((trap.answered if reached else trap.sprung).wait())
        trap.cut()
        await posting
    assert await grants(connection, programme) == [(since + number * DAY, 10) for number in range(3)]
    assert await balance(connection, wallets[0]) == 30
    await assert_books_balance(connection)


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "unsent"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_process_that_dies_between_any_two_steps_leaves_nothing_half_done(
    database_url: str,
    store: ProgrammeStore,
    connection: asyncpg.Connection,
    wallets: list[UUID],
    moment: str,
    reached: bool,
) -> None:
    since = await days_ago(connection, 2.5)
    programme = await attached_since(store, connection, wallets[0], since)
    async with proxy_to(database_url) as proxy:
        dying = Process(proxy.dsn, keeper_dsn=database_url)
        dying.committer.start()
        trap = proxy.trap(comes(MOMENTS[moment]), let_through=reached)
        posting = asyncio.create_task(dying.post_all())
        await soon((trap.answered if reached else trap.sprung).wait())
        proxy.is_away = True
        trap.cut()
        posting.cancel()
        await asyncio.wait([posting])
        await dying.keeper.close()
        await dying.committer.drain(0)
    async with running(database_url) as process:
        await process.post_all()
    assert await grants(connection, programme) == [(since + number * DAY, 10) for number in range(3)]
    assert await balance(connection, wallets[0]) == 30
    await assert_books_balance(connection)


async def test_two_keepers_at_once_grant_each_period_once(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    since = await days_ago(connection, 9.5)
    programmes = [await attached_since(store, connection, wallet, since) for wallet in wallets]
    async with running(database_url) as first, running(database_url) as second:
        await asyncio.gather(first.post_all(), second.post_all())
    for programme, wallet in zip(programmes, wallets, strict=True):
        assert await grants(connection, programme) == [(since + number * DAY, 10) for number in range(10)]
        assert await balance(connection, wallet) == 100
    await assert_books_balance(connection)


async def test_sessions_that_are_killed_all_the_time_neither_skip_nor_double(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    since = await days_ago(connection, 19.5)
    programmes = [await attached_since(store, connection, wallet, since) for wallet in wallets]

    async def kill() -> None:
        while True:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name IN ('wallet writer', 'wallet due keeper') AND random() < 0.3"
            )
            await asyncio.sleep(0.02)

    async with running(database_url) as first, running(database_url) as second:
        killing = asyncio.create_task(kill())
        both = asyncio.gather(first.post_all(), second.post_all())
        await asyncio.wait([both], timeout=5)
        killing.cancel()
        await asyncio.wait([killing])
        await both
    for programme, wallet in zip(programmes, wallets, strict=True):
        assert await grants(connection, programme) == [(since + number * DAY, 10) for number in range(20)]
        assert await balance(connection, wallet) == 200
    await assert_books_balance(connection)


# Attaching


def use_cases(database_url: str, store: ProgrammeStore, submit: Submit) -> Programmes:
    return Programmes(store, Pages(Cursors(b"")), submit)


async def test_an_attachment_whose_first_grant_fails_is_finished_when_asked_again(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = (await store.create(terms())).resource

    async def too_busy(_: Request) -> Outcome:
        raise Overloaded("full")

    with pytest.raises(OutcomeUnknown):
        await use_cases(database_url, store, too_busy).attach(programme.id, wallets[0])
    assert await balance(connection, wallets[0]) == 0
    async with running(database_url) as process:
        again = await use_cases(database_url, store, process.committer.submit).attach(programme.id, wallets[0])
    assert isinstance(again, Created)
    assert isinstance(again.resource, Attached)
    assert (again.existed, again.resource.next_period) == (True, 1)
    assert await balance(connection, wallets[0]) == 10


async def test_an_attachment_whose_first_grant_fails_is_finished_by_the_keeper(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = (await store.create(terms())).resource
    await store.attach(programme.id, wallets[0])
    async with running(database_url) as process:
        await process.post_all()
    assert await balance(connection, wallets[0]) == 10


async def test_the_keeper_and_the_one_who_attaches_grant_the_first_period_once(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    async with running(database_url) as process, running(database_url) as other:
        for _ in range(10):
            programme = (await store.create(terms(), programme_id=uuid4())).resource
            cases = use_cases(database_url, store, process.committer.submit)
            await asyncio.gather(*(cases.attach(programme.id, wallet) for wallet in wallets), other.post_all())
            await other.post_all()
    for wallet in wallets:
        assert await balance(connection, wallet) == 100
    await assert_books_balance(connection)


async def test_detaching_beside_the_keeper_grants_a_period_or_does_not(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    since = await days_ago(connection, 9.5)
    programme = await attached_since(store, connection, wallets[0], since)
    async with running(database_url) as process:
        _, detached = await asyncio.gather(process.post_all(), store.detach(programme, wallets[0]))
    made = await grants(connection, programme)
    assert made == [(since + number * DAY, 10) for number in range(detached.next_period)]
    assert await balance(connection, wallets[0]) == 10 * len(made)
