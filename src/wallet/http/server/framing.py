"""Refuses request heads that another HTTP server could read differently, so that no request is smuggled.

llhttp decides where a head and a body end. This module refuses the heads that llhttp accepts and that a proxy in front
may read in another way (RFC 9112, 3.2 and 6.1).
"""

import re
from collections.abc import Sequence
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, values without blanks at their ends."""

_VERSIONS: Final = frozenset({"1.0", "1.1"})
# uri-host [ ":" port ], by the characters that RFC 3986 allows in it.
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ORIGIN: Final = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


class AmbiguousHead(Exception):
    """Servers could read the head in two ways, or cannot read it at all; the message says why."""


def ensure_one_reading(*, method: str, target: bytes, version: str, headers: Headers) -> None:
    """Raise AmbiguousHead unless any two servers read this head alike."""
    if version not in _VERSIONS:
        raise AmbiguousHead("This server takes HTTP/1.1 and HTTP/1.0 only.")
    host = None
    is_chunked = False
    for name, value in headers:
        if name == b"host":
            if host is not None:
                raise AmbiguousHead("The header Host must be given once.")
            host = value
        elif name == b"transfer-encoding":
            # llhttp accepts any value that ends in "chunked", and uses the last of several such headers.
            if is_chunked or value.lower() != b"chunked":
                raise AmbiguousHead("The only Transfer-Encoding taken is chunked, given once.")
            is_chunked = True
    if is_chunked and version != "1.1":
        raise AmbiguousHead("HTTP/1.0 has no Transfer-Encoding.")
    if host is None:
        if version == "1.1":
            raise AmbiguousHead("The header Host is missing.")
    elif not _HOST.fullmatch(host):
        raise AmbiguousHead("The header Host is not the name of a host.")
    if target[:1] != b"/" or b"#" in target:
        _ensure_target(method, target, host)


def without_offer(*, method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The same head without the header Upgrade, as bytes for the parser."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    lines += [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"".join((*lines, b"\r\n"))


def _ensure_target(method: str, target: bytes, host: bytes | None) -> None:
    if target == b"*" and method == "OPTIONS":
        return
    origin = _ORIGIN.match(target)
    if origin is None or b"#" in target:
        raise AmbiguousHead("The request target must be a path.")
    # RFC 9112, 3.2.2, lets the target win over Host. If they differ, a proxy may have routed by the other one.
    if host is not None and origin[1].lower() != host.lower():
        raise AmbiguousHead("The request target and the header Host name different hosts.")
