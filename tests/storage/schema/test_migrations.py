"""The migrations as an operator meets them: on an empty database, twice, at once, and when things break."""

import asyncio
import shutil
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from tests.postgres import postgres_bindirs
from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.settings import SERVICE_ROLE
from wallet.storage.schema.migrate import ADVISORY_LOCK_KEY, migrate
from wallet.storage.schema.revision import EXPECTED_REVISION, is_current
from wallet.storage.schema.upgrade import MIGRATIONS, alembic_config, revision_beside, upgrade

SCHEMA = MIGRATIONS.parent / "schema.sql"


async def current(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return await is_current(connection)
    finally:
        await connection.close()


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {
            row["tablename"] for row in await connection.fetch("SELECT * FROM pg_tables WHERE schemaname = 'public'")
        }
    finally:
        await connection.close()


def every_revision() -> list[str]:
    return sorted(each.stem for each in (MIGRATIONS / "versions").glob("*.sql"))


async def run_python(program: str, argument: str) -> str:
    """The output of `program`, run in an interpreter of its own."""
    command = [sys.executable, "-c", program, argument]
    # In a thread, which the loop waits for at its end: no process outlives the test, whatever fails.
    process = await asyncio.to_thread(
        subprocess.run, command, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    return process.stdout.strip()


def dumped_schema(dsn: str) -> list[str]:
    """The schema by pg_dump, without comments, blank lines, its random restrict keys, and the grants of the service's
    role, which are not the schema's (tests/storage/schema/test_role.py).
    """
    pg_dump = postgres_bindirs()[max(postgres_bindirs())] / "pg_dump"
    command = [pg_dump, "--schema-only", "--no-owner", "--exclude-table=wallet_alembic_version", "--dbname", dsn]
    dump = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    lines = [line for line in dump.splitlines() if line and not line.startswith(("--", "\\"))]
    return [line for line in lines if not line.endswith(f" TO {SERVICE_ROLE};")]


# The files


def test_expected_revision_is_the_head_of_the_migrations() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == EXPECTED_REVISION


def test_every_revision_has_its_sql_beside_the_same_few_lines() -> None:
    stubs = sorted((MIGRATIONS / "versions").glob("*.py"))
    assert [each.stem for each in stubs] == every_revision()
    assert len({each.read_text() for each in stubs}) == 1


def test_revisions_follow_each_other_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("0003_c", "0001_a", "0002_b"):
        (tmp_path / f"{name}.sql").touch()
    chain = [revision_beside(str(tmp_path / f"{name}.py"))[:2] for name in ("0001_a", "0002_b", "0003_c")]
    assert chain == [("0001_a", None), ("0002_b", "0001_a"), ("0003_c", "0002_b")]


def test_going_back_is_refused_with_a_reason() -> None:
    head = ScriptDirectory.from_config(alembic_config()).get_revision(EXPECTED_REVISION)
    with pytest.raises(NotImplementedError, match="forward only"):
        head.module.downgrade()


# The schema that they make


@pytest.mark.skipif(not postgres_bindirs(), reason="no pg_dump at hand")
async def test_the_schema_file_is_the_sum_of_the_migrations(database_url: str, empty_database_url: str) -> None:
    await execute(empty_database_url, SCHEMA.read_text())
    migrated = dumped_schema(database_url)
    assert "CREATE TABLE public.wallets (" in migrated
    assert dumped_schema(empty_database_url) == migrated


async def test_an_empty_database_is_migrated_on_each_version(each_empty_database_url: str) -> None:
    assert not await current(each_empty_database_url)
    assert await migrate(each_empty_database_url) == every_revision()
    assert await current(each_empty_database_url)


async def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    assert await migrate(empty_database_url)
    assert await migrate(empty_database_url) == []


async def test_of_several_starts_at_once_one_migrates_and_all_succeed(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys; from wallet.storage.schema.migrate import migrate; "
        "print(asyncio.run(migrate(sys.argv[1])))"
    )
    answers = await asyncio.gather(*(run_python(program, empty_database_url) for _ in range(3)))
    assert sorted(answers, key=len) == ["[]", "[]", str(every_revision())]


async def test_a_newer_schema_is_left_alone_and_counts_as_current(database_url: str) -> None:
    await execute(database_url, "UPDATE wallet_alembic_version SET version_num = '9999_of_a_later_release'")
    assert await migrate(database_url) == []
    assert await current(database_url)


async def test_a_start_with_nothing_to_apply_imports_no_migration_library(database_url: str) -> None:
    program = (
        "import asyncio, sys; from wallet.storage.schema.migrate import migrate\n"
        "assert asyncio.run(migrate(sys.argv[1])) == []\n"
        "print(sorted({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    )
    assert await run_python(program, database_url) == "[]"


# When things break


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str) -> None:
    await execute(empty_database_url, "CREATE TABLE wallets ()")
    # As if somebody had made it since it was looked whether the name is free.
    with pytest.raises(asyncpg.DuplicateTableError):
        await upgrade(await asyncpg.connect(empty_database_url))
    assert await tables(empty_database_url) == {"wallets"}
    await execute(empty_database_url, "DROP TABLE wallets")
    assert await migrate(empty_database_url)


async def test_the_migrations_before_one_that_fails_stay(empty_database_url: str, tmp_path: Path) -> None:
    migrations = shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("0*"))
    stub = next((MIGRATIONS / "versions").glob("*.py"))
    for name, sql in (
        ("0001_good", "CREATE TABLE one (); CREATE TABLE two ();"),
        ("0002_good", "ALTER TABLE two RENAME TO three;"),
        ("0003_bad", "CREATE TABLE four (); CREATE TABLE one ();"),
    ):
        (migrations / "versions" / f"{name}.sql").write_text(sql)
        shutil.copy(stub, migrations / "versions" / f"{name}.py")
    with pytest.raises(asyncpg.DuplicateTableError):
        await upgrade(await asyncpg.connect(empty_database_url), migrations=migrations)
    assert await tables(empty_database_url) == {"wallet_alembic_version", "one", "three"}
    (migrations / "versions" / "0003_bad.sql").write_text("CREATE TABLE four ();")
    assert await upgrade(await asyncpg.connect(empty_database_url), migrations=migrations) == ["0003_bad"]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        dsn = f"postgresql://somebody:hush@127.0.0.1:{reserved.getsockname()[1]}/wallet"
        with pytest.raises(StorageUnavailable) as raised:
            await migrate(dsn)
    assert str(raised.value) == "the database cannot be reached"


async def test_a_database_that_does_not_exist_is_a_setting_to_change(database_url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"3D000.*WALLET_MIGRATION_DATABASE_URL"):
        await migrate(database_url.replace("/wallet_test_", "/wallet_test_no_"), named="WALLET_MIGRATION_DATABASE_URL")


async def test_a_session_ended_while_migrating_is_unavailable_and_the_next_start_succeeds(
    empty_database_url: str,
) -> None:
    blocker = await asyncpg.connect(empty_database_url)
    await blocker.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK_KEY)
    start = asyncio.create_task(migrate(empty_database_url))
    while not await blocker.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
        " WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ):
        assert not start.done()
        await asyncio.sleep(0.01)
    with pytest.raises(StorageUnavailable):
        await start
    await blocker.close()
    assert await migrate(empty_database_url)


@pytest.mark.parametrize("dsn", ["mysql://a:zyxw@localhost/wallet", "postgresql://a:zyxw/b@localhost/"])
async def test_a_url_that_is_none_is_a_setting_to_change_and_is_not_repeated(dsn: str) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        await migrate(dsn)
    assert "zyxw" not in "".join(traceback.format_exception(raised.value))
