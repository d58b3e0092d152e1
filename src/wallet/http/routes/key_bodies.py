"""Bodies of requests about keys."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from wallet.http.wire.fields import Id, Label
from wallet.service.access.keys import EXPIRES_IN_DAYS_MAX, REQUESTS_PER_SECOND_MAX, WALLETS_MAX


class NewKey(Struct, forbid_unknown_fields=True, kw_only=True):
    """A key to be made. Name and scopes are required, unless it `replaces` another one, of which it is a copy."""

    name: Annotated[Label, Meta(description="For people.", examples=["shop backend"])] | None = None
    scopes: (
        Annotated[
            list[Literal["read", "spend", "issue", "refund", "refund:force", "admin"]],
            Meta(min_length=1, max_length=6, description="None implies another."),
        ]
        | None
    ) = None
    user_id: Annotated[Id, Meta(description="Bind it to this user's wallets: it can read and spend only.")] | None = (
        None
    )
    wallet_ids: (
        Annotated[
            list[Id],
            Meta(min_length=1, max_length=WALLETS_MAX, description="Bind it to these wallets instead."),
        ]
        | None
    ) = None
    expires_in_days: Annotated[int, Meta(ge=1, le=EXPIRES_IN_DAYS_MAX)] | None = None
    requests_per_second: (
        Annotated[int, Meta(ge=1, le=REQUESTS_PER_SECOND_MAX, description="All workers together.")] | None
    ) = None
    replaces: (
        Annotated[
            Id,
            Meta(description="A key whose name, scopes, binding and origin are copied; it stays valid until revoked."),
        ]
        | None
    ) = None
