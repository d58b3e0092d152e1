"""Checks for obstacles to movements in the database. Each check looks for one obstacle and writes no row."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import asyncpg

from wallet.storage.connections.sql_files import load_statements
from wallet.storage.schema.revision import is_current
from wallet.storage.schema.sequences import find_behind

_SQL: Final = load_statements("schema/readiness.sql")


class Obstacle(NamedTuple):
    """The reason why no movement can be made now. `code` is for programs, `detail` for people; docs/operations.md lists
    both.
    """

    part: Literal["database", "migrations", "committer"]
    code: str
    detail: str


Check: TypeAlias = Callable[[asyncpg.Connection], Awaitable[Obstacle | None]]
"""A check raises the driver's errors. After an obstacle the connection may be unusable."""


async def schema_is_current(connection: asyncpg.Connection) -> Obstacle | None:
    if await is_current(connection):
        return None
    return Obstacle("migrations", "schema_not_current", "not up to date: run `wallet migrate`")


async def sequences_are_ahead(connection: asyncpg.Connection) -> Obstacle | None:
    if not (behind := await find_behind(connection)):
        return None
    return Obstacle("migrations", "sequence_behind", f"{behind[0]}: run `wallet migrate`")


async def database_takes_writes(connection: asyncpg.Connection) -> Obstacle | None:
    if not await connection.fetchval(_SQL["is_read_only"]):
        return None
    return Obstacle("database", "database_read_only", "the database is read-only by default (25006)")


async def disk_has_room(connection: asyncpg.Connection) -> Obstacle | None:
    try:
        await connection.execute(_SQL["begin_to_need_room"])
        await connection.execute(_SQL["need_room"])
    except asyncpg.DiskFullError:
        return Obstacle("database", "database_full", "the database's disk is full (53100)")
    except asyncpg.ConfigurationLimitExceededError:
        pass  # temp_file_limit refused it, which says nothing about the disk
    await connection.execute(_SQL["end"])
    return None


async def tables_are_free(connection: asyncpg.Connection) -> Obstacle | None:
    try:
        await connection.execute(_SQL["touch_tables"])
    except asyncpg.LockNotAvailableError:
        return Obstacle("database", "tables_locked", "another session has locked the ledger's tables (55P03)")
    return None


CHECKS: Final[Sequence[Check]] = (
    schema_is_current,
    sequences_are_ahead,
    database_takes_writes,
    disk_has_room,
    tables_are_free,
)
"""The checks in order. The first obstacle ends them, and is the one that is reported."""
