"""Bytes that are the same for everybody: made once, off the event loop, and sent as they are.

What a client takes (Accept-Encoding) and has already (If-None-Match) chooses between answers that are ready, so that
whoever needs no key cannot make the service work.
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

# A browser's is 30 bytes long. What is much longer is not worth the reading.
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
    """One resource as it is and compressed, each with a validator of its own (a strong ETag).

    may_be_kept: clients may keep it and ask whether it is still the same. Otherwise it has no validator.
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
        """200, or 304 if the client has the variant that it would get."""
        taken = b",".join([value for name, value in headers if name == b"accept-encoding"])
        known = b",".join([value for name, value in headers if name == b"if-none-match"])
        variant = self._compressed if self._compressed is not None and takes_gzip(taken) else self._plain
        # Compared weakly, as RFC 9110 has it: with its quotes a validator is found in a list, and W/ is before them.
        if known and self._may_be_kept and (variant.etag in known or known.strip() == b"*"):
            return variant.unchanged
        return variant.whole


def takes_gzip(accept_encoding: bytes) -> bool:
    """Whether a client takes gzip, and likes it no less than what is not compressed (RFC 9110, 12.5.3)."""
    return 0 < len(accept_encoding) <= _ACCEPT_ENCODING_BYTES_MAX and _takes_gzip(accept_encoding)


@lru_cache(maxsize=256)  # all browsers together send a handful
def _takes_gzip(accept_encoding: bytes) -> bool:
    qualities: dict[bytes, float] = {}
    for each in accept_encoding.lower().split(b","):
        coding, _, parameter = each.partition(b";")
        qualities[coding.strip()] = _quality(parameter)
    others = qualities.get(b"*", 0.0)
    quality = max((qualities[name] for name in _GZIP if name in qualities), default=others)
    return quality > 0 and quality >= qualities.get(b"identity", 0.0)


def _quality(parameter: bytes) -> float:
    """Of a coding; 0 for what is no quality, so that nothing is sent that was not asked for."""
    if not parameter.strip():
        return 1.0
    name, _, value = parameter.partition(b"=")
    try:
        quality = float(value) if name.strip() == b"q" else 0.0
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


class Made:
    """A representation that is made when it is first asked for, in a thread, once for all who ask meanwhile.

    seconds: how long it is as good as new. Belongs to the event loop that it is first asked in.
    """

    def __init__(self, make: Callable[[], Representation], *, seconds: float = math.inf) -> None:
        self._make = make
        self._seconds = seconds
        self._making: asyncio.Task[Representation] | None = None
        self._stale_at = -math.inf

    async def answer(self, headers: Headers) -> Answer:
        """Raises what making it raises; then the next one tries again."""
        return (await self._representation()).answer(headers)

    async def _representation(self) -> Representation:
        loop = asyncio.get_running_loop()
        if self._making is None or (self._making.done() and loop.time() >= self._stale_at):
            self._making = loop.create_task(self._make_anew())
        if self._making.done():
            return self._making.result()
        # One client that hangs up must not end it for the others.
        return await asyncio.shield(self._making)

    async def _make_anew(self) -> Representation:
        made = await asyncio.to_thread(self._make)
        self._stale_at = asyncio.get_running_loop().time() + self._seconds
        return made
