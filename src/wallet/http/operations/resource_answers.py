"""The shapes of answers about resources. The OpenAPI document is made from these types.

Times are RFC 3339 in UTC with microseconds. Amounts are JSON integers, or strings if the client asks for
?amounts=string. wire.encoding writes answers; the answers to movements are in answers.
"""

from typing import Generic, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

from wallet.http.operations.answers import (
    direction_name,
)
from wallet.ledger.instants import rfc3339
from wallet.ledger.model import Lot
from wallet.storage.reads.balances import Balance
from wallet.storage.reads.entries import LedgerEntry
from wallet.storage.reads.listings import Decline
from wallet.storage.reads.resources import AssetSummary, User, Wallet
from wallet.storage.reads.wallet_at import BalanceAt

Row = TypeVar("Row")


class BalanceAnswer(Struct, kw_only=True):
    """The balance of a wallet. Only `available` decides whether the wallet can afford something.

    On the effective axis held, available and version are null. merged_into: only for a wallet that was merged. final:
    only at an instant; false while a movement that is still to be posted could change it.
    """

    wallet_id: str
    asset_code: str
    scale: int
    balance: int
    held: int | None
    available: int | None
    version: int | None
    as_of: str
    merged_into: str | UnsetType = UNSET
    final: bool | UnsetType = UNSET


class UserAnswer(Struct, kw_only=True):
    """A user, who may own wallets."""

    id: str
    name: str
    metadata: Raw | None
    created_at: str


class SpendingLimitAnswer(Struct, kw_only=True):
    """The most that may be spent `per` day (any 24 hours) or month (of the calendar, in UTC)."""

    per: str
    amount: int


class WalletAnswer(Struct, kw_only=True):
    """A wallet, its limits and its freezes. `version` is null on a system wallet without a cap."""

    id: str
    kind: str
    asset_code: str
    asset_type_id: int
    user_id: str | None
    label: str | None
    metadata: Raw | None
    overdraft_limit: int
    max_balance: int | None
    freeze_outgoing: bool
    freeze_incoming: bool
    spending_limits: list[SpendingLimitAnswer]
    status: str
    merged_into: str | None
    version: int | None
    created_at: str
    closed_at: str | None


class MergeAnswer(WalletAnswer, kw_only=True):
    """The wallet that has ended by a merge; in a dry run, as it would be."""

    dry_run: bool | UnsetType = UNSET


class LotAnswer(Struct, kw_only=True):
    """A parcel of credit: remaining = held + available. `opened_by`: the transaction that opened it."""

    id: str
    wallet_id: str
    category: str
    priority: int
    expires_at: str | None
    amount: int
    remaining: int
    held: int
    available: int
    opened_at: str
    opened_by: str
    programme_id: str | None


class AssetAnswer(Struct, kw_only=True):
    """An asset, and its totals: issued = revenue + breakage + circulating. These are null for a bound key."""

    id: int
    code: str
    scale: int
    max_supply: int | None
    draw_order: str
    on_refund_to_expired: str
    grace_seconds: int
    treasury_wallet_id: str
    revenue_wallet_id: str
    breakage_wallet_id: str
    created_at: str
    issued: int | None
    revenue: int | None
    breakage: int | None
    circulating: int | None


class LedgerEntryAnswer(Struct, kw_only=True):
    """One line of a transaction, on its own. The last two fields are null on a system wallet without a cap."""

    transaction_id: str
    leg: int
    wallet_id: str
    asset_code: str
    direction: str
    amount: int
    created_at: str
    balance_after: int | None
    version: int | None


class DeclineAnswer(Struct, kw_only=True):
    """A refusal, as it was answered."""

    reference_id: str
    type: str
    code: str
    wallet_id: str | None
    required: int | None
    available: int | None
    created_at: str


class PageAnswer(Struct, Generic[Row], kw_only=True):
    """A part of a list. `next` goes into ?cursor= for the following part; null: this was the last.

    A filter that finds few rows among very many may give a part with fewer rows than asked for, even none, although
    more follow: `has_more` says so.
    """

    data: list[Row]
    next: str | None
    has_more: bool


def balance_answer(balance: Balance) -> BalanceAnswer:
    return BalanceAnswer(
        wallet_id=str(balance.wallet_id),
        asset_code=balance.asset_code,
        scale=balance.scale,
        balance=balance.balance,
        held=balance.held,
        available=balance.available,
        version=balance.version,
        as_of=rfc3339(balance.as_of),
        merged_into=UNSET if balance.merged_into is None else str(balance.merged_into),
    )


