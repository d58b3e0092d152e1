"""Migrating a ledger that has data while it is used: nobody is kept from finishing, and indexes may be there before."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import postgres_bindirs
from tests.storage.schema.test_migrations import dumped_schema, every_revision
from wallet.errors import StorageUnavailable
from wallet.storage.schema.migrate import migrate
from wallet.storage.schema.upgrade import MIGRATIONS, upgrade

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"

SINCE = every_revision()[every_revision().index("0004_trust") :]


@pytest.fixture
async def before(empty_database_url: str, tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database that has the migrations before 0004_trust, which builds indexes."""
    without = shutil.ignore_patterns(*(f"{each}.*" for each in SINCE))
    migrations = shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=without)
    await upgrade(await asyncpg.connect(empty_database_url), migrations=migrations)
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def until_it_waits(connection: asyncpg.Connection, migration: asyncio.Task[list[str]]) -> None:
    """Return when the migration waits for a table."""
    while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"):
        assert not migration.done()
        await asyncio.sleep(0.01)


async def test_a_batch_under_way_is_finished_before_anything_it_needs_is_locked(
    before: asyncpg.Connection, empty_database_url: str
) -> None:
    batch = before.transaction()
    await batch.start()
    await before.execute("SELECT FROM wallets FOR NO KEY UPDATE")
    await before.execute("SELECT FROM lots")
    migration = asyncio.create_task(migrate(empty_database_url))
    await until_it_waits(before, migration)
    # The rows of a batch with lots, holds and events. To wait here would be to wait for who waits for this.
    await before.execute("SET LOCAL lock_timeout = 1")
    for table in ("batches", "transactions", "hold_steps", "lots", "wallet_events"):
        await before.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
    await batch.commit()
    assert await migration == SINCE


async def test_a_reader_that_it_waits_for_in_a_circle_is_a_reason_to_start_again(
    before: asyncpg.Connection, empty_database_url: str
) -> None:
    report = before.transaction()
    await report.start()
    await before.execute("SET LOCAL deadlock_timeout = '1min'")
    await before.execute("SELECT FROM batches")
    migration = asyncio.create_task(migrate(empty_database_url))
    await until_it_waits(before, migration)
    await before.execute("SELECT FROM lots")
    with pytest.raises(StorageUnavailable, match="start again"):
        await migration
    await report.rollback()
    assert await migrate(empty_database_url) == SINCE


@pytest.mark.skipif(not postgres_bindirs(), reason="no pg_dump at hand")
async def test_the_indexes_that_operations_names_may_be_built_before(
    before: asyncpg.Connection, empty_database_url: str, database_url: str
) -> None:
    statements = re.findall(r"^CREATE INDEX CONCURRENTLY [^;]+;", OPERATIONS.read_text(), re.MULTILINE)
    assert len(statements) == 4
    for statement in statements:
        await before.execute(statement)
    assert await migrate(empty_database_url) == SINCE
    # One that has another name than the migration looks for would be there besides.
    assert dumped_schema(empty_database_url) == dumped_schema(database_url)
