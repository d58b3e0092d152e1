"""Asks a shard on pooled connections, not the writers': with a time limit, and once more if a connection is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from wallet.errors import StorageUnavailable
from wallet.storage.connections.database import CONNECTION_LOST, Database, driver_errors, is_fatal
from wallet.storage.connections.shard import SHARD_ONLY, Shard

ACQUIRE_SECONDS_MAX: Final = 3.0
"""How long a question waits for a connection of the pool before it fails."""

LOST: Final = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Result = TypeVar("Result")


class ShardPool:
    """One shard, asked on the connections of a pool. seconds_max: how long one question may take.

    Every method raises StorageUnavailable if no connection is free or the answer does not come in time, and translates
    the driver's errors. If a connection is lost, the question is asked once more on a new one; so it may run twice.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        seconds_max: float,
        acquire_seconds_max: float = ACQUIRE_SECONDS_MAX,
        shard: int = SHARD_ONLY,
    ) -> None:
        self.seconds_max = seconds_max
        self.shard = shard
        self._pool = pool
        self._acquire_seconds_max = acquire_seconds_max

    @classmethod
    async def open(cls, database: Database, purpose: str, *, connections_max: int, seconds_max: float) -> "ShardPool":
        """A pool for the shard of a database. It makes each connection when it first needs it."""
        pool = await database.pool(purpose, connections_max=connections_max)
        return cls(pool, seconds_max=seconds_max, shard=database.shard)

    def terminate(self) -> None:
        """Close all connections at once."""
        self._pool.terminate()

    async def fetch(self, sql: str, *parameters: object) -> Sequence[Any]:
        """The rows of a statement whose first parameter is the shard."""
        rows: Sequence[Any] = await self.ask(lambda shard: shard.fetch(sql, *parameters))
        return rows

    async def ask(self, question: Callable[[Shard], Awaitable[Result]]) -> Result:
        """The answer to a question of one statement or more. Raises what the question raises."""

        async def ask_in_time(shard: Shard) -> Result:
            async with asyncio.timeout(self.seconds_max):
                return await question(shard)

        return await self.lend(ask_in_time)

    async def lend(self, work: Callable[[Shard], Awaitable[Result]]) -> Result:
        """As `ask`, for work that sets its own time limit."""
        with driver_errors():
            try:
                return await self._lend_once(work)
            except (asyncpg.PostgresError, *LOST) as error:
                if not is_lost(error):
                    raise
            # The server probably restarted, so older connections of the pool are dead, too.
            await self._pool.expire_connections()
            return await self._lend_once(work)

    async def _lend_once(self, work: Callable[[Shard], Awaitable[Result]]) -> Result:
        try:
            connection = await self._pool.acquire(timeout=self._acquire_seconds_max)
        except TimeoutError:
            raise StorageUnavailable("no connection to the database is free") from None
        try:
            return await work(Shard(connection, self.shard))
        except (asyncio.CancelledError, TimeoutError):
            # The server may be frozen: cancelling the statement in the protocol's way would take as long again.
            connection.terminate()
            raise
        finally:
            # The answer is valid even if the release fails; the pool replaces a broken connection.
            with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
                await self._pool.release(connection, timeout=self._acquire_seconds_max)


class Store:
    """The base of classes that ask one shard about one subject. Methods raise StorageUnavailable (see ShardPool)."""

    def __init__(self, pool: ShardPool) -> None:
        self._pool = pool


def is_lost(error: BaseException) -> bool:
    """Whether the connection ended with this error of the driver, so that a new connection may work."""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return is_fatal(error)
    return isinstance(error, LOST) and not isinstance(error, asyncpg.DataError)
