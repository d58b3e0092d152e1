"""A shard of the ledger, as it is asked on one connection.

The first parameter of a statement on a table of the ledger is the number of the shard. It travels with the connection,
so no function between the writer or the pool and the statement has to hand it on.
"""

from typing import Any, Final

import asyncpg

SHARD_ONLY: Final = 0
"""The number of the only shard there is so far. Whoever may serve another one is given its number."""


class Shard:
    """One shard, on one connection. Each method is the driver's of that name, with the shard as the first parameter.

    A statement that has no such parameter is executed on `connection`.
    """

    __slots__ = ("connection", "number")

    def __init__(self, connection: asyncpg.Connection, number: int = SHARD_ONLY) -> None:
        self.connection = connection
        self.number = number

    # Not `async`: to await the driver's coroutine in one of our own would cost more than the call.

    def fetch(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetch(sql, self.number, *parameters)

    def fetchrow(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetchrow(sql, self.number, *parameters)

    def fetchval(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetchval(sql, self.number, *parameters)

    def execute(self, sql: str, *parameters: object) -> Any:
        return self.connection.execute(sql, self.number, *parameters)
