"""Holds and lots as they are now: the reserved parts of balances, and the parts with a category and an expiry."""

from collections.abc import Sequence
from typing import Any, Final

from wallet.ledger.model import Hold, HoldId, HoldStatus, Lot, LotCategory, LotId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.claims import claim_of

_SQL: Final = load_statements("reads/holdings.sql")


class HoldingReads(Store):
    """Reads holds, without the slices of lots that they reserve, and lots."""

    async def hold(self, hold_id: HoldId) -> Hold | None:
        rows = await self._pool.fetch(_SQL["find_hold"], hold_id)
        return _hold(rows[0]) if rows else None

    async def holds(
        self, wallet_id: WalletId, *, status: HoldStatus | None, before: HoldId | None, limit: int
    ) -> Sequence[Hold]:
        """Newest first. `before`: the last id seen."""
        if status is HoldStatus.OPEN:
            rows = await self._pool.fetch(_SQL["list_open_holds"], wallet_id, before, limit)
        else:
            name = None if status is None else status.value
            rows = await self._pool.fetch(_SQL["list_holds"], wallet_id, name, before, limit)
        return [_hold(row) for row in rows]

    async def lots(self, wallet_id: WalletId, *, only_live: bool, before: LotId | None, limit: int) -> Sequence[Lot]:
        """Newest first. `before`: the last id seen. Live: something is left of it."""
        statement = "list_live_lots" if only_live else "list_lots"
        return [_lot(row) for row in await self._pool.fetch(_SQL[statement], wallet_id, before, limit)]


def _hold(row: Any) -> Hold:
    columns = {**row, "status": HoldStatus(row["status"]), "target": row["target_wallet_id"], "slices": ()}
    columns["claim"] = claim_of(row)
    for name in ("target_wallet_id", "claim_amount", "uses", "once_per_user", "code_hash"):
        del columns[name]
    return Hold(**columns)


def _lot(row: Any) -> Lot:
    return Lot(**{**row, "category": LotCategory(row["category"])})
