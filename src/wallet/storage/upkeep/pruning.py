"""Deleting declines that are older than they are kept for.

May safely come late or twice. Raises StorageUnavailable when the connection given is of no more use.
"""

from typing import Final

from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

PRUNED_MAX: Final = 1_000
"""Declines deleted in one round."""

_SQL: Final = load_statements("upkeep/pruning.sql")


async def prune_declines(shard: Shard, *, days: int) -> int:
    """Delete some of the declines older than that; as many as PRUNED_MAX means that there may be more."""
    with driver_errors():
        oldest_kept = await shard.connection.fetchval(_SQL["find_oldest_kept"], days)
        return len(await shard.fetch(_SQL["prune_declines"], oldest_kept, PRUNED_MAX))
