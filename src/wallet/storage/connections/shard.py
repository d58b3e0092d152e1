"""One shard of the ledger together with the connection that it is asked on.

The first parameter of a statement on a table of the ledger is the number of the shard. The number travels with the
connection, so the functions between the writer or the pool and the statement need not pass it on.
"""

from typing import Any, Final

import asyncpg

SHARD_ONLY: Final = 0
"""The number of the only shard so far. Code that can serve another shard has a parameter for its number."""


class Shard:
    """One shard, on one connection. Each method is the driver's of that name, with the shard as the first parameter.

    A statement that has no such parameter is executed on `connection`.
    """

    __slots__ = ("connection", "number")

    def __init__(self, connection: asyncpg.Connection, number: int = SHARD_ONLY) -> None:
        self.connection = connection
        self.number = number

    # Not `async`: a coroutine of our own around the driver's would cost more than the call.

    def fetch(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetch(sql, self.number, *parameters)

    def fetchrow(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetchrow(sql, self.number, *parameters)

    def fetchval(self, sql: str, *parameters: object) -> Any:
        return self.connection.fetchval(sql, self.number, *parameters)

    def execute(self, sql: str, *parameters: object) -> Any:
        return self.connection.execute(sql, self.number, *parameters)
