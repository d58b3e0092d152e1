"""`wallet verify --chain` against a ledger with everything in it, made by real batches: each tampering is found and
named. docs/reliability.md counts them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.mixed_traffic import MixedTraffic
from tests.storage.posting import commit_all, make_wallets, topup, writer_of
from tests.storage.sealing import seal_all
from tests.storage.verify.tampering_chain import DERIVED, NAMED, ROWS, WHOLES, ChainTampering, tamperings_of_column
from tests.storage.verify.test_verify import make_ledger
from wallet.storage.chain.seal import Checkpoint, find_checkpoints
from wallet.storage.verify.chain import ChainReport, verify_chain_seen, verify_with_chain
from wallet.storage.verify.ledger import SESSION, Finding


class SealedLedger(NamedTuple):
    """A database with a ledger that nobody changes for good. columns: of each table name, type, and may it be null."""

    dsn: str
    columns: Mapping[str, Sequence[tuple[str, str, bool]]]


COLUMNS = """
SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns
 WHERE table_name = $1 ORDER BY ordinal_position
"""
CONSTRAINTS = "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype <> 'n'"


async def lay_open(connection: asyncpg.Connection) -> Mapping[str, Sequence[tuple[str, str, bool]]]:
    """Take away all that stands in an owner's way."""
    columns = {}
    for table in NAMED:
        columns[table] = [tuple(row) for row in await connection.fetch(COLUMNS, table)]
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        for (name,) in await connection.fetch(CONSTRAINTS, table):
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for column, *_ in columns[table]:
            await connection.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
    return columns


@pytest.fixture(scope="module")
def ledger(postgres: Server) -> Iterator[SealedLedger]:
    async def write() -> SealedLedger:
        connection = await asyncpg.connect(dsn)
        traffic = MixedTraffic(dsn, connection, seed=1)
        await traffic.begin()
        await traffic.run(80)
        # The others come without metadata.
        writer = writer_of(dsn)
        [wallet] = await make_wallets(connection, "GOLD", 1)
        await commit_all(writer, *([topup(wallet, 1), topup(wallet, 2)] for _ in range(4)))
        await writer.close()
        await seal_all(connection)
        columns = await lay_open(connection)
        await connection.close()
        return SealedLedger(dsn, columns)

    with postgres.database() as dsn:
        yield asyncio.run(write())


async def seen(
    connection: asyncpg.Connection, *, against: Sequence[Checkpoint] = (), transactions_max: int = 50
) -> ChainReport:
    return await verify_chain_seen(
        connection, against=against, on_progress=lambda progress: None, transactions_max=transactions_max
    )


async def rows_picked(connection: asyncpg.Connection, tampering: ChainTampering) -> Sequence[Any]:
    """A row in the middle of those that the tampering is for, and the next one."""
    of_these = f"FROM {tampering.table} WHERE {tampering.picked}"
    rows = await connection.fetch(
        f"SELECT ctid::text AS place, * {of_these} ORDER BY ctid LIMIT 2 OFFSET (SELECT count(*) / 2 {of_these})"
    )
    assert len(rows) == 2, f"too few rows for: {tampering.name}"
    return rows


async def findings_after(dsn: str, tampering: ChainTampering) -> tuple[Sequence[Finding], tuple[str, ...]]:
    """The finding after somebody has tampered, which is undone again; and how it should be named: of two rows as
    either of them.
    """
    connection = await asyncpg.connect(dsn, server_settings=dict(SESSION))
    try:
        await connection.execute("BEGIN")
        row, following = await rows_picked(connection, tampering)
        await connection.execute(tampering.sql.format(row=f"'{row['place']}'", next=f"'{following['place']}'"))
        changed = (row, following) if "{next}" in tampering.sql else (row,)
        return (await seen(connection)).findings, tuple(tampering.where.format(**each) for each in changed)
    finally:
        await connection.close()


# A ledger in order


@pytest.mark.parametrize("transactions_max", [1, 7, 10_000])
async def test_a_ledger_is_sound_whatever_the_size_of_the_ranges(ledger: SealedLedger, transactions_max: int) -> None:
    connection = await asyncpg.connect(ledger.dsn, server_settings=dict(SESSION))
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        report = await seen(connection, transactions_max=transactions_max)
    await connection.close()
    assert report.findings == ()
    assert report.batches == report.sealed > 50
    assert report.leaves > 200


