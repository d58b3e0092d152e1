"""Reads owners of wallets and wallets of holds, which tell a bound caller's own wallets from all others."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from wallet.ledger.model import HoldId, WalletId, WalletKind
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("reads/owners.sql")


class Owner(NamedTuple):
    """The facts of a wallet that never change. user_id: None for system wallets, and for wallets without an owner."""

    kind: WalletKind
    user_id: UUID | None


class OwnerStore(Store):
    """Reads owners of wallets, and wallets of holds."""

    async def owners(self, wallet_ids: Collection[WalletId]) -> dict[WalletId, Owner]:
        """The owners of those wallets that exist."""
        rows = await self._pool.fetch(_SQL["find_owners"], list(wallet_ids))
        return {row["id"]: Owner(WalletKind(row["kind"]), row["user_id"]) for row in rows}

    async def homes(self, hold_ids: Collection[HoldId]) -> dict[HoldId, WalletId]:
        """The present wallets of those of these holds that exist."""
        return {row["id"]: row["wallet_id"] for row in await self._pool.fetch(_SQL["find_homes"], list(hold_ids))}

    async def wallets_owned(self, user_id: UUID) -> Sequence[WalletId]:
        """The wallets of a user, by ascending id."""
        return [row["id"] for row in await self._pool.fetch(_SQL["list_wallets_owned"], user_id)]

    async def references_used(self, origin: str, reference_ids: Collection[str]) -> frozenset[str]:
        rows = await self._pool.fetch(_SQL["find_references"], origin, list(reference_ids))
        return frozenset(row["reference_id"] for row in rows)
