"""The fence, and the watermark behind it: the seq up to which all batches are stable.

Each function is one database transaction that may safely come late or twice. service.keepers.leader decides when. All
functions raise StorageUnavailable if the connection cannot be used any more.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

BLOCKERS_MAX: Final = 10

_SQL: Final = load_statements("upkeep/watermark.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The last seq that any batch has taken, and the seq up to which all are known to be stable."""

    last_seq: int
    watermark_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Every batch up to `seq` has an xid below `xid`. A fence is valid only on the server that it was set on."""

    seq: int
    xid: str
    set_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A database transaction that holds the fence back. A prepared one has no pid, and its gid as application."""

    pid: int | None
    application: str
    database: str | None
    state: str | None
    age_seconds: float | None

    def __str__(self) -> str:
        who = self.application if self.pid is None else f"{self.application} (pid {self.pid})"
        age = "" if self.age_seconds is None else f" for {self.age_seconds:.0f} s"
        return f"{who} in database {self.database}, {self.state or 'state unknown'}{age}"


async def read_progress(shard: Shard) -> Progress:
    """A cheap look. While the ledger is idle, nothing else has to be done."""
    with driver_errors():
        row = await shard.fetchrow(_SQL["read_progress"])
    return Progress(last_seq=row["last_seq"], watermark_seq=row["watermark_seq"])


async def set_fence(connection: asyncpg.Connection, *, seq: int) -> Fence:
    """A fence for all batches up to `seq`, which must have been read as the last one before this call."""
    with driver_errors():
        row = await connection.fetchrow(_SQL["take_xid"])
    return Fence(seq=seq, xid=row["xid"], set_at=row["taken_at"])


async def move_watermark(shard: Shard, fence: Fence) -> int | None:
    """Move the watermark to the fence, never backward, and answer its seq; None: the batches are not stable yet."""
    with driver_errors():
        row = await shard.fetchrow(_SQL["move_watermark"], fence.seq, fence.xid, fence.set_at)
    return row["watermark_seq"] if row["is_stable"] else None


async def find_blockers(connection: asyncpg.Connection, fence: Fence) -> tuple[Blocker, ...]:
    """The database transactions that hold this fence back, the oldest first; at most BLOCKERS_MAX."""
    with driver_errors():
        rows = await connection.fetch(_SQL["find_blockers"], fence.xid, BLOCKERS_MAX)
    return tuple(Blocker(**row) for row in rows)