async def test_a_chain_is_sound_on_each_version(each_database_url: str) -> None:
    connection = await asyncpg.connect(each_database_url)
    await make_ledger(each_database_url, connection)
    await seal_all(connection)
    await connection.close()
    report, chain = await verify_with_chain(each_database_url, on_progress=lambda progress: None)
    assert report.findings == ()
    assert (chain.batches, chain.sealed) == (5, 5)


async def test_an_empty_chain_is_sound(database_url: str) -> None:
    report, chain = await verify_with_chain(database_url, on_progress=lambda progress: None)
    assert report.is_sound
    assert (chain.batches, chain.sealed, chain.leaves) == (0, 0, 0)


async def test_what_is_not_sealed_yet_is_held_to_its_roots_all_the_same(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_ledger(database_url, connection)
    report, chain = await verify_with_chain(database_url, on_progress=lambda progress: None)
    assert report.is_sound
    assert (chain.batches, chain.sealed) == (5, 0)
    await connection.execute("ALTER TABLE transactions DISABLE TRIGGER ALL")
    await connection.execute("UPDATE transactions SET metadata = '{\"a\":1}' WHERE seq = 5")
    report, _ = await verify_with_chain(database_url, on_progress=lambda progress: None)
    assert [finding.check for finding in report.findings] == ["leaf_is_what_was_hashed"]


# Tampering


def is_named(findings: Sequence[Finding], places: Sequence[str]) -> bool:
    return any(where in finding.where for finding in findings for where in places)


@pytest.mark.parametrize("table", NAMED)
async def test_tampering_with_any_column_is_found_and_named(ledger: SealedLedger, table: str) -> None:
    tried = 0
    for column, type_, is_nullable in ledger.columns[table]:
        if (table, column) in DERIVED:
            continue
        for tampering in tamperings_of_column(table, column, type_, is_nullable=is_nullable):
            findings, places = await findings_after(ledger.dsn, tampering)
            assert is_named(findings, places), (tampering.name, places, findings)
            tried += 1
    print(f"{tried} tamperings with columns of {table}, all found and named")


async def test_tampering_with_what_is_derived_is_none_of_the_chain(ledger: SealedLedger) -> None:
    for table, column in DERIVED:
        type_ = next(type_ for name, type_, _ in ledger.columns[table] if name == column)
        [tampering, *_] = tamperings_of_column(table, column, type_, is_nullable=False)
        findings, _ = await findings_after(ledger.dsn, tampering)
        assert findings == ()


@pytest.mark.parametrize("tampering", [*ROWS, *WHOLES], ids=lambda each: each.name)
async def test_tampering_with_rows_is_found_and_named(ledger: SealedLedger, tampering: ChainTampering) -> None:
    findings, places = await findings_after(ledger.dsn, tampering)
    assert is_named([each for each in findings if each.check == tampering.check], places), (places, findings)


# Checkpoints


async def make_sealed(dsn: str, connection: asyncpg.Connection) -> Checkpoint:
    """A small ledger of five batches, and its checkpoint."""
    await make_ledger(dsn, connection)
    await seal_all(connection)
    await lay_open(connection)
    [checkpoint] = await find_checkpoints(connection)
    return checkpoint


async def findings_against(dsn: str, *checkpoints: Checkpoint) -> Sequence[tuple[str, str]]:
    report, _ = await verify_with_chain(dsn, against=checkpoints, on_progress=lambda progress: None)
    return [(finding.check, finding.where) for finding in report.findings]


FORGOTTEN = """
DELETE FROM ledger_entries WHERE transaction_id IN (SELECT id FROM transactions WHERE seq = 5);
DELETE FROM transactions WHERE seq = 5;
DELETE FROM batches WHERE seq = 5;
DELETE FROM system_deltas WHERE seq = 5;
UPDATE wallets SET balance = entry.balance_after, version = entry.position, last_entry_at = entry.created_at
  FROM ledger_entries AS entry
 WHERE entry.wallet_id = wallets.id AND wallets.locked AND NOT EXISTS (
        SELECT FROM ledger_entries AS later WHERE later.wallet_id = wallets.id AND later.position > entry.position);
"""


async def test_the_head_is_what_a_checkpoint_says(database_url: str, connection: asyncpg.Connection) -> None:
    checkpoint = await make_sealed(database_url, connection)
    assert (checkpoint.shard, checkpoint.height, checkpoint.seq) == (0, 5, 5)
    assert checkpoint.batch_id == await connection.fetchval("SELECT id FROM batches WHERE seq = 5")
    assert checkpoint.hash == (await connection.fetchval("SELECT hash FROM seals WHERE height = 5")).hex()


async def test_tampering_that_derived_states_do_not_show_is_found_by_the_chain(
    database_url: str, connection: asyncpg.Connection
) -> None:
    # The last batch is removed with all that it wrote, and balances are what they were before it.
    await make_sealed(database_url, connection)
    await connection.execute("ALTER TABLE wallets DISABLE TRIGGER ALL; ALTER TABLE system_deltas DISABLE TRIGGER ALL")
    await connection.execute(FORGOTTEN)
    assert await findings_against(database_url) == [("link_has_its_batch", "batches (shard 0, seq 5)")]


async def test_tampering_with_the_end_of_the_chain_is_found_by_a_checkpoint_alone(
    database_url: str, connection: asyncpg.Connection
) -> None:
    checkpoint = await make_sealed(database_url, connection)
    await connection.execute("ALTER TABLE wallets DISABLE TRIGGER ALL; ALTER TABLE system_deltas DISABLE TRIGGER ALL")
    await connection.execute(FORGOTTEN + "DELETE FROM seals WHERE seq = 5")
    assert await findings_against(database_url) == []
    assert await findings_against(database_url, checkpoint) == [
        ("history_fits_its_checkpoint", "seals (shard 0, height 5)")
    ]


async def test_tampering_followed_by_a_new_chain_is_found_by_the_first_checkpoint_after_it(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_ledger(database_url, connection)
    await seal_all(connection)
    seals = await connection.fetch("SELECT s.*, b.id FROM seals AS s JOIN batches AS b USING (shard, seq)")
    checkpoints = [
        Checkpoint(
            shard=0, height=seal["height"], seq=seal["seq"], batch_id=seal["id"], hash=seal["hash"].hex(),
            made_at=datetime.now(UTC),
        )
        for seal in seals
    ]  # fmt: skip
    assert await findings_against(database_url, *checkpoints) == []
    await lay_open(connection)
    await connection.execute("""UPDATE transactions SET metadata = '{"a":1}' WHERE seq = 3""")
    await connection.execute("UPDATE batches SET root = NULL, marks = NULL WHERE seq = 3; DELETE FROM seals")
    await seal_all(connection)
    assert await findings_against(database_url) == []
    assert await findings_against(database_url, *checkpoints) == [
        ("history_fits_its_checkpoint", "seals (shard 0, height 3)")
    ]


@pytest.mark.parametrize(
    "changes",
    [{"seq": 4}, {"batch_id": None}, {"hash": "00" * 32}, {"height": 6}, {"shard": 1}],
    ids=lambda each: next(iter(each)),
)
async def test_a_checkpoint_of_another_history_does_not_fit(
    database_url: str, connection: asyncpg.Connection, changes: dict[str, Any]
) -> None:
    checkpoint = replace(await make_sealed(database_url, connection), **changes)
    [(check, where)] = await findings_against(database_url, checkpoint)
    assert check == "history_fits_its_checkpoint"
    assert where == f"seals (shard {checkpoint.shard}, height {checkpoint.height})"


# Values that cannot be read


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE transactions SET created_at = '20000-01-01Z' WHERE seq = 3",
        "UPDATE ledger_entries SET amount = NULL FROM transactions AS t WHERE t.id = transaction_id AND t.seq = 3",
        "UPDATE transactions SET type = NULL WHERE seq = 3",
    ],
)
async def test_tampering_that_makes_rows_unreadable_is_narrowed_down_to_their_batch(
    database_url: str, connection: asyncpg.Connection, sql: str
) -> None:
    await make_sealed(database_url, connection)
    await connection.execute(sql)
    seeing = await asyncpg.connect(database_url, server_settings=dict(SESSION))
    async with seeing.transaction(isolation="repeatable_read", readonly=True):
        findings = (await seen(seeing)).findings
    await seeing.close()
    assert [(each.check, each.where) for each in findings] == [("leaves_can_be_read", "batches (shard 0, seq 3)")]
