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
    """A wallet's numbers, which include everything that was committed before `as_of`. `version` is None on unlocked
    wallets.

    is_due: at `as_of` the wallet has a due step that is not posted yet.
    It is a tuple, because no other read makes so many objects (docs/adr/0004).
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

    It serves one caller at a time: service.reads.balances.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # A caller that asks during a query gets its answer from the next one. Both must fit into one stage.
        self._seconds_max = min(database.settings.statement_timeout_ms / 1000, database.settings.stage_seconds_max / 2)
        self._shard: Shard | None = None

    async def balances(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        """The balances of those wallets that exist. Raises StorageUnavailable."""
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
        # The connection had died while it was idle; a new one shows whether the database answers.
        return await self._query(wallet_ids)

    async def _query(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        if self._shard is None or self._shard.connection.is_closed():
            connection = await self._database.reconnect("balances", finds_by_key=True)
            self._shard = Shard(connection, self._database.shard)
        shard = self._shard
        try:
            rows = await shard.fetch(_SQL["find_balances"], wallet_ids)
        except BaseException:
            # It is unknown how long this session would take to be usable again.
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
