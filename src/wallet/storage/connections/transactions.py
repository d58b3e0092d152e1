"""A database transaction on a connection of a pool, for what is no batch: begun, worked in, committed for sure."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import asyncpg

from wallet.errors import OutcomeUnknown
from wallet.storage.batch.commit import commit
from wallet.storage.connections.database import CONNECTION_LOST, driver_errors
from wallet.storage.connections.pooled import ask
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("registry/resources.sql")

Result = TypeVar("Result")


async def in_transaction(
    pool: asyncpg.Pool, work: Callable[[asyncpg.Connection], Awaitable[Result]], *, seconds_max: float
) -> Result:
    """What `work` answers, once it is durable. `work` may be done a second time, on another connection.

    Raises what `work` raises, StorageUnavailable (nothing was done) and OutcomeUnknown (it may have been done).
    """

    async def run(connection: asyncpg.Connection) -> Result:
        async with asyncio.timeout(seconds_max):
            # A connection that is dead already is noticed here, and `ask` replaces it.
            await connection.execute(_SQL["begin"])
            try:
                with driver_errors():
                    result = await work(connection)
            except Exception:  # after a cancellation, `ask` gives the connection up
                await _roll_back(connection)
                raise
        try:
            await commit(connection, seconds_max)
        except CONNECTION_LOST as error:  # a pooled connection that is lost answers nothing, not even that
            raise OutcomeUnknown("the connection was lost while committing") from error
        return result

    return await ask(pool, run)


async def _roll_back(connection: asyncpg.Connection) -> None:
    with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
        async with asyncio.timeout(1):
            await connection.execute(_SQL["rollback"])
