"""Checks, when a process starts, whether this release can work with a database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

import asyncpg

from wallet.storage.connections.database import Database, close, driver_errors
from wallet.storage.schema.revision import is_current
from wallet.storage.schema.role import are_given, login_of_session
from wallet.storage.schema.sequences import Behind, find_behind


class Missing(Enum):
    """Work that `wallet migrate` still has to do."""

    MIGRATIONS = "migrations"
    GRANTS = "grants"


async def find_missing(database: Database) -> Missing | None:
    """The first of these that the database lacks: the migrations of this release, the grants of the service's role.

    Raises StorageUnavailable, and SettingsInvalid for an unsafe server.
    """
    async with _session(database) as connection:
        role = database.settings.database_role
        try:
            if not await is_current(connection):
                return Missing.MIGRATIONS
            return None if not role or await are_given(connection, role) else Missing.GRANTS
        except asyncpg.InsufficientPrivilegeError:
            # A login that owns nothing can read nothing until it may take the role.
            return Missing.GRANTS


async def sequences_behind(database: Database) -> tuple[Behind, ...]:
    """The sequences that are behind their tables, of a database that is set up. Raises as find_missing."""
    connection = await database.connect("start")
    try:
        with driver_errors():
            return await find_behind(connection)
    finally:
        await close(connection)


async def login_of(database: Database) -> str:
    """The login of the database's URL, as the database names it. Raises as find_missing."""
    async with _session(database) as connection:
        return await login_of_session(connection)


@asynccontextmanager
async def _session(database: Database) -> AsyncIterator[asyncpg.Connection]:
    # As the login: the service's role may not exist yet.
    connection = await database.connect("start", as_login=True)
    try:
        with driver_errors():
            yield connection
    finally:
        await close(connection)
