"""Balances as they are now: many by one query, on a connection of its own."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from wallet.ledger.model import WalletId
from wallet.storage.connections.database import Database, close, driver_errors
from wallet.storage.connections.pooled import LOST, is_lost
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("reads/balances.sql")


class Balance(NamedTuple):
    """A wallet's numbers. All that was committed before `as_of` is in them. `version` is None on unlocked wallets.

    is_due: by `as_of` something had fallen due here that was not posted yet.
    A tuple, because it is made more often than anything else that is read (docs/adr/0004).
    """

    wallet_id: WalletId
    asset_code: str
    scale: int
    balance: int
    held: int
    available: int
    version: int | None
    as_of: datetime
    merged_into: WalletId | None = None
    is_due: bool = False


class BalanceConnection:
    """Balances of many wallets by one query, on a connection of its own, which is replaced when it breaks.

    For one caller at a time: service.balances.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # A caller that asks during a query gets its answer from the next one. Both must fit into one stage.
        self._seconds_max = min(database.settings.statement_timeout_ms / 1000, database.settings.stage_seconds_max / 2)
        self._shard: Shard | None = None

    async def balances(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        """Those that exist. Raises StorageUnavailable."""
        with driver_errors():
            async with asyncio.timeout(self._seconds_max):
                return await self._query_or_again(wallet_ids)

    async def close(self) -> None:
        shard, self._shard = self._shard, None
        await close(shard and shard.connection)

    async def _query_or_again(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        try:
            return await self._query(wallet_ids)
        except (asyncpg.PostgresError, *LOST) as error:
            if not is_lost(error):
                raise
        # It had died while it was idle; a new one tells whether the database is there.
        return await self._query(wallet_ids)

    async def _query(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        if self._shard is None or self._shard.connection.is_closed():
            connection = await self._database.reconnect("balances", finds_by_key=True)
            self._shard = Shard(connection, self._database.shard)
        shard = self._shard
        try:
            rows = await shard.fetch(_SQL["find_balances"], wallet_ids)
        except BaseException:
            # Nobody knows how long this session would take to be usable again.
            self._shard = None
            shard.connection.terminate()
            raise
        return {
            wallet_id: Balance(
                wallet_id,
                code,
                scale,
                balance if unlocked is None else int(unlocked),
                held,
                (balance if unlocked is None else int(unlocked)) - held + overdraft_limit,
                version,
                as_of,
                merged_into,
                is_due,
            )
            for (
                wallet_id,
                code,
                scale,
                balance,
                held,
                overdraft_limit,
                version,
                as_of,
                unlocked,
                merged_into,
                is_due,
            ) in rows
        }
