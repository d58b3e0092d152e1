"""The planner's statistics of tables that have outgrown them.

This may safely come late or twice. Raises StorageUnavailable if the connection cannot be used any more.
"""

from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/statistics.sql")


async def analyze_outgrown(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Give tables that have outgrown their statistics new ones, and answer their names.

    Cached plans were made for the size that was known; with new statistics the server makes them again.
    """
    with driver_errors():
        return tuple(row["table_name"] for row in await connection.fetch(_SQL["analyze_outgrown"]))
