"""Keyset cursors: the place at which a list continues, in a text that clients keep but cannot make or change.

A cursor is a version byte, canonical JSON of [list, filters, last key] and a MAC over both, in base64url.
"""

import base64
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NoReturn, TypeAlias, TypeVar

import msgspec

from wallet.errors import FieldError, Malformed

KeyPart: TypeAlias = str | int
AnyPlace = TypeVar("AnyPlace")

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 16
_TEXT_LENGTH_MAX: Final = 6_000  # two texts of 255 characters fit, however they are encoded


class _Content(msgspec.Struct, frozen=True, array_like=True):
    list_name: str
    filters: dict[str, str]
    last_key: tuple[KeyPart, ...]


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(_Content).decode


class Cursors:
    """Signs and reads cursors. All processes of a service share the key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, list_name: str, filters: Mapping[str, str], last_key: Sequence[KeyPart]) -> str:
        """The cursor that goes on after `last_key`."""
        body = _VERSION + _encode(_Content(list_name, dict(filters), tuple(last_key)))
        return _text(body + self._mac(body))

    def read(self, cursor: str, list_name: str, filters: Mapping[str, str]) -> tuple[KeyPart, ...]:
        """The last key. Raises Malformed if `cursor` was not signed here for this list with these filters."""
        signed = _bytes(cursor)
        body, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or not body.startswith(_VERSION):
            _refuse("is none that this service has given")
        content = _decode(body[len(_VERSION) :])
        if content.list_name != list_name:
            _refuse("belongs to another list")
        if content.filters != filters:
            _refuse("belongs to the same list with other filters")
        return content.last_key

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def key_of(place: Iterable[object]) -> tuple[KeyPart, ...]:
    """The key of a place in a list: of its instants, ids, numbers and texts."""
    return tuple(
        part if isinstance(part, str | int) else part.isoformat() if isinstance(part, datetime) else str(part)
        for part in place
    )


def place_of(key: Sequence[KeyPart], kind: type[AnyPlace]) -> AnyPlace:
    """The inverse of key_of, on what was signed here."""
    return msgspec.convert(key, kind)


def _text(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")


def _bytes(cursor: str) -> bytes:
    if len(cursor) > _TEXT_LENGTH_MAX:
        _refuse("is too long")
    try:
        signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        _refuse("is none that this service has given")
    if _text(signed) != cursor:  # other bits of the last character
        _refuse("is none that this service has given")
    return signed


def _refuse(message: str) -> NoReturn:
    raise Malformed([FieldError("cursor", message)])
