"""Deletes declines that are older than the time for which they are kept.

This may safely come late or twice. Raises StorageUnavailable if the connection cannot be used any more.
"""

from typing import Final

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

PRUNED_MAX: Final = 1_000
"""The declines that one round deletes."""

_SQL: Final = load_statements("upkeep/pruning.sql")


async def prune_declines(shard: Shard, *, days: int) -> int:
    """Delete declines that are older, and answer their number. If it is PRUNED_MAX, there may be more."""
    with driver_errors():
        oldest_kept = await shard.connection.fetchval(_SQL["find_oldest_kept"], days)
        return len(await shard.fetch(_SQL["prune_declines"], oldest_kept, PRUNED_MAX))
