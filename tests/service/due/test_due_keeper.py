"""The posting of due steps: by whom, in which order, and what happens when it cannot be. Batches are played by SQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.ledgers import soon, until
from tests.storage.posting import database_of, make_asset, make_wallets
from wallet.errors import InvariantViolated, Malformed, OutcomeUnknown, Overloaded, SettingsInvalid, StorageUnavailable
from wallet.ledger.model import LotCategory
from wallet.ledger.outcomes import Outcome, RefusalCode, Refused, Settled
from wallet.ledger.requests import Grant, Request, Settle
from wallet.service.due.keeper import (
    DUE_SECONDS,
    REST_SECONDS,
    RESTING_MAX,
    DueKeeper,
    DuePoster,
    DueReport,
    grant_request,
    settle_request,
)
from wallet.service.due.sandbox_clock import (
    ADVANCE_SECONDS_MAX,
    OFFSET_SECONDS_MAX,
    SandboxClock,
    ensure_real_time,
)
from wallet.service.keepers.leader import Keepers
from wallet.settings import Settings
from wallet.storage.batch.due_steps import MoreIsDue
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.clock import advance_clock, read_clock
from wallet.storage.upkeep.due import DueGrant

THEN = datetime(2024, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PROGRAMME = UUID(int=1)
DUE_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wallet due keeper'"
)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Books:
    """Plays the committer: what is submitted moves on what is due, or fails as the test wants.

    seen: (kind, wallet, the ledger's clock when it came). answers: by wallet, instead of the right one.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.requests: list[Request] = []
        self.seen: list[tuple[str, UUID, datetime]] = []
        self.answers: dict[UUID, Outcome | Exception] = {}
        self.for_all: Exception | None = None
        self.next_due: dict[UUID, datetime] = {}
        self.after: Callable[[Request], None] = lambda request: None
        self._one = asyncio.Lock()

    async def submit(self, request: Request) -> Outcome:
        async with self._one:
            assert isinstance(request, Settle | Grant)
            self.requests.append(request)
            self.seen.append((request.type, request.wallet_id, (await read_clock(self.connection)).now))
            if self.for_all is not None:
                raise self.for_all
            answer = self.answers.get(request.wallet_id)
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                await self._move_on(request)
            self.after(request)
            return answer or Settled()

    async def _move_on(self, request: Settle | Grant) -> None:
        if isinstance(request, Settle):
            next_due_at = self.next_due.pop(request.wallet_id, None)
            await self.connection.execute(
                "UPDATE wallets SET next_due_at = $2 WHERE id = $1", request.wallet_id, next_due_at
            )
        else:
            await self.connection.execute(
                "UPDATE programme_wallets SET next_period = $3 + 1, next_at = anchor_at + ($3 + 1) * interval '1 day'"
                " WHERE programme_id = $1 AND wallet_id = $2 AND next_period = $3",
                request.programme_id,
                request.wallet_id,
                request.period,
            )

    @property
    def wallets(self) -> list[UUID]:
        return [wallet for _, wallet, _ in self.seen]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books(connection: asyncpg.Connection) -> Books:
    return Books(connection)


@pytest_asyncio.fixture
async def wallets(connection: asyncpg.Connection) -> list[UUID]:
    """Wallets in an asset with a daily programme."""
    await make_asset(connection, "GOLD")
    await connection.execute(
        "INSERT INTO programmes (amount, created_at, asset_id, shard, priority, id, per, category)"
        " SELECT 5, now(), id, 0, 50, $1, 'day', 'promotional' FROM assets",
        PROGRAMME,
    )
    return sorted(await make_wallets(connection, "GOLD", 4))


class Keeping:
    """A keeper of what is due, and what it has reported."""

    def __init__(self, dsn: str, books: Books, clock: Clock, *, items_max: int = 200) -> None:
        self.reports: list[DueReport] = []
        self.keeper = DueKeeper(
            database_of(dsn, connect_seconds_max=2.0),
            books.submit,
            observe=self.reports.append,
            items_max=items_max,
            now=clock,
        )

    async def run_round(self) -> float:
        return await soon(self.keeper.run_round())

    async def rounds(self) -> None:
        """Step until there is nothing to do at once."""
        while await self.run_round() == 0:
            pass


@pytest_asyncio.fixture
async def keeping(database_url: str, books: Books, clock: Clock) -> AsyncIterator[Keeping]:
    keeping = Keeping(database_url, books, clock)
    yield keeping
    await keeping.keeper.close()


@pytest_asyncio.fixture
async def keeping_two(database_url: str, books: Books, clock: Clock) -> AsyncIterator[Keeping]:
    """One that takes two wallets at a time."""
    keeping = Keeping(database_url, books, clock, items_max=2)
    yield keeping
    await keeping.keeper.close()


async def let_be_due(connection: asyncpg.Connection, wallet: UUID, at: datetime = THEN) -> None:
    await connection.execute("UPDATE wallets SET next_due_at = $2 WHERE id = $1", wallet, at)


async def attach(connection: asyncpg.Connection, wallet: UUID, at: datetime = THEN) -> None:
    await connection.execute(
        "INSERT INTO programme_wallets (anchor_at, next_at, shard, programme_id, wallet_id) VALUES ($1, $1, 0, $2, $3)",
        at,
        PROGRAMME,
        wallet,
    )


async def now(connection: asyncpg.Connection) -> datetime:
    return (await read_clock(connection)).now


async def count_due(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM wallets WHERE next_due_at <= ledger_now()")
    return count


# Requests


def test_a_settling_is_a_try_of_its_own() -> None:
    first, second = settle_request(PROGRAMME), settle_request(PROGRAMME)
    assert (first.origin, first.reference_id) == ("service", f"settle:{first.id}")
    assert first.reference_id != second.reference_id


def due_grant(**fields: Any) -> DueGrant:
    plain: dict[str, Any] = {
        "programme_id": PROGRAMME,
        "wallet_id": UUID(int=2),
        "period": 3,
        "starts_at": THEN,
        "asset_code": "GOLD",
        "amount": 5,
        "rollover_max": 2,
        "category": LotCategory.PAID,
        "priority": 9,
        "expires_in_seconds": 60,
        "is_over": False,
    }
    return DueGrant(**plain | fields)


def test_a_grant_is_named_by_programme_wallet_and_start() -> None:
    grant = grant_request(due_grant())
    assert grant.origin == "service"
    assert grant.reference_id == f"grant:{PROGRAMME}:{UUID(int=2)}:2024-01-31T12:00:00.000000Z"
    assert (grant.period, grant.starts_at, grant.amount, grant.rollover_max) == (3, THEN, 5, 2)
    assert (grant.category, grant.priority) == (LotCategory.PAID, 9)
    assert grant.expires_at == THEN + timedelta(seconds=60)
    assert grant_request(due_grant(expires_in_seconds=None)).expires_at is None


def test_two_who_grant_a_period_ask_for_the_same() -> None:
    first, second = grant_request(due_grant()), grant_request(due_grant())
    assert first.id != second.id
    assert first._replace(id=second.id) == second
    for other in ({"programme_id": UUID(int=9)}, {"wallet_id": UUID(int=9)}, {"starts_at": THEN + DAY}):
        assert grant_request(due_grant(**other)).fingerprint != first.fingerprint


# The keeper


async def test_what_is_due_is_settled_the_longest_due_first(
    keeping_two: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    for days, wallet in zip((3, 1, 0, 2), wallets, strict=True):
        await let_be_due(connection, wallet, THEN + days * DAY)
    assert await keeping_two.run_round() == 0
    assert books.wallets == [wallets[2], wallets[1]]
    await keeping_two.rounds()
    assert books.wallets[2:] == [wallets[3], wallets[0]]
    assert await count_due(connection) == 0


async def test_a_wallet_with_more_due_than_one_portion_is_settled_again_at_once(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    # The portions end at the instant they began at: all of it is due at once.
    await let_be_due(connection, wallets[0])
    books.answers[wallets[0]] = Settled(is_all=False)
    assert [await keeping.run_round() for _ in range(4)] == [0] * 4
    assert books.wallets == [wallets[0]] * 4
    del books.answers[wallets[0]]
    await keeping.rounds()
    assert await count_due(connection) == 0
    assert {report.posted.failed for report in keeping.reports} == {0}


async def test_a_grant_that_waits_for_what_is_due_is_tried_again_soon(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await attach(connection, wallets[0])
    books.answers[wallets[0]] = MoreIsDue("more")
    assert await keeping.run_round() == DUE_SECONDS
    assert await keeping.run_round() == DUE_SECONDS
    assert books.wallets == [wallets[0]] * 2


async def test_what_is_not_due_yet_waits_and_so_does_the_keeper(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0], await now(connection) + DAY)
    assert await keeping.run_round() == DUE_SECONDS
    await let_be_due(connection, wallets[0], await now(connection) + timedelta(seconds=0.5))
    assert 0 < await keeping.run_round() <= 0.5
    assert books.seen == []


async def test_missed_periods_come_one_after_the_other_the_oldest_first(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    start = await now(connection) - 3 * DAY
    await attach(connection, wallets[0], start)
    await attach(connection, wallets[1], start + DAY / 2)
    await keeping.rounds()
    granted = [(request.wallet_id, request.period) for request in books.requests if isinstance(request, Grant)]
    assert sorted(granted) == sorted(
        [(wallets[0], period) for period in range(4)] + [(wallets[1], period) for period in range(3)]
    )
    for wallet in wallets[:2]:
        periods = [period for each, period in granted if each == wallet]
        assert periods == sorted(periods)
    assert sum(report.posted.granted for report in keeping.reports) == 7


async def test_a_programme_that_has_ended_is_granted_no_more_and_looked_at_once(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await attach(connection, wallets[0])
    await connection.execute("UPDATE programmes SET ends_at = $1", THEN + 2 * DAY)
    await keeping.rounds()
    assert [request.period for request in books.requests if isinstance(request, Grant)] == [0, 1]
    assert await connection.fetchval("SELECT next_at FROM programme_wallets") is None


async def test_a_period_that_somebody_else_has_granted_is_none_of_its_business(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await attach(connection, wallets[0])
    books.answers[wallets[0]] = Refused(RefusalCode.PROGRAMME_NOT_FOUND, "It was granted.")
    assert await keeping.run_round() == 0
    assert keeping.reports[-1].posted.failed == 0


@pytest.mark.parametrize("trouble", [StorageUnavailable("a wallet is held"), OutcomeUnknown("who knows")])
async def test_a_wallet_that_cannot_be_settled_rests_and_the_others_do_not_wait(
    keeping_two: Keeping,
    books: Books,
    clock: Clock,
    connection: asyncpg.Connection,
    wallets: list[UUID],
    trouble: Exception,
) -> None:
    for days, wallet in enumerate(wallets):
        await let_be_due(connection, wallet, THEN + days * DAY)
    books.answers = {wallets[0]: trouble, wallets[1]: trouble}
    assert await keeping_two.run_round() == DUE_SECONDS
    await keeping_two.rounds()
    assert books.wallets == wallets
    books.answers = {}
    await keeping_two.rounds()
    assert books.wallets == wallets, "they rest"
    clock.seconds += REST_SECONDS
    await keeping_two.rounds()
    assert books.wallets == wallets + wallets[:2]
    assert await count_due(connection) == 0


async def test_a_wallet_that_settling_does_not_move_on_is_not_settled_for_ever(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    books.answers[wallets[0]] = Settled()
    await keeping.rounds()
    assert len(books.seen) == 2
    assert keeping.reports[-1].posted.failed in (0, 1)


async def test_no_more_wallets_rest_than_may(
    books: Books, clock: Clock, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    many = [UUID(int=1_000 + number) for number in range(RESTING_MAX + 5)]
    await connection.execute(
        "INSERT INTO wallets (created_at, asset_id, shard, locked, id, kind, next_due_at)"
        " SELECT now(), assets.id, 0, true, each, 'user', '2024-01-01' FROM assets, unnest($1::uuid[]) AS each",
        many,
    )
    books.for_all = StorageUnavailable("all wallets are held")
    steps = DuePoster(books.submit, items_max=2_000, now=clock)
    posted = await steps.post_page(Shard(connection))
    assert posted.failed == len(many)
    assert len(steps.resting) == RESTING_MAX


async def test_a_full_queue_is_waited_for_and_nobody_rests(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    books.for_all = Overloaded("full")
    assert await keeping.run_round() == DUE_SECONDS
    books.for_all = None
    assert await keeping.run_round() == 0
    assert await count_due(connection) == 0


async def test_a_fault_under_a_settling_does_not_end_the_keeper(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    books.for_all = InvariantViolated("broken")
    assert [await keeping.run_round() for _ in range(2)] == [DUE_SECONDS] * 2
    books.for_all = None
    await keeping.rounds()
    assert await count_due(connection) == 0


async def test_a_lost_connection_is_replaced(
    keeping: Keeping, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await keeping.run_round()
    await let_be_due(connection, wallets[0])
    await connection.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM ({DUE_SESSIONS}) AS session")
    await keeping.run_round()
    await keeping.rounds()
    assert await count_due(connection) == 0


async def test_a_database_that_is_not_there_is_tried_again_and_logged_once(
    database_url: str, books: Books, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keeping = Keeping(database_url.replace("/wallet_test_", "/wallet_test_no_"), books, clock)
    assert [await keeping.run_round() for _ in range(3)] == [DUE_SECONDS] * 3
    assert len([record for record in caplog.records if "what is due waits" in record.message]) == 1


async def test_the_lag_is_that_of_the_longest_due_and_none_when_nothing_is(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0], await now(connection) - 2 * DAY)
    await let_be_due(connection, wallets[1], await now(connection) - DAY)
    await keeping.rounds()
    first, last = keeping.reports[0], keeping.reports[-1]
    assert 2 * 86_400 <= first.lag_seconds < 2 * 86_400 + 3600
    assert first.posted.settled == 2
    assert (last.lag_seconds, last.posted.settled) == (0, 0)


async def test_what_rests_is_still_late(
    keeping: Keeping, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    books.answers[wallets[0]] = StorageUnavailable("held")
    await keeping.rounds()
    await keeping.rounds()
    assert len(books.seen) == 1
    assert keeping.reports[-1].lag_seconds > 0


# With the other keepers


async def test_only_the_leader_posts_what_is_due(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    database = database_of(database_url)
    others: list[UUID] = []

    async def submit_of_another(request: Request) -> Outcome:
        assert isinstance(request, Settle)
        others.append(request.wallet_id)
        return Settled()

    leader = Keepers(database, observe=lambda _: None, due=DueKeeper(database, books.submit, observe=lambda _: None))
    follower = Keepers(
        database, observe=lambda _: None, due=DueKeeper(database, submit_of_another, observe=lambda _: None)
    )
    watching = await asyncpg.connect(database_url)
    leader.start()

    async def leads() -> bool:
        return leader.report.is_leader

    await until(leads)
    follower.start()
    await let_be_due(connection, wallets[0])

    async def is_done() -> bool:
        return await count_due(watching) == 0

    await until(is_done)
    assert (books.wallets, others) == (wallets[:1], [])
    await follower.close()
    await leader.close()

    async def are_gone() -> bool:
        return not await watching.fetch(DUE_SESSIONS)

    await until(are_gone)
    await watching.close()


# The sandbox's clock


def sandbox_clock(dsn: str, books: Books, **options: Any) -> SandboxClock:
    return SandboxClock(database_of(dsn), books.submit, **options)


async def test_an_advanced_clock_is_ahead_by_what_was_asked_for(
    database_url: str, books: Books, connection: asyncpg.Connection
) -> None:
    clock = sandbox_clock(database_url, books)
    before = await now(connection)
    advanced = await clock.advance(86_400)
    assert before + DAY <= advanced.reading.now < before + DAY + timedelta(minutes=1)
    assert advanced.remaining_seconds == 0
    reading = await clock.read()
    assert reading.offset_seconds == advanced.reading.offset_seconds
    assert 86_340 < reading.offset_seconds < 86_460


async def test_advancing_goes_through_every_instant_in_order_and_stops_at_each(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    start = await now(connection)
    await let_be_due(connection, wallets[2], start + 1 * DAY)
    books.next_due[wallets[2]] = start + 4 * DAY
    await let_be_due(connection, wallets[1], start + 2 * DAY)
    await let_be_due(connection, wallets[3], start + 6 * DAY)
    await attach(connection, wallets[0], start + 1.5 * DAY)
    advanced = await sandbox_clock(database_url, books).advance(5 * 86_400)
    instants = [
        ("settle", wallets[2], 1.0), ("grant", wallets[0], 1.5), ("settle", wallets[1], 2.0),
        ("grant", wallets[0], 2.5), ("grant", wallets[0], 3.5), ("settle", wallets[2], 4.0),
        ("grant", wallets[0], 4.5),
    ]  # fmt: skip
    assert [(kind, wallet) for kind, wallet, _ in books.seen] == [(kind, wallet) for kind, wallet, _ in instants]
    for (_, _, seen_at), (_, _, days) in zip(books.seen, instants, strict=True):
        assert start + days * DAY <= seen_at < start + days * DAY + DAY / 2
    assert advanced.remaining_seconds == 0
    assert start + 5 * DAY <= advanced.reading.now < start + 6 * DAY


async def test_what_is_due_already_is_posted_before_the_clock_moves(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    before = await now(connection)
    await sandbox_clock(database_url, books).advance(86_400)
    assert [wallet for _, wallet, at in books.seen if at < before + DAY] == wallets[:1]


async def test_a_request_posts_so_much_and_says_what_remains(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    start = await now(connection)
    await attach(connection, wallets[0], start + DAY)
    clock = sandbox_clock(database_url, books, posted_max=3)
    advanced = await clock.advance(10 * 86_400)
    assert len(books.seen) == 3
    assert start + 3 * DAY <= advanced.reading.now < start + 4 * DAY
    assert 6 * 86_400 < advanced.remaining_seconds <= 7 * 86_400 + 60
    while advanced.remaining_seconds:
        advanced = await clock.advance(advanced.remaining_seconds)
    assert [request.period for request in books.requests if isinstance(request, Grant)] == list(range(10))
    assert start + 10 * DAY <= advanced.reading.now < start + 10 * DAY + timedelta(minutes=10)


async def test_a_request_works_so_long_and_says_what_remains(
    database_url: str, books: Books, clock: Clock, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await attach(connection, wallets[0], await now(connection) + DAY)

    def take_long(_: Request) -> None:
        clock.seconds += Settings().stage_seconds_max / 2

    books.after = take_long
    advanced = await sandbox_clock(database_url, books, now=clock).advance(10 * 86_400)
    assert len(books.seen) == 2
    assert advanced.remaining_seconds > 0


@pytest.mark.parametrize("trouble", [StorageUnavailable("held"), Overloaded("full")])
async def test_the_clock_does_not_pass_what_cannot_be_posted(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID], trouble: Exception
) -> None:
    start = await now(connection)
    await let_be_due(connection, wallets[0], start + DAY)
    await let_be_due(connection, wallets[1], start + DAY)
    await let_be_due(connection, wallets[2], start + 2 * DAY)
    books.answers[wallets[0]] = trouble
    clock = sandbox_clock(database_url, books)
    advanced = await clock.advance(3 * 86_400)
    assert start + DAY <= advanced.reading.now < start + 2 * DAY
    assert set(books.wallets) == set(wallets[:2])
    books.answers = {}
    assert (await clock.advance(advanced.remaining_seconds)).remaining_seconds == 0
    assert set(books.wallets) == set(wallets[:3])


async def test_one_at_a_time_advances_the_clock(
    database_url: str, books: Books, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    await let_be_due(connection, wallets[0])
    clock = sandbox_clock(database_url, books)
    refused: list[str] = []

    async def second() -> None:
        with pytest.raises(Overloaded) as raised:
            await sandbox_clock(database_url, books).advance(1)
        refused.append(str(raised.value))

    tasks: list[asyncio.Task[None]] = []
    books.after = lambda _: tasks.append(asyncio.create_task(second()))
    submit = books.submit

    async def submit_and_wait(request: Request) -> Outcome:
        outcome = await submit(request)
        await asyncio.gather(*tasks)
        return outcome

    clock = SandboxClock(database_of(database_url), submit_and_wait)
    await soon(clock.advance(60))
    assert len(refused) == 1
    await soon(clock.advance(60))


@pytest.mark.parametrize("seconds", [0, -1, ADVANCE_SECONDS_MAX + 1])
async def test_the_clock_goes_forward_within_bounds(database_url: str, books: Books, seconds: int) -> None:
    with pytest.raises(Malformed):
        await sandbox_clock(database_url, books).advance(seconds)


async def test_the_calendar_is_not_left(database_url: str, books: Books, connection: asyncpg.Connection) -> None:
    await advance_clock(connection, await now(connection) + timedelta(seconds=OFFSET_SECONDS_MAX - 60))
    clock = sandbox_clock(database_url, books)
    with pytest.raises(Malformed):
        await clock.advance(120)
    await clock.advance(10)


async def test_a_database_whose_clock_was_advanced_is_for_sandboxes(
    database_url: str, books: Books, connection: asyncpg.Connection
) -> None:
    ensure_real_time(await read_clock(connection))
    await sandbox_clock(database_url, books).advance(60 * 86_400)
    with pytest.raises(SettingsInvalid, match=r"60 days.*WALLET_SANDBOX"):
        ensure_real_time(await read_clock(connection))
