"""Sequences that are behind their tables, as a logical copy leaves them: found, moved forward, and never written by."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg
import pytest

from tests.storage.ledgers import assert_books_balance, soon, until_waiting
from tests.storage.posting import commit_all, database_of, make_asset, make_wallets, spend, topup, transfer, writer_of
from tests.storage.sealing import make_all_stable, seal_all
from tests.storage.upkeep.test_keeping import slow_batch
from wallet.errors import StorageUnavailable
from wallet.ledger.outcomes import Applied, Refused
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.database import SequenceBehind
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.registry.resources import Resources
from wallet.storage.schema.made import TABLES
from wallet.storage.schema.migrate import move_sequences
from wallet.storage.schema.sequences import LOOKS, find_behind, move_forward
from wallet.storage.schema.setup import sequences_behind
from wallet.storage.upkeep.snapshots import append_snapshots
from wallet.storage.upkeep.watermark import read_progress
from wallet.storage.verify.ledger import verify

SEQUENCES = {"assets_id_seq": "assets.id", "batch_seq": "batches.seq", "declines_id_seq": "declines.id"}


@pytest.fixture
async def wallets(connection: asyncpg.Connection, database_url: str) -> Sequence[UUID]:
    """Three wallets of a ledger with a few batches, declines and snapshots; every batch is stable and sealed."""
    await make_asset(connection, "GOLD")
    made = await make_wallets(connection, "GOLD", 3)
    writer = writer_of(database_url)
    await commit_all(writer, [topup(made[0], 100)], [topup(made[1], 50)], [spend(made[0], 10**9)])
    # A number that no batch has: of one that was rolled back, or what a failover leaves out.
    await connection.execute("SELECT nextval('batch_seq')")
    await commit_all(writer, [transfer(made[0], made[1], 30)])
    await writer.close()
    await make_all_stable(connection)
    await append_snapshots(Shard(connection), deltas_min=1)
    await seal_all(connection)
    return made


@pytest.fixture
async def writer(wallets: Sequence[UUID], database_url: str) -> AsyncIterator[BatchWriter]:
    writer = writer_of(database_url)
    yield writer
    await writer.close()


async def set_back(connection: asyncpg.Connection, name: str, to: int = 1) -> None:
    await connection.execute("SELECT setval($1::text::regclass, $2, false)", name, to)


async def names_behind(connection: asyncpg.Connection) -> list[str]:
    return [each.name for each in await find_behind(connection)]


async def a_gap(connection: asyncpg.Connection) -> int:
    """A seq that no batch has, with batches below and above it."""
    gap: int = await connection.fetchval(
        "SELECT min(seq) + 1 FROM batches AS b WHERE NOT EXISTS (SELECT FROM batches WHERE seq = b.seq + 1)"
    )
    assert gap < await connection.fetchval("SELECT max(seq) FROM batches")
    return gap


# Found


async def test_every_sequence_of_the_schema_is_known_by_the_column_that_it_numbers(
    connection: asyncpg.Connection,
) -> None:
    every = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'S' AND relname !~ '^pg_'")
    known = await connection.fetch(load_statements("schema/sequences.sql")["find_sequences"], TABLES)
    assert {row["sequence_name"]: row["place"] for row in known} == SEQUENCES
    assert {row["relname"] for row in every} == SEQUENCES.keys()


async def test_none_is_behind_in_a_ledger_that_is_used(connection: asyncpg.Connection, wallets: Sequence[UUID]) -> None:
    assert await find_behind(connection) == ()


@pytest.mark.parametrize("name", SEQUENCES)
async def test_each_is_found_by_the_services_role_and_named(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str, name: str
) -> None:
    await set_back(connection, name)
    (behind,) = await sequences_behind(database_of(database_url))
    assert str(behind).startswith(f"the sequence {name} is behind its table: it gives 1 next, and {SEQUENCES[name]} is")


@pytest.mark.parametrize("to", [10**6, 2**62])
async def test_one_that_is_far_ahead_is_in_order(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter, to: int
) -> None:
    # After each failover it is up to 32 ahead.
    await set_back(connection, "batch_seq", to)
    assert await find_behind(connection) == ()
    if to < 2**43:  # what fits into the position of an unlocked wallet's entry
        await commit_all(writer, [topup(wallets[0], 1)])
        assert await connection.fetchval("SELECT max(seq) FROM batches") == to


async def test_the_watermark_counts_where_a_batch_was_rolled_back(
    connection: asyncpg.Connection, wallets: Sequence[UUID]
) -> None:
    await connection.execute("SELECT nextval('batch_seq')")
    await make_all_stable(connection)
    last = (await read_progress(Shard(connection))).watermark_seq
    await set_back(connection, "batch_seq", last)
    assert await names_behind(connection) == ["batch_seq"], "no batch has this seq, and a snapshot may"
    await set_back(connection, "batch_seq", last + 1)
    assert await names_behind(connection) == []


async def test_a_look_is_a_step_to_the_end_of_an_index(connection: asyncpg.Connection, wallets: Sequence[UUID]) -> None:
    await connection.execute("SET enable_seqscan = off")
    sql = load_statements("schema/sequences.sql")
    for found in await connection.fetch(sql["find_sequences"], TABLES):
        look = LOOKS.get(found["sequence_name"], sql["look_at"]).format(**found)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {look}"))
        whole = set(re.findall(r"Seq Scan on (\w+)", plan)) - {found["sequence_name"], "watermarks"}  # a row per shard
        assert not whole, plan
        assert "Limit" in plan


async def test_verify_names_it(connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str) -> None:
    assert (await verify(database_url, on_progress=lambda seen: None)).is_sound
    await set_back(connection, "declines_id_seq")
    (finding,) = (await verify(database_url, on_progress=lambda seen: None)).findings
    assert (finding.check, finding.where, finding.found) == (
        "sequence_is_not_behind_its_table",
        "declines_id_seq (of declines.id)",
        "1",
    )


# Moved forward


async def test_each_is_moved_to_the_last_number_that_is_taken(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    for name in SEQUENCES:
        await set_back(connection, name)
    moved = await move_sequences(database_url)
    assert [each.name for each in moved] == sorted(SEQUENCES)
    assert await find_behind(connection) == ()
    for each in moved:
        assert await connection.fetchval("SELECT nextval($1::text::regclass)", each.name) == each.last_number + 1


async def test_what_is_not_behind_stays_where_it_is(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    await set_back(connection, "batch_seq", 10**6)
    await set_back(connection, "declines_id_seq")
    assert [each.name for each in await move_sequences(database_url)] == ["declines_id_seq"]
    assert await connection.fetchval("SELECT nextval('batch_seq')") == 10**6


async def test_nobody_takes_a_number_while_it_is_moved(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    async with slow_batch(database_url) as batch:
        await set_back(connection, "batch_seq")
        await batch.execute("SELECT FROM wallets FOR NO KEY UPDATE")
        moving = asyncio.create_task(move_sequences(database_url))
        await until_waiting(connection, "Lock")
        await batch.execute("COMMIT")
        assert [each.name for each in await soon(moving)] == ["batch_seq"]


async def test_who_does_not_own_a_sequence_moves_none(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    await set_back(connection, "batch_seq")
    service = await database_of(database_url).connect("test")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await move_forward(service)
    finally:
        await service.close()


# Never written by


async def test_a_free_seq_below_the_watermark_is_never_used(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter, database_url: str
) -> None:
    # A snapshot up to the watermark would hide what this batch did to the treasury, for ever.
    await set_back(connection, "batch_seq", await a_gap(connection))
    with pytest.raises(SequenceBehind, match=r"batch_seq.*wallet migrate"):
        await writer.commit([topup(wallets[0], 5_000)])
    assert await connection.fetchval("SELECT balance FROM wallets WHERE id = $1", wallets[0]) == 70
    await move_sequences(database_url)
    assert isinstance((await writer.commit([topup(wallets[0], 5_000)]))[0], Applied)
    await make_all_stable(connection)
    await seal_all(connection)
    assert (await verify(database_url, on_progress=lambda seen: None)).is_sound
    await assert_books_balance(connection)


async def test_a_free_seq_between_the_watermark_and_the_last_batch_is_never_used(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter
) -> None:
    # Along seq each wallet's versions rise.
    await connection.execute("SELECT nextval('batch_seq')")
    gap = (await read_progress(Shard(connection))).last_seq
    await commit_all(writer, [topup(wallets[0], 1)])
    assert (await read_progress(Shard(connection))).watermark_seq < gap
    await set_back(connection, "batch_seq", gap)
    with pytest.raises(SequenceBehind):
        await writer.commit([topup(wallets[0], 1)])


@pytest.mark.parametrize("items", [1, 300], ids=["one", "copied"])
async def test_a_seq_that_is_taken_is_no_end_of_the_writer(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter, database_url: str, items: int
) -> None:
    await set_back(connection, "batch_seq")
    with pytest.raises(SequenceBehind):
        await writer.commit([topup(wallets[0], 1) for _ in range(items)])
    await move_sequences(database_url)
    assert all(isinstance(each, Applied) for each in await writer.commit([topup(wallets[0], 1) for _ in range(items)]))


async def test_one_try_takes_one_number(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter
) -> None:
    await set_back(connection, "batch_seq")
    for expected in (2, 3):
        with pytest.raises(SequenceBehind):
            await writer.commit([topup(wallets[0], 1)])
        assert await connection.fetchval("SELECT last_value + 1 FROM batch_seq") == expected


async def test_a_seq_that_another_is_writing_is_no_end_of_the_writer(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter, database_url: str
) -> None:
    async with slow_batch(database_url) as batch:
        await set_back(connection, "batch_seq", (await read_progress(Shard(connection))).last_seq)
        committing = asyncio.create_task(writer.commit([topup(wallets[0], 1)]))
        await until_waiting(connection, "Lock")
        await batch.execute("COMMIT")
        with pytest.raises(SequenceBehind, match="batch_seq"):
            await soon(committing)


async def test_the_number_of_a_decline_that_is_taken_is_no_end_of_the_writer(
    connection: asyncpg.Connection, wallets: Sequence[UUID], writer: BatchWriter, database_url: str
) -> None:
    await set_back(connection, "declines_id_seq")
    with pytest.raises(SequenceBehind, match="declines_id_seq"):
        await writer.commit([topup(wallets[0], 1), spend(wallets[0], 10**9)])
    assert isinstance((await writer.commit([topup(wallets[0], 1)]))[0], Applied)
    await move_sequences(database_url)
    assert isinstance((await writer.commit([spend(wallets[0], 10**9)]))[0], Refused)


async def test_an_asset_gets_an_id_above_all_others(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    await set_back(connection, "assets_id_seq")
    async with await database_of(database_url).pool("test", connections_max=1) as pool:
        resources = Resources(ShardPool(pool, seconds_max=30))
        made = [(await resources.create_asset(code=code)).resource.id for code in ("GEMS", "COAL")]
    assert made == [2, 3]
    assert await find_behind(connection) == ()


# Read-only


async def test_a_database_that_is_set_to_read_only_is_not_written_to(
    connection: asyncpg.Connection, wallets: Sequence[UUID], database_url: str
) -> None:
    # A provider sets it when the disk is full.
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = writer_of(database_url)
    try:
        with pytest.raises(StorageUnavailable, match="takes no writes"):
            await writer.commit([topup(wallets[0], 1)])
    finally:
        await writer.close()
