"""What clients send, field by field. The OpenAPI document is made from these types.

Unknown fields are an error everywhere. What a single field cannot say (a client-made duplicate key, a NUL inside
metadata) is decoding's business.
"""

import re
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.errors import FieldError, Malformed
from wallet.ledger.model import AMOUNT_MAX

# The very end, for us and for readers of the OpenAPI document: Python's $ alone lets a last line feed pass, and its
# \Z means nothing elsewhere.
_END = r"$(?!\n)"
_ID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}" + _END
_NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]*" + _END

# An id in its canonical form. Text here, because making a UUID object costs more than checking one.
Id: TypeAlias = Annotated[str, Meta(pattern=_ID, examples=["aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"])]
Amount: TypeAlias = Annotated[
    Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,18}" + _END)],
    Meta(description="Minor units of the asset: an integer, or the same in a string.", examples=[1000]),
]
AssetCode: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_]{1,16}" + _END, description="In either case.", examples=["gold"])
]
Reference: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_NO_CONTROL_CHARACTERS,
        description="Your promise that two requests are one. May come as the header Idempotency-Key instead.",
        examples=["txn-001"],
    ),
]
Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=_NO_CONTROL_CHARACTERS)]
Metadata: TypeAlias = Annotated[
    dict[str, Any], Meta(description="Any JSON object of at most 4 KiB and depth 4. Immutable, given back as it is.")
]


class WalletMovement(Struct, forbid_unknown_fields=True, kw_only=True):
    """A top-up, bonus or spend of the wallet in the path."""

    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType = UNSET
    metadata: Metadata | None = None


class Transfer(Struct, forbid_unknown_fields=True, kw_only=True):
    """From wallet to wallet in one asset."""

    from_wallet_id: Id
    to_wallet_id: Id
    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType = UNSET
    metadata: Metadata | None = None


class TransactionLeg(Struct, forbid_unknown_fields=True, kw_only=True):
    """One side of a general transaction."""

    wallet_id: Id
    direction: Literal["debit", "credit"]
    amount: Amount


class Transaction(Struct, forbid_unknown_fields=True, kw_only=True):
    """A general transaction: a wallet at most once, and each asset cancels out on its own."""

    type: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            pattern=_NO_CONTROL_CHARACTERS,
            description="Free text that is no built-in name, such as topup.",
            examples=["exchange"],
        ),
    ]
    legs: Annotated[list[TransactionLeg], Meta(min_length=2, max_length=100)]
    reference_id: Reference | UnsetType = UNSET
    metadata: Metadata | None = None


class NewUser(Struct, forbid_unknown_fields=True, kw_only=True):
    """A user. With an `id` of your own the request may be sent again."""

    name: Label
    id: Id | None = None


class NewWallet(Struct, forbid_unknown_fields=True, kw_only=True):
    """A wallet in one asset, named by `asset_code` or by `asset_type_id`."""

    label: Label | None = None
    user_id: Id | None = None
    asset_code: AssetCode | None = None
    asset_type_id: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    id: Id | None = None


# Ids that the service makes go on above the greatest there is, so one given must leave room.
_ASSET_ID_MAX: Final = 1_000_000_000


class NewAsset(Struct, forbid_unknown_fields=True, kw_only=True):
    """A unit of value. All of it is fixed at creation. The same again, by its code, is the same asset."""

    code: AssetCode
    scale: Annotated[int, Meta(ge=0, le=18, description="Decimal places for display.")] = 0
    max_supply: Annotated[Amount, Meta(description="What may be issued at most; absent: no cap.")] | None = None
    id: Annotated[int, Meta(ge=1, le=_ASSET_ID_MAX)] | None = None


_REFERENCE: Final = re.compile(r"\A[^\x00-\x1f\x7f-\x9f]{1,255}\Z")


def amount(value: int | str, field: str) -> int:
    """An Amount as a number: the one bound that its type cannot say is that of its text."""
    number = int(value)
    if number > AMOUNT_MAX:
        raise Malformed([FieldError(field, f"Must be at most {AMOUNT_MAX}.")])
    return number


def reference(text: str) -> str:
    """A reference from a query. Raises Malformed if no request could have carried it."""
    if _REFERENCE.match(text) is None:
        raise Malformed([FieldError("reference_id", "Must be 1 to 255 characters without control characters.")])
    return text
