"""Migrating into databases as people have them: another application's, half our own, without a schema or a right."""

import re
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.storage.schema.test_migrations import current, every_revision, execute, tables
from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.storage.schema.migrate import migrate
from wallet.storage.schema.revision import EXPECTED_REVISION, is_later
from wallet.storage.schema.upgrade import MIGRATIONS, upgrade

SHARED = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('{}')"


def with_search_path(dsn: str, search_path: str) -> str:
    return f"{dsn}&search_path={search_path}" if "?" in dsn else f"{dsn}?search_path={search_path}"


# Another application's


@pytest.mark.parametrize("revision", ["d259a9bca9e7", "0001_initial", "0004_trust", "9999_later"])
async def test_another_applications_migrations_are_left_alone(empty_database_url: str, revision: str) -> None:
    await execute(empty_database_url, SHARED.format(revision))
    assert await migrate(empty_database_url) == every_revision()
    assert await current(empty_database_url)
    assert await migrate(empty_database_url) == []
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == revision
    await connection.close()


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("CREATE TABLE users (id integer)", "users"),
        ("CREATE VIEW lots AS SELECT 1 AS id", "lots"),
        ("CREATE SEQUENCE batch_seq", "batch_seq"),
        ("CREATE TABLE mine (id integer); CREATE INDEX seals_pk ON mine (id); CREATE TABLE seals ()", "seals"),
        ("CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'", "refuse_change"),
        ("CREATE TYPE holds AS ENUM ('a')", "holds"),
    ],
    ids=["table", "view", "sequence", "index", "function", "type"],
)
async def test_a_name_that_is_taken_is_said_before_anything_is_done(
    empty_database_url: str, made: str, name: str
) -> None:
    await execute(empty_database_url, SHARED.format("d259a9bca9e7"))
    await execute(empty_database_url, made)
    before = await tables(empty_database_url)
    with pytest.raises(SettingsInvalid, match=rf"another application's.*\({name}\).*of its own"):
        await migrate(empty_database_url)
    assert await tables(empty_database_url) == before


async def test_a_name_that_only_a_later_migration_needs_is_said_as_well(
    empty_database_url: str, before: asyncpg.Connection
) -> None:
    await before.execute("CREATE TABLE api_keys (id integer)")
    with pytest.raises(SettingsInvalid, match=r"\(api_keys\)"):
        await migrate(empty_database_url)
    assert await before.fetchval("SELECT version_num FROM wallet_alembic_version") == "0003_filters"


async def test_a_schema_of_its_own_beside_another_application_is_enough(empty_database_url: str) -> None:
    await execute(empty_database_url, "CREATE TABLE users (id integer); CREATE SCHEMA ledger")
    own = with_search_path(empty_database_url, "ledger,public")
    assert await migrate(own) == every_revision()
    assert await current(own)
    assert await tables(empty_database_url) == {"users"}


# Our own


@pytest.fixture
async def before(empty_database_url: str, tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database that has the migrations before 0004_trust."""
    late = (f"{each}.*" for each in every_revision() if each >= "0004")
    migrations = shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns(*late))
    await upgrade(await asyncpg.connect(empty_database_url), migrations=migrations)
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def test_a_ledger_whose_record_is_in_the_shared_table_goes_on_in_one_of_its_own(
    empty_database_url: str, before: asyncpg.Connection
) -> None:
    await before.execute("ALTER TABLE wallet_alembic_version RENAME TO alembic_version")
    await before.execute("ALTER INDEX wallet_alembic_version_pkc RENAME TO alembic_version_pkc")
    assert not await current(empty_database_url)
    assert await migrate(empty_database_url) == [each for each in every_revision() if each >= "0004"]
    assert await current(empty_database_url)
    assert await before.fetchval("SELECT version_num FROM alembic_version") == "0003_filters", (
        "processes of the release before look there whether they are ready"
    )


async def test_a_record_that_no_release_has_written_is_no_later_one(database_url: str) -> None:
    for revision in ("d259a9bca9e7", "0004_of_a_branch", "zzzz"):
        await execute(database_url, f"UPDATE wallet_alembic_version SET version_num = '{revision}'")
        assert not await current(database_url)
        with pytest.raises(SettingsInvalid, match=f"{revision}.*no migration of this release"):
            await migrate(database_url)


def test_later_is_what_has_a_higher_number() -> None:
    assert [is_later(each) for each in (EXPECTED_REVISION, "0004_trust", "9999_later", "9999", "d259a9bca9e7")] == [
        False, False, True, False, False,
    ]  # fmt: skip


async def test_a_ledger_in_another_schema_of_the_search_path_is_not_half_migrated(
    empty_database_url: str, before: asyncpg.Connection
) -> None:
    await before.execute("CREATE SCHEMA other")
    with pytest.raises(SettingsInvalid, match=r"in the schema 'public', and search_path begins with 'other'"):
        await migrate(with_search_path(empty_database_url, "other,public"))


# No place


@pytest.mark.parametrize("search_path", ["missing", '""', "pg_temp"])
async def test_without_a_schema_that_is_said(empty_database_url: str, search_path: str) -> None:
    with pytest.raises(SettingsInvalid, match="search_path names no schema"):
        await migrate(with_search_path(empty_database_url, search_path))


async def test_without_the_right_to_make_tables_that_is_said(empty_database_url: str) -> None:
    login = f"wallet_test_login_{secrets.token_hex(4)}"
    await execute(
        empty_database_url, f"CREATE ROLE {login} LOGIN PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )
    try:
        with pytest.raises(SettingsInvalid, match="may not make tables in the schema 'public'"):
            await migrate(re.sub(r"^(\w+://)([^/@]*@)?", rf"\1{login}:secret@", empty_database_url, count=1))
    finally:
        await execute(empty_database_url, f"DROP ROLE {login}")
    assert await tables(empty_database_url) == set()


async def test_without_the_right_to_change_tables_that_is_said(
    empty_database_url: str, before: asyncpg.Connection
) -> None:
    login = f"wallet_test_login_{secrets.token_hex(4)}"
    await before.execute(
        f"CREATE ROLE {login} LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO {login};"
        f" GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}"
    )
    try:
        with pytest.raises(SettingsInvalid, match="may not change the ledger's tables"):
            await migrate(re.sub(r"^(\w+://)([^/@]*@)?", rf"\1{login}:secret@", empty_database_url, count=1))
    finally:
        await before.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")


async def test_a_database_that_takes_no_writes_is_said_to_be_one(empty_database_url: str) -> None:
    name = re.search(r"/(wallet_test_\w+)", empty_database_url)[1]  # type: ignore[index]
    await execute(empty_database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StorageUnavailable, match=r"takes no writes \(25006\)"):
        await migrate(empty_database_url)
