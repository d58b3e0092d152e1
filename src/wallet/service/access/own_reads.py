"""The reads of a bound caller: all that others have, answered as if no wallets existed but its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from wallet.errors import NotFound
from wallet.ledger.model import AssetId, Hold, HoldId, HoldStatus, Lot, Posted, TransactionId, WalletId
from wallet.service.access.callers import Caller
from wallet.service.access.masking import masked_decline, masked_posted, wallets_of
from wallet.service.access.permissions import Permissions
from wallet.service.reads.cursors import key_of, place_of
from wallet.service.reads.filters import TransactionQuery, UserQuery, WalletQuery
from wallet.service.reads.lists import Reads, SettleWallet
from wallet.service.reads.pages import FIRST_PAGE, Key, Page, PageRequest, Pages
from wallet.storage.reads.entries import LedgerEntry
from wallet.storage.reads.listings import Decline, Refunded
from wallet.storage.reads.places import LinePlace
from wallet.storage.reads.resources import AssetSummary, ReadStore, User, Wallet

_ALL_TRANSACTIONS: Final = TransactionQuery()
_ALL_USERS: Final = UserQuery()
_ALL_WALLETS: Final = WalletQuery()


class OwnReads(Reads):
    """Reads of one bound caller. A test checks that every method of Reads is here."""

    def __init__(
        self,
        store: ReadStore,
        pages: Pages,
        *,
        settle: SettleWallet,
        permissions: Permissions,
        caller: Caller,
    ) -> None:
        super().__init__(store, pages, settle=settle)
        self._permissions = permissions
        self._caller = caller

    async def user(self, user_id: UUID) -> User:
        """The user that the caller is bound to. For the caller, no other user exists."""
        self._ensure_is_own(user_id)
        return await super().user(user_id)

    async def users(self, page: PageRequest = FIRST_PAGE, query: UserQuery = _ALL_USERS) -> Page[User]:
        wanted, own = query.filter(), self._caller.user_id

        async def rows(seen: UUID | None, _: int) -> Sequence[User]:
            # The list is by descending id, so it begins at the id after the caller's user.
            before = None if own is None or own.int == _ID_MAX else UUID(int=own.int + 1)
            found = () if own is None or seen else await self._store.users(wanted, before=before, limit=1)
            return [user for user in found if user.id == own]

        return await self._pages.by_id("users", query.texts, page, rows)

    async def wallet(self, wallet_id: WalletId) -> Wallet:
        await self._ensure_sees(wallet_id)
        return await super().wallet(wallet_id)

    async def wallets(self, page: PageRequest = FIRST_PAGE, query: WalletQuery = _ALL_WALLETS) -> Page[Wallet]:
        """The caller's own wallets."""
        return await super().wallets(page, query)

    async def wallets_of_user(self, user_id: UUID, page: PageRequest = FIRST_PAGE) -> Page[Wallet]:
        self._ensure_is_own(user_id)
        return await super().wallets_of_user(user_id, page)

    async def asset(self, asset_id: AssetId) -> AssetSummary:
        return _without_totals(await super().asset(asset_id))

    async def assets(self, page: PageRequest = FIRST_PAGE) -> Page[AssetSummary]:
        found = await super().assets(page)
        return replace(found, data=[_without_totals(asset) for asset in found.data])

    async def hold(self, hold_id: HoldId) -> Hold:
        hold = await self._store.hold(hold_id)
        if hold is None or not await self._permissions.own(self._caller, (hold.wallet_id,)):
            raise NotFound("hold_not_found", f"there is no hold {hold_id}")
        return await super().hold(hold_id)

    async def holds(
        self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE, *, status: HoldStatus | None = None
    ) -> Page[Hold]:
        await self._ensure_sees(wallet_id)
        return await super().holds(wallet_id, page, status=status)

    async def lots(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE, *, only_live: bool = True) -> Page[Lot]:
        await self._ensure_sees(wallet_id)
        return await super().lots(wallet_id, page, only_live=only_live)

    async def transaction(self, transaction_id: TransactionId) -> Posted:
        """A transaction with an entry, or a hold step, on a wallet of the caller's."""
        posted = await self._store.transaction(transaction_id)
        own = frozenset() if posted is None else await self._permissions.own(self._caller, wallets_of(posted))
        if posted is None or not (own or await self._has_steps(transaction_id)):
            raise NotFound("transaction_not_found", f"there is no transaction {transaction_id}")
        return masked_posted(posted, own)

    async def refunds_of(self, transaction_id: TransactionId) -> Refunded:
        """Those refunds that the caller may see, with the refunded amount of all of them."""
        refunded = await super().refunds_of(transaction_id)
        seen = await self._store.touching(await self._own(), [each.id for each in refunded.refunds])
        return refunded._replace(refunds=[each for each in refunded.refunds if each.id in seen])

    async def transactions(
        self, page: PageRequest = FIRST_PAGE, query: TransactionQuery = _ALL_TRANSACTIONS
    ) -> Page[Posted]:
        """Transactions newest first, also if they are filtered by the beginning of a reference."""
        query.check()
        if query.wallet_id is not None:
            await self._ensure_sees(query.wallet_id)
        found = await super().transactions(page, query)
        return replace(found, data=await self._permissions.mask_all(self._caller, found.data))

    async def ledger_entries(self, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        """The entries of the caller's wallets, newest first. This is another order than that of the list of all
        entries.
        """
        own = await self._own()

        async def fetch(key: Key | None, limit: int, skip: int) -> Sequence[LedgerEntry]:
            before = place_of(key, LinePlace) if key else None
            return await self._store.entries_of_wallets(own, before=before, limit=limit, skip=skip)

        return await self._pages.by_key(
            "own_ledger_entries",
            {},
            page,
            fetch,
            lambda last: key_of(LinePlace(last.created_at, last.wallet_id, last.position)),
            takes_offset=True,
        )

    async def entries_of_wallet(self, wallet_id: WalletId, page: PageRequest = FIRST_PAGE) -> Page[LedgerEntry]:
        await self._ensure_sees(wallet_id)
        return await super().entries_of_wallet(wallet_id, page)

    async def declines(self, reference_id: str, page: PageRequest = FIRST_PAGE) -> Page[Decline]:
        """Refusals of the caller's own requests."""
        found = await self._declines(reference_id, page, origin=self._caller.origin)
        named = {decline.wallet_id for decline in found.data if decline.wallet_id is not None}
        own = await self._permissions.own(self._caller, named)
        return replace(found, data=[masked_decline(decline, own) for decline in found.data])

    async def _own(self) -> Sequence[WalletId]:
        """The wallets that restrict every list of this caller, transactions included."""
        return await self._permissions.all_own(self._caller)

    async def _has_steps(self, transaction_id: TransactionId) -> bool:
        """Whether a transaction without entries moved a hold of the caller's, as the merge of an empty wallet may."""
        return bool(await self._store.touching(await self._own(), [transaction_id]))

    async def _ensure_sees(self, wallet_id: WalletId) -> None:
        await self._permissions.ensure_sees_wallet(self._caller, wallet_id)

    def _ensure_is_own(self, user_id: UUID) -> None:
        if user_id != self._caller.user_id:
            raise NotFound("user_not_found", f"there is no user {user_id}")


_ID_MAX: Final = 2**128 - 1


def _without_totals(asset: AssetSummary) -> AssetSummary:
    """The asset without its totals, which would disclose something about wallets of others."""
    return replace(asset, issued=None, revenue=None, breakage=None, circulating=None)
