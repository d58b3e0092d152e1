"""Who asks: from the header Authorization to a caller, before anything else of the request is read."""

from collections.abc import Mapping
from typing import Any, Final

from wallet.errors import Unauthenticated
from wallet.service.callers import DEVELOPER, Caller
from wallet.service.key_ring import KeyRing

CALLER: Final = "caller"
"""Key of the ASGI scope under which the edge says who asks."""

DENIED: Final = "wallet.denied"
"""Key of the ASGI scope under which the edge leaves it to the framework to raise why nobody is let in."""

OPEN_PATHS: Final = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
"""Where no key is asked for, nor looked at; so it is below OPEN_FOLDER, and with the method OPTIONS."""
OPEN_FOLDER: Final = "/docs/"

NOBODY: Final = Caller("nobody", frozenset())
"""Whoever asks for what is open to all."""

_SCHEME: Final = b"bearer "
_KEY_BEGIN: Final = len(_SCHEME)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who sent the request of this ASGI scope."""
    caller: Caller = scope[CALLER]
    return caller


class Authentication:
    """Knows callers by their keys. In development mode, who brings none may do everything."""

    def __init__(self, ring: KeyRing, *, is_development: bool) -> None:
        self._ring = ring
        self._is_development = is_development

    def known(self, method: str, path: str, authorization: bytes | None) -> Caller | None:
        """Who asks, where that is known without asking the database; else use `found`.

        authorization: the header, None if there is none. Raises Unauthenticated and RateLimited.
        """
        if path in OPEN_PATHS or method == "OPTIONS" or path.startswith(OPEN_FOLDER):
            return NOBODY
        if authorization is None:
            if self._is_development:
                return DEVELOPER
            raise Unauthenticated("The header Authorization is missing: it must be Bearer and a key")
        if authorization[:_KEY_BEGIN].lower() != _SCHEME:
            raise Unauthenticated("The header Authorization must be Bearer and a key, and given once")
        return self._ring.known(authorization[_KEY_BEGIN:])

    async def found(self, authorization: bytes | None) -> Caller:
        """Who asks with this header, which `known` has let through. Raises as KeyRing.found does."""
        return await self._ring.found((authorization or b"")[_KEY_BEGIN:])
