"""Finds the caller of a request by its header Authorization, before anything else of the request is read."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from wallet.errors import Unauthenticated
from wallet.service.access.callers import DEVELOPER, Caller
from wallet.service.access.key_ring import KeyRing, digest_of
from wallet.settings import is_loopback

CALLER: Final = "caller"
"""Key of the ASGI scope for the caller. The edge sets it."""

OPEN_PATHS: Final = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
"""Paths that need no key. A key that comes with them is not looked at. The same holds below OPEN_FOLDER, and for the
method OPTIONS on every path.
"""
OPEN_FOLDER: Final = "/docs/"

NOBODY: Final = Caller("nobody", frozenset())
"""The caller of an open path."""

# Headers that proxies, tunnels and load balancers add. A request with one of them came through a proxy, so the address
# of the peer proves nothing about the client.
_FORWARDED: Final = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip", b"fastly-client-ip",
     b"x-varnish", b"x-cloud-trace-context", b"proxy-connection"}
)  # fmt: skip
_FORWARDED_BEGIN: Final = (
    b"x-forwarded", b"x-original-", b"x-proxy", b"cf-", b"cdn-", b"fly-", b"x-envoy-", b"x-amz", b"x-azure-", b"x-arr-",
    b"x-appengine-", b"x-goog-", b"x-vercel-", b"x-railway-",
)  # fmt: skip

FindsCaller: TypeAlias = Callable[[], Caller | None]
"""Answers who asks, or None where the database has to be asked. Raises RateLimited."""

_MISSING: Final = "The header Authorization is missing: it must be Bearer and a key"
_SCHEME: Final = b"bearer "
_KEY_BEGIN: Final = len(_SCHEME)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """The caller of the request of this ASGI scope."""
    caller: Caller = scope[CALLER]
    return caller


class Authentication:
    """Finds callers by their keys. In development mode, a request from this machine without a key may do everything.

    origins: of pages that may do so as well, besides pages of this machine.
    """

    def __init__(self, ring: KeyRing, *, is_development: bool, origins: Collection[str] = ()) -> None:
        self._ring = ring
        self._is_development = is_development
        self._origins = {origin.encode() for origin in origins}

    def known(
        self, method: str, path: str, authorization: bytes | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> Caller | None:
        """The caller, or None if only the database can tell; then use `found`.

        authorization: the value of that header, None if there is none. Raises Unauthenticated and RateLimited.
        """
        if path in OPEN_PATHS or method == "OPTIONS" or path.startswith(OPEN_FOLDER):
            return NOBODY
        if authorization is None:
            if self._is_development:
                self._ensure_from_here(headers)
                return DEVELOPER
            raise Unauthenticated(_MISSING)
        return self._ring.known(_key_in(authorization))

    def entry(self, authorization: bytes | None, headers: Iterable[tuple[bytes, bytes]]) -> FindsCaller:
        """A function that does for all requests with these headers what `known` does; not for the open paths.

        Raises Unauthenticated if `known` would always raise it.
        """
        if authorization is None:
            if self._is_development:
                self._ensure_from_here(headers)
                return _developer
            raise Unauthenticated(_MISSING)
        return partial(self._ring.known_by_digest, digest_of(_key_in(authorization)))

    def _ensure_from_here(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raise Unauthenticated for a request that came through a proxy, and for one that a page of another site makes
        a developer's browser send.

        The browser names the origin of the page, or if it does not, sends Sec-Fetch-Site. A page that lets its own
        host name resolve to this machine (DNS rebinding) is found by the header Host. A page of the same site as this
        machine is on this machine.
        """
        is_foreign = has_origin = False
        for name, value in headers:
            if name == b"origin":
                has_origin = True
                is_allowed = value in self._origins or _names_loopback(value)
            elif name == b"host":
                is_allowed = _names_loopback(b"//" + value)
            elif name == b"sec-fetch-site":
                is_allowed, is_foreign = True, value == b"cross-site"
            else:
                is_allowed = name not in _FORWARDED and not name.startswith(_FORWARDED_BEGIN)
            if not is_allowed:
                raise _not_from_here()
        if is_foreign and not has_origin:
            raise _not_from_here()

    async def found(self, authorization: bytes | None) -> Caller:
        """The caller of a request for which `known` returned None. Raises what KeyRing.found raises."""
        return await self._ring.found(_key_in(authorization or b""))


def _developer() -> Caller:
    return DEVELOPER


def _key_in(authorization: bytes) -> bytes:
    """The key. Raises Unauthenticated where there is none."""
    if authorization[:_KEY_BEGIN].lower() != _SCHEME:
        raise Unauthenticated("The header Authorization must be Bearer and a key, and given once")
    # Any number of blanks may be between the two (RFC 9110, 11.4).
    return authorization[_KEY_BEGIN:].lstrip(b" ")


def _not_from_here() -> Unauthenticated:
    return Unauthenticated(
        "Without a key, development mode answers requests to localhost only: none of another site's page or a proxy"
    )


def _names_loopback(url: bytes) -> bool:
    try:
        host = urlsplit(url.decode("latin-1")).hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host.endswith(".localhost")
