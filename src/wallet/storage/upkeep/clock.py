"""The sandbox's clock in the database. service.due.sandbox_clock posts the steps that become due as it advances.

All functions raise StorageUnavailable if the connection cannot be used any more.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/clock.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The ledger's clock, and how far it is ahead of the database's."""

    now: datetime
    offset_seconds: float


async def read_clock(connection: asyncpg.Connection) -> ClockReading:
    with driver_errors():
        return ClockReading(**await connection.fetchrow(_SQL["read_clock"]))


async def try_lock_clock(connection: asyncpg.Connection) -> bool:
    """Whether this session may advance the clock from now on, until it is closed. Only one session at a time may."""
    with driver_errors():
        is_locked: bool = await connection.fetchval(_SQL["try_lock_clock"])
    return is_locked


async def advance_clock(connection: asyncpg.Connection, to: datetime) -> ClockReading:
    """Advance the clock to at least `to`; it is never put back."""
    with driver_errors():
        return ClockReading(**await connection.fetchrow(_SQL["advance_clock"], to))
