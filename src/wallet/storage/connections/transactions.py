"""Database transactions: a COMMIT whose result is certain or reported as unknown, and, for work that is no batch, a
whole database transaction on a connection of a pool.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from wallet.errors import OutcomeUnknown, StaleContext
from wallet.storage.connections.database import CONNECTION_LOST, driver_errors, is_fatal, translated
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("connections/transactions.sql")

ROLLBACK_SECONDS_MAX: Final = 1.0
"""How long a session may take to roll back. Then its connection is closed, and PostgreSQL rolls back by itself."""

Result = TypeVar("Result")


async def in_transaction(pool: ShardPool, work: Callable[[Shard], Awaitable[Result]]) -> Result:
    """The result of `work`, once it is durable. `work` may run a second time, on another connection.

    Raises what `work` raises, StorageUnavailable (nothing was done) and OutcomeUnknown (it may have been done).
    """

    async def run(shard: Shard) -> Result:
        connection = shard.connection
        async with asyncio.timeout(pool.seconds_max):
            # A dead connection fails at this statement, and the pool replaces it.
            await connection.execute(_SQL["begin"])
            try:
                with driver_errors():
                    result = await work(shard)
            except Exception:  # not after a cancellation: then the pool closes the connection
                await roll_back(connection)
                raise
        try:
            await commit(connection, pool.seconds_max)
        except CONNECTION_LOST as error:  # the pool's wrapper of a lost connection may raise this, too
            raise OutcomeUnknown("the connection was lost while committing") from error
        return result

    return await pool.lend(run)


async def commit(connection: asyncpg.Connection, seconds_max: float) -> None:
    """Send COMMIT and check its answer. Raises OutcomeUnknown if it was sent and not confirmed in time."""
    warnings: list[Any] = []

    def note(_: Any, message: Any) -> None:
        warnings.append(message)

    with driver_errors():  # if the connection is already known to be lost, COMMIT was not sent
        connection.add_log_listener(note)
    try:
        async with asyncio.timeout(seconds_max):
            tag = await connection.execute(_SQL["commit"])
    except asyncpg.PostgresError as error:
        if is_fatal(error):
            raise OutcomeUnknown("the session ended while committing") from error
        raise translated(error) from error
    except CONNECTION_LOST as error:
        raise OutcomeUnknown("the connection was lost while committing") from error
    finally:
        if not connection.is_closed():
            connection.remove_log_listener(note)
    if tag == "ROLLBACK":
        raise StaleContext("the database transaction had failed before COMMIT")
    # Under synchronous replication, PostgreSQL reports by a warning that no standby has confirmed.
    if warnings or tag != "COMMIT":
        raise OutcomeUnknown("the commit was not confirmed")


async def roll_back(connection: asyncpg.Connection) -> None:
    """Roll back, so that the connection can be used again. Close a connection that does not do so in time."""
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS_MAX):
            await connection.execute(_SQL["rollback"])
    except (*CONNECTION_LOST, asyncpg.PostgresError):
        connection.terminate()
