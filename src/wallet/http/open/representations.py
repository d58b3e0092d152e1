"""Answers that are the same for everybody: made once, in a thread, and sent as they are.

The headers Accept-Encoding and If-None-Match choose between ready answers. So requests without a key cost the service
hardly any work.
"""

import asyncio
import gzip
import math
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from wallet.http.wire.asgi import NO_STORE, PAGE_HEADER
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import Headers

# A browser's header is 30 bytes long. A much longer one is not worth parsing.
_ACCEPT_ENCODING_BYTES_MAX: Final = 200
_GZIP: Final = (b"gzip", b"x-gzip")
_HTML: Final = "text/html"
_ENCODED: Final = (b"content-encoding", b"gzip")
_REVALIDATED: Final = (b"cache-control", b"no-cache")
_VARIES: Final = (b"vary", b"accept-encoding")


class _Variant(NamedTuple):
    etag: bytes
    whole: Answer
    unchanged: Answer


class Representation:
    """One resource, plain and compressed, each with a validator of its own (a strong ETag).

    may_be_kept: clients may cache it, and ask whether it is unchanged. Otherwise it has no validator.
    """

    __slots__ = ("_compressed", "_may_be_kept", "_plain")

    def __init__(self, content_type: str, body: bytes, *, may_be_kept: bool = True) -> None:
        self._may_be_kept = may_be_kept
        compressed = gzip.compress(body, mtime=0)
        is_smaller = len(compressed) < len(body)
        common = [_VARIES] if is_smaller else []
        kind = [(b"content-type", content_type.encode()), *([PAGE_HEADER] if content_type.startswith(_HTML) else [])]
        self._plain = self._variant(body, [*kind, *common], common)
        self._compressed = None
        if is_smaller:
            self._compressed = self._variant(compressed, [*kind, _ENCODED, *common], common)

    def _variant(
        self, body: bytes, described: list[tuple[bytes, bytes]], common: list[tuple[bytes, bytes]]
    ) -> _Variant:
        etag = b'"%b"' % sha256(body).hexdigest()[:32].encode()
        kept = [(b"etag", etag), _REVALIDATED] if self._may_be_kept else [NO_STORE]
        return _Variant(etag, Answer(200, body, (*described, *kept)), Answer(304, b"", (*common, *kept)))

    def answer(self, headers: Headers) -> Answer:
        """200, or 304 if the client already has the variant that it would get."""
        taken = b",".join([value for name, value in headers if name == b"accept-encoding"])
        known = b",".join([value for name, value in headers if name == b"if-none-match"])
        variant = self._compressed if self._compressed is not None and takes_gzip(taken) else self._plain
        # A weak comparison, as RFC 9110 asks: the validator with its quotes is found in a list, and also behind W/.
        if known and self._may_be_kept and (variant.etag in known or known.strip() == b"*"):
            return variant.unchanged
        return variant.whole


def takes_gzip(accept_encoding: bytes) -> bool:
    """Whether a client takes gzip, and prefers it at least as much as no compression (RFC 9110, 12.5.3)."""
    return 0 < len(accept_encoding) <= _ACCEPT_ENCODING_BYTES_MAX and _takes_gzip(accept_encoding)


@lru_cache(maxsize=256)  # all browsers together send a few values
def _takes_gzip(accept_encoding: bytes) -> bool:
    qualities: dict[bytes, float] = {}
    for each in accept_encoding.lower().split(b","):
        coding, _, parameter = each.partition(b";")
        qualities[coding.strip()] = _quality(parameter)
    others = qualities.get(b"*", 0.0)
    quality = max((qualities[name] for name in _GZIP if name in qualities), default=others)
    return quality > 0 and quality >= qualities.get(b"identity", 0.0)


def _quality(parameter: bytes) -> float:
    """The quality of a coding. 0 if it is invalid, so that the client gets nothing that it did not ask for."""
    if not parameter.strip():
        return 1.0
    name, _, value = parameter.partition(b"=")
    try:
        quality = float(value) if name.strip() == b"q" else 0.0
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


class Made:
    """A representation that is made in a thread at the first request, once for all requests that come meanwhile.

    seconds: how long it stays fresh. Belongs to the event loop of the first request.
    """

    def __init__(self, make: Callable[[], Representation], *, seconds: float = math.inf) -> None:
        self._make = make
        self._seconds = seconds
        self._making: asyncio.Task[Representation] | None = None
        self._stale_at = -math.inf

    async def answer(self, headers: Headers) -> Answer:
        """The answer of the representation. Raises what making it raises; the next request then tries again."""
        return (await self._representation()).answer(headers)

    async def _representation(self) -> Representation:
        loop = asyncio.get_running_loop()
        if self._making is None or (self._making.done() and loop.time() >= self._stale_at):
            self._making = loop.create_task(self._make_anew())
        if self._making.done():
            return self._making.result()
        # A client that hangs up must not cancel the making for the others.
        return await asyncio.shield(self._making)

    async def _make_anew(self) -> Representation:
        made = await asyncio.to_thread(self._make)
        self._stale_at = asyncio.get_running_loop().time() + self._seconds
        return made