def balance_at_answer(balance: BalanceAt) -> BalanceAnswer:
    return BalanceAnswer(
        wallet_id=str(balance.wallet_id),
        asset_code=balance.asset_code,
        scale=balance.scale,
        balance=balance.balance,
        held=balance.held,
        available=balance.available,
        version=balance.version,
        as_of=rfc3339(balance.as_of),
        merged_into=UNSET if balance.merged_into is None else str(balance.merged_into),
        final=balance.is_final,
    )


def user_answer(user: User) -> UserAnswer:
    return UserAnswer(
        id=str(user.id), name=user.name, metadata=_raw(user.metadata), created_at=rfc3339(user.created_at)
    )


def wallet_answer(wallet: Wallet) -> WalletAnswer:
    return WalletAnswer(
        id=str(wallet.id),
        kind=wallet.kind.value,
        asset_code=wallet.asset_code,
        asset_type_id=wallet.asset_id,
        user_id=None if wallet.user_id is None else str(wallet.user_id),
        label=wallet.label,
        metadata=_raw(wallet.metadata),
        overdraft_limit=wallet.overdraft_limit,
        max_balance=wallet.max_balance,
        freeze_outgoing=wallet.freeze_outgoing,
        freeze_incoming=wallet.freeze_incoming,
        spending_limits=[
            SpendingLimitAnswer(per=per, amount=limit)
            for per, limit in (("day", wallet.limit_day), ("month", wallet.limit_month))
            if limit is not None
        ],
        status=_status(wallet),
        merged_into=None if wallet.merged_into is None else str(wallet.merged_into),
        version=wallet.version,
        created_at=rfc3339(wallet.created_at),
        closed_at=None if wallet.closed_at is None else rfc3339(wallet.closed_at),
    )


def lot_answer(lot: Lot) -> LotAnswer:
    return LotAnswer(
        id=str(lot.id),
        wallet_id=str(lot.wallet_id),
        category=lot.category.value,
        priority=lot.priority,
        expires_at=None if lot.expires_at is None else rfc3339(lot.expires_at),
        amount=lot.amount,
        remaining=lot.remaining,
        held=lot.held,
        available=lot.free,
        opened_at=rfc3339(lot.opened_at),
        opened_by=str(lot.opened_by),
        programme_id=None if lot.programme_id is None else str(lot.programme_id),
    )


def asset_answer(asset: AssetSummary) -> AssetAnswer:
    return AssetAnswer(
        id=asset.id,
        code=asset.code,
        scale=asset.scale,
        max_supply=asset.max_supply,
        draw_order=asset.draw_order,
        on_refund_to_expired=asset.on_refund_to_expired,
        grace_seconds=asset.grace_seconds,
        treasury_wallet_id=str(asset.treasury_wallet_id),
        revenue_wallet_id=str(asset.revenue_wallet_id),
        breakage_wallet_id=str(asset.breakage_wallet_id),
        created_at=rfc3339(asset.created_at),
        issued=asset.issued,
        revenue=asset.revenue,
        breakage=asset.breakage,
        circulating=asset.circulating,
    )


def ledger_entry_answer(entry: LedgerEntry) -> LedgerEntryAnswer:
    return LedgerEntryAnswer(
        transaction_id=str(entry.transaction_id),
        leg=entry.leg,
        wallet_id=str(entry.wallet_id),
        asset_code=entry.asset_code,
        direction=direction_name(entry.direction),
        amount=entry.amount,
        created_at=rfc3339(entry.created_at),
        balance_after=entry.balance_after,
        version=entry.version,
    )


def decline_answer(decline: Decline) -> DeclineAnswer:
    return DeclineAnswer(
        reference_id=decline.reference_id,
        type=decline.type,
        code=decline.code,
        wallet_id=None if decline.wallet_id is None else str(decline.wallet_id),
        required=decline.required,
        available=decline.available,
        created_at=rfc3339(decline.created_at),
    )


def _raw(metadata: str | None) -> Raw | None:
    return None if metadata is None else Raw(metadata.encode())


def _status(wallet: Wallet) -> str:
    if wallet.merged_into is not None:
        return "merged"
    return "open" if wallet.closed_at is None else "closed"
