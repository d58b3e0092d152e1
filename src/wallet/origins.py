"""Origins, and the URL of the service itself, as browsers write them. Imports no other module of this package.

A browser compares the origin of a page with the one that the service allows, letter by letter; operators write one
origin in many ways. This module brings settings into the browser's form. It refuses text that could mean something
else by a ValueError whose sentence says what is wrong.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import idna

ANY: Final = "*"
"""Stands for all origins."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Pages of these schemes have no origin to compare: the browser sends "null", or there is no page at all.
_WITHOUT_PAGES: Final = frozenset({"file", "data", "blob", "about", "javascript", "ws", "wss", "ftp"})
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# Browsers read a name like this as an IPv4 address, in one of several notations.
_LIKE_A_NUMBER: Final = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")


def origins_of(text: str) -> tuple[str, ...]:
    """The origins of a comma-separated list, each once."""
    given = [each.strip() for each in text.split(",")]
    return tuple(dict.fromkeys(each if each == ANY else _origin(each) for each in given if each))


def url_of(text: str) -> str:
    """The URL without a slash at its end, checked to be HTTP. Its path is the prefix that a proxy serves us under.

    Empty for an empty text.
    """
    if not text:
        return ""
    parts = _parts(text)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{text!r} does not begin with http:// or https://")
    return _written(text, parts) + parts.path.rstrip("/")


def _origin(text: str) -> str:
    parts = _parts(text)
    if parts.path not in ("", "/"):
        raise ValueError(f"{text!r} has a path: an origin is a scheme, a host and a port")
    return _written(text, parts)


def _parts(text: str) -> SplitResult:
    if not text.isprintable() or re.search(r"[\s\\?#@%*<>\"]", text):
        raise ValueError(f"{text!r} is more or less than scheme://host:port: no user, query, fragment or wildcard")
    try:
        parts = urlsplit(text)
        if parts.scheme and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not of the form scheme://host:port")


def _written(text: str, parts: SplitResult) -> str:
    if parts.scheme in _WITHOUT_PAGES:
        raise ValueError(f"{text!r} is no origin that a browser names")
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{_host(text, parts.hostname or '')}{port}"


def _host(text: str, host: str) -> str:
    """The host as a browser writes it: in lower case, in ASCII (IDNA), an address in its shortest form."""
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        return f"[{address.compressed}]" if address.version == 6 else str(address)
    try:
        # Browsers apply UTS 46. A name in ASCII skips it, because IDNA refuses the underscores that it may have.
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        name = ""
    if not _NAME.fullmatch(name) or _LIKE_A_NUMBER.fullmatch(name):
        raise ValueError(f"{text!r} has a host that is none")
    return name
