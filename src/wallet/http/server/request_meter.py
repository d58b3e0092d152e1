"""Bounds the size of one request: its head (431), its body (413), and the framing of a chunked body."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Bytes of chunk framing allowed for each byte of a body: chunks of one byte have five bytes of framing each.
FRAMING_BYTES_PER_BODY_BYTE: Final = 8
# The paths with streamed bodies, which have no bound.
STREAMED: Final = frozenset({b"/import"})


class RequestRefused(Exception):
    """The server answers the request with the problem `code`. Raised in a callback, it stops the parser."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest head and body in bytes. Some paths have their own bound of the body."""

    head_bytes_max: int
    body_bytes_max: int
    body_bytes_max_by_path: Mapping[bytes, int]

    def body_bytes_allowed(self, target: bytes) -> float:
        path = target.partition(b"?")[0]
        return math.inf if path in STREAMED else self.body_bytes_max_by_path.get(path, self.body_bytes_max)


class RequestMeter:
    """Counts the bytes of the request that is arriving, and raises RequestRefused beyond a bound.

    The parser gets its bytes in pieces, and only the parser knows which bytes of a piece belong to which request. So
    the bound of chunk framing and trailers may be exceeded by up to one piece.
    """

    __slots__ = (
        "_declared_bytes",
        "_head_bytes",
        "_piece_bytes",
        "_piece_is_shared",
        "_sizes",
        "_trailer_bytes",
        "_wire_bytes",
        "body_bytes",
    )

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._piece_bytes = 0
        self._piece_is_shared = False
        self.begin_request()

    def begin_request(self) -> None:
        # The bytes of all pieces that belong to this request alone.
        self._wire_bytes = 0
        self._head_bytes = 0
        self._trailer_bytes = 0
        self._declared_bytes = 0
        self.body_bytes = 0

    @property
    def body_bytes_left(self) -> int:
        """The declared bytes that have not arrived; 0 if the head declared no length."""
        return max(0, self._declared_bytes - self.body_bytes)

    def end_request(self) -> None:
        self._piece_is_shared = True

    def begin_piece(self, length: int) -> None:
        self._piece_bytes = length
        self._piece_is_shared = False

    def end_piece(self, *, in_body: bool) -> None:
        """Count a piece whose request goes on in the next one: the parser reports no unfinished header or extension."""
        if not self._piece_is_shared:
            self._wire_bytes += self._piece_bytes
        allowed = self._sizes.head_bytes_max
        if in_body:  # the bound of a head once more, for trailers and chunk extensions
            allowed += self._head_bytes + (1 + FRAMING_BYTES_PER_BODY_BYTE) * self.body_bytes
        if self._wire_bytes > allowed:
            raise self._head_too_large()

    def add_head(self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Count a complete head, as long as it is without optional white space."""
        length = self._wire_bytes + self._piece_bytes
        if length > self._sizes.head_bytes_max:
            request_line = len(method) + len(target) + len(b"  HTTP/1.1\r\n")
            length = request_line + sum(len(name) + len(value) + 4 for name, value in headers) + 2
            if length > self._sizes.head_bytes_max:
                raise self._head_too_large()
        self._head_bytes = length

    def add_trailer(self, name: bytes, value: bytes) -> None:
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > self._sizes.head_bytes_max:
            raise self._head_too_large()

    def announce_body(self, length: int, target: bytes) -> None:
        """Note the length of the body that the head declares."""
        self._declared_bytes = length
        self._ensure_allowed(length, target)

    def _ensure_allowed(self, length: int, target: bytes) -> None:
        if length > self._sizes.body_bytes_max and length > (allowed := self._sizes.body_bytes_allowed(target)):
            raise RequestRefused("payload_too_large", f"A request body may have {allowed} bytes.")

    def add_body(self, length: int, target: bytes) -> None:
        self.body_bytes += length
        self._ensure_allowed(self.body_bytes, target)

    def _head_too_large(self) -> RequestRefused:
        return RequestRefused("head_too_large", f"A request head may have {self._sizes.head_bytes_max} bytes.")
