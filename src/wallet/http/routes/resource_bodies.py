"""Bodies of requests about users, wallets and assets. The OpenAPI document is made from these types.

Unknown fields are an error everywhere. wire/decoding refuses errors that no type of a field can express (a duplicate
key, a NUL inside metadata). Bodies of movements are in operations, types of single fields in wire/fields.
"""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.http.wire.fields import Amount, AssetCode, Id, Label, Metadata


class NewUser(Struct, forbid_unknown_fields=True, kw_only=True):
    """A user. With an `id` of your own the request may be sent again."""

    name: Label
    metadata: Metadata | None = None
    id: Id | None = None


class NewWallet(Struct, forbid_unknown_fields=True, kw_only=True):
    """A wallet in one asset, named by `asset_code` or by `asset_type_id`."""

    label: Label | None = None
    user_id: Id | None = None
    asset_code: AssetCode | None = None
    asset_type_id: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    metadata: Metadata | None = None
    id: Id | None = None


# Ids that the service makes go on above the greatest there is, so one given must leave room.
_ASSET_ID_MAX: Final = 1_000_000_000
_GRACE_SECONDS_MAX: Final = 10 * 366 * 24 * 3600


DrawOrder: TypeAlias = Annotated[
    Literal["expiring_first", "main_first"],
    Meta(description="Whether lots or main credit are drawn first, before main credit goes below zero."),
]
OnRefundToExpiredName: TypeAlias = Annotated[
    Literal["grace", "forfeit", "to_main"],
    Meta(description="A refund into a lot that has expired goes to a new lot, to breakage, or to main credit."),
]
GraceSeconds: TypeAlias = Annotated[
    int, Meta(ge=1, le=_GRACE_SECONDS_MAX, description="For how long such a new lot lives.")
]


class NewAsset(Struct, forbid_unknown_fields=True, kw_only=True):
    """A unit of value. Code, scale and max_supply are fixed at creation. The same again, by its code, is the same
    asset, whatever has been changed since.
    """

    code: AssetCode
    scale: Annotated[int, Meta(ge=0, le=18, description="Decimal places for display.")] = 0
    max_supply: Annotated[Amount, Meta(description="The most that may be issued; absent: no cap.")] | None = None
    draw_order: DrawOrder = "expiring_first"
    on_refund_to_expired: OnRefundToExpiredName = "grace"
    grace_seconds: GraceSeconds = 30 * 24 * 3600
    id: Annotated[int, Meta(ge=1, le=_ASSET_ID_MAX)] | None = None


class AssetChange(Struct, forbid_unknown_fields=True, kw_only=True):
    """The rules of an asset for lots, for all decisions from now on. A field that is absent stays as it is."""

    draw_order: DrawOrder | UnsetType = UNSET
    on_refund_to_expired: OnRefundToExpiredName | UnsetType = UNSET
    grace_seconds: GraceSeconds | UnsetType = UNSET
