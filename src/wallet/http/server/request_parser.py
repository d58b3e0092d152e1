"""Parses the bytes of a connection into requests: llhttp decides where each begins and ends, within the bounds.

llhttp stops at a head that offers to upgrade to another protocol. Then this module removes the offer from the head and
lets llhttp read it again. No other code parses what follows.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import httptools

from wallet.http.server.framing import AmbiguousHead, ensure_one_reading, without_offer
from wallet.http.server.request_meter import RequestMeter, RequestRefused, Sizes

# The part of the current request that is arriving.
NOTHING: Final = 0
HEAD: Final = 1
BODY: Final = 2


class Head(NamedTuple):
    """The head of a request. Header names are in lower case, values without blanks at their ends."""

    method: str
    target: bytes
    version: str
    headers: Sequence[tuple[bytes, bytes]]
    keeps_alive: bool
    """Whether the client may send another request on this connection."""


class RequestListener(Protocol):
    """A connection, as the parser tells it of the requests that arrive. Each call may raise RequestRefused."""

    def request_begins(self) -> None: ...

    def head_arrived(self, head: Head) -> None: ...

    def body_arrived(self, piece: bytes) -> None: ...

    def request_is_whole(self) -> None: ...


class RequestParser:
    """Parses pieces of bytes. `phase` is the part of the current request that is arriving; `headers` and `body_bytes`
    are those of that request.
    """

    def __init__(self, listener: RequestListener, sizes: Sizes) -> None:
        self._listener = listener
        self._meter = RequestMeter(sizes)
        self._parser = self._new_parser()
        self._target = b""
        # llhttp stops behind this head, because the head offers to upgrade to another protocol.
        self._offers_upgrade = False
        self.phase = NOTHING
        self.headers: list[tuple[bytes, bytes]] = []

    @property
    def body_bytes(self) -> int:
        return self._meter.body_bytes

    @property
    def body_bytes_left(self) -> int:
        """The bytes of the current body that its head declared and that have not arrived; 0 if there is no body."""
        return self._meter.body_bytes_left if self.phase == BODY else 0

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse a piece. Raises RequestRefused, after which nothing more can be parsed."""
        self._meter.begin_piece(len(piece))
        try:
            self._feed(piece)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, RequestRefused):
                raise error.__context__ from None
            raise RequestRefused("invalid_request", "This is not valid HTTP/1.1.") from None
        if self.phase != NOTHING:
            self._meter.end_piece(in_body=self.phase == BODY)

    def close(self) -> None:
        """End the parser when no more bytes will come. Otherwise parser and connection keep each other in memory."""
        del self._parser, self._listener

    def _feed(self, rest: bytes | memoryview) -> None:
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = memoryview(rest)[offer.args[0] :]
                self._decline_offer()
                if rest:
                    continue
            return

    def _decline_offer(self) -> None:
        """Let a new parser read this head without the offer, so that it reads the body as the head says."""
        head = without_offer(
            method=self._parser.get_method(),
            target=self._target,
            version=self._parser.get_http_version(),
            headers=self.headers,
        )
        self._parser = self._new_parser()
        self._parser.feed_data(head)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # After a request that the client declared to be the last, llhttp ignores further bytes instead of failing.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # llhttp's callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._offers_upgrade = False
        self.headers = []
        self.phase = HEAD
        self._meter.begin_request()
        self._listener.request_begins()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase != HEAD:
            self._meter.add_trailer(name, value)  # trailers are counted and dropped: the head was passed on already
            return
        name = name.lower()
        # llhttp keeps the blanks after a value; RFC 9110, 5.5, says that they are no part of it.
        value = value.strip(b" \t")
        if name == b"content-length":  # llhttp has checked that it is digits and given once
            self._meter.announce_body(int(value), self._target)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        self._meter.add_head(method, self._target, self.headers)
        head = Head(method.decode("ascii"), self._target, version, self.headers, parser.should_keep_alive())
        try:
            ensure_one_reading(method=head.method, target=head.target, version=version, headers=self.headers)
        except AmbiguousHead as ambiguous:
            raise RequestRefused("invalid_request", str(ambiguous)) from None
        if parser.should_upgrade():
            if head.method == "CONNECT":
                raise RequestRefused("invalid_request", "This server is no proxy and does not take CONNECT.")
            self._offers_upgrade = True
            return
        self._listener.head_arrived(head)
        self.phase = BODY

    def on_body(self, piece: bytes) -> None:
        self._meter.add_body(len(piece), self._target)
        self._listener.body_arrived(piece)

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            return
        self.phase = NOTHING
        self._meter.end_request()
        self._listener.request_is_whole()
