"""Database transactions: COMMIT that is sure of its answer, and for what is no batch, one on a connection of a pool."""

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
"""How long a session may take to roll back; the server ends the database transaction of one that is given up."""

Result = TypeVar("Result")


async def in_transaction(pool: ShardPool, work: Callable[[Shard], Awaitable[Result]]) -> Result:
    """What `work` answers, once it is durable. `work` may be done a second time, on another connection.

    Raises what `work` raises, StorageUnavailable (nothing was done) and OutcomeUnknown (it may have been done).
    """

    async def run(shard: Shard) -> Result:
        connection = shard.connection
        async with asyncio.timeout(pool.seconds_max):
            # A connection that is dead already is noticed here, and the pool replaces it.
            await connection.execute(_SQL["begin"])
            try:
                with driver_errors():
                    result = await work(shard)
            except Exception:  # after a cancellation, the pool gives the connection up
                await roll_back(connection)
                raise
        try:
            await commit(connection, pool.seconds_max)
        except CONNECTION_LOST as error:  # a pooled connection that is lost answers nothing, not even that
            raise OutcomeUnknown("the connection was lost while committing") from error
        return result

    return await pool.lend(run)


async def commit(connection: asyncpg.Connection, seconds_max: float) -> None:
    """COMMIT, and be sure of it. Raises OutcomeUnknown when it was sent and not confirmed in time."""
    warnings: list[Any] = []

    def note(_: Any, message: Any) -> None:
        warnings.append(message)

    with driver_errors():  # A connection known to be lost by now has sent no COMMIT.
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
    # Under synchronous replication a warning is how the server says that no standby has confirmed.
    if warnings or tag != "COMMIT":
        raise OutcomeUnknown("the commit was not confirmed")


async def roll_back(connection: asyncpg.Connection) -> None:
    """ROLLBACK, so that the connection can be used again. A connection that does not obey in time is given up."""
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS_MAX):
            await connection.execute(_SQL["rollback"])
    except (*CONNECTION_LOST, asyncpg.PostgresError):
        connection.terminate()
