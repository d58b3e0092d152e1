"""The reads of edges, except balances (service.reads.balances): single things, and lists by the page."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

from wallet.errors import FieldError, Malformed, NotFound
from wallet.ledger.model import AssetId, Hold, HoldId, HoldStatus, Lot, Posted, TransactionId, WalletId
from wallet.service.reads.cursors import Cursors, KeyPart, key_of, place_of
from wallet.service.reads.filters import TransactionQuery, UserQuery, WalletQuery
from wallet.storage.reads.entries import LedgerEntry
from wallet.storage.reads.listings import Decline, Refunded
from wallet.storage.reads.places import LegPlace, Place
from wallet.storage.reads.resources import AssetSummary, ReadStore, User, Wallet
from wallet.storage.reads.walks import track_of

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 200
OFFSET_MAX: Final = 10_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list. `next` is the cursor of the following page, None when there is none.

    A page may have fewer rows than its limit although more follow: a filter found few rows among many.
    """

    data: Sequence[Row]
    next: str | None
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The page that is asked for. None: not said. Only the two lists that promise it take an offset."""

    limit: int | None = None
    cursor: str | None = None
    offset: int | None = None


FIRST_PAGE: Final = PageRequest()
_ALL_TRANSACTIONS: Final = TransactionQuery()
_ALL_USERS: Final = UserQuery()
_ALL_WALLETS: Final = WalletQuery()


Fetch: TypeAlias = Callable[[Sequence[Any] | None, int, int], Awaitable[Sequence[Row]]]
SettleWallet: TypeAlias = Callable[[WalletId], Awaitable[None]]


async def _nothing_is_due(_: WalletId) -> None:
    """Settles nothing, for lists of things that nothing can fall due at."""


class Reads:
    """Raises NotFound, Malformed (limit, offset, cursor, filters) and StorageUnavailable; Overloaded, too, for what is
    asked for by wallet or hold. References are well-formed already.

    settle: posts what is due at a wallet, so that it is read as if it had been posted in time.
    """

    def __init__(self, store: ReadStore, cursors: Cursors, *, settle: SettleWallet = _nothing_is_due) -> None:
        self._store = store
        self._cursors = cursors
        self._settle = settle

    async def user(self, user_id: UUID) -> User:
        return _found(await self._store.user(user_id), "user", user_id)

    async def users(self, page: PageRequest = FIRST_PAGE, query: UserQuery = _ALL_USERS) -> Page[User]:
        """By descending id: newest first, but for ids that clients made."""
        wanted = query.filter()

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[User]:
            return await self._store.users(wanted, before=UUID(key[0]) if key else None, limit=limit)

        return await self._page("users", query.texts, page, fetch, lambda last: (str(last.id),))

    async def wallet(self, wallet_id: WalletId) -> Wallet:
        wallet = _found(await self._store.wallet(wallet_id), "wallet", wallet_id)
        if not wallet.is_due:
            return wallet
        await self._settle(wallet_id)
        return _found(await self._store.wallet(wallet_id), "wallet", wallet_id)

    async def asset(self, asset_id: AssetId) -> AssetSummary:
        # Beyond what the database can be asked for is beyond what it can have.
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

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Wallet]:
            return await self._store.wallets(wanted, own=own, before=UUID(key[0]) if key else None, limit=limit)

        return await self._page("wallets", query.texts, page, self._settled(fetch), lambda last: (str(last.id),))

    async def wallets_of_user(self, user_id: UUID, page: PageRequest = FIRST_PAGE) -> Page[Wallet]:
        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Wallet]:
            return await self._store.wallets_of_user(user_id, after=UUID(key[0]) if key else None, limit=limit)

        found = await self._page(
            "wallets_of_user", {"user_id": str(user_id)}, page, self._settled(fetch), lambda last: (str(last.id),)
        )
        if not found.data:
            await self.user(user_id)
        return found

    async def assets(self, page: PageRequest = FIRST_PAGE) -> Page[AssetSummary]:
        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[AssetSummary]:
            return await self._store.assets(after=key[0] if key else None, limit=limit)

        return await self._page("assets", {}, page, fetch, lambda last: (last.id,))

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

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Hold]:
            before = UUID(key[0]) if key else None
            return await self._store.holds(wallet_id, status=status, before=before, limit=limit)

        filters = {"wallet_id": str(wallet_id)} | ({} if status is None else {"status": status.value})
        found = await self._page("holds", filters, page, fetch, lambda last: (str(last.id),))
        return await self._of_wallet(wallet_id, found)

    async def lots(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE, *, only_live: bool = True) -> Page[Lot]:
        """The wallet's lots, newest first; all of them, or those of which something is left."""
        await self._settle(wallet_id)

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Lot]:
            before = UUID(key[0]) if key else None
            return await self._store.lots(wallet_id, only_live=only_live, before=before, limit=limit)

        filters = {"wallet_id": str(wallet_id), "status": "live" if only_live else "all"}
        found = await self._page("lots", filters, page, fetch, lambda last: (str(last.id),))
        return await self._of_wallet(wallet_id, found)

    async def transactions(
        self, page: PageRequest = FIRST_PAGE, query: TransactionQuery = _ALL_TRANSACTIONS
    ) -> Page[Posted]:
        """Newest first, but for those of all wallets by the beginning of a reference, which are in the order of
        references.
        """
        wanted, filters = query.filter(), query.texts
        limit = limit_of(page, takes_offset=query.takes_offset)
        own = None if query.wallet_id is not None else await self._own()
        name = "transactions" if own is None else "own_transactions"
        before: Place | None = None
        if page.cursor is not None:
            before = place_of(self._cursors.read(page.cursor, name, filters), track_of(wanted, own).place)
        if query.wallet_id is not None:
            await self._settle(query.wallet_id)
        rows, end = await self._store.transactions(wanted, own=own, before=before, limit=limit, skip=page.offset or 0)
        cursor = None if end is None else self._cursors.sign(name, filters, key_of(end))
        found = Page(data=rows, next=cursor, has_more=end is not None)
        return found if query.wallet_id is None else await self._of_wallet(query.wallet_id, found)

    async def ledger_entries(self, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """Of all wallets, newest transaction first."""

        async def fetch(key: Sequence[Any] | None, limit: int, skip: int) -> Sequence[LedgerEntry]:
            return await self._store.entries(before=place_of(key, LegPlace) if key else None, limit=limit, skip=skip)

        return await self._page(
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

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[LedgerEntry]:
            return await self._store.entries_of_wallet(wallet_id, before=key[0] if key else None, limit=limit)

        found = await self._page(
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
        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Decline]:
            before = key[0] if key else None
            return await self._store.declines(reference_id, before=before, limit=limit, origin=origin)

        return await self._page("declines", {"reference_id": reference_id}, page, fetch, lambda last: (last.id,))

    def _settled(self, fetch: Fetch[Wallet]) -> Fetch[Wallet]:
        """The same rows, once all that was due at their wallets is posted."""

        async def fetch_settled(key: Sequence[Any] | None, limit: int, offset: int) -> Sequence[Wallet]:
            wallets = await fetch(key, limit, offset)
            due = [wallet.id for wallet in wallets if wallet.is_due]
            if not due:
                return wallets
            await asyncio.gather(*map(self._settle, due))
            return await fetch(key, limit, offset)

        return fetch_settled

    async def _of_wallet(self, wallet_id: WalletId, found: Page[Row]) -> Page[Row]:
        """The page. Raises NotFound if it is empty because there is no such wallet."""
        if not found.data:
            _found(await self._store.wallet(wallet_id), "wallet", wallet_id)
        return found

    async def _page(
        self,
        list_name: str,
        filters: Mapping[str, str],
        page: PageRequest,
        fetch: Fetch[Row],
        key_of: Callable[[Row], Sequence[KeyPart]],
        *,
        takes_offset: bool = False,
    ) -> Page[Row]:
        """`fetch` gets the last key seen or None, rows at most and rows to skip."""
        limit = limit_of(page, takes_offset=takes_offset)
        key = None if page.cursor is None else self._cursors.read(page.cursor, list_name, filters)
        rows = await fetch(key, limit + 1, page.offset or 0)
        data = rows[:limit]
        has_more = len(rows) > limit
        cursor = self._cursors.sign(list_name, filters, key_of(data[-1])) if has_more else None
        return Page(data=data, next=cursor, has_more=has_more)


def limit_of(page: PageRequest, *, takes_offset: bool) -> int:
    """How many rows the page has at most. Raises Malformed for a page that there cannot be."""
    limit = LIMIT_DEFAULT if page.limit is None else page.limit
    errors = []
    if not 1 <= limit <= LIMIT_MAX:
        errors.append(FieldError("limit", f"must be between 1 and {LIMIT_MAX}"))
    if page.offset is not None:
        if not takes_offset:
            errors.append(FieldError("offset", "is not taken by this list: go on with the cursor in `next`"))
        elif page.cursor is not None:
            errors.append(FieldError("offset", "cannot be combined with a cursor"))
        elif page.offset > OFFSET_MAX:
            errors.append(FieldError("offset", f"must be at most {OFFSET_MAX}: go on with the cursor in `next`"))
        elif page.offset < 0:
            errors.append(FieldError("offset", "must not be negative"))
    if errors:
        raise Malformed(errors)
    return limit


def _found(resource: Row | None, kind: str, id_: object) -> Row:
    if resource is None:
        raise NotFound(f"{kind}_not_found", f"there is no {kind} {id_}")
    return resource
