"""The planner's statistics of tables that have outgrown them.

May safely come late or twice. Raises StorageUnavailable when the connection given is of no more use.
"""

from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/statistics.sql")


async def analyze_outgrown(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Give tables that have outgrown their statistics new ones, and answer their names.

    Plans that are kept were made for the size that was known; with new statistics the server makes them anew.
    """
    with driver_errors():
        return tuple(row["table_name"] for row in await connection.fetch(_SQL["analyze_outgrown"]))
