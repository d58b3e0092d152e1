"""CORS (the Fetch standard): the origins whose pages may send requests, and the headers that their code may read."""

import re
from collections.abc import Iterable
from typing import Final

from wallet.http.wire.asgi import AsgiScope, Message, Send, SendWhole
from wallet.http.wire.encoding import Answer
from wallet.origins import ANY

EXPOSED: Final = (
    "Allow", "Content-Disposition", "ETag", "Idempotency-Replayed", "Location", "Retry-After", "WWW-Authenticate",
    "X-Request-Id",
)  # fmt: skip
"""The headers of our answers that a page's code may read, besides those that every page may read."""

_METHODS: Final = (b"access-control-allow-methods", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST")
_SECONDS: Final = (b"access-control-max-age", b"600")
_EXPOSE: Final = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_VARIES: Final = (b"vary", b"origin")
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")


class Cors:
    """Adds the headers of CORS. Any origin may be safe to allow: browsers send no key by themselves, unlike a cookie.

    origins: as browsers write them, or ANY among them.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_for_any = ANY.encode() in self._origins

    told_to_all: Final = (_VARIES,)
    """The headers that every answer has, also to a request that names no origin."""

    def telling(self, scope: AsgiScope, send: Send, send_whole: SendWhole | None) -> tuple[Send, SendWhole | None]:
        """The same two ways to send, but they add the headers of CORS to every answer, refusals included."""
        allowed = self._allowed(_header(scope, b"origin"))
        told = (_VARIES,) if allowed is None else (allowed, _EXPOSE, _VARIES)

        async def send_telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        def send_whole_telling(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
            return send_whole is not None and send_whole(status, (*headers, *told), body)

        return send_telling, send_whole_telling

    def preflight(self, scope: AsgiScope) -> Answer | None:
        """The answer to a preflight request. None if this is none, or if its origin is not allowed."""
        if scope["method"] != "OPTIONS" or _header(scope, b"access-control-request-method") is None:
            return None
        if self._allowed(_header(scope, b"origin")) is None:
            return None
        names = _header(scope, b"access-control-request-headers") or b""
        # All headers are allowed: the service checks a request in the same way from every origin.
        allowed = [(b"access-control-allow-headers", names)] if _NAMES.fullmatch(names) else []
        return Answer(204, b"", (_METHODS, *allowed, _SECONDS))

    def _allowed(self, origin: bytes | None) -> tuple[bytes, bytes] | None:
        if origin is None or not (self._is_for_any or origin in self._origins):
            return None
        return b"access-control-allow-origin", origin


def _header(scope: AsgiScope, wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return None
