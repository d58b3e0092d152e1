"""Rows become what edges show: right at every instant, in the order promised, and again after the database was away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.posting import (
    commit_all,
    database_of,
    make_asset,
    make_wallets,
    spend,
    topup,
    transfer,
    writer_of,
)
from wallet.errors import StorageUnavailable
from wallet.ledger.model import Direction, WalletKind
from wallet.ledger.outcomes import Applied
from wallet.ledger.requests import Leg, Post
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.balances import BalanceConnection
from wallet.storage.reads.places import IdPlace, LegPlace
from wallet.storage.reads.resources import ReadStore
from wallet.storage.reads.walks import TransactionFilter

END_ALL_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()
"""
CAP = 2**63 - 1


class House(NamedTuple):
    """A ledger with GOLD and two user wallets, and everything that reads and writes it."""

    store: ReadStore
    balances: BalanceConnection
    writer: BatchWriter
    system: dict[str, UUID]
    alice: UUID
    bob: UUID


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with await database_of(database_url).pool("reads", connections_max=2) as pool:
        yield pool


@pytest.fixture
async def house(database_url: str, connection: asyncpg.Connection, pool: asyncpg.Pool) -> AsyncIterator[House]:
    system = await make_asset(connection, "GOLD")
    alice, bob = await make_wallets(connection, "GOLD", 2)
    writer, balances = writer_of(database_url), BalanceConnection(database_of(database_url))
    yield House(ReadStore(ShardPool(pool, seconds_max=30)), balances, writer, system, alice, bob)
    await balances.close()
    await writer.close()


@asynccontextmanager
async def database_away(connection: asyncpg.Connection, server: Server) -> AsyncIterator[None]:
    """Nobody can connect, and all sessions but this one have ended."""
    name = await connection.fetchval("SELECT current_database()")
    operator = await asyncpg.connect(server.dsn)
    try:
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await connection.execute(END_ALL_OTHERS)
        yield
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await operator.close()


