"""Brings a database to the schema that this code needs: the lock around the migrations, their time-outs and their
errors.

The migrations are in schema/migrations/versions; `upgrade` has Alembic apply them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.settings import SERVICE_ROLE
from wallet.storage.connections.database import CONNECTION_LOST
from wallet.storage.connections.opening import open_connection
from wallet.storage.connections.session import configure
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.connections.sqlstates import words_of
from wallet.storage.schema.place import ensure_may_migrate
from wallet.storage.schema.revision import is_current
from wallet.storage.schema.role import are_given, give, login_of_session
from wallet.storage.schema.sequences import Behind, find_behind, move_forward

_LOCK_MIGRATIONS: Final = load_statements("schema/migrate.sql")["lock_migrations"]

# One number for all versions of this service: the session that has this lock migrates the database.
ADVISORY_LOCK_KEY: Final = 0x77616C6C6574  # "wallet"

_SESSION: Final = {
    "application_name": "wallet migrate",
    # The wait for another start that migrates. A migration itself sets a far shorter time-out.
    "lock_timeout": "300000",
    # The role may have a limit for its queries, but an index on a full table takes longer.
    "statement_timeout": "0",
}

# Errors that may pass by themselves. Any other error is a fault in the migration, and is raised as it is.
_UNAVAILABLE: Final = (
    *CONNECTION_LOST,
    asyncpg.OperatorInterventionError,  # starting, stopping, or this session was ended
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.ReadOnlySQLTransactionError,  # since the check
)

_AS_OWNER: Final = "it must own them (WALLET_MIGRATION_DATABASE_URL names another login)"

_NAME_TAKEN: Final = (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError, asyncpg.DuplicateFunctionError)


async def migrate(
    dsn: str,
    *,
    role: str = SERVICE_ROLE,
    login: str | None = None,
    connect_seconds_max: float = 3.0,
    named: str = "DATABASE_URL",
) -> list[str]:
    """Apply the missing migrations, and answer their names in order.

    Then the service's role gets its grants, if it does not have those of this release (role). `role`: empty for none.
    `login`: a login that may take the role, besides that of `dsn`. `named`: the name of the setting that has `dsn`, for
    messages.

    Safe to call from several processes at once: one migrates, the others wait for it and find nothing to do.
    Each migration is one database transaction, so after a failure those before it are applied and it is not.

    Raises StorageUnavailable (try again later) if the database cannot be reached, takes no writes, or a lock is not
    free in time. Raises SettingsInvalid if the database does not admit the login of `dsn`, is no place for a ledger
    (place, connections.session), or the login may not make the role or grant to it. Neither error repeats any text of
    the driver or `dsn`.
    """
    connection = await _connect(dsn, named, connect_seconds_max)
    applied = await _migrate_schema(connection, connect_seconds_max)
    if role:
        connection = await _connect(dsn, named, connect_seconds_max)
        await _give_grants(connection, role, login, connect_seconds_max)
    return applied


async def _migrate_schema(connection: asyncpg.Connection, connect_seconds_max: float) -> list[str]:
    with _driver_errors_as_ours():
        try:
            if await is_current(connection):
                return []
            # The session that migrates has the lock: if the lock is lost, so is the migration.
            await connection.execute(_LOCK_MIGRATIONS, ADVISORY_LOCK_KEY)
            if await is_current(connection):
                return []
            await ensure_may_migrate(connection)
            # Imported here because Alembic takes half a second, and nearly every start has nothing to apply.
            from wallet.storage.schema.upgrade import upgrade

            return await upgrade(connection)
        except _NAME_TAKEN as error:  # since the check
            raise SettingsInvalid("something of another application's has a name that the ledger needs") from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise SettingsInvalid(f"the migrating login may not change the ledger's tables: {_AS_OWNER}") from error
        finally:
            await connection.close(timeout=connect_seconds_max)


async def move_sequences(
    dsn: str, *, connect_seconds_max: float = 3.0, named: str = "DATABASE_URL"
) -> tuple[Behind, ...]:
    """Move each sequence forward that is behind its table, and answer them as they were.

    For a database whose schema is current. Raises as migrate does.
    """
    connection = await _connect(dsn, named, connect_seconds_max)
    with _driver_errors_as_ours():
        try:
            if not await find_behind(connection):
                return ()
            await connection.execute(_LOCK_MIGRATIONS, ADVISORY_LOCK_KEY)
            return await move_forward(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise SettingsInvalid(f"the migrating login may not move the ledger's sequences: {_AS_OWNER}") from error
        finally:
            await connection.close(timeout=connect_seconds_max)


async def _give_grants(
    connection: asyncpg.Connection, role: str, login: str | None, connect_seconds_max: float
) -> None:
    with _driver_errors_as_ours():
        try:
            if await are_given(connection, role, login) and await are_given(connection, role):
                return
            await connection.execute(_LOCK_MIGRATIONS, ADVISORY_LOCK_KEY)
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(asyncpg.InternalServerError),
                stop=stop_after_attempt(5),
                wait=wait_random(max=0.2),
                reraise=True,
            ):
                with attempt:
                    # Roles belong to the whole server, so a migration of another database may work on this one.
                    own = await login_of_session(connection)
                    await give(connection, role, {own, login or own})
        except asyncpg.InsufficientPrivilegeError as error:
            raise SettingsInvalid(
                f"the migrating login may not make the role {role!r}, or give it grants: let an administrator run "
                f"CREATE ROLE {role}; GRANT {role} TO that login WITH ADMIN OPTION; or name another role by "
                "WALLET_DATABASE_ROLE; empty, the service works with its login's own rights"
            ) from error
        finally:
            await connection.close(timeout=connect_seconds_max)


async def _connect(dsn: str, named: str, seconds_max: float) -> asyncpg.Connection:
    async def connect() -> asyncpg.Connection:
        return await open_connection(dsn, seconds_max=seconds_max, server_settings=_SESSION, named=named)

    with _driver_errors_as_ours():
        connection = await connect()
        try:
            await configure(connection, _SESSION, dsn=dsn, connect_another=connect)
        except BaseException:
            connection.terminate()
            raise
    return connection


@contextmanager
def _driver_errors_as_ours() -> Iterator[None]:
    try:
        yield
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        raise StorageUnavailable("a migration waited too long for a lock; start again") from error
    except _UNAVAILABLE as error:
        state = getattr(error, "sqlstate", None)
        raise StorageUnavailable(words_of(state) if state else "the database cannot be reached") from error
