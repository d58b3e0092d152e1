"""What edges may ask, but for balances (service.balances): single things, and lists by the page."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from wallet.errors import FieldError, Malformed, NotFound
from wallet.ledger.model import AssetId, Posted, TransactionId, WalletId
from wallet.service.cursors import Cursors, KeyPart
from wallet.storage.reads import AssetSummary, Decline, LedgerEntry, ReadStore, User, Wallet

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 200
OFFSET_MAX: Final = 10_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list. `next` is the cursor of the following page, None when there is none."""

    data: Sequence[Row]
    next: str | None
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page. None: not said. Only the two lists that promise it take an offset."""

    limit: int | None = None
    cursor: str | None = None
    offset: int | None = None


FIRST_PAGE: Final = PageRequest()


class Reads:
    """Raises NotFound, Malformed (limit, offset, cursor) and StorageUnavailable. References are well-formed already."""

    def __init__(self, store: ReadStore, cursors: Cursors) -> None:
        self._store = store
        self._cursors = cursors

    async def user(self, user_id: UUID) -> User:
        return _found(await self._store.user(user_id), "user", user_id)

    async def wallet(self, wallet_id: WalletId) -> Wallet:
        return _found(await self._store.wallet(wallet_id), "wallet", wallet_id)

    async def asset(self, asset_id: AssetId) -> AssetSummary:
        # Beyond what the database can be asked for is beyond what it can have.
        in_range = 0 < asset_id < 2**31
        return _found(await self._store.asset(asset_id) if in_range else None, "asset", asset_id)

    async def transaction(self, transaction_id: TransactionId) -> Posted:
        return _found(await self._store.transaction(transaction_id), "transaction", transaction_id)

    async def wallets_of_user(self, user_id: UUID, page: PageRequest = FIRST_PAGE) -> Page[Wallet]:
        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Wallet]:
            return await self._store.wallets_of_user(user_id, after=UUID(key[0]) if key else None, limit=limit)

        found = await self._page(
            "wallets_of_user", {"user_id": str(user_id)}, page, fetch, lambda last: (str(last.id),)
        )
        if not found.data:
            await self.user(user_id)
        return found

    async def assets(self, page: PageRequest = FIRST_PAGE) -> Page[AssetSummary]:
        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[AssetSummary]:
            return await self._store.assets(after=key[0] if key else None, limit=limit)

        return await self._page("assets", {}, page, fetch, lambda last: (last.id,))

    async def transactions(self, page: PageRequest = FIRST_PAGE, *, reference_id: str | None = None) -> Page[Posted]:
        """Newest first. With `reference_id`, those with exactly this one, of whatever origin."""

        async def fetch(key: Sequence[Any] | None, limit: int, offset: int) -> Sequence[Posted]:
            return await self._store.transactions(
                reference_id=reference_id, before=UUID(key[0]) if key else None, limit=limit, offset=offset
            )

        filters = {} if reference_id is None else {"reference_id": reference_id}
        return await self._page("transactions", filters, page, fetch, lambda last: (str(last.id),), takes_offset=True)

    async def ledger_entries(self, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """Of all wallets, newest transaction first."""

        async def fetch(key: Sequence[Any] | None, limit: int, offset: int) -> Sequence[LedgerEntry]:
            before = (UUID(key[0]), int(key[1])) if key else None
            return await self._store.entries(before=before, limit=limit, offset=offset)

        return await self._page(
            "ledger_entries",
            {},
            page,
            fetch,
            lambda last: (str(last.transaction_id), last.leg),
            takes_offset=True,
        )

    async def entries_of_wallet(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """Newest first."""

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[LedgerEntry]:
            return await self._store.entries_of_wallet(wallet_id, before=key[0] if key else None, limit=limit)

        found = await self._page(
            "entries_of_wallet", {"wallet_id": str(wallet_id)}, page, fetch, lambda last: (last.position,)
        )
        if not found.data:
            await self.wallet(wallet_id)
        return found

    async def declines(self, reference_id: str, page: PageRequest = FIRST_PAGE) -> Page[Decline]:
        """Refusals of requests with exactly this reference, of whatever origin, newest first."""

        async def fetch(key: Sequence[Any] | None, limit: int, _: int) -> Sequence[Decline]:
            return await self._store.declines(reference_id, before=key[0] if key else None, limit=limit)

        return await self._page("declines", {"reference_id": reference_id}, page, fetch, lambda last: (last.id,))

    async def _page(
        self,
        list_name: str,
        filters: Mapping[str, str],
        page: PageRequest,
        fetch: Callable[[Sequence[Any] | None, int, int], Awaitable[Sequence[Row]]],
        key_of: Callable[[Row], Sequence[KeyPart]],
        *,
        takes_offset: bool = False,
    ) -> Page[Row]:
        """`fetch` gets the last key seen or None, rows at most and rows to skip."""
        limit = LIMIT_DEFAULT if page.limit is None else page.limit
        _check(page, limit, takes_offset=takes_offset)
        key = None if page.cursor is None else self._cursors.read(page.cursor, list_name, filters)
        rows = await fetch(key, limit + 1, page.offset or 0)
        data = rows[:limit]
        has_more = len(rows) > limit
        cursor = self._cursors.sign(list_name, filters, key_of(data[-1])) if has_more else None
        return Page(data=data, next=cursor, has_more=has_more)


def _check(page: PageRequest, limit: int, *, takes_offset: bool) -> None:
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


def _found(resource: Row | None, kind: str, id_: object) -> Row:
    if resource is None:
        raise NotFound(f"{kind}_not_found", f"there is no {kind} {id_}")
    return resource
