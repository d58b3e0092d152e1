"""Assets by code and by system wallet, cached for ever: the cached fields are fixed when an asset is created."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from wallet.ledger.model import Asset, AssetId, WalletId, WalletKind, WalletState
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL = load_statements("rows/assets.sql")


class AssetCache:
    """The cache grows with the assets that exist, never with the requests of clients."""

    def __init__(self) -> None:
        self.by_code: dict[str, Asset] = {}
        self.by_id: dict[AssetId, Asset] = {}
        self._unlocked: dict[WalletId, WalletState] = {}

    def unlocked(self, wallet_id: WalletId) -> WalletState | None:
        """The state of a system wallet that is never locked, if this is one that the cache has seen."""
        return self._unlocked.get(wallet_id)

    async def load_codes(self, connection: asyncpg.Connection, codes: Iterable[str]) -> None:
        self._add_rows(await connection.fetch(_SQL["load_by_code"], list(codes)))

    async def load_ids(self, connection: asyncpg.Connection, ids: Iterable[AssetId]) -> None:
        self._add_rows(await connection.fetch(_SQL["load_by_id"], list(ids)))

    async def load_wallets(self, shard: Shard, wallets: Iterable[WalletId]) -> None:
        """Load the assets that have unlocked system wallets among these."""
        self._add_rows(await shard.fetch(_SQL["load_by_wallet"], list(wallets)))

    def add(self, asset: Asset) -> None:
        self.by_code[asset.code] = self.by_id[asset.id] = asset
        for kind in (WalletKind.TREASURY, WalletKind.REVENUE, WalletKind.BREAKAGE):
            if kind is not WalletKind.TREASURY or asset.max_supply is None:
                wallet_id = asset.system_wallet(kind)
                self._unlocked[wallet_id] = WalletState(wallet_id, asset.id, kind, locked=False)

    def _add_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self.add(Asset(*row))
