"""Bodies of everything that moves or reserves money, and of what changes a wallet.

What is left out is its default, and costs next to nothing. Null is another word for it: where the default is not None,
both are possible, and mean the same. Only in a WalletChange null has a meaning of its own.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.http.wire.fields import (
    Amount,
    AssetCode,
    Bound,
    HoldSeconds,
    Id,
    Instant,
    Label,
    LotSeconds,
    Metadata,
    Priority,
    Reference,
    SignedAmount,
    TypeName,
    Version,
)
from wallet.ledger.requests import PRIORITY_DEFAULT


class Condition(Struct, forbid_unknown_fields=True, kw_only=True):
    """What must be so of a wallet that takes part: its version before, its balance after the movement."""

    wallet_id: Id
    expected_version: Version | None = None
    min_balance: SignedAmount | None = None
    max_balance: SignedAmount | None = None


class LotTerms(Struct, forbid_unknown_fields=True, kw_only=True):
    """The lot that a top-up or bonus opens. Without an expiry it never expires."""

    category: Literal["paid", "promotional"]
    expires_at: Instant | None = None
    expires_in_seconds: LotSeconds | None = None
    priority: Priority | None = PRIORITY_DEFAULT


Conditions: TypeAlias = Annotated[
    list[Condition], Meta(max_length=100, description="All of them must be met, or nothing moves.")
]
AmountMode: TypeAlias = Annotated[
    Literal["exact", "up_to"],
    Meta(description="`up_to`: as much of the amount as is there without overdraft, at least `min_amount`."),
]
MinAmount: TypeAlias = Annotated[Amount, Meta(description="With `amount_mode: up_to` only; 1 if absent.")]
EffectiveAt: TypeAlias = Annotated[Instant, Meta(description="When it happened, if that was before now.")]
DryRun: TypeAlias = Annotated[bool, Meta(description="Answer what would happen, and let nothing happen.")]
Force: TypeAlias = Annotated[bool, Meta(description="Even if it takes the wallet below its overdraft limit.")]
IsFinal: TypeAlias = Annotated[bool, Meta(description="Release what is left afterwards.")]


class WalletMovement(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a top-up, bonus and spend of the wallet in the path have in common."""

    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class TopUp(WalletMovement, kw_only=True):
    """A top-up of the wallet in the path."""

    lot: LotTerms | None = None


class Bonus(WalletMovement, kw_only=True):
    """A bonus for the wallet in the path, from the treasury or from a funding wallet."""

    lot: LotTerms | None = None
    funding_wallet_id: Id | None = None


class Spend(WalletMovement, kw_only=True):
    """A spend of the wallet in the path, to revenue or to a target wallet."""

    target_wallet_id: Id | None = None
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None


class Transfer(Struct, forbid_unknown_fields=True, kw_only=True):
    """From wallet to wallet in one asset."""

    from_wallet_id: Id
    to_wallet_id: Id
    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None


class TransactionLeg(Struct, forbid_unknown_fields=True, kw_only=True):
    """One side of a general transaction."""

    wallet_id: Id
    direction: Literal["debit", "credit"]
    amount: Amount


class Transaction(Struct, forbid_unknown_fields=True, kw_only=True):
    """A general transaction: a wallet at most once, and each asset cancels out on its own."""

    type: TypeName
    legs: Annotated[list[TransactionLeg], Meta(min_length=2, max_length=100)]
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class NewHold(Struct, forbid_unknown_fields=True, kw_only=True):
    """Reserve an amount of a wallet, for revenue or for a target wallet."""

    wallet_id: Id
    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    target_wallet_id: Id | None = None
    expires_in_seconds: HoldSeconds | None = None
    on_expiry: Literal["release", "capture"] | None = "release"
    metadata: Metadata | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class Step(Struct, forbid_unknown_fields=True, kw_only=True):
    """What requests about a hold, a transaction or a wallet in the path have in common."""

    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class Void(Step, kw_only=True):
    """Release what is left of a hold."""


class Increase(Step, kw_only=True):
    """Reserve more by an open hold."""

    amount: Amount


class Extend(Step, kw_only=True):
    """Let an open hold expire that many seconds from now, or when it did, whichever is later."""

    expires_in_seconds: HoldSeconds


class Capture(Step, kw_only=True):
    """Move part of a hold to its target; without an amount, all that remains."""

    amount: Amount | None = None
    final: IsFinal | None = False
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None
    effective_at: EffectiveAt | None = None


class Refund(Step, kw_only=True):
    """Undo a transaction, in part or whole; without an amount, all that is left to refund."""

    amount: Amount | None = None
    force: Force | None = False
    effective_at: EffectiveAt | None = None


class Merge(Step, kw_only=True):
    """Move everything that is in the first wallet of the path to the second one; the first ends."""

    effective_at: EffectiveAt | None = None


class SpendingLimit(Struct, forbid_unknown_fields=True, kw_only=True):
    """At most this amount per 24 hours rolling, or per calendar month in UTC."""

    per: Literal["day", "month"]
    amount: Bound


WalletMetadata: TypeAlias = Annotated[dict[str, Any], Meta(description="Any JSON object of at most 4 KiB and depth 4.")]


class WalletChange(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is absent stays as it is, null clears. At least one change besides `expected_version`."""

    label: Label | UnsetType | None = UNSET
    metadata: WalletMetadata | UnsetType | None = UNSET
    overdraft_limit: Bound | UnsetType | None = UNSET
    max_balance: Bound | UnsetType | None = UNSET
    freeze_outgoing: bool | UnsetType | None = UNSET
    freeze_incoming: bool | UnsetType | None = UNSET
    spending_limits: (
        Annotated[list[SpendingLimit], Meta(max_length=2, description="All limits: those left out are lifted.")]
        | UnsetType
        | None
    ) = UNSET
    expected_version: Version | None = None


class WalletStep(Struct, forbid_unknown_fields=True, kw_only=True):
    """Closes or reopens a wallet. The body may be left out."""

    expected_version: Version | None = None
