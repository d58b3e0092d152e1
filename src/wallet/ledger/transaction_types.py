"""The types of transactions, with one record each: the ledger's rules for transactions that are stored under a type.

A type is not a kind of request. One kind may post several types, the service posts an expiry without any request, and a
type is stored for ever: refunds, spending limits and verify use it long after the request. The effects of requests are
in kinds. A type that is not here belongs to a general transaction, and the client chose its name.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from wallet.ledger.model import Posted


class Refunds(Enum):
    """How a transaction is refunded."""

    BY_AMOUNT = "by amount"
    """In parts, until the amount of its first entry is used up."""
    BY_LEGS = "by legs"
    """Whole and once, each leg mirrored."""
    NEVER = "never"


# The fields that the first release knew. Requests with nothing newer still have fingerprints of exactly these.
WALLET_MOVEMENT_FIELDS: Final = ("type", "wallet_id", "asset_code", "amount", "metadata")
TRANSFER_FIELDS: Final = ("type", "from_wallet_id", "to_wallet_id", "asset_code", "amount", "metadata")
GENERAL_FIELDS: Final = ("type", "legs", "metadata")

WALLET_MOVEMENT_LAYOUT: Final = (
    *WALLET_MOVEMENT_FIELDS, "lot", "funding_wallet_id", "target_wallet_id", "amount_mode", "min_amount",
    "effective_at",
)  # fmt: skip
GENERAL_LAYOUT: Final = (*GENERAL_FIELDS, "effective_at")


class TransactionType(NamedTuple):
    """The ledger's rules for one type.

    counts_for_limits: its debits count for spending limits. layout: the names of the fields by which two requests with
    one reference are compared, in the order of their hints in a fingerprint; a layout grows at its end only.
    issues: it brings value into circulation. steps: the kinds of hold steps that it leaves. has_entries: False if it
    never moves anything. was_free: general transactions of earlier releases may have the name; they differ from
    transactions of this type in that they have no hold.
    """

    name: str
    counts_for_limits: bool
    refunds: Refunds
    layout: tuple[str, ...] = GENERAL_LAYOUT
    issues: bool = False
    steps: tuple[str, ...] = ()
    has_entries: bool = True
    was_free: bool = False


TOPUP: Final = TransactionType(
    "topup", counts_for_limits=False, refunds=Refunds.BY_AMOUNT, layout=WALLET_MOVEMENT_LAYOUT, issues=True
)
BONUS: Final = TransactionType(
    "bonus", counts_for_limits=False, refunds=Refunds.BY_AMOUNT, layout=WALLET_MOVEMENT_LAYOUT, issues=True
)
SPEND: Final = TransactionType(
    "spend", counts_for_limits=True, refunds=Refunds.BY_AMOUNT, layout=WALLET_MOVEMENT_LAYOUT
)
TRANSFER: Final = TransactionType(
    "transfer",
    counts_for_limits=True,
    refunds=Refunds.BY_AMOUNT,
    layout=(*TRANSFER_FIELDS, "amount_mode", "min_amount", "effective_at"),
)
HOLD: Final = TransactionType(
    "hold",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=(
        "type", "wallet_id", "asset_code", "amount", "target_wallet_id", "expires_in_seconds", "on_expiry", "metadata",
    ),
    steps=("place",),
    has_entries=False,
)  # fmt: skip
CAPTURE: Final = TransactionType(
    "capture",
    counts_for_limits=True,
    refunds=Refunds.BY_AMOUNT,
    layout=("type", "hold_id", "amount", "final", "amount_mode", "min_amount", "effective_at", "metadata"),
    steps=("capture",),
)
VOID: Final = TransactionType(
    "void",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=("type", "hold_id", "metadata"),
    steps=("void",),
    has_entries=False,
)
INCREASE: Final = TransactionType(
    "increase",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=("type", "hold_id", "amount", "metadata"),
    steps=("increase",),
    has_entries=False,
)
EXTEND: Final = TransactionType(
    "extend",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=("type", "hold_id", "expires_in_seconds", "metadata"),
    steps=("extend",),
    has_entries=False,
)
CLAIM_PLACE: Final = TransactionType(
    "claim_place",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=("type", "wallet_id", "asset_code", "amount", "uses", "once_per_user", "expires_in_seconds", "metadata"),
    steps=("place",),
    has_entries=False,
    was_free=True,
)
CLAIM_REDEEM: Final = TransactionType(
    "claim_redeem",
    counts_for_limits=True,
    refunds=Refunds.BY_AMOUNT,
    layout=("type", "code", "wallet_id", "metadata"),
    steps=("capture",),
    was_free=True,
)
CLAIM_CANCEL: Final = TransactionType(
    "claim_cancel",
    counts_for_limits=True,
    refunds=Refunds.NEVER,
    layout=("type", "claim_id", "metadata"),
    steps=("void",),
    has_entries=False,
    was_free=True,
)
REFUND: Final = TransactionType(
    "refund",
    counts_for_limits=False,
    refunds=Refunds.NEVER,
    layout=("type", "transaction_id", "amount", "force", "effective_at", "metadata"),
)
MERGE: Final = TransactionType(
    "merge",
    counts_for_limits=False,
    refunds=Refunds.NEVER,
    layout=("type", "source_wallet_id", "target_wallet_id", "effective_at", "metadata"),
    steps=("move_out", "move_in"),
)
GRANT: Final = TransactionType("grant", counts_for_limits=False, refunds=Refunds.BY_AMOUNT)
EXPIRY: Final = TransactionType("expiry", counts_for_limits=False, refunds=Refunds.NEVER, steps=("expire",))
RELEASE: Final = TransactionType("release", counts_for_limits=True, refunds=Refunds.BY_LEGS)
"""Kept free for a later release: nothing posts it yet."""

BUILT_IN: Final[Mapping[str, TransactionType]] = {
    each.name: each
    for each in (
        TOPUP, BONUS, SPEND, TRANSFER, HOLD, CAPTURE, VOID, INCREASE, EXTEND, CLAIM_PLACE, CLAIM_REDEEM, CLAIM_CANCEL,
        REFUND, MERGE, GRANT, EXPIRY, RELEASE,
    )
}  # fmt: skip
"""By name. A general transaction takes none of these names."""

# Sets for questions about many transactions.
UNCOUNTED_TYPES: Final = frozenset(each.name for each in BUILT_IN.values() if not each.counts_for_limits)
"""Debits by these do not count for spending limits."""
ISSUING_TYPES: Final = frozenset(each.name for each in BUILT_IN.values() if each.issues)
"""Transactions of these types bring value into circulation."""


def layout_of(transaction_type: str) -> tuple[str, ...]:
    """The names of the fields that a transaction of this type is compared by, in order of their hints."""
    built_in = BUILT_IN.get(transaction_type)
    return GENERAL_LAYOUT if built_in is None else built_in.layout


def refunds_of(posted: Posted) -> Refunds:
    """How a transaction is refunded."""
    built_in = BUILT_IN.get(posted.type)
    if built_in is None or (built_in.was_free and posted.hold_id is None):
        return Refunds.BY_LEGS
    return built_in.refunds
