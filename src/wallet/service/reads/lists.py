"""The reads of edges, except balances (service.reads.balances): single things, and lists by the page."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from wallet.errors import NotFound
from wallet.ledger.model import AssetId, Hold, HoldId, HoldStatus, Lot, LotId, Posted, TransactionId, WalletId
from wallet.service.reads.cursors import key_of, place_of
from wallet.service.reads.filters import TransactionQuery, UserQuery, WalletQuery
from wallet.service.reads.pages import FIRST_PAGE, Key, Page, PageRequest, Pages, Row, RowsById
from wallet.storage.reads.entries import LedgerEntry
from wallet.storage.reads.listings import Decline, Refunded
from wallet.storage.reads.places import LegPlace
from wallet.storage.reads.resources import AssetSummary, ReadStore, User, Wallet
from wallet.storage.reads.walks import track_of

_ALL_TRANSACTIONS: Final = TransactionQuery()
_ALL_USERS: Final = UserQuery()
_ALL_WALLETS: Final = WalletQuery()

SettleWallet: TypeAlias = Callable[[WalletId], Awaitable[None]]


class Reads:
    """Methods raise NotFound, Malformed (limit, offset, cursor, filters) and StorageUnavailable; those for a wallet or
    a hold also Overloaded. References are well-formed.

    settle: posts what is due at a wallet, so that it is read as if it had been posted in time.
    """

    def __init__(self, store: ReadStore, pages: Pages, *, settle: SettleWallet) -> None:
        self._store = store
        self._pages = pages
        self._settle = settle

    async def user(self, user_id: UUID) -> User:
        return _found(await self._store.user(user_id), "user", user_id)

    async def users(self, page: PageRequest = FIRST_PAGE, query: UserQuery = _ALL_USERS) -> Page[User]:
        """By descending id: newest first, but for ids that clients made."""
        wanted = query.filter()

        async def rows(before: UUID | None, limit: int) -> Sequence[User]:
            return await self._store.users(wanted, before=before, limit=limit)

        return await self._pages.by_id("users", query.texts, page, rows)

    async def wallet(self, wallet_id: WalletId) -> Wallet:
        wallet = _found(await self._store.wallet(wallet_id), "wallet", wallet_id)
        if not wallet.is_due:
            return wallet
        await self._settle(wallet_id)
        return _found(await self._store.wallet(wallet_id), "wallet", wallet_id)

    async def asset(self, asset_id: AssetId) -> AssetSummary:
        # An id outside of the column's range has no row.
        in_range = 0 < asset_id < 2**31
        return _found(await self._store.asset(asset_id) if in_range else None, "asset", asset_id)

    async def transaction(self, transaction_id: TransactionId) -> Posted:
        return _found(await self._store.transaction(transaction_id), "transaction", transaction_id)

    async def refunds_of(self, transaction_id: TransactionId) -> Refunded:
        """The refunds of a transaction that exists."""
        return await self._store.refunds_of(transaction_id)

    async def wallets(self, page: PageRequest = FIRST_PAGE, query: WalletQuery = _ALL_WALLETS) -> Page[Wallet]:
        """By descending id: newest first, but for ids that clients made."""
        wanted, own = query.filter(), await self._own()

        async def rows(before: WalletId | None, limit: int) -> Sequence[Wallet]:
            return await self._store.wallets(wanted, own=own, before=before, limit=limit)

        return await self._pages.by_id("wallets", query.texts, page, self._settled(rows))

    async def wallets_of_user(self, user_id: UUID, page: PageRequest = FIRST_PAGE) -> Page[Wallet]:
        async def rows(after: WalletId | None, limit: int) -> Sequence[Wallet]:
            return await self._store.wallets_of_user(user_id, after=after, limit=limit)

        found = await self._pages.by_id("wallets_of_user", {"user_id": str(user_id)}, page, self._settled(rows))
        if not found.data:
            await self.user(user_id)
        return found

    async def assets(self, page: PageRequest = FIRST_PAGE) -> Page[AssetSummary]:
        async def fetch(key: Key | None, limit: int, _: int) -> Sequence[AssetSummary]:
            return await self._store.assets(after=key[0] if key else None, limit=limit)

        return await self._pages.by_key("assets", {}, page, fetch, lambda last: (last.id,))

    async def hold(self, hold_id: HoldId) -> Hold:
        hold = _found(await self._store.hold(hold_id), "hold", hold_id)
        if hold.status is not HoldStatus.OPEN or hold.expires_at is None:
            return hold
        await self._settle(hold.wallet_id)
        return _found(await self._store.hold(hold_id), "hold", hold_id)

    async def holds(
        self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE, *, status: HoldStatus | None = None
    ) -> Page[Hold]:
        """The wallet's holds, newest first."""
        await self._settle(wallet_id)

        async def rows(before: HoldId | None, limit: int) -> Sequence[Hold]:
            return await self._store.holds(wallet_id, status=status, before=before, limit=limit)

        filters = {"wallet_id": str(wallet_id)} | ({} if status is None else {"status": status.value})
        return await self._of_wallet(wallet_id, await self._pages.by_id("holds", filters, page, rows))

    async def lots(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE, *, only_live: bool = True) -> Page[Lot]:
        """The wallet's lots, newest first; all of them, or those of which something is left."""
        await self._settle(wallet_id)

        async def rows(before: LotId | None, limit: int) -> Sequence[Lot]:
            return await self._store.lots(wallet_id, only_live=only_live, before=before, limit=limit)

        filters = {"wallet_id": str(wallet_id), "status": "live" if only_live else "all"}
        return await self._of_wallet(wallet_id, await self._pages.by_id("lots", filters, page, rows))

    async def transactions(
        self, page: PageRequest = FIRST_PAGE, query: TransactionQuery = _ALL_TRANSACTIONS
    ) -> Page[Posted]:
        """Newest first, but for those of all wallets by the beginning of a reference, which are in the order of
        references.
        """
        wanted = query.filter()
        own = None if query.wallet_id is not None else await self._own()
        kind = track_of(wanted, own).place

        async def walk(key: Key | None, limit: int, skip: int) -> tuple[Sequence[Posted], Key | None]:
            if query.wallet_id is not None:
                await self._settle(query.wallet_id)
            before = place_of(key, kind) if key else None
            rows, end = await self._store.transactions(wanted, own=own, before=before, limit=limit, skip=skip)
            return rows, None if end is None else key_of(end)

        # The lists of all wallets and of some have different orders, so they do not take each other's cursors.
        name = "transactions" if own is None else "own_transactions"
        found = await self._pages.of(name, query.texts, page, walk, takes_offset=query.takes_offset)
        return found if query.wallet_id is None else await self._of_wallet(query.wallet_id, found)

    async def ledger_entries(self, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """Of all wallets, newest transaction first."""

        async def fetch(key: Key | None, limit: int, skip: int) -> Sequence[LedgerEntry]:
            return await self._store.entries(before=place_of(key, LegPlace) if key else None, limit=limit, skip=skip)

        return await self._pages.by_key(
            "ledger_entries",
            {},
            page,
            fetch,
            lambda last: key_of(LegPlace(last.transaction_id, last.leg)),
            takes_offset=True,
        )

    async def entries_of_wallet(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """Newest first."""
        await self._settle(wallet_id)

        async def fetch(key: Key | None, limit: int, _: int) -> Sequence[LedgerEntry]:
            return await self._store.entries_of_wallet(wallet_id, before=key[0] if key else None, limit=limit)

        found = await self._pages.by_key(
            "entries_of_wallet", {"wallet_id": str(wallet_id)}, page, fetch, lambda last: (last.position,)
        )
        return await self._of_wallet(wallet_id, found)

    async def declines(self, reference_id: str, page: PageRequest = FIRST_PAGE) -> Page[Decline]:
        """Refusals of requests with exactly this reference, of whatever origin, newest first."""
        return await self._declines(reference_id, page, origin=None)

    async def _own(self) -> Sequence[WalletId] | None:
        """The wallets that lists are of; None: all wallets."""
        return None

    async def _declines(self, reference_id: str, page: PageRequest, *, origin: str | None) -> Page[Decline]:
        async def fetch(key: Key | None, limit: int, _: int) -> Sequence[Decline]:
            before = key[0] if key else None
            return await self._store.declines(reference_id, before=before, limit=limit, origin=origin)

        return await self._pages.by_key(
            "declines", {"reference_id": reference_id}, page, fetch, lambda last: (last.id,)
        )

    def _settled(self, rows: RowsById[Wallet]) -> RowsById[Wallet]:
        """The same rows, once all that was due at their wallets is posted."""

        async def settled_rows(seen: WalletId | None, limit: int) -> Sequence[Wallet]:
            wallets = await rows(seen, limit)
            due = [wallet.id for wallet in wallets if wallet.is_due]
            if not due:
                return wallets
            await asyncio.gather(*map(self._settle, due))
            return await rows(seen, limit)

        return settled_rows

    async def _of_wallet(self, wallet_id: WalletId, found: Page[Row]) -> Page[Row]:
        """The page. Raises NotFound if it is empty because there is no such wallet."""
        if not found.data:
            _found(await self._store.wallet(wallet_id), "wallet", wallet_id)
        return found


def _found(resource: Row | None, kind: str, id_: object) -> Row:
    if resource is None:
        raise NotFound(f"{kind}_not_found", f"there is no {kind} {id_}")
    return resource
