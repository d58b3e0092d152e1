"""Fingerprints: whether two requests with one reference are the same request.

A fingerprint is one format byte, a 16-byte digest over the fields that are present, and two bytes per field of
the layout, which later name the fields that differ. Fields are length-prefixed and named inside the digest, never
joined, and absent ones leave no trace, so a field that a later release adds does not change the fingerprint of requests
without it. Fingerprints are stored for ever, as references are: formats are added, never changed.
"""

from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

from wallet.ledger.transaction_types import layout_of

FORMAT = b"\x01"
DIGEST_BYTES = 16
HINT_BYTES = 2
_HEAD_BYTES = len(FORMAT) + DIGEST_BYTES


def fingerprint(layout: Sequence[str], values: Sequence[bytes | None]) -> bytes:
    """Fingerprint of normalised field values, in the order of `layout`; an absent field is None."""
    framed, hints = bytearray(), bytearray()
    for name, value in zip(layout, values, strict=True):
        if value is None:
            hints += b"\x00\x00"
        else:
            framed += b"%b:%d:%b" % (name.encode(), len(value), value)
            # A hint only says which field differs; the digest decides whether the requests differ at all.
            hints += (crc32(value) % 0xFFFF + 1).to_bytes(HINT_BYTES, "big")
    return FORMAT + blake2b(framed, digest_size=DIGEST_BYTES, usedforsecurity=False).digest() + hints


def fingerprint_grown(layout: Sequence[str], values: Sequence[bytes | None], *, least: int) -> bytes:
    """The same, over a layout that has grown: absent values at its end, beyond the first `least`, leave no trace."""
    length = len(values)
    while length > least and values[length - 1] is None:
        length -= 1
    return fingerprint(layout[:length], values[:length])


def is_same(first: bytes, second: bytes) -> bool:
    """Whether two fingerprints of one format are of one request, even if their releases knew different fields."""
    return first[:_HEAD_BYTES] == second[:_HEAD_BYTES]


def differing_fields(*, known_type: str, known: bytes, request_type: str, request: bytes) -> tuple[str, ...]:
    """Names of the fields in which a request differs from the one that used its reference first."""
    layout = layout_of(request_type)
    if layout_of(known_type) != layout:
        return ("type",)
    names = tuple(name for name, a, b in zip(layout, _hints(known), _hints(request), strict=False) if a != b)
    return names or tuple(layout)


def _hints(value: bytes) -> list[bytes]:
    return [value[at : at + HINT_BYTES].ljust(HINT_BYTES, b"\x00") for at in range(_HEAD_BYTES, 256, HINT_BYTES)]
