"""Reads the query and the headers of requests, in the same way for both lanes."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes
from uuid import UUID

from wallet.errors import WalletError
from wallet.http.wire.decoding import NAME_LENGTH_MAX, malformed
from wallet.service.reads.filters import MEMBER_LENGTH_MAX
from wallet.storage.rows.ids import parse_id

Headers = Sequence[tuple[bytes, bytes]]

AMOUNTS: Final = "amounts"
MEMBER: Final = "metadata."
"""The beginning of the names of parameters that filter by a member of metadata."""

_MEMBER_LENGTHS: Final = range(1, MEMBER_LENGTH_MAX + 1)
_AS_IT_IS: Final = (b"identity", b"")
_NOT_ENCODED: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|[\x80-\xff]")
# Printable ASCII without quotes. The draft standard of Idempotency-Key wraps keys in quotes, so a key in quotes could
# mean two references, and clients would guess differently.
_KEY: Final = re.compile(rb"\A[ !#-~]{1,255}\Z")


class UnsupportedMediaType(WalletError):
    """The client declares the body to be compressed, or of a media type that this route does not take."""


class RequestOptions(NamedTuple):
    """The reference given by the header Idempotency-Key, and whether amounts are answered as strings."""

    idempotency_key: str | None = None
    amounts_as_strings: bool = False


_NONE: Final = RequestOptions()


def read_options(headers: Headers, query: bytes) -> RequestOptions:
    """The options of a movement. Raises Malformed."""
    keys = [value for name, value in headers if name == b"idempotency-key"]
    if not keys and not query:
        return _NONE
    amounts_as_strings = wants_amounts_as_strings(query)
    if len(keys) > 1:
        raise malformed("Idempotency-Key", "This header is given more than once.")
    return RequestOptions(_key(keys[0]) if keys else None, amounts_as_strings)


def refuse_key(headers: Headers) -> None:
    """Raise Malformed if a request that moves nothing has the header Idempotency-Key."""
    if any(name == b"idempotency-key" for name, _ in headers):
        raise malformed("Idempotency-Key", "Only movements take this header.")


def wants_amounts_as_strings(query: bytes) -> bool:
    """Whether the query is ?amounts=string. Raises Malformed for anything else in the query."""
    return bool(query) and AMOUNTS in parameters(query, known=())


def members(query: bytes) -> Mapping[str, str]:
    """The members of metadata that a query filters by. Raises Malformed if no filter can find them."""
    found = {}
    for name, value in _pairs(query):
        if name.startswith(MEMBER):
            key = name.removeprefix(MEMBER)
            if len(key) not in _MEMBER_LENGTHS or len(value) > MEMBER_LENGTH_MAX or "\x00" in key + value:
                raise malformed(
                    name[:NAME_LENGTH_MAX],
                    f"The key must have 1 to {MEMBER_LENGTH_MAX} characters, the value at most as many, and no NUL.",
                )
            found[key] = value
    return found


def parameters(query: bytes, *, known: Collection[str], filters_members: bool = False) -> Mapping[str, str]:
    """The parameters of a query. All requests take `amounts`, whose only value is `string`.

    `filters_members`: every parameter that begins with MEMBER is known, too.

    Raises Malformed for an unknown parameter: an unsupported filter is an error, and never ignored. Raises it also for
    a parameter that is given twice.
    """
    found: dict[str, str] = {}
    for name, value in _pairs(query):
        if name != AMOUNTS and name not in known and not (filters_members and name.startswith(MEMBER)):
            raise malformed(name, "There is no such parameter.")
        if name in found:
            raise malformed(name, "This parameter is given more than once.")
        found[name] = value
    if found.get(AMOUNTS, "string") != "string":
        raise malformed(AMOUNTS, "May only be 'string'.")
    return found


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a query in UTF-8, percent-encoded, with + for a blank.

    Raises Malformed for anything else: to decode it would be to guess.
    """
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            named = _text(name, "")
            yield named, _text(value, named)


def _text(encoded: bytes, field: str) -> str:
    if _NOT_ENCODED.search(encoded) is None:
        with suppress(UnicodeDecodeError):
            return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    raise malformed(field[:NAME_LENGTH_MAX], "Must be UTF-8, percent-encoded; a percent sign is %25.")


def ensure_json(headers: Headers) -> None:
    """Raise UnsupportedMediaType unless the client declares the body as uncompressed JSON in UTF-8."""
    declared = declared_type(headers)
    if declared == b"application/json":
        return
    media_type, _, parameters = declared.lower().partition(b";")
    charset = parameters.strip().replace(b'"', b"")
    if media_type.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise UnsupportedMediaType("Bodies must be application/json, in UTF-8.")


def declared_type(headers: Headers) -> bytes:
    """The header Content-Type, or empty bytes. Raises UnsupportedMediaType if the body is compressed."""
    declared = None
    for name, value in headers:
        if name == b"content-type":
            declared = value if declared is None else declared
        elif name == b"content-encoding" and value.strip().lower() not in _AS_IT_IS:
            raise UnsupportedMediaType(
                "Compressed bodies are not taken: send them as they are, without Content-Encoding."
            )
    return declared or b""


def path_id(name: str, text: str) -> UUID:
    """An id from the path. Raises Malformed if it is no UUID."""
    parsed = parse_id(text)
    if parsed is None:
        raise malformed(name, "Must be a UUID.")
    return parsed


def _key(value: bytes) -> str:
    if _KEY.match(value) is None:
        raise malformed("Idempotency-Key", "Must be 1 to 255 printable ASCII characters without quotes.")
    return value.decode("ascii")
