"""What a request says besides its path and body, read in the same way by both lanes."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from wallet.errors import WalletError
from wallet.http.decoding import malformed
from wallet.storage.ids import parse_id

Headers = Sequence[tuple[bytes, bytes]]

# Printable ASCII without quotes: the header's draft standard wraps keys in them, and guessing would part clients.
_KEY: Final = re.compile(rb"\A[ !#-~]{1,255}\Z")


class UnsupportedMediaType(WalletError):
    """The body is declared to be something else than JSON."""


class Options(NamedTuple):
    """The reference given as a header, and how amounts are to be written."""

    idempotency_key: str | None = None
    amounts_as_strings: bool = False


_NONE: Final = Options()


def read_options(headers: Headers, query: bytes) -> Options:
    """The options of a movement. Raises Malformed."""
    key = next((value for name, value in headers if name == b"idempotency-key"), None)
    if key is None and not query:
        return _NONE
    return Options(None if key is None else _key(key), amounts_as_strings(query))


def refuse_key(headers: Headers) -> None:
    """Raise Malformed if a request that moves nothing carries a reference."""
    if any(name == b"idempotency-key" for name, _ in headers):
        raise malformed("Idempotency-Key", "Only movements take this header.")


def amounts_as_strings(query: bytes) -> bool:
    """Whether ?amounts=string was asked for. Raises Malformed for anything else in the query."""
    if not query:
        return False
    asked = False
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name != "amounts":
            raise malformed(name, "There is no such parameter.")
        asked = is_string(value)
    return asked


def is_string(amounts: str) -> bool:
    """The value of the parameter `amounts`, of which there is only one."""
    if amounts != "string":
        raise malformed("amounts", "May only be 'string'.")
    return True


def ensure_json(headers: Headers) -> None:
    """Raise UnsupportedMediaType unless the body is declared as JSON, in UTF-8."""
    declared = next((value for name, value in headers if name == b"content-type"), b"")
    if declared == b"application/json":
        return
    media_type, _, parameters = declared.lower().partition(b";")
    charset = parameters.strip().replace(b'"', b"")
    if media_type.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise UnsupportedMediaType("Bodies must be application/json, in UTF-8.")


def path_id(name: str, text: str) -> UUID:
    """An id from the path. Raises Malformed if it is none."""
    parsed = parse_id(text)
    if parsed is None:
        raise malformed(name, "Must be a UUID.")
    return parsed


def _key(value: bytes) -> str:
    if _KEY.match(value) is None:
        raise malformed("Idempotency-Key", "Must be 1 to 255 printable ASCII characters without quotes.")
    return value.decode("ascii")
