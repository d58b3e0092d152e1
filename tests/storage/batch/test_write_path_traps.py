"""Failures between the service and PostgreSQL, made on purpose: nothing is lost, nothing is done twice."""

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.postgres import Server, postgres_bindirs
from tests.storage.ledgers import (
    SECONDS_MAX,
    Ledger,
    again,
    assert_books_balance,
    balances,
    insert_ledger,
    make_database,
    make_ledger,
    make_writer,
    move_randomly,
    new_ledger,
    new_writer,
    post,
    references,
    soon,
    spend,
    topup,
    transfer,
    until,
    until_waiting,
)
from tests.storage.tcp_proxy import Message, Proxy, executes, is_commit, mentions, proxy_to
from wallet.errors import BadData, InvariantViolated, OutcomeUnknown, StorageUnavailable, WalletBusy, WalletError
from wallet.ledger.outcomes import Applied, Outcome, RefusalCode, Refused, Replayed
from wallet.ledger.requests import Post, Request
from wallet.service.writes.committer import Committer
from wallet.storage.batch.writer import BatchWriter, OutcomeOrError
from wallet.storage.connections.database import Database
from wallet.storage.embedded.server import embedded_postgres
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.schema.migrate import migrate


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(5))


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(database_url) as proxy:
        yield proxy


def kinds(answers: Sequence[OutcomeOrError]) -> list[type]:
    return [type(answer) for answer in answers]


def commit(writer: BatchWriter, *batch: Post) -> "asyncio.Task[Sequence[OutcomeOrError]]":
    return asyncio.create_task(writer.commit(batch))


# The reference that a look-up before the lock misses


