"""How the database is asked on connections that are not the writers': in time, and once more if one is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from wallet.errors import StorageUnavailable
from wallet.storage.connections.database import CONNECTION_LOST, driver_errors, is_fatal

ACQUIRE_SECONDS_MAX: Final = 3.0
"""How long a read waits for a connection of the pool; then the database cannot serve it."""

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
    """Whether the connection ended with this error of the driver, so that another one may do better."""
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

    The question must bear that, and sets its own time limit. Raises what it raises, errors of the driver as ours, and
    StorageUnavailable if no connection is free in time.
    """
    with driver_errors():
        try:
            return await _ask_once(pool, question, acquire_seconds_max)
        except (asyncpg.PostgresError, *LOST) as error:
            if not is_lost(error):
                raise
        # Whatever ended that one, a restart most likely, ended the others of its age.
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
        # The server may be stopped for good: to end the statement politely would take as long again.
        connection.terminate()
        raise
    finally:
        # The answer stands, whatever becomes of the connection; the pool replaces a broken one.
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            await pool.release(connection, timeout=acquire_seconds_max)
