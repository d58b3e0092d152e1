"""The types of single fields that several bodies share, and the checks that a type cannot express."""

import re
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from wallet.errors import FieldError, Malformed
from wallet.ledger.model import AMOUNT_MAX

# The very end of a text, in Python and for readers of the OpenAPI document: Python's $ alone allows a line feed behind
# it, and \Z is unknown to other languages.
_END = r"$(?!\n)"
_ID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}" + _END
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]*" + _END
_DAY: Final = 24 * 3600

# An id in its canonical form. It is text, because making a UUID object costs more than checking the text.
Id: TypeAlias = Annotated[str, Meta(pattern=_ID, examples=["aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"])]
Amount: TypeAlias = Annotated[
    Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,18}" + _END)],
    Meta(description="Minor units of the asset: an integer, or the same in a string.", examples=[1000]),
]
Bound: TypeAlias = Annotated[
    Annotated[int, Meta(ge=0, le=AMOUNT_MAX)] | Annotated[str, Meta(pattern=r"^(?:0|[1-9][0-9]{0,18})" + _END)],
    Meta(description="Minor units of the asset, or none: an integer, or the same in a string.", examples=[5000]),
]
SignedAmount: TypeAlias = Annotated[
    Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    | Annotated[str, Meta(pattern=r"^(?:0|-?[1-9][0-9]{0,18})" + _END)],
    Meta(description="Minor units of the asset, below zero too: an integer, or the same in a string.", examples=[0]),
]
AssetCode: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_]{1,16}" + _END, description="In either case.", examples=["gold"])
]
Reference: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=NO_CONTROL_CHARACTERS,
        description="Your promise that two requests are one. May come as the header Idempotency-Key instead.",
        examples=["txn-001"],
    ),
]
Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_CONTROL_CHARACTERS)]
TypeName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=NO_CONTROL_CHARACTERS,
        description="Free text that is no built-in name, such as topup.",
        examples=["exchange"],
    ),
]
Metadata: TypeAlias = Annotated[
    dict[str, Any], Meta(description="Any JSON object of at most 4 KiB and depth 4. Immutable, given back as it is.")
]
INSTANT: Final = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6})[0-9]*)?"
    r"([Zz]|[+-][0-9]{2}:?[0-5][0-9])" + _END
)
NO_INSTANT: Final = "Must be a time as of RFC 3339 with an offset, as 2026-01-31T12:00:00Z."
# Text, because the decoder would round digits beyond the microsecond, at worst to the next day. See instants.
Instant: TypeAlias = Annotated[
    str,
    Meta(
        pattern=INSTANT,
        description="RFC 3339, to the microsecond: further digits are cut off.",
        examples=["2026-01-31T12:00:00Z"],
        extra_json_schema={"format": "date-time"},
        extra={"wrong": NO_INSTANT},
    ),
]
Version: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_MAX, description="Of a wallet, as its balance shows it.")]
HoldSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=400 * _DAY, description="From now; 400 days at most.")]
# PostgreSQL keeps them in 32 bits.
LotSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1, description="From now.")]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=100, description="Of lots that expire together, lower is first.")]

_REFERENCE: Final = re.compile(r"\A[^\x00-\x1f\x7f-\x9f]{1,255}\Z")


def amount(value: int | str, field: str) -> int:
    """An Amount, Bound or SignedAmount as a number. Checks the range of a text, which its type cannot express."""
    number = int(value)
    if not -AMOUNT_MAX <= number <= AMOUNT_MAX:
        at = "most" if number > 0 else "least"
        raise Malformed([FieldError(field, f"Must be at {at} {AMOUNT_MAX if number > 0 else -AMOUNT_MAX}.")])
    return number


def reference(text: str) -> str:
    """A reference from a query. Raises Malformed if no request can have had it."""
    if _REFERENCE.match(text) is None:
        raise Malformed([FieldError("reference_id", "Must be 1 to 255 characters without control characters.")])
    return text
