"""Lists of transactions for every caller: all of them, or those of some wallets. Besides, refunds and declines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from wallet.ledger.model import Posted, TransactionId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.places import Place
from wallet.storage.reads.walks import TransactionFilter, Walk
from wallet.storage.rows.posted import load_posted

_SQL: Final = load_statements("reads/listings.sql")

REFUNDS_SHOWN_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """A refusal, as it was answered. `id` gives the order, and has no meaning for clients."""

    id: int
    created_at: datetime
    wallet_id: WalletId | None
    origin: str
    reference_id: str
    type: str
    code: str
    required: int | None
    available: int | None


class Walked(NamedTuple):
    """A page of transactions, and the place where it ends; None: nothing follows."""

    rows: Sequence[Posted]
    end: Place | None


class RefundSummary(NamedTuple):
    """One refund of a transaction; of a general transaction, the sum of its debits."""

    id: TransactionId
    reference_id: str
    amount: int
    created_at: datetime


class Refunded(NamedTuple):
    """The refunds of a transaction: their sum (0 for general transactions), their number, and the newest of them."""

    amount: int = 0
    times: int = 0
    refunds: Sequence[RefundSummary] = ()


class ListingReads(Store):
    """Reads transactions, refunds and declines."""

    async def transaction(self, transaction_id: TransactionId) -> Posted | None:
        async def read(shard: Shard) -> Posted | None:
            rows = await shard.fetch(_SQL["find_transaction"], transaction_id)
            # A posted transaction never changes, so a second statement may read the rest.
            found = await load_posted(shard, rows) if rows else ()
            return found[0] if found else None

        return await self._pool.ask(read)

    async def transactions(
        self,
        wanted: TransactionFilter,
        *,
        own: Sequence[WalletId] | None = None,
        before: Place | None = None,
        limit: int,
        skip: int = 0,
        lines_max: int | None = None,
    ) -> Walked:
        """Those of all wallets, or with an entry or a hold step on one of `own`, in the order of track_of(wanted, own).

        own: locked wallets. before: the place where the page before ended. lines_max: how many lines are looked at.
        """

        async def read(shard: Shard) -> Walked:
            rows, end = await Walk(shard, wanted, own, lines_max).page(before, limit, skip)
            return Walked(await load_posted(shard, rows) if rows else (), end)

        return await self._pool.ask(read)

    async def touching(
        self, wallets: Sequence[WalletId], transactions: Sequence[TransactionId]
    ) -> frozenset[TransactionId]:
        """Those of the transactions that have an entry or a hold step on one of these wallets."""
        rows = await self._pool.fetch(_SQL["find_transactions_touching"], transactions, wallets)
        return frozenset(row["id"] for row in rows)

    async def refunds_of(self, transaction_id: TransactionId) -> Refunded:
        """The refunds of a transaction; the newest REFUNDS_SHOWN_MAX of them one by one."""
        rows = await self._pool.fetch(_SQL["list_refunds"], transaction_id, REFUNDS_SHOWN_MAX)
        if not rows:
            return Refunded()
        refunds = [RefundSummary(row["id"], row["reference_id"], int(row["amount"]), row["created_at"]) for row in rows]
        return Refunded(rows[0]["refunded"], rows[0]["refunds"], refunds)

    async def declines(
        self, reference_id: str, *, before: int | None, limit: int, origin: str | None = None
    ) -> Sequence[Decline]:
        """The declines of a reference, newest first, of all origins or of one. `before`: the last id seen."""
        rows = await self._pool.fetch(_SQL["list_declines"], reference_id, before, limit, origin)
        return [_decline(row) for row in rows]


def _decline(row: Any) -> Decline:
    required, available = row["required"], row["available"]
    return Decline(
        **{
            **row,
            "required": None if required is None else int(required),
            "available": None if available is None else int(available),
        }
    )
