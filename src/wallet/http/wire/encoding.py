"""Encodes answers: JSON, and amounts as numbers or strings."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from wallet.service.json_numbers import as_written

JSON: Final = (b"content-type", b"application/json")
REPLAYED: Final = (JSON, (b"idempotency-replayed", b"true"))
"""The headers of a replayed answer."""
AMOUNT_FIELDS: Final = frozenset(
    {"amount", "balance", "held", "available", "required", "balance_after", "max_supply", "issued", "revenue",
     "breakage", "circulating", "captured", "released", "remaining", "requested_amount", "forfeited", "paid",
     "promotional", "main", "refundable", "overdraft_limit", "max_balance", "limit", "used", "rollover_max",
     "opening_balance", "closing_balance", "credits", "debits"}
)  # fmt: skip
"""The members that hold amounts, at any depth of an answer."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=as_written).decode


class Answer(NamedTuple):
    """A whole HTTP answer, the same for both lanes. The code that sends it adds Content-Length."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)


def written(body: Any, *, amounts_as_strings: bool = False) -> bytes:
    """An answer's body as JSON."""
    if amounts_as_strings:
        body = _with_string_amounts(_decode(_encode(body)))
    return _encode(body)


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
    # Metadata belongs to the caller: a member called amount in it is no amount of ours.
    return value if key == "metadata" else _with_string_amounts(value)
