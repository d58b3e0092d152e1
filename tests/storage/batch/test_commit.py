"""One batch in one database transaction: what it stores, in which order, and what it says when it cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    SALTS,
    Ledger,
    again,
    assert_books_balance,
    insert_ledger,
    make_database,
    make_ledger,
    references,
    soon,
    spend,
    topup,
    transfer,
    until_waiting,
)
from wallet.errors import BadData, InvariantViolated, OutcomeUnknown, StaleContext, StorageUnavailable
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import Context
from wallet.ledger.model import WalletKind, WalletState
from wallet.ledger.outcomes import Applied, Outcome, RefusalCode, Refused, Replayed
from wallet.ledger.requests import Request
from wallet.storage.batch.commit import StepSeconds, commit_batch, prepare
from wallet.storage.batch.load import Loaded
from wallet.storage.batch.write import write_decision
from wallet.storage.connections.shard import Shard
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

IDS = IdSource()


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(3))


@asynccontextmanager
async def write_connection(dsn: str, **settings: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await make_database(dsn, **settings).connect("test", finds_by_key=True)
    await prepare(connection)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def writing(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection set up as writers set up theirs."""
    async with write_connection(database_url) as connection:
        yield connection


async def commit(
    connection: Any, *batch: Request, steps: StepSeconds | None = None, assets: AssetCache | None = None
) -> Sequence[Outcome]:
    return await soon(
        commit_batch(
            Shard(connection),
            batch,
            batch_id=IDS.new_id(),
            assets=AssetCache() if assets is None else assets,
            salts=SALTS,
            commit_seconds_max=10,
            steps={} if steps is None else steps,
        )
    )


async def test_a_duplicate_that_waited_for_the_lock_sees_what_it_waited_for(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, database_url: str
) -> None:
    # A look-up merged into the lock statement reads the snapshot from before the wait: it would miss the reference
    # and judge the spend a second time, on the balance that the first one left.
    alice = ledger.wallets[0]
    await commit(writing, topup(alice, 100, "money"))
    request = spend(alice, 100, "same")
    async with write_connection(database_url) as other:
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            first = asyncio.create_task(commit(writing, request))
            await until_waiting(connection, "Lock")
            second = asyncio.create_task(commit(other, again(request)))
            await until_waiting(connection, "Lock", sessions=2)
        applied, replayed = (await first)[0], (await second)[0]
    assert isinstance(applied, Applied)
    assert replayed == Replayed(applied.posted)


