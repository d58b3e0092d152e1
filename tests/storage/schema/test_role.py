"""The rights of the service's role in the database: tried as that role, statement by statement."""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from wallet.errors import SettingsInvalid
from wallet.settings import SERVICE_ROLE, Settings
from wallet.storage.connections.database import Database
from wallet.storage.schema.migrate import migrate
from wallet.storage.schema.role import are_given
from wallet.storage.schema.setup import Missing, find_missing

CHANGEABLE = {
    "wallets": (
        "balance held version overdraft_limit max_balance last_entry_at next_due_at closed_at merged_into "
        "freeze_outgoing freeze_incoming lot_balance limit_day limit_month label metadata"
    ),
    "holds": "amount captured released expires_at wallet_id status slice_lots slice_amounts carries_lots",
    "lots": "remaining held expiries wallet_id",
    "refund_states": "refunded refunds",
    "assets": "draw_order on_refund_to_expired grace_seconds",
    "programmes": "ends_at",
    "programme_wallets": "anchor_at next_at ended_at next_period",
    "api_keys": "revoked_at last_used_at",
    "watermarks": "seq moved_at",
    "sandbox_clock": "advanced",
}
"""The columns that the service changes. Said here once more: a grant that is added must be added here, too."""

NOT_ADDED_TO = {"wallet_alembic_version", "role_grants", "sandbox_clock", "service_secrets", "watermarks"}
TAKEN_FROM = {"declines", "metadata_members"}

