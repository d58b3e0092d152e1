"""The keepers' steps in the database: leadership, the fence and its watermark, snapshots, pruning, statistics.

Each step is one database transaction that may safely come late or twice. When to do what is service.keepers.leader'
business. All functions raise StorageUnavailable when the connection given is of no more use.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.sql_files import load_statements

BLOCKERS_MAX: Final = 10
PRUNED_MAX: Final = 1_000
"""Declines deleted in one step."""

_SQL = load_statements("upkeep/leadership.sql")
_SESSION_SQL = load_statements("connections/session.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The last seq that any batch has taken, and the seq up to which all are known to be settled."""

    last_seq: int
    watermark_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """Every batch up to `seq` has an xid below `xid`. Of use on the server it was set on, and only there."""

    seq: int
    xid: str


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


async def limit_idleness(connection: asyncpg.Connection, seconds_max: float) -> None:
    """From now on, have the server end this session when it has asked nothing for so long."""
    with driver_errors():
        await connection.execute(_SQL["limit_idleness"], str(round(seconds_max * 1000)))


async def can_lead(connection: asyncpg.Connection) -> bool:
    """Whether this connection now has the leader's lock, which it then keeps until it is closed."""
    with driver_errors():
        is_leader: bool = await connection.fetchval(_SESSION_SQL["can_lead"])
    return is_leader


async def read_progress(connection: asyncpg.Connection, *, shard: int) -> Progress:
    """One cheap look; while the ledger is idle, it is all that there is to do."""
    with driver_errors():
        row = await connection.fetchrow(_SQL["read_progress"], shard)
    return Progress(last_seq=row["last_seq"], watermark_seq=row["watermark_seq"])


async def set_fence(connection: asyncpg.Connection, *, seq: int) -> Fence:
    """A fence for all batches up to `seq`, which must have been read as the last one before this call."""
    with driver_errors():
        return Fence(seq=seq, xid=await connection.fetchval(_SQL["take_xid"]))


async def move_watermark(connection: asyncpg.Connection, fence: Fence, *, shard: int) -> int | None:
    """Move the watermark to the fence, never backward, and answer where it is now; None: not settled yet."""
    with driver_errors():
        row = await connection.fetchrow(_SQL["move_watermark"], shard, fence.seq, fence.xid)
    return row["watermark_seq"] if row["is_settled"] else None


async def find_blockers(connection: asyncpg.Connection, fence: Fence) -> tuple[Blocker, ...]:
    """Who holds this fence back, the oldest first; at most BLOCKERS_MAX."""
    with driver_errors():
        rows = await connection.fetch(_SQL["find_blockers"], fence.xid, BLOCKERS_MAX)
    return tuple(Blocker(**row) for row in rows)


async def append_snapshots(connection: asyncpg.Connection, *, shard: int, deltas_min: int) -> int:
    """Append a snapshot for each unlocked wallet with that many deltas since its last; answer how many."""
    with driver_errors():
        return len(await connection.fetch(_SQL["append_snapshots"], shard, deltas_min))


async def prune_declines(connection: asyncpg.Connection, *, days: int) -> int:
    """Delete some of the declines older than that; as many as PRUNED_MAX means that there may be more."""
    with driver_errors():
        return len(await connection.fetch(_SQL["prune_declines"], days, PRUNED_MAX))


async def analyze_outgrown(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Give tables that have outgrown their statistics new ones, and answer their names.

    Plans that are kept were made for the size that was known; with new statistics the server makes them anew.
    """
    with driver_errors():
        return tuple(row["table_name"] for row in await connection.fetch(_SQL["analyze_outgrown"]))
