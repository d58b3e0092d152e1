"""The secrets that all processes of the service share. Migrations make them, and nothing changes them."""

from typing import Final

import asyncpg

from wallet.errors import StorageUnavailable
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("rows/secrets.sql")


async def find_secret(connection: asyncpg.Connection, name: str) -> bytes:
    """The secret. Raises StorageUnavailable if it is missing, and what the driver raises."""
    secret: bytes | None = await connection.fetchval(_SQL["find_secret"], name)
    if secret is None:
        raise StorageUnavailable(f"the database is not set up for this release ({name})")
    return secret
