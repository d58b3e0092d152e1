"""Asks questions on pooled connections, not the writers': with a time limit, and once more if a connection is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from wallet.errors import StorageUnavailable
from wallet.storage.connections.database import CONNECTION_LOST, driver_errors, is_fatal

ACQUIRE_SECONDS_MAX: Final = 3.0
"""How long a question waits for a connection of the pool before it fails."""

LOST: Final = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Result = TypeVar("Result")


class Reader:
    """Reads one shard. Every method raises StorageUnavailable when the database cannot answer in time."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        seconds_max: float,
        acquire_seconds_max: float = ACQUIRE_SECONDS_MAX,
        shard: int = 0,
    ) -> None:
        self._pool = pool
        self._seconds_max = seconds_max
        self._acquire_seconds_max = acquire_seconds_max
        self._shard = shard

    async def _fetch(self, sql: str, *parameters: object) -> Sequence[Any]:
        """The rows of a statement whose first parameter is the shard."""
        rows: Sequence[Any] = await self._ask(lambda connection: connection.fetch(sql, self._shard, *parameters))
        return rows

    async def _ask(self, question: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
        async def ask_in_time(connection: asyncpg.Connection) -> Result:
            async with asyncio.timeout(self._seconds_max):
                return await question(connection)

        return await ask(self._pool, ask_in_time, acquire_seconds_max=self._acquire_seconds_max)


def is_lost(error: BaseException) -> bool:
    """Whether the connection ended with this error of the driver, so that a new connection may work."""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return is_fatal(error)
    return isinstance(error, LOST) and not isinstance(error, asyncpg.DataError)


async def ask(
    pool: asyncpg.Pool,
    question: Callable[[asyncpg.Connection], Awaitable[Result]],
    *,
    acquire_seconds_max: float = ACQUIRE_SECONDS_MAX,
) -> Result:
    """Ask on a connection of the pool, and once more on a new one if the first is lost.

    So the question may run twice; it sets its own time limit. Raises what it raises, the driver's errors translated,
    and StorageUnavailable if no connection is free in time.
    """
    with driver_errors():
        try:
            return await _ask_once(pool, question, acquire_seconds_max)
        except (asyncpg.PostgresError, *LOST) as error:
            if not is_lost(error):
                raise
        # The server probably restarted, so older connections of the pool are dead, too.
        await pool.expire_connections()
        return await _ask_once(pool, question, acquire_seconds_max)


async def _ask_once(
    pool: asyncpg.Pool, question: Callable[[asyncpg.Connection], Awaitable[Result]], acquire_seconds_max: float
) -> Result:
    try:
        connection = await pool.acquire(timeout=acquire_seconds_max)
    except TimeoutError:
        raise StorageUnavailable("no connection to the database is free") from None
    try:
        return await question(connection)
    except (asyncio.CancelledError, TimeoutError):
        # The server may be frozen: cancelling the statement in the protocol's way would take as long again.
        connection.terminate()
        raise
    finally:
        # The answer is valid even if the release fails; the pool replaces a broken connection.
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            await pool.release(connection, timeout=acquire_seconds_max)
