"""Long work between two statements of a database transaction, during which the server hears nothing of this process.

The server ends a session that is silent for idle_transaction_ms_max, because a process that was stopped must not keep
its locks. A large batch may be decided for longer on a slow machine, and would be decided in vain each time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import asyncpg

from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("batch/commit.sql")

SIGNS_OF_LIFE: Final = 4
"""How often the server hears of a process in the time after which it would take it for stopped."""

TURN_SECONDS: Final = 0.005
"""How long one piece of work may take without others getting their turn after it."""

Work: TypeAlias = Callable[..., Awaitable[Any]]
"""work(connection, function, *arguments): answers the result of the function, which uses only its arguments."""


async def at_once(_: asyncpg.Connection, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function that is too short for a thread. If it took noticeably long, others in the process come next."""
    began = time.perf_counter()
    made = function(*arguments)
    if time.perf_counter() - began > TURN_SECONDS:
        await asyncio.sleep(0)
    return made


def in_a_thread(idle_seconds_max: float) -> Work:
    """Run functions in a thread, while the session sends a statement now and then. Raises the driver's errors from
    that.
    """

    async def run(connection: asyncpg.Connection, function: Callable[..., Any], *arguments: Any) -> Any:
        working = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        while not (await asyncio.wait((working,), timeout=idle_seconds_max / SIGNS_OF_LIFE))[0]:
            await connection.execute(_SQL["sign_of_life"])
        return working.result()

    return run
