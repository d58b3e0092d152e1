"""Makes transactions from rows, as they were first answered."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from wallet.ledger.model import Entry, Posted, TransactionId
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.details import details_of

_SQL: Final = load_statements("rows/posted.sql")

AT_ONCE_ROWS_MAX: Final = 1_000
"""The rows from which transactions are made in the event loop: some milliseconds of work. More rows go to a thread."""


async def load_posted(shard: Shard, rows: Sequence[Any]) -> Sequence[Posted]:
    """Complete transaction rows with their entries, in the order of the rows."""
    entries = await shard.fetch(_SQL["load_entries"], [row["id"] for row in rows])
    if len(entries) + len(rows) <= AT_ONCE_ROWS_MAX:
        return _posted(rows, entries)
    return await asyncio.to_thread(_posted, rows, entries)


def _posted(rows: Sequence[Any], entry_rows: Sequence[Any]) -> Sequence[Posted]:
    entries: dict[TransactionId, list[Entry]] = {row["id"]: [] for row in rows}
    for each in entry_rows:
        # On an unlocked wallet the position is no version.
        version = None if each["balance_after"] is None else each["position"]
        entries[each["transaction_id"]].append(
            Entry(
                each["transaction_id"],
                each["leg"],
                each["wallet_id"],
                each["asset_id"],
                each["direction"],
                each["amount"],
                version,
                each["balance_after"],
            )
        )
    return [
        Posted(
            row["id"],
            row["origin"],
            row["reference_id"],
            row["fingerprint"],
            row["type"],
            row["metadata"],
            row["created_at"],
            row["effective_at"],
            tuple(entries[row["id"]]),
            row["hold_id"],
            row["refund_of"],
            None if row["details"] is None else details_of(row["details"]),
        )
        for row in rows
    ]
