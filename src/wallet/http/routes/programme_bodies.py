"""Bodies of requests about programmes, and about the sandbox's clock."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from wallet.http.wire.fields import Amount, AssetCode, Bound, Id, Instant, LotSeconds, Priority
from wallet.ledger.requests import PRIORITY_DEFAULT
from wallet.service.due.sandbox_clock import ADVANCE_SECONDS_MAX


class NewProgramme(Struct, forbid_unknown_fields=True, kw_only=True):
    """Credit that comes again every period. With an `id` of your own the request may be sent again."""

    asset_code: AssetCode
    amount: Amount
    per: Annotated[
        Literal["day", "week", "month"],
        Meta(description="Periods start that far apart, from when a wallet was attached; UTC, month ends clamped."),
    ]
    rollover_max: (
        Annotated[
            Bound,
            Meta(description="Unspent credit of this programme that a new period may find; beyond it less is granted."),
        ]
        | None
    ) = None
    expires_in_seconds: (
        Annotated[LotSeconds, Meta(description="When a period's credit expires, from the start of the period.")] | None
    ) = None
    category: Literal["paid", "promotional"] = "promotional"
    priority: Priority = PRIORITY_DEFAULT
    ends_at: Annotated[Instant, Meta(description="No period starts then or later.")] | None = None
    id: Id | None = None


class ClockAdvance(Struct, forbid_unknown_fields=True, kw_only=True):
    """How far the sandbox's clock is to go."""

    advance_seconds: Annotated[int, Meta(ge=1, le=ADVANCE_SECONDS_MAX, examples=[5184000])]