async def test_a_duplicate_in_another_process_waits_for_the_lock_and_is_replayed(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice = ledger.wallets[0]
    request = spend(alice, 100, "same")
    async with new_writer(database_url) as here, new_writer(database_url) as there:
        await post(here, topup(alice, 100, "money"))
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            first = commit(here, request)
            await until_waiting(connection, "Lock")
            second = commit(there, again(request))
            await until_waiting(connection, "Lock", sessions=2)
        assert kinds([*await soon(first), *await soon(second)]) == [Applied, Replayed]
    await assert_books_balance(connection)


# Disjoint batches with the same references


async def test_the_same_references_in_opposite_order_wait_for_each_other_and_never_deadlock(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    names = ["a", "middle", "z"]
    # Each batch stops half-way through its references until both have begun.
    await connection.execute(
        """
        CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
        CREATE TRIGGER waits BEFORE INSERT ON transactions FOR EACH ROW WHEN (NEW.reference_id = 'middle')
        EXECUTE FUNCTION wait_at_the_gate();
        SELECT pg_advisory_lock(1);
        """
    )
    async with new_writer(database_url) as here, new_writer(database_url) as there:
        first = commit(here, *(topup(alice, 1, name) for name in names))
        second = commit(there, *(topup(bob, 1, name) for name in reversed(names)))
        await until_waiting(connection, "Lock", sessions=2)
        await connection.execute("SELECT pg_advisory_unlock(1)")
        both = [*await soon(first), *reversed(await soon(second))]
    for one, other in zip(both[:3], both[3:], strict=True):
        assert sorted(kind.__name__ for kind in kinds([one, other])) == ["Applied", "Refused"]
    assert sorted(await references(connection)) == names
    assert await _deadlocks(database_url) == 0


async def _deadlocks(dsn: str) -> int:
    """Deadlocks in this database so far. All sessions but this one must have ended: they report as they end."""
    connection = await asyncpg.connect(dsn)
    try:

        async def is_alone() -> bool:
            return not await connection.fetch(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wallet writer'"
            )

        await until(is_alone)
        return await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    finally:
        await connection.close()


# The poison item


POISON: dict[str, Callable[[Ledger], Post]] = {
    "nul in a reference": lambda ledger: topup(ledger.wallets[0], 1, "with\0nul"),
    "lone surrogate": lambda ledger: topup(ledger.wallets[0], 1, "with \ud800 alone"),
    "nul in an asset": lambda ledger: topup(ledger.wallets[0], 1, "p")._replace(asset_code="G\0LD"),
    "nul in metadata": lambda ledger: topup(ledger.wallets[0], 1, "p")._replace(metadata='"\0"'),
    "65 bits": lambda ledger: topup(ledger.asset.revenue, 2**64, "p"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_one_poisonous_request_among_fifty_fails_alone(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, poison: Callable[[Ledger], Post]
) -> None:
    alice = ledger.wallets[0]
    batch = [topup(alice, 1, f"good {number:02}") for number in range(50)]
    batch.insert(17, poison(ledger))
    async with new_writer(database_url) as writer:
        answers = kinds(await soon(writer.commit(batch)))
    assert answers == [Applied] * 17 + [BadData] + [Applied] * 33
    in_order = await connection.fetch(
        "SELECT reference_id FROM ledger_entries JOIN transactions ON transaction_id = id"
        " WHERE wallet_id = $1 ORDER BY position",
        alice,
    )
    assert [row["reference_id"] for row in in_order] == [f"good {number:02}" for number in range(50)]
    await assert_books_balance(connection)


async def test_several_poisonous_requests_fail_alone(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    names = [f"bad\0{number}" if number in (0, 6, 7, 19) else f"good {number}" for number in range(20)]
    batch = [topup(ledger.wallets[0], 1, name) for name in names]
    async with new_writer(database_url) as writer:
        answers = kinds(await soon(writer.commit(batch)))
    assert [number for number, kind in enumerate(answers) if kind is BadData] == [0, 6, 7, 19]
    assert answers.count(Applied) == 16
    assert len(await references(connection)) == 16


# The COMMIT that answers ROLLBACK


class SabotagedDatabase:
    """Makes connections whose database transactions have failed, unnoticed, before COMMIT; so many of them."""

    def __init__(self, database: Database, times: int) -> None:
        self.settings = database.settings
        self.shard = database.shard
        self._database = database
        self.times_left = times

    async def reconnect(self, purpose: str, **options: Any) -> Any:
        return Sabotaged(await self._database.connect(purpose, **options), self)


class Sabotaged:
    def __init__(self, connection: asyncpg.Connection, database: SabotagedDatabase) -> None:
        self._connection = connection
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        if sql.endswith("COMMIT") and self._database.times_left:
            self._database.times_left -= 1
            with pytest.raises(asyncpg.DivisionByZeroError):
                await self._connection.execute("SELECT 1 / 0")
        return await self._connection.execute(sql, *arguments)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_batch_whose_commit_answers_rollback_is_decided_again(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, times: int
) -> None:
    writer = make_writer(SabotagedDatabase(make_database(database_url), times))  # type: ignore[arg-type]
    alice = ledger.wallets[0]
    assert kinds(await soon(writer.commit([topup(alice, 5, "a"), topup(alice, 6, "b")]))) == [Applied, Applied]
    await writer.close()
    assert (await balances(connection, ledger))[0] == 11
    await assert_books_balance(connection)


async def test_a_commit_that_always_answers_rollback_is_never_acknowledged(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    writer = make_writer(SabotagedDatabase(make_database(database_url), 1_000))  # type: ignore[arg-type]
    answers = await soon(writer.commit([topup(ledger.wallets[0], 5, "a"), topup(ledger.wallets[0], 6, "b")]))
    await writer.close()
    assert kinds(answers) == [WalletBusy, WalletBusy]
    assert await references(connection) == []


# The COMMIT whose answer is lost


@pytest.mark.parametrize("reached", [True, False], ids=["it had reached the server", "it never did"])
async def test_a_lost_answer_to_commit_is_asked_for_and_the_money_moves_once(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy, reached: bool
) -> None:
    alice, bob, *_ = ledger.wallets
    async with new_writer(proxy.dsn) as writer:
        await post(writer, topup(alice, 10, "money"))
        trap = proxy.trap(is_commit, let_through=reached)
        request = transfer(alice, bob, 6, "a")
        answers = commit(writer, request, spend(alice, 5, "too much"), again(request))
        await soon((trap.answered if reached else trap.sprung).wait())
        trap.cut()
        assert kinds(await soon(answers)) == [Applied, Refused, Replayed]
    assert (await balances(connection, ledger))[:2] == [4, 6]
    await assert_books_balance(connection)


async def test_a_commit_that_is_still_under_way_is_waited_for(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    await connection.execute(
        """
        CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_at_the_gate();
        SELECT pg_advisory_lock(1);
        """
    )
    async with new_writer(proxy.dsn) as writer:
        trap = proxy.trap(is_commit, let_through=True)
        answers = commit(writer, topup(ledger.wallets[0], 5, "a"))
        await until_waiting(connection, "advisory")
        trap.cut()  # the server does not notice: it is busy committing
        await until_waiting(connection, "Lock", sessions=2)
        await connection.execute("SELECT pg_advisory_unlock(1)")
        assert kinds(await soon(answers)) == [Applied]
    assert await references(connection) == ["a"]


@pytest.mark.parametrize("reached", [True, False], ids=["it had reached the server", "it never did"])
async def test_when_nobody_can_be_asked_in_time_the_outcome_is_unknown(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy, reached: bool
) -> None:
    alice = ledger.wallets[0]
    request = topup(alice, 5, "a")
    async with new_writer(proxy.dsn, unknown_seconds_max=0.1) as writer:
        trap = proxy.trap(is_commit, let_through=reached)
        answers = commit(writer, request)
        await soon((trap.answered if reached else trap.sprung).wait())
        proxy.is_away = True
        trap.cut()
        with pytest.raises(OutcomeUnknown):
            await soon(answers)
        proxy.is_away = False

        async def is_back() -> bool:
            try:
                [answer] = await writer.commit([again(request)])
            except StorageUnavailable:
                return False
            assert type(answer) is (Replayed if reached else Applied)
            return True

        await until(is_back)
    assert (await balances(connection, ledger))[0] == 5


async def test_what_is_unknown_stays_unknown_when_the_second_look_meets_a_bad_value(
    ledger: Ledger, database_url: str
) -> None:
    # The first try may have been committed. Halving would begin anew, and could end in "not applied".
    looks: Iterator[WalletError] = iter(
        [OutcomeUnknown("lost"), BadData("a value"), *[StorageUnavailable("away") for _ in range(9)]]
    )

    class Unlucky(BatchWriter):
        async def _commit_once(self, batch: Sequence[Request]) -> Sequence[Outcome]:
            raise next(looks)

    alice = ledger.wallets[0]
    writer = Unlucky(make_database(database_url), AssetCache(), observe=lambda items, steps: None)
    with pytest.raises(OutcomeUnknown):
        await soon(writer.commit([topup(alice, 1, "a"), topup(alice, 1, "b")]))


# The connection that is lost before COMMIT


BEFORE_COMMIT = {
    "at the lock": b"EXECUTE lock_wallets",
    "at the look-up": b"clock_timestamp",
    "at the write": b"batch_seq",
}


@pytest.mark.parametrize("reached", [True, False], ids=["reached", "unsent"])
@pytest.mark.parametrize("moment", BEFORE_COMMIT.values(), ids=BEFORE_COMMIT)
async def test_a_connection_lost_before_commit_is_replaced_and_the_batch_decided_once(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy, moment: bytes, reached: bool
) -> None:
    async with new_writer(proxy.dsn) as writer:
        trap = proxy.trap(executes(moment), let_through=reached)
        answers = commit(writer, topup(ledger.wallets[0], 5, "a"))
        await soon((trap.answered if reached else trap.sprung).wait())
        trap.cut()
        assert kinds(await soon(answers)) == [Applied]
    assert (await balances(connection, ledger))[0] == 5
    await assert_books_balance(connection)


async def test_a_database_that_is_away_before_commit_applies_nothing(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    async with new_writer(proxy.dsn) as writer:
        trap = proxy.trap(mentions(b"batch_seq"))
        answers = commit(writer, topup(ledger.wallets[0], 5, "a"))
        await soon(trap.sprung.wait())
        proxy.is_away = True
        trap.cut()
        with pytest.raises(StorageUnavailable):
            await soon(answers)
    assert await references(connection) == []


async def test_a_connection_that_died_while_it_was_idle_is_nobodys_trouble(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice = ledger.wallets[0]
    async with new_writer(database_url) as writer:
        await post(writer, topup(alice, 5, "a"))
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'wallet writer'"
        )
        await post(writer, topup(alice, 6, "b"))
    assert (await balances(connection, ledger))[0] == 11


async def test_a_server_that_has_gone_silent_is_given_up(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    async with new_writer(proxy.dsn, statement_timeout_ms=100) as writer:
        trap = proxy.trap(mentions(b"EXECUTE lock_wallets"))
        answers = commit(writer, topup(ledger.wallets[0], 5, "a"))
        await soon(trap.sprung.wait())
        assert kinds(await soon(answers)) == [Applied]
    assert await references(connection) == ["a"]


async def test_shutdown_does_not_wait_for_a_server_that_has_gone_silent(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    async with new_writer(proxy.dsn) as writer:
        committer = Committer([writer], queue_depth_max=10, batch_items_max=10)
        committer.start()
        trap = proxy.trap(mentions(b"batch_seq"))
        caller = asyncio.create_task(committer.submit(topup(ledger.wallets[0], 5, "a")))
        await soon(trap.sprung.wait())
        await soon(committer.drain(0))
        with pytest.raises(OutcomeUnknown):
            await caller
    proxy.cut()
    assert await references(connection) == []


async def test_a_migration_beside_a_running_writer_does_not_disturb_it(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice = ledger.wallets[0]
    request = topup(alice, 5, "a")
    async with new_writer(database_url) as writer:
        await post(writer, request)
        assert kinds(await soon(writer.commit([again(request)]))) == [Replayed]
        for table in ("transactions", "wallets", "ledger_entries"):
            await connection.execute(f"ALTER TABLE {table} ADD COLUMN later integer")
        answers = await soon(writer.commit([again(request), topup(alice, 6, "b")]))
        assert kinds(answers) == [Replayed, Applied]


# Somebody else's lock


async def test_a_wallet_held_by_another_session_stops_only_those_who_name_it(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, carol, *_ = ledger.wallets
    batch = [
        topup(bob, 10, "0"),
        topup(alice, 10, "1"),
        transfer(bob, carol, 5, "2"),
        transfer(bob, alice, 5, "3"),
        topup(ledger.asset.revenue, 1, "4"),
        spend(carol, 5, "5"),
    ]
    async with new_writer(database_url, lock_timeout_ms=50) as writer:
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            answers = await soon(writer.commit(batch))
        assert [number for number, answer in enumerate(answers) if isinstance(answer, StorageUnavailable)] == [1, 3]
        assert [number for number, answer in enumerate(answers) if isinstance(answer, Applied)] == [0, 2, 4, 5]
        assert sorted(await references(connection)) == ["0", "2", "4", "5"]
        assert kinds(await soon(writer.commit(batch))) == [Applied] * 6
    await assert_books_balance(connection)


async def test_a_held_wallet_is_waited_for_once_however_many_name_it(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    alice, bob, *_ = ledger.wallets
    rollbacks: list[Message] = []
    proxy.trap(lambda message: message.endswith(b"ROLLBACK\0") and bool(rollbacks.append(message)))
    async with new_writer(proxy.dsn, lock_timeout_ms=50) as writer, connection.transaction():
        await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
        batch = [topup(wallet, 1, f"{name}{n}") for n in range(20) for name, wallet in (("a", alice), ("b", bob))]
        answers = await soon(writer.commit(batch))
    assert [isinstance(answer, StorageUnavailable) for answer in answers] == [True, False] * 20
    assert len(rollbacks) == 1


async def test_a_table_that_is_locked_is_not_waited_for_by_each_request_in_turn(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy
) -> None:
    alice = ledger.wallets[0]
    rollbacks: list[Message] = []
    proxy.trap(lambda message: message.endswith(b"ROLLBACK\0") and bool(rollbacks.append(message)))
    batch = [topup(alice, 1, f"{number}") for number in range(20)]
    async with new_writer(proxy.dsn, lock_timeout_ms=50) as writer:
        async with connection.transaction():
            await connection.execute("LOCK TABLE transactions IN EXCLUSIVE MODE")
            answers = await soon(writer.commit(batch))
        assert all(isinstance(answer, StorageUnavailable) for answer in answers)
        assert len(rollbacks) <= 7, "as many as finding one of twenty takes"
        assert kinds(await soon(writer.commit(batch))) == [Applied] * 20


async def test_a_reference_that_a_stranger_has_not_committed_is_waited_for_by_its_own_request_only(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    batch = [topup(ledger.wallets[0], 1, f"{number}") for number in range(20)]
    stranger = await asyncpg.connect(database_url)
    async with new_writer(database_url, lock_timeout_ms=50) as writer:
        async with stranger.transaction():
            await stranger.execute(
                "INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type,"
                " fingerprint) SELECT 0, now(), now(), 0, gen_random_uuid(), $1, $2, 'x', ''",
                batch[7].origin,
                batch[7].reference_id,
            )
            answers = await soon(writer.commit(batch))
        assert [number for number, answer in enumerate(answers) if isinstance(answer, StorageUnavailable)] == [7]
        assert kinds(answers).count(Applied) == 19
    await stranger.close()


async def test_a_wallet_that_is_held_is_waited_for_once_and_then_asked_about(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, proxy: Proxy
) -> None:
    alice, bob, *_ = ledger.wallets
    rollbacks: list[Message] = []
    proxy.trap(lambda message: message.endswith(b"ROLLBACK\0") and bool(rollbacks.append(message)))
    async with new_writer(proxy.dsn, lock_timeout_ms=50) as writer:
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            for round_ in range(5):
                answers = await soon(writer.commit([topup(alice, 1, f"a{round_}"), topup(bob, 1, f"b{round_}")]))
                assert isinstance(answers[0], StorageUnavailable)
                assert isinstance(answers[1], Applied)
        assert len(rollbacks) == 1
        await post(writer, topup(alice, 1, "free again"))


async def test_a_server_that_is_no_longer_safe_is_a_database_that_is_away(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice = ledger.wallets[0]
    database = make_database(database_url)
    is_safe = [True]

    class Watched:
        settings = database.settings
        shard = database.shard

        async def reconnect(self, purpose: str, **options: Any) -> Any:
            if not is_safe[0]:
                return await unsafe.reconnect(purpose, **options)
            return await database.reconnect(purpose, **options)

    unsafe = make_database(database_url + "&sslmode=verify-full&sslrootcert=/nowhere")
    writer = make_writer(Watched())  # type: ignore[arg-type]
    await post(writer, topup(alice, 1, "a"))
    is_safe[0] = False
    await writer.close()
    with pytest.raises(StorageUnavailable):
        await soon(writer.commit([topup(alice, 1, "b")]))
    is_safe[0] = True
    await until_applied(writer, topup(alice, 1, "b"))
    await writer.close()


async def until_applied(writer: BatchWriter, request: Request) -> None:
    async def is_applied() -> bool:
        try:
            await post(writer, request)
        except StorageUnavailable:
            return False
        return True

    await until(is_applied)


async def test_a_frozen_writer_loses_its_locks_and_finds_its_way_back(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, proxy: Proxy
) -> None:
    alice = ledger.wallets[0]
    async with new_writer(proxy.dsn, idle_transaction_ms_max=100) as frozen, new_writer(database_url) as other:
        trap = proxy.trap(mentions(b"clock_timestamp"))
        late = commit(frozen, topup(alice, 5, "late"))
        await soon(trap.sprung.wait())  # it holds the wallet, and will say nothing more
        await post(other, topup(alice, 6, "meanwhile"))
        trap.open()
        assert kinds(await soon(late)) == [Applied]
    assert (await balances(connection, ledger))[0] == 11
    await assert_books_balance(connection)


# A broken invariant


async def test_a_broken_invariant_stops_the_writer_and_leaves_nothing_half_written(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    async with new_writer(database_url) as writer:
        committer = Committer([writer], queue_depth_max=100, batch_items_max=100)
        committer.start()
        assert isinstance(await soon(committer.submit(topup(alice, 5, "fine"))), Applied)
        await connection.execute("UPDATE wallets SET version = version - 1 WHERE id = $1", alice)
        batch = [topup(bob, 1, "a"), topup(alice, 1, "b"), spend(bob, 9, "too much")]
        callers = [asyncio.create_task(committer.submit(request)) for request in batch]
        answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), SECONDS_MAX)
        assert {type(answer) for answer in answers} == {OutcomeUnknown}
        assert isinstance(committer.fault, InvariantViolated)
        with pytest.raises(StorageUnavailable):
            await committer.submit(topup(bob, 1, "later"))
        await soon(committer.drain(1))
    await _until_no_writer(connection)
    assert await references(connection) == ["fine"]
    assert await connection.fetchval("SELECT count(*) FROM declines") == 0
    assert (await balances(connection, ledger))[:2] == [5, 0]


async def _until_no_writer(connection: asyncpg.Connection) -> None:
    async def is_gone() -> bool:
        return not await connection.fetch(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wallet writer'"
        )

    await until(is_gone)


# Many at once


@asynccontextmanager
async def running_committer(dsn: str, *, writers: int, items: int = 100) -> AsyncIterator[Committer]:
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(new_writer(dsn)) for _ in range(writers)]
        committer = Committer(made, queue_depth_max=10_000, batch_items_max=items)
        committer.start()
        yield committer
        await soon(committer.drain(SECONDS_MAX))


async def test_of_a_thousand_spends_of_a_wallet_that_affords_ten_exactly_ten_are_accepted(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice = ledger.wallets[0]
    async with (
        running_committer(database_url, writers=2) as here,
        running_committer(database_url, writers=2) as there,
    ):
        await soon(here.submit(topup(alice, 107, "money")))
        spends = [(here, there)[n % 2].submit(spend(alice, 10, f"spend {n}")) for n in range(1_000)]
        answers = await soon(asyncio.gather(*spends))
    accepted = [answer for answer in answers if isinstance(answer, Applied)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert (len(accepted), len(refused)) == (10, 990)
    assert {answer.code for answer in refused} == {RefusalCode.INSUFFICIENT_FUNDS}
    assert (await balances(connection, ledger))[0] == 7
    await assert_books_balance(connection)


async def test_a_hundred_racing_duplicates_over_several_writers_are_applied_once(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    request = topup(ledger.wallets[0], 5, "same")
    async with (
        running_committer(database_url, writers=2, items=3) as here,
        running_committer(database_url, writers=2, items=3) as there,
    ):
        answers = await soon(asyncio.gather(*((here, there)[n % 2].submit(again(request)) for n in range(100))))
    assert sorted({kind.__name__: kinds(answers).count(kind) for kind in set(kinds(answers))}.items()) == [
        ("Applied", 1),
        ("Replayed", 99),
    ]
    assert (await balances(connection, ledger))[0] == 5


async def test_random_transfers_among_few_wallets_from_two_processes_never_fail_and_sum_to_zero(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    async with new_writer(database_url) as writer:
        await post(writer, *(topup(wallet, 100, f"money {n}") for n, wallet in enumerate(ledger.wallets)))
    # One wallet's last entry lies in the future, as after a clock that was set back.
    await connection.execute(
        "UPDATE wallets SET last_entry_at = last_entry_at + interval '1 hour' WHERE id = $1", ledger.wallets[0]
    )
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        await soon(
            asyncio.gather(
                *(
                    loop.run_in_executor(processes, move_randomly, database_url, ledger.wallets, seed, 60)
                    for seed in (1, 2)
                )
            )
        )
    assert sum(await balances(connection, ledger)) == 500
    assert await connection.fetchval("SELECT count(*) FROM transactions") > 100
    await assert_books_balance(connection)


# The server itself


class OwnServer:
    """A server that a test may stop and start, with settings that concern all of it."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "pg"
        self.dsn = ""
        self._stack = ExitStack()

    def start(self) -> None:
        bindirs = postgres_bindirs()
        server = self._stack.enter_context(embedded_postgres(self.data_dir, bindirs[max(bindirs)]))
        self.dsn = server.dsn

    def stop(self) -> None:
        self._stack.close()

    def begin_as_standby(self) -> None:
        signal = self.data_dir / "standby.signal"
        signal.touch()
        owner = self.data_dir.stat()
        os.chown(signal, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    with tempfile.TemporaryDirectory(prefix="wt-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root, the server runs as somebody else, who must get through here
        server = OwnServer(Path(folder))
        server.start()
        try:
            asyncio.run(migrate(server.dsn))
            yield server
        finally:
            server.stop()


@pytest.fixture
def own_database_url(own_server: OwnServer) -> Iterator[str]:
    with Server(own_server.dsn, "wallet").database() as dsn:
        yield dsn


async def _until_applied(writer: BatchWriter, request: Post) -> None:
    async def is_applied() -> bool:
        try:
            return kinds(await writer.commit([request])) == [Applied]
        except StorageUnavailable:
            return False

    await until(is_applied)


async def test_a_server_that_is_restarted_is_found_again(own_server: OwnServer, own_database_url: str) -> None:
    async with new_ledger(own_database_url) as (_, ledger):
        pass
    async with new_writer(own_database_url) as writer:
        await post(writer, topup(ledger.wallets[0], 5, "before"))
        own_server.stop()
        with pytest.raises(StorageUnavailable):
            await soon(writer.commit([topup(ledger.wallets[0], 6, "meanwhile")]))
        own_server.start()
        await _until_applied(writer, topup(ledger.wallets[0], 7, "after"))
    async with new_connection(own_database_url) as connection:
        assert await references(connection) == ["before", "after"]
        await assert_books_balance(connection)


async def test_a_server_that_only_reads_is_waited_for_until_it_is_promoted(
    own_server: OwnServer, own_database_url: str
) -> None:
    async with new_ledger(own_database_url) as (_, ledger):
        pass
    async with new_writer(own_database_url) as writer:
        await post(writer, topup(ledger.wallets[0], 5, "before"))
        own_server.stop()
        own_server.begin_as_standby()
        own_server.start()
        async with new_connection(own_database_url) as connection:
            try:
                with pytest.raises(StorageUnavailable):
                    await soon(writer.commit([topup(ledger.wallets[0], 6, "meanwhile")]))
            finally:
                assert await connection.fetchval("SELECT pg_promote()")
        await _until_applied(writer, topup(ledger.wallets[0], 7, "after"))
    async with new_connection(own_database_url) as connection:
        assert await references(connection) == ["before", "after"]


async def test_a_commit_that_no_standby_has_confirmed_is_not_acknowledged(own_database_url: str) -> None:
    async with new_ledger(own_database_url) as (connection, ledger), new_writer(own_database_url) as writer:
        alice = ledger.wallets[0]
        await connection.execute("SET synchronous_commit = local")
        await _require_standby(connection, "nobody")
        try:
            answers, first = await _unconfirmed(connection, writer, alice)
            # The server gives up waiting: it answers COMMIT all the same, with a warning.
            await connection.execute("SELECT pg_cancel_backend($1)", first)

            async def waits_again() -> bool:
                return first not in await until_waiting(connection, "SyncRep")

            await until(waits_again)
            assert not answers.done()
        finally:
            await _require_standby(connection, "")
        assert kinds(await soon(answers)) == [Applied]
        await assert_books_balance(connection)


async def _require_standby(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await connection.execute("SELECT pg_reload_conf()")


async def _unconfirmed(
    connection: asyncpg.Connection, writer: BatchWriter, alice: UUID
) -> tuple["asyncio.Task[Sequence[OutcomeOrError]]", int]:
    """A batch whose COMMIT waits for a standby, and the session that waits. The setting takes effect by and by."""
    for attempt in count():
        answers = commit(writer, topup(alice, 1, f"try {attempt}"))

        async def is_decided(answers: "asyncio.Task[Sequence[OutcomeOrError]]" = answers) -> bool:
            return answers.done() or bool(await connection.fetch(_WAITING_FOR_STANDBY))

        await until(is_decided)
        if not answers.done():
            break
    [row] = await connection.fetch(_WAITING_FOR_STANDBY)
    return answers, row["pid"]


_WAITING_FOR_STANDBY = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@asynccontextmanager
async def new_connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
