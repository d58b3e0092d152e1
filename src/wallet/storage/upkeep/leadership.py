"""Leadership of the keepers: of all processes, the one whose connection has the leader's lock leads.

All functions raise StorageUnavailable if the connection cannot be used any more.
"""

from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/leadership.sql")


async def limit_idleness(connection: asyncpg.Connection, seconds_max: float) -> None:
    """Let the server end this session if it sends no statement for so long."""
    with driver_errors():
        await connection.execute(_SQL["limit_idleness"], str(round(seconds_max * 1000)))


async def can_lead(connection: asyncpg.Connection) -> bool:
    """Whether this connection now has the leader's lock, which it then keeps until it is closed."""
    with driver_errors():
        is_leader: bool = await connection.fetchval(_SQL["can_lead"])
    return is_leader