FORBIDDEN = [
    "ALTER TABLE transactions DISABLE TRIGGER ALL",
    "ALTER TABLE ledger_entries ENABLE REPLICA TRIGGER ledger_entries_append_only",
    "ALTER TABLE wallets ADD COLUMN more integer",
    "ALTER TABLE transactions OWNER TO CURRENT_USER",
    "DROP TABLE seals",
    "DROP TRIGGER ledger_entries_append_only ON ledger_entries",
    "DROP FUNCTION refuse_change() CASCADE",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE OR REPLACE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
    "CREATE TABLE more (id integer)",
    "CREATE RULE forget AS ON INSERT TO ledger_entries DO INSTEAD NOTHING",
    "CREATE TRIGGER more BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE SCHEMA more",
    "CREATE ROLE more",
    "SET session_replication_role = replica",
    "SELECT setval('batch_seq', 1)",
    "ALTER SEQUENCE batch_seq RESTART",
    "COPY transactions FROM '/dev/null'",
    "COPY transactions TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
    "LOCK TABLE transactions IN EXCLUSIVE MODE",
    "REINDEX TABLE transactions",
]


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session as the service opens its own."""
    connection = await Database(dsn=database_url, settings=Settings()).connect("test")
    try:
        yield connection
    finally:
        await connection.close()


async def tables_of(connection: asyncpg.Connection) -> dict[str, list[str]]:
    rows = await connection.fetch(
        """
        SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS columns
          FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
         GROUP BY c.relname
        """
    )
    return {row["relname"]: row["columns"] for row in rows}


async def refuses(connection: asyncpg.Connection, sql: str) -> bool:
    """Whether a statement is refused for want of the right, and not for anything else."""
    try:
        async with connection.transaction():
            await connection.execute(sql)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def test_the_session_has_taken_the_role_and_keeps_it(service: asyncpg.Connection) -> None:
    assert await service.fetchval("SELECT current_user") == SERVICE_ROLE
    await service.execute("RESET ALL")
    assert await service.fetchval("SELECT current_user") == SERVICE_ROLE


async def test_each_column_that_is_not_for_changing_is_not_changed(service: asyncpg.Connection) -> None:
    tables = await tables_of(service)
    assert CHANGEABLE.keys() <= tables.keys()
    allowed = {
        (table, column)
        for table, columns in tables.items()
        for column in columns
        if not await refuses(service, f'UPDATE {table} SET "{column}" = DEFAULT WHERE false')
    }
    assert allowed == {(table, column) for table, columns in CHANGEABLE.items() for column in columns.split()}


async def test_nothing_is_deleted_but_what_is_no_part_of_the_ledger(service: asyncpg.Connection) -> None:
    tables = await tables_of(service)
    for table in tables:
        assert await refuses(service, f"TRUNCATE {table} CASCADE"), table
        assert await refuses(service, f"DELETE FROM {table} WHERE false") == (table not in TAKEN_FROM), table


async def test_rows_are_added_only_where_the_service_adds_them(service: asyncpg.Connection) -> None:
    for table in await tables_of(service):
        sql = f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE false"
        refused = await refuses(service, sql)
        assert refused == (table in NOT_ADDED_TO), table


@pytest.mark.parametrize("sql", FORBIDDEN, ids=lambda sql: " ".join(sql.split()[:4]))
async def test_it_changes_nothing_about_the_database(service: asyncpg.Connection, sql: str) -> None:
    assert await refuses(service, sql)


async def test_the_owner_could_do_all_of_that(database_url: str) -> None:
    # So that a table or a statement that is misspelt cannot pass for one that is refused.
    owner = await asyncpg.connect(database_url)
    try:
        for sql in FORBIDDEN:
            if not sql.startswith(("COPY", "CREATE ROLE")):
                transaction = owner.transaction()
                await transaction.start()
                try:
                    await owner.execute(sql)
                finally:
                    await transaction.rollback()
    finally:
        await owner.close()


@pytest.fixture
def login() -> str:
    """The name of a login of the test's own: logins are the whole server's."""
    return f"wallet_test_login_{secrets.token_hex(4)}"


def as_login(dsn: str, login: str) -> str:
    return re.sub(r"^(\w+://)([^/@]*@)?", rf"\1{login}:secret@", dsn, count=1)


async def administer(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_login_that_owns_nothing_is_let_take_the_role_by_migrating(database_url: str, login: str) -> None:
    await administer(database_url, f"CREATE ROLE {login} LOGIN PASSWORD 'secret'")
    try:
        database = Database(dsn=as_login(database_url, login), settings=Settings())
        with pytest.raises(SettingsInvalid, match="wallet migrate"):
            await database.connect("test")
        assert await find_missing(database) is Missing.GRANTS
        assert await migrate(database_url, login=login) == []
        assert await find_missing(database) is None
        connection = await database.connect("test")
        try:
            assert await connection.fetchval("SELECT current_user") == SERVICE_ROLE
        finally:
            await connection.close()
    finally:
        await administer(database_url, f"DROP OWNED BY {login}", f"DROP ROLE {login}")


async def test_grants_that_were_taken_away_with_the_role_are_given_again(database_url: str) -> None:
    role = f"wallet_test_role_{secrets.token_hex(4)}"
    owner = await asyncpg.connect(database_url)
    try:
        await migrate(database_url, role=role)
        assert await are_given(owner, role)
        # As after a restore on another server: the note is there, the role is not.
        await administer(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        assert not await are_given(owner, role)
        await migrate(database_url, role=role)
        assert await are_given(owner, role)
    finally:
        await owner.close()
        await administer(database_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


LATER = "UPDATE wallet_alembic_version SET version_num = '9999_of_a_later_release'"
LATER_S_GRANTS = "UPDATE role_grants SET digest = sha256('of a later release')"


async def test_the_grants_of_a_later_release_are_left_alone_and_will_do(database_url: str) -> None:
    """A process of this release that starts, or migrates, beside one of the next must not take its rights away."""
    await administer(database_url, LATER, LATER_S_GRANTS, f"GRANT UPDATE (user_id) ON wallets TO {SERVICE_ROLE}")
    assert await find_missing(Database(dsn=database_url, settings=Settings())) is None
    assert await migrate(database_url) == []
    owner = await asyncpg.connect(database_url)
    try:
        assert await owner.fetchval(f"SELECT has_column_privilege('{SERVICE_ROLE}', 'wallets', 'user_id', 'UPDATE')")
    finally:
        await owner.close()


async def test_grants_that_are_missing_beside_a_later_schema_are_for_that_release_to_give(database_url: str) -> None:
    role = f"wallet_test_role_{secrets.token_hex(4)}"
    await administer(database_url, LATER)
    with pytest.raises(SettingsInvalid, match="run `wallet migrate` of that release"):
        await migrate(database_url, role=role)


async def test_a_migrating_login_that_may_not_make_roles_says_what_to_do(empty_database_url: str, login: str) -> None:
    role = f"wallet_test_role_{secrets.token_hex(4)}"
    await administer(
        empty_database_url,
        f"CREATE ROLE {login} LOGIN PASSWORD 'secret'",
        f"GRANT CREATE ON SCHEMA public TO {login}",
    )
    try:
        with pytest.raises(SettingsInvalid, match=f"CREATE ROLE {role}"):
            await migrate(as_login(empty_database_url, login), role=role)
        # Without a role it works with its own rights.
        assert await migrate(as_login(empty_database_url, login), role="") == []
        settings = replace(Settings(), database_role="")
        assert await find_missing(Database(dsn=as_login(empty_database_url, login), settings=settings)) is None
    finally:
        await administer(empty_database_url, f"DROP OWNED BY {login} CASCADE", f"DROP ROLE {login}")