async def scanned_when_published(connection: asyncpg.Connection) -> int:
    """Rows of wallets read by sequential scans, once no other session is left that could still report some."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wallet balances'"
    async with asyncio.timeout(10):
        while await connection.fetchval(others):
            await connection.execute("SELECT pg_sleep(0.01)")
    scanned: int = await connection.fetchval("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'wallets'")
    return scanned


async def balance_of(house: House, wallet_id: UUID) -> Any:
    return (await house.balances.balances([wallet_id]))[wallet_id]


async def post(house: House, *posts: Post) -> list[Applied]:
    answers = [answer for each in posts for answer in await house.writer.commit([each])]
    assert all(isinstance(answer, Applied) for answer in answers), answers
    return answers  # type: ignore[return-value]


# Balances


async def test_the_balance_of_a_wallet_is_its_row(house: House, connection: asyncpg.Connection) -> None:
    await post(house, topup(house.alice, 100), spend(house.alice, 30))
    await connection.execute("UPDATE wallets SET held = 20, overdraft_limit = 5 WHERE id = $1", house.alice)
    found = await balance_of(house, house.alice)
    assert (found.wallet_id, found.asset_code, found.scale) == (house.alice, "GOLD", 0)
    assert (found.balance, found.held, found.available, found.version) == (70, 20, 55, 2)
    assert isinstance(found.as_of, datetime)


async def test_the_balance_of_an_unlocked_wallet_is_the_sum_of_its_deltas(house: House) -> None:
    await post(house, topup(house.alice, 100), topup(house.bob, 50), spend(house.alice, 30))
    treasury, revenue = [await balance_of(house, house.system[kind]) for kind in ("treasury", "revenue")]
    assert (treasury.balance, treasury.held, treasury.available, treasury.version) == (-150, 0, -150, None)
    assert revenue.balance == 30
    assert type(revenue.balance) is type(revenue.available) is int


async def test_the_balance_of_an_unlocked_wallet_is_the_same_however_late_the_keeper_is(
    house: House, connection: asyncpg.Connection
) -> None:
    await post(house, *(topup(house.alice, amount) for amount in (1, 10, 100)))
    treasury = house.system["treasury"]
    balances = [(await balance_of(house, treasury)).balance]
    sums = await connection.fetch(
        "SELECT seq, sum(amount) OVER (ORDER BY seq) AS sum FROM system_deltas WHERE wallet_id = $1 ORDER BY seq",
        treasury,
    )
    for row in sums:
        await connection.execute(
            "INSERT INTO system_snapshots (upto_seq, created_at, shard, wallet_id, balance)"
            " VALUES ($1, now(), 0, $2, $3)",
            row["seq"],
            treasury,
            row["sum"],
        )
        balances.append((await balance_of(house, treasury)).balance)
    assert balances == [-111] * 4


async def test_system_balances_may_be_beyond_63_bits(house: House) -> None:
    await post(house, topup(house.alice, CAP), topup(house.bob, CAP))
    assert (await balance_of(house, house.system["treasury"])).balance == -2 * CAP


async def test_available_may_be_beyond_63_bits(house: House, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE wallets SET balance = $2, overdraft_limit = $2 WHERE id = $1", house.alice, CAP)
    assert (await balance_of(house, house.alice)).available == 2 * CAP


async def test_many_balances_are_one_answer_without_those_that_do_not_exist(house: House) -> None:
    await post(house, topup(house.alice, 100))
    found = await house.balances.balances([house.alice, house.bob, house.system["treasury"], uuid4()])
    assert {wallet_id: each.balance for wallet_id, each in found.items()} == {
        house.alice: 100,
        house.bob: 0,
        house.system["treasury"]: -100,
    }


async def test_as_of_is_not_before_what_is_in_the_balance(house: House) -> None:
    (applied,) = await post(house, topup(house.alice, 100))
    assert (await balance_of(house, house.alice)).as_of >= applied.posted.created_at


async def test_balances_are_read_again_after_the_session_was_ended(
    house: House, connection: asyncpg.Connection
) -> None:
    await balance_of(house, house.alice)
    await connection.execute(END_ALL_OTHERS)
    assert (await balance_of(house, house.alice)).balance == 0


async def test_balances_are_read_again_when_the_database_comes_back(
    house: House, connection: asyncpg.Connection, postgres: Server
) -> None:
    await balance_of(house, house.alice)
    async with database_away(connection, postgres):
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await balance_of(house, house.alice)
    assert (await balance_of(house, house.alice)).balance == 0


async def test_balances_use_the_key_of_wallets_although_they_were_first_asked_for_on_small_tables(
    house: House, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE wallets SET (autovacuum_enabled = off)")
    await connection.execute("ANALYZE wallets, assets")
    for _ in range(8):  # with the sixth, the server would settle on a plan that scans the few rows there are
        await balance_of(house, house.alice)
    await make_wallets(connection, "GOLD", 20_000)
    await house.balances.balances([house.alice])
    await house.balances.close()  # the session's counts are published when it ends, in its own time
    assert await scanned_when_published(connection) < 20_000


# Single things


async def test_what_does_not_exist_is_none(house: House) -> None:
    store = house.store
    assert await store.user(uuid4()) is None
    assert await store.wallet(uuid4()) is None
    assert await store.asset(99) is None
    assert await store.transaction(uuid4()) is None


async def test_a_wallet_knows_its_user_asset_and_kind(house: House) -> None:
    alice = await house.store.wallet(house.alice)
    assert alice is not None
    assert alice.user_id is not None
    user = await house.store.user(alice.user_id)
    assert user is not None
    assert (user.id, user.name) == (alice.user_id, "A")
    assert (alice.id, alice.kind, alice.asset_code) == (house.alice, WalletKind.USER, "GOLD")
    treasury = await house.store.wallet(house.system["treasury"])
    assert treasury is not None
    assert treasury.kind is WalletKind.TREASURY


async def test_a_transaction_is_as_it_was_first_answered(house: House) -> None:
    (applied,) = await post(house, topup(house.alice, 100))
    assert await house.store.transaction(applied.posted.id) == applied.posted


@pytest.mark.parametrize("max_supply", [None, 1_000], ids=["uncapped", "capped"])
async def test_an_asset_says_where_its_units_are(
    house: House, connection: asyncpg.Connection, max_supply: int | None
) -> None:
    tin = await make_asset(connection, "TIN", max_supply=max_supply)
    carl, dora = await make_wallets(connection, "TIN", 2)
    expire = Post(
        uuid4(),
        "service",
        "lot:1:expiry:1",
        b"\x01" + bytes(16),
        "expiry",
        (Leg(dora, Direction.DEBIT, 4), Leg(tin["breakage"], Direction.CREDIT, 4)),
    )
    await post(house, topup(carl, 100, "TIN"), transfer(carl, dora, 40, "TIN"), spend(carl, 25, "TIN"), expire)
    asset = (await house.store.assets(after=None, limit=9))[1]
    assert (asset.issued, asset.revenue, asset.breakage, asset.circulating) == (100, 25, 4, 71)
    assert (asset.code, asset.max_supply, asset.treasury_wallet_id) == ("TIN", max_supply, tin["treasury"])
    assert await house.store.asset(asset.id) == asset


async def test_sums_of_an_asset_are_exact_to_the_last_unit(house: House, connection: asyncpg.Connection) -> None:
    for seq, wallet, amount in ((10**9, "treasury", -(10**40) - 1), (10**9, "revenue", 1)):
        await connection.execute(
            "INSERT INTO system_deltas (seq, shard, wallet_id, amount) VALUES ($1, 0, $2, $3)",
            seq,
            house.system[wallet],
            amount,
        )
    (asset,) = await house.store.assets(after=None, limit=1)
    assert (asset.issued, asset.circulating) == (10**40 + 1, 10**40)


async def test_all_processes_share_the_key_of_cursors(house: House) -> None:
    key = await house.store.cursor_key()
    assert len(key) == 32
    assert await house.store.cursor_key() == key


async def test_another_shard_is_another_ledger(house: House, pool: asyncpg.Pool) -> None:
    (applied,) = await post(house, topup(house.alice, 100))
    alice = await house.store.wallet(house.alice)
    assert alice is not None
    assert alice.user_id is not None
    elsewhere = ReadStore(ShardPool(pool, seconds_max=30, shard=1))
    assert await elsewhere.wallet(house.alice) is None
    assert await elsewhere.user(alice.user_id) is None
    assert await elsewhere.transaction(applied.posted.id) is None
    assert not (await elsewhere.transactions(TransactionFilter(), limit=9)).rows
    assert not await elsewhere.entries(before=None, limit=9, skip=0)
    assert not await elsewhere.entries_of_wallet(house.alice, before=None, limit=9)


# Lists


async def test_wallets_of_a_user_go_on_after_the_last_one_seen(house: House) -> None:
    alice = await house.store.wallet(house.alice)
    assert alice is not None
    assert alice.user_id is not None
    seen = [each.id for each in await house.store.wallets_of_user(alice.user_id, after=None, limit=9)]
    assert seen == sorted([house.alice, house.bob])
    rest = await house.store.wallets_of_user(alice.user_id, after=seen[0], limit=9)
    assert [each.id for each in rest] == seen[1:]


async def test_assets_go_on_after_the_last_one_seen(house: House, connection: asyncpg.Connection) -> None:
    await make_asset(connection, "TIN")
    (first,) = await house.store.assets(after=None, limit=1)
    assert first.code == "GOLD"
    assert [each.code for each in await house.store.assets(after=first.id, limit=9)] == ["TIN"]


async def test_transactions_are_listed_newest_first_with_their_entries(house: House) -> None:
    applied = await post(house, *(topup(house.alice, amount) for amount in (1, 2, 3)))
    listed, _ = await house.store.transactions(TransactionFilter(), limit=9)
    assert listed == [each.posted for each in reversed(applied)]


async def test_transactions_go_on_by_key_and_by_offset_alike(house: House) -> None:
    applied = await post(house, *(topup(house.alice, amount) for amount in (1, 2, 3, 4)))
    by_key, _ = await house.store.transactions(TransactionFilter(), before=IdPlace(applied[3].posted.id), limit=2)
    by_offset, _ = await house.store.transactions(TransactionFilter(), limit=2, skip=1)
    assert by_key == by_offset == [applied[2].posted, applied[1].posted]


async def test_a_reference_is_found_in_every_origin_and_only_whole(house: House) -> None:
    named = [topup(house.alice, 1)._replace(reference_id="txn-1", origin=origin) for origin in ("api", "service")]
    applied = await post(house, *named, topup(house.alice, 1)._replace(reference_id="txn-10"))
    found, _ = await house.store.transactions(TransactionFilter(reference_id="txn-1"), limit=9)
    assert found == [applied[1].posted, applied[0].posted]


async def test_entries_are_listed_newest_transaction_first_in_order_of_leg(house: House) -> None:
    first, second = await post(house, topup(house.alice, 100), transfer(house.alice, house.bob, 30))
    listed = await house.store.entries(before=None, limit=9, skip=0)
    assert [(each.transaction_id, each.leg, each.wallet_id) for each in listed] == [
        (second.posted.id, 0, house.alice),
        (second.posted.id, 1, house.bob),
        (first.posted.id, 0, house.system["treasury"]),
        (first.posted.id, 1, house.alice),
    ]
    assert [(each.direction, each.amount, each.version, each.balance_after) for each in listed] == [
        (Direction.DEBIT, 30, 2, 70),
        (Direction.CREDIT, 30, 1, 30),
        (Direction.DEBIT, 100, None, None),
        (Direction.CREDIT, 100, 1, 100),
    ]


async def test_entries_go_on_inside_a_transaction_by_key_and_by_offset_alike(house: House) -> None:
    await post(house, *(topup(house.alice, amount) for amount in (1, 2, 3)))
    everything = await house.store.entries(before=None, limit=9, skip=0)
    for seen, last in enumerate(everything, start=1):
        by_key = await house.store.entries(before=LegPlace(last.transaction_id, last.leg), limit=9, skip=0)
        assert by_key == await house.store.entries(before=None, limit=9, skip=seen) == everything[seen:]


@pytest.mark.parametrize("kind", ["alice", "treasury"])
async def test_entries_of_a_wallet_are_listed_newest_first_and_go_on_by_position(house: House, kind: str) -> None:
    await commit_all(house.writer, [topup(house.alice, 1), topup(house.alice, 2)], [topup(house.alice, 3)])
    wallet_id = house.alice if kind == "alice" else house.system["treasury"]
    listed = await house.store.entries_of_wallet(wallet_id, before=None, limit=9)
    assert [each.amount for each in listed] == [3, 2, 1]
    rest = await house.store.entries_of_wallet(wallet_id, before=listed[0].position, limit=1)
    assert rest == listed[1:2]


async def test_a_decline_says_what_was_refused_and_why(house: House) -> None:
    refused = spend(house.alice, 30)
    for _ in range(2):
        await commit_all(house.writer, [refused])
    latest, earlier = await house.store.declines(refused.reference_id, before=None, limit=9)
    assert (latest.wallet_id, latest.origin, latest.type) == (house.alice, "api", "spend")
    assert (latest.code, latest.required, latest.available) == ("insufficient_funds", 30, 0)
    assert latest.created_at > earlier.created_at
    assert await house.store.declines(refused.reference_id, before=latest.id, limit=9) == [earlier]
    assert not await house.store.declines("another", before=None, limit=9)


# When the database does not answer


async def test_the_pool_reads_again_after_all_its_sessions_were_ended(
    house: House, connection: asyncpg.Connection, pool: asyncpg.Pool
) -> None:
    async with pool.acquire(), pool.acquire():
        pass  # both its connections are open now
    await connection.execute(END_ALL_OTHERS)
    assert await house.store.wallet(house.alice) is not None


async def test_the_pool_reads_again_when_the_database_comes_back(
    house: House, connection: asyncpg.Connection, postgres: Server
) -> None:
    await house.store.wallet(house.alice)
    async with database_away(connection, postgres):
        for _ in range(5):  # more often than the pool has connections
            with pytest.raises(StorageUnavailable):
                await house.store.wallet(house.alice)
    assert await house.store.wallet(house.alice) is not None


async def test_a_read_does_not_wait_for_a_connection_without_end(house: House, pool: asyncpg.Pool) -> None:
    hasty = ReadStore(ShardPool(pool, seconds_max=30, acquire_seconds_max=0.05))
    async with pool.acquire(), pool.acquire():
        with pytest.raises(StorageUnavailable):
            await hasty.wallet(house.alice)
    assert await hasty.wallet(house.alice) is not None


async def test_a_read_does_not_wait_for_an_answer_without_end(
    house: House, connection: asyncpg.Connection, pool: asyncpg.Pool
) -> None:
    hasty = ReadStore(ShardPool(pool, seconds_max=0.05))
    async with connection.transaction():
        await connection.execute("LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailable):
            await hasty.wallet(house.alice)
    assert await house.store.wallet(house.alice) is not None
