"""The fields that the bodies of movements have in common. The bodies are in posts, holds, refunds and wallet_changes.

A field that is left out has its default, and costs next to nothing. Null means the same as leaving the field out, also
if the default is not None. Only in a WalletChangeBody null has a meaning of its own.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.http.wire.fields import (
    Amount,
    Id,
    Instant,
    LotSeconds,
    Metadata,
    Priority,
    Reference,
    SignedAmount,
    Version,
)
from wallet.ledger.requests import PRIORITY_DEFAULT


class ConditionBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A condition on a wallet that takes part: on its version before the movement, or its balance after it."""

    wallet_id: Id
    expected_version: Version | None = None
    min_balance: SignedAmount | None = None
    max_balance: SignedAmount | None = None


class LotTermsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The lot that a top-up or bonus opens. Without an expiry it never expires."""

    category: Literal["paid", "promotional"]
    expires_at: Instant | None = None
    expires_in_seconds: LotSeconds | None = None
    priority: Priority | None = PRIORITY_DEFAULT


Conditions: TypeAlias = Annotated[
    list[ConditionBody], Meta(max_length=100, description="All of them must be met, or nothing moves.")
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


class CommonBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields that requests about a hold, a transaction or a wallet in the path have in common."""

    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None
