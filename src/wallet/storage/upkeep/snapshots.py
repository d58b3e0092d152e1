"""Snapshots of the balances of system wallets that no batch locks, so that few deltas are added up.

This may safely come late or twice. Raises StorageUnavailable if the connection cannot be used any more.
"""

from typing import Final

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/snapshots.sql")


async def append_snapshots(shard: Shard, *, deltas_min: int) -> int:
    """Append a snapshot for each unlocked wallet with that many deltas since its last; answer how many."""
    with driver_errors():
        return len(await shard.fetch(_SQL["append_snapshots"], deltas_min))
