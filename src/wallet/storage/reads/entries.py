"""Entries by the page, and the places of an instant among the positions of wallets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wallet.ledger.model import Direction, TransactionId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.places import LegPlace, LinePlace
from wallet.storage.reads.wallet_at import just_before

_SQL: Final = load_statements("reads/entries.sql")

_POSITION_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of a transaction. `version` and `balance_after` are None on unlocked wallets."""

    transaction_id: TransactionId
    leg: int
    position: int
    wallet_id: WalletId
    asset_code: str
    direction: Direction
    amount: int
    version: int | None
    balance_after: int | None
    created_at: datetime


class EntryReads(Store):
    """Reads entries."""

    async def entries(self, *, before: LegPlace | None, limit: int, skip: int) -> Sequence[LedgerEntry]:
        """The entries of all wallets."""
        rows = await self._pool.fetch(_SQL["list_entries"], *(before or (None,) * 2), limit, skip)
        return [_entry(row) for row in rows]

    async def entries_of_wallets(
        self, own: Sequence[WalletId], *, before: LinePlace | None, limit: int, skip: int
    ) -> Sequence[LedgerEntry]:
        """The entries of these wallets, which must be locked ones."""

        async def read(shard: Shard) -> Sequence[LedgerEntry]:
            _, ends = await find_reach(shard, own, until=None if before is None else before[0])
            rows = await shard.fetch(_SQL["list_entries_of_wallets"], own, ends, *(before or (None,) * 3), limit, skip)
            return [_entry(row) for row in rows]

        return await self._pool.ask(read)

    async def entries_of_wallet(self, wallet_id: WalletId, *, before: int | None, limit: int) -> Sequence[LedgerEntry]:
        """The entries of a wallet, newest first. `before`: the last position seen."""
        return [_entry(row) for row in await self._pool.fetch(_SQL["list_entries_of_wallet"], wallet_id, before, limit)]


async def find_reach(
    shard: Shard,
    wallets: Sequence[WalletId],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[int], list[int]]:
    """For each wallet, the first position of the lines since `since`, and the position after the lines up to
    `until`.
    """
    firsts = dict.fromkeys(wallets, 0)
    ends = dict.fromkeys(wallets, _POSITION_MAX)
    if (earlier := just_before(since)) is not None:
        for row in await shard.fetch(_SQL["find_reach"], wallets, earlier):
            firsts[row["id"]] = row["first"]
    if until is not None:
        for row in await shard.fetch(_SQL["find_reach"], wallets, until):
            if row["before"] is not None:
                ends[row["id"]] = row["before"]
    return [firsts[each] for each in wallets], [ends[each] for each in wallets]


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(
        **{
            **row,
            "direction": Direction(row["direction"]),
            # On an unlocked wallet the position is no version.
            "version": None if row["balance_after"] is None else row["position"],
        }
    )