async def test_declines_are_stored_in_the_same_database_transaction(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice, bob, _ = ledger.wallets
    await commit(writing, topup(alice, 5, "money"), spend(bob, 7, "too much"))
    assert await connection.fetchval("SELECT declines.xmin = batches.xmin FROM declines, batches")
    row = await connection.fetchrow("SELECT * FROM declines JOIN batches USING (created_at)")
    assert (row["reference_id"], row["code"], row["wallet_id"]) == ("too much", "insufficient_funds", bob)
    assert (row["required"], row["available"]) == (7, 0)


async def test_a_batch_in_which_all_is_refused_stores_its_declines_and_no_batch(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    [refused] = await commit(writing, spend(ledger.wallets[0], 7, "too much"))
    assert isinstance(refused, Refused)
    counts = await connection.fetchrow("SELECT (SELECT count(*) FROM declines), (SELECT count(*) FROM batches)")
    assert tuple(counts) == (1, 0)


async def test_a_batch_that_is_not_committed_leaves_no_decline(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice, bob, _ = ledger.wallets
    await connection.execute("UPDATE wallets SET version = 0; ALTER TABLE wallets ADD CHECK (balance < 50)")
    with pytest.raises(InvariantViolated):
        await commit(writing, spend(bob, 7, "too much"), topup(alice, 50, "breaks the check"))
    assert await connection.fetchval("SELECT count(*) FROM declines") == 0


async def test_time_never_runs_backwards_along_the_versions_of_a_wallet(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    # The database's clock was ahead by a day when the last entry was made, and was then set right.
    alice, bob, _ = ledger.wallets
    await commit(writing, topup(alice, 10, "yesterday"))
    ahead = await connection.fetchval(
        "UPDATE wallets SET last_entry_at = last_entry_at + $2 WHERE id = $1 RETURNING last_entry_at",
        alice,
        timedelta(days=1),
    )
    [first] = await commit(writing, transfer(alice, bob, 4, "first"))
    [second] = await commit(writing, topup(bob, 1, "second"))
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert first.posted.created_at == second.posted.created_at == ahead
    assert await connection.fetchval("SELECT max(created_at) FROM batches") == ahead


async def test_the_order_of_batches_is_the_order_of_versions(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, database_url: str
) -> None:
    # The first to begin is the last to get the lock: it must not have taken its seq before.
    alice, bob, _ = ledger.wallets
    async with write_connection(database_url) as other:
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            waits = asyncio.create_task(commit(writing, topup(alice, 1, "waits"), topup(bob, 1, "waits too")))
            await until_waiting(connection, "Lock")
            await commit(other, topup(bob, 1, "goes first"))
        await waits
    rows = await connection.fetch(
        "SELECT reference_id FROM transactions JOIN ledger_entries ON transaction_id = id"
        " WHERE wallet_id = $1 ORDER BY seq",
        bob,
    )
    assert [row["reference_id"] for row in rows] == ["goes first", "waits too"]


async def test_wallets_are_locked_in_one_order_and_hot_ones_last(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, database_url: str
) -> None:
    first, second, third = sorted(ledger.wallets)
    await connection.execute("UPDATE wallets SET hot = true WHERE id = $1", first)

    async def is_locked(wallet: object) -> bool:
        free = await connection.fetch("SELECT FROM wallets WHERE id = $1 FOR UPDATE SKIP LOCKED", wallet)
        return not free

    blocker = await asyncpg.connect(database_url)
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", third)
            batch = [topup(wallet, 1, f"to {wallet}") for wallet in (third, first, second)]
            waiting = asyncio.create_task(commit(writing, *batch))
            await until_waiting(connection, "Lock")
            assert [await is_locked(wallet) for wallet in (first, second)] == [False, True]
        assert all(isinstance(answer, Applied) for answer in await waiting)
    finally:
        await blocker.close()


class Tampered:
    """A connection that does something of its own before one of the statements."""

    def __init__(self, connection: asyncpg.Connection, before: str, tamper: Callable[[], Any]) -> None:
        self._connection = connection
        self._before = before
        self._tamper = tamper

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        if sql.endswith(self._before):
            await self._tamper()
        return await self._connection.execute(sql, *arguments)


async def test_a_commit_that_answers_rollback_is_not_taken_for_one(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    async def fail_and_swallow() -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await writing.execute("SELECT 1 / 0")

    with pytest.raises(StaleContext):
        await commit(Tampered(writing, "COMMIT", fail_and_swallow), topup(ledger.wallets[0], 5, "lost"))
    assert await references(connection) == []
    assert not writing.is_in_transaction(), "the connection can be used again"


async def test_a_connection_that_dies_before_commit_is_sent_leaves_no_doubt(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    class DiesAfterWriting(dict[str, float]):
        def __setitem__(self, step: str, seconds: float) -> None:
            if step == "write":
                writing.terminate()

    with pytest.raises(StorageUnavailable):
        await commit(writing, topup(ledger.wallets[0], 5, "lost"), steps=DiesAfterWriting())
    assert await references(connection) == []


async def test_a_warning_on_commit_is_no_confirmation(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    await _warn_on_commit(connection)
    with pytest.raises(OutcomeUnknown):
        await commit(writing, topup(ledger.wallets[0], 5, "not replicated"))


async def test_an_operator_cannot_silence_the_warning(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    await _warn_on_commit(connection)
    await _set_for_database(connection, "client_min_messages = error")
    async with write_connection(database_url) as writing:
        with pytest.raises(OutcomeUnknown):
            await commit(writing, topup(ledger.wallets[0], 5, "not replicated"))


async def test_a_mere_notice_on_commit_is_none(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    await _warn_on_commit(connection, level="NOTICE")
    await _set_for_database(connection, "client_min_messages = debug1")
    async with write_connection(database_url) as writing:
        [answer] = await commit(writing, topup(ledger.wallets[0], 5, "fine"))
    assert isinstance(answer, Applied)


async def _warn_on_commit(connection: asyncpg.Connection, level: str = "WARNING") -> None:
    """Have the server say something while it commits, as it does when no standby confirms."""
    await connection.execute(
        f"""
        CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE {level} 'something happened'; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER speaks AFTER INSERT ON batches
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION speak();
        """
    )


async def _set_for_database(connection: asyncpg.Connection, setting: str) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET {setting}")


async def test_isolation_is_said_and_not_inherited(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    await _set_for_database(connection, "default_transaction_isolation = serializable")
    seen: list[Any] = []

    async def look() -> None:
        seen.append(await writing.fetchval("SELECT current_setting('transaction_isolation')"))

    async with write_connection(database_url) as writing:
        [answer] = await commit(Tampered(writing, "COMMIT", look), topup(ledger.wallets[0], 5, "fine"))
    assert isinstance(answer, Applied)
    assert seen == ["read committed"]


async def test_a_row_that_was_not_written_is_a_fault(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    await connection.execute("CREATE RULE nothing_moves AS ON UPDATE TO wallets DO INSTEAD NOTHING")
    with pytest.raises((InvariantViolated, StorageUnavailable)):
        await commit(writing, topup(ledger.wallets[0], 5, "lost"))
    await connection.execute("DROP RULE nothing_moves ON wallets")
    assert await references(connection) == []


async def test_fewer_wallets_moved_than_asked_for_is_a_fault(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    await connection.execute(
        """
        CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER skips BEFORE UPDATE ON wallets FOR EACH ROW EXECUTE FUNCTION skip();
        """
    )
    with pytest.raises(InvariantViolated):
        await commit(writing, topup(ledger.wallets[0], 5, "lost"))
    writing.terminate()
    assert await references(connection) == []


async def test_a_wallet_whose_version_was_set_back_is_a_fault(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice = ledger.wallets[0]
    await commit(writing, topup(alice, 5, "fine"))
    await connection.execute("UPDATE wallets SET version = 0 WHERE id = $1", alice)
    with pytest.raises(InvariantViolated):
        await commit(writing, topup(alice, 5, "lost"))
    assert await references(connection) == ["fine"]


async def test_a_movement_of_more_than_there_is_is_a_fault_whoever_let_it_through(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    alice, bob, _ = ledger.wallets
    # As if the ledger had decided on another balance than there is.
    state = WalletState(alice, ledger.asset.id, WalletKind.USER, True, 5, 0, 0)
    states = {wallet.id: wallet for wallet in ledger.states()} | {alice: state}
    context = Context(states, {ledger.asset.code: ledger.asset}, {}, 0, {ledger.asset.id: ledger.asset})
    loaded = Loaded(context, await connection.fetchval("SELECT ledger_now()"), is_plain=True)
    batch = [transfer(alice, bob, 3, "of nothing")]
    decision = apply_batch(batch, context, loaded.decided_at)
    decision = decision._replace(states={**decision.states, alice: decision.states[alice]._replace(balance=-3)})
    with pytest.raises(InvariantViolated):
        await write_decision(Shard(writing), batch, loaded, decision, batch_id=IDS.new_id(), salts=SALTS)


@pytest.mark.parametrize("reference", ["with\0nul", "with \ud800 alone"], ids=["nul", "surrogate"])
async def test_a_value_that_cannot_be_stored_is_bad_data_and_spares_the_connection(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, reference: str
) -> None:
    with pytest.raises(BadData):
        await commit(writing, topup(ledger.wallets[0], 5, reference))
    [answer] = await commit(writing, topup(ledger.wallets[0], 5, "fine"))
    assert isinstance(answer, Applied)
    assert await references(connection) == ["fine"]


async def test_an_asset_made_by_another_process_is_found_by_its_system_wallet(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    assets = AssetCache()
    await commit(writing, topup(ledger.wallets[0], 5, "knows the first asset"), assets=assets)
    other = await insert_ledger(connection, make_ledger(1, asset_id=2, code="GEM"))
    request = transfer(other.asset.treasury, other.wallets[0], 5, "to the new one")._replace(asset_code="GEM")
    [answer] = await commit(writing, request, assets=assets)
    assert isinstance(answer, Applied)
    assert [entry.version for entry in answer.posted.entries] == [None, 1]


async def test_a_capped_treasury_is_locked_and_runs_out(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection
) -> None:
    treasury, alice = ledger.asset.treasury, ledger.wallets[0]
    await connection.execute("UPDATE assets SET max_supply = 10")
    await connection.execute("UPDATE wallets SET locked = true, overdraft_limit = 10 WHERE id = $1", treasury)
    applied, refused = await commit(writing, topup(alice, 10, "all there is"), topup(alice, 1, "one more"))
    assert isinstance(applied, Applied)
    assert [entry.balance_after for entry in applied.posted.entries] == [-10, 10]
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.SUPPLY_EXCEEDED
    await assert_books_balance(connection)


TABLES = [
    "transactions", "ledger_entries", "batches", "system_deltas", "system_snapshots", "hold_steps", "lot_moves",
    "wallet_events", "backdated_entries",
]  # fmt: skip


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("change", ["UPDATE {} SET shard = shard", "DELETE FROM {}", "TRUNCATE {}"])
async def test_history_cannot_be_changed(
    connection: asyncpg.Connection, ledger: Ledger, writing: asyncpg.Connection, change: str, role: str
) -> None:
    await commit(writing, topup(ledger.wallets[0], 5, "fine"))
    await connection.execute(f"SET session_replication_role = {role}")
    for table in TABLES:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(change.format(table))
        assert refused.value.sqlstate == "WL001", table
    await assert_books_balance(connection)


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("table", ["wallets", "holds", "lots", "refund_states"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "TRUNCATE {}"])
async def test_states_cannot_be_deleted(
    connection: asyncpg.Connection, ledger: Ledger, change: str, table: str, role: str
) -> None:
    await connection.execute(f"SET session_replication_role = {role}")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute(change.format(table))
    assert refused.value.sqlstate == "WL001"


@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_entries_that_do_not_cancel_out_are_refused_by_the_database(
    connection: asyncpg.Connection, ledger: Ledger, role: str
) -> None:
    await connection.execute(f"SET session_replication_role = {role}")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute(
            "INSERT INTO ledger_entries (position, amount, created_at, asset_id, shard, direction, leg, wallet_id,"
            " transaction_id) SELECT 1, 5 + leg, clock_timestamp(), 1, 0, 1 - 2 * leg, leg, gen_random_uuid(), $1"
            " FROM generate_series(0, 1) AS leg",
            IDS.new_id(),
        )
    assert refused.value.sqlstate == "WL002"
