"""Whose wallets are whose, and where holds are: what tells a bound caller's own from all else."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from wallet.ledger.model import HoldId, WalletId, WalletKind
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("reads/owners.sql")


class Owner(NamedTuple):
    """What of a wallet that exists never changes. user_id: None for system wallets, and for those nobody owns."""

    kind: WalletKind
    user_id: UUID | None


class OwnerStore(Store):
    """Owners of wallets, wallets of holds."""

    async def owners(self, wallet_ids: Collection[WalletId]) -> dict[WalletId, Owner]:
        """Of those that exist."""
        rows = await self._pool.fetch(_SQL["find_owners"], list(wallet_ids))
        return {row["id"]: Owner(WalletKind(row["kind"]), row["user_id"]) for row in rows}

    async def homes(self, hold_ids: Collection[HoldId]) -> dict[HoldId, WalletId]:
        """The wallets that these holds are on now, of those that exist."""
        return {row["id"]: row["wallet_id"] for row in await self._pool.fetch(_SQL["find_homes"], list(hold_ids))}

    async def wallets_owned(self, user_id: UUID) -> Sequence[WalletId]:
        """By ascending id."""
        return [row["id"] for row in await self._pool.fetch(_SQL["list_wallets_owned"], user_id)]

    async def references_used(self, origin: str, reference_ids: Collection[str]) -> frozenset[str]:
        rows = await self._pool.fetch(_SQL["find_references"], origin, list(reference_ids))
        return frozenset(row["reference_id"] for row in rows)
