"""The audit chain of stable batches: appending links, and reading the last one.

A link is a pure function of history, and history is stable when it is sealed: leaders that seal at the same time, and
one that wakes up late, make the same links, and the keys let each be written once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import asyncpg

from wallet.ledger.audit import NO_LINK, Link, Record, Salts, leaf_of, link_hash, merkle_root, microseconds
from wallet.storage.chain.leaves import read_records
from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

SEALED_MAX: Final = 2_000
"""The batches that one round seals."""
READ_MAX: Final = 1_000
"""The transactions that one round reads for batches without a root; more only if one batch has more."""
LAG_MAX: Final = 100_000
"""The most batches without a link that are counted."""

_SQL: Final = load_statements("chain/chain.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the chain is behind: batches without a link (LAG_MAX: as many or more), and the age of the oldest."""

    batches: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The end of a shard's chain. Kept elsewhere, it proves that nobody has changed history up to here."""

    shard: int
    height: int
    seq: int
    batch_id: UUID | None
    hash: str
    made_at: datetime


async def seal(shard: Shard, *, salts: Salts, batches_max: int = SEALED_MAX) -> bool:
    """Append links for stable batches that have none, and answer whether there may be more to do.

    Raises StorageUnavailable when the connection is of no more use.
    """
    with driver_errors():
        head = await shard.fetchrow(_SQL["find_head"])
        height, seq, previous = (0, 0, NO_LINK) if head is None else head
        batches = await shard.fetch(_SQL["find_unsealed"], seq, batches_max)
        sealed = _sealed_now(batches)
        roots = await _roots(shard, sealed, salts)
        heights, seqs, hashes = [], [], []
        for batch, root in zip(sealed, roots, strict=True):
            height += 1
            previous = link_hash(previous, link_of(batch, shard.number, height, root))
            heights.append(height)
            seqs.append(batch["seq"])
            hashes.append(previous)
        try:
            if sealed:
                await shard.execute(_SQL["append_seals"], heights, seqs, hashes)
        except asyncpg.UniqueViolationError:  # another leader was first
            return True
    return len(sealed) < len(batches) or len(batches) == batches_max


async def measure_lag(shard: Shard) -> Lag:
    with driver_errors():
        row = await shard.fetchrow(_SQL["measure_lag"], LAG_MAX)
    return Lag(batches=row["batches"], seconds=row["seconds"])


async def find_checkpoints(connection: asyncpg.Connection) -> Sequence[Checkpoint]:
    """The last links of all shards' chains. A chain that has not begun has none."""
    with driver_errors():
        rows = await connection.fetch(_SQL["find_checkpoints"])
    return [Checkpoint(**{**row, "hash": row["hash"].hex()}) for row in rows]


def link_of(batch: Any, shard: int, height: int, root: bytes) -> Link:
    """The link of a batch's row. `root`: that of the row, or, if that is null, the root of the batch's rows."""
    return Link(
        shard,
        height,
        batch["seq"],
        batch["id"],
        microseconds(batch["created_at"]),
        batch["transactions"],
        batch["root"] is not None,
        root,
    )


def _sealed_now(batches: Sequence[Any]) -> Sequence[Any]:
    """The first batches, as many as can be sealed without reading too many rows."""
    read = 0
    for count, batch in enumerate(batches):
        read += 0 if batch["root"] is not None else batch["transactions"]
        if read > READ_MAX and count:
            return batches[:count]
    return batches


async def _roots(shard: Shard, batches: Sequence[Any], salts: Salts) -> Sequence[bytes]:
    roots: list[bytes] = []
    for is_given, neighbours in groupby(batches, key=lambda batch: batch["root"] is not None):
        run = list(neighbours)
        if is_given:
            roots += [batch["root"] for batch in run]
            continue
        first, last = run[0]["seq"], run[-1]["seq"]
        records = await read_records(shard, first_seq=first, last_seq=last)
        # This runs beside the event loop, which serves requests: a ledger from before the chain takes long.
        roots += await asyncio.to_thread(_roots_of, [records.get(batch["seq"], ()) for batch in run], salts)
    return roots


def _roots_of(batches: Sequence[Sequence[Record]], salts: Salts) -> Sequence[bytes]:
    return [merkle_root([leaf_of(record, salts) for record in records]) for records in batches]
