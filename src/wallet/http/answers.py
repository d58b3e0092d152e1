"""What clients get: the shapes of answers, and how they are written. The OpenAPI document is made from these types.

Times are RFC 3339 in UTC with microseconds. Amounts are JSON integers, or strings for who asks with ?amounts=string.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from wallet.ledger.model import Asset, AssetId, Posted
from wallet.storage.reads import AssetSummary, Balance, Decline, LedgerEntry, User, Wallet

Row = TypeVar("Row")

JSON: Final = (b"content-type", b"application/json")
AMOUNT_FIELDS: Final = frozenset(
    {"amount", "balance", "held", "available", "required", "balance_after", "max_supply", "issued", "revenue",
     "breakage", "circulating"}
)  # fmt: skip

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Answer(NamedTuple):
    """A whole HTTP answer, the same for both lanes. Content-Length is added by whoever sends it."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)


class EntryAnswer(Struct, kw_only=True):
    """One line of a transaction. The last two are null on a system wallet without a cap."""

    wallet_id: str
    asset_code: str
    direction: str
    amount: int
    balance_after: int | None
    version: int | None


class TransactionAnswer(Struct, kw_only=True):
    """An accepted movement; a replay equals the first answer field for field."""

    id: str
    reference_id: str
    type: str
    status: str
    created_at: str
    effective_at: str
    metadata: Raw | None
    entries: list[EntryAnswer]


def written(body: Any, *, amounts_as_strings: bool = False) -> bytes:
    """The JSON of an answer."""
    if amounts_as_strings:
        body = _with_string_amounts(msgspec.json.decode(_encode(body)))
    return _encode(body)


@lru_cache(maxsize=64)  # all movements of a batch are of one instant
def rfc3339(instant: datetime) -> str:
    """An instant in UTC, always with six digits of a second."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def transaction_answer(posted: Posted, assets: Mapping[AssetId, Asset]) -> TransactionAnswer:
    """An accepted transaction as its first answer and every later one show it."""
    created_at = rfc3339(posted.created_at)
    same = posted.effective_at == posted.created_at
    return TransactionAnswer(
        id=str(posted.id),
        reference_id=posted.reference_id,
        type=posted.type,
        status="posted",
        created_at=created_at,
        effective_at=created_at if same else rfc3339(posted.effective_at),
        metadata=None if posted.metadata is None else Raw(posted.metadata.encode()),
        entries=[
            EntryAnswer(
                wallet_id=str(entry.wallet_id),
                asset_code=assets[entry.asset_id].code,
                direction=_direction(entry.direction),
                amount=entry.amount,
                balance_after=entry.balance_after,
                version=entry.version,
            )
            for entry in posted.entries
        ],
    )


def _with_string_amounts(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: str(each) if key in AMOUNT_FIELDS and isinstance(each, int) else _kept(key, each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_with_string_amounts(each) for each in value]
    return value


def _kept(key: str, value: Any) -> Any:
    # Metadata is the caller's: whatever it calls an amount is none of ours.
    return value if key == "metadata" else _with_string_amounts(value)


class BalanceAnswer(Struct, kw_only=True):
    """What is in a wallet. Only `available` decides whether it can afford something."""

    wallet_id: str
    asset_code: str
    scale: int
    balance: int
    held: int
    available: int
    version: int | None
    as_of: str


class UserAnswer(Struct, kw_only=True):
    id: str
    name: str
    created_at: str


class WalletAnswer(Struct, kw_only=True):
    id: str
    kind: str
    asset_code: str
    asset_type_id: int
    user_id: str | None
    label: str | None
    created_at: str


class AssetAnswer(Struct, kw_only=True):
    """An asset, and where its units are: issued = revenue + breakage + circulating."""

    id: int
    code: str
    scale: int
    max_supply: int | None
    treasury_wallet_id: str
    revenue_wallet_id: str
    breakage_wallet_id: str
    created_at: str
    issued: int
    revenue: int
    breakage: int
    circulating: int


class LedgerEntryAnswer(Struct, kw_only=True):
    """One line of a transaction, on its own. The last two are null on a system wallet without a cap."""

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
    """A part of a list. `next` goes into ?cursor= for the following part; null: this was the last."""

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
    )


def user_answer(user: User) -> UserAnswer:
    return UserAnswer(id=str(user.id), name=user.name, created_at=rfc3339(user.created_at))


def wallet_answer(wallet: Wallet) -> WalletAnswer:
    return WalletAnswer(
        id=str(wallet.id),
        kind=wallet.kind.value,
        asset_code=wallet.asset_code,
        asset_type_id=wallet.asset_id,
        user_id=None if wallet.user_id is None else str(wallet.user_id),
        label=wallet.label,
        created_at=rfc3339(wallet.created_at),
    )


def asset_answer(asset: AssetSummary) -> AssetAnswer:
    return AssetAnswer(
        id=asset.id,
        code=asset.code,
        scale=asset.scale,
        max_supply=asset.max_supply,
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
        direction=_direction(entry.direction),
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


def _direction(direction: int) -> str:
    return "credit" if direction > 0 else "debit"
