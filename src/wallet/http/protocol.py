"""The HTTP protocol of one connection: uvicorn's, with a bound on everything that a client decides.

Bytes of a head and of a body, the time a request takes to arrive, the time a connection idles or leaves an answer
unread, and the number of connections. What exceeds a bound gets a problem (RFC 9457) and the connection is closed.
There is no timer per request: each connection carries one deadline, and one sweep per process looks at them all.

A streamed body (an import) has no bound and may take for ever, as long as it keeps coming: it is held back while the
application does not ask for it, so what is held of it is bounded.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final
from uuid import uuid4

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from wallet.http.asgi import BODY_STREAM, LAST_HEADERS, NO_STORE, SEND_WHOLE, BodyStream
from wallet.http.problems import render_problem
from wallet.http.sending import WholeAnswer
from wallet.settings import Settings

# Seconds that a refused connection is still read from after the answer. Closing with unread bytes makes the kernel
# send a reset, and a client that is still writing would lose the answer that tells it why.
LINGER_SECONDS: Final = 2.0
# What may surround the bytes of a chunked body: one-byte chunks have five bytes of framing each.
FRAMING_BYTES_PER_BODY_BYTE: Final = 8
_LAST: Final = (NO_STORE, *LAST_HEADERS, (b"connection", b"close"))
# Bytes of unfinished bodies in one process; a connection more, and its request is refused.
BODIES_BYTES_MAX: Final = 64 * 1024 * 1024

# Bytes of answers to a streamed body that may wait for their reader: what a client has that sends all before it reads.
STREAM_ANSWERS_BYTES_MAX: Final = 2 * 1024 * 1024
# A reader who takes this many of them is not dead.
STREAM_PROGRESS_BYTES: Final = 64 * 1024
# Paths whose bodies are streamed.
_STREAMED: Final = frozenset({b"/import"})

# How far the current request has arrived.
_NOTHING: Final = 0
_HEAD: Final = 1
_BODY: Final = 2

_log = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised inside the parser's callbacks to stop the parser where it is."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class _BodiesArriving:
    """Bytes of all bodies of this process that are not whole yet. Many slow bodies must not fill the memory."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class BoundedProtocol(HttpToolsProtocol):
    """Use `bounded_protocol(settings)`, which fills in the bounds: uvicorn makes the instances."""

    body_bytes_max: ClassVar[int]
    body_bytes_max_by_path: ClassVar[Mapping[bytes, int]]
    header_bytes_max: ClassVar[int]
    request_seconds_max: ClassVar[float]
    keep_alive_seconds: ClassVar[float]
    connections_max: ClassVar[int]

    bodies_arriving: ClassVar["_BodiesArriving"]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # On the loop's clock: when the sweep calls `expire`. Infinite while it is our turn.
        self.deadline = math.inf
        self._phase = _NOTHING
        self._body_bytes = 0
        # What of them counts among the bodies arriving.
        self._held_bytes = 0
        # Of the current request; a stream's `is_gone` is still to be told when the next request has begun.
        self._is_streamed = False
        self._stream: BodyStream | None = None
        # Bytes of whole segments that belong to the current request alone.
        self._wire_bytes = 0
        self._segment_bytes = 0
        self._segment_shared = False
        # Once set, nothing more is parsed; what still arrives is thrown away.
        self._refusal: tuple[int, bytes, list[tuple[bytes, bytes]]] | None = None
        # Once set, the same, after the last answer of this connection, which may be taken until then.
        self._over_at_latest: float | None = None
        self._closes_after_stream = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.connections_max:
            self.transport = transport  # connection_lost closes it
            transport.abort()
            return
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.request_seconds_max

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._over_at_latest is not None:
            return
        self._segment_bytes = len(data)
        self._segment_shared = False
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                # An offer of another protocol (h2c, WebSocket) is declined by answering in HTTP/1.1.
                rest = memoryview(rest)[offer.args[0] :]
                if rest:
                    continue
            except httptools.HttpParserError as error:
                cause = error.__context__
                if isinstance(cause, _Refused):
                    self._refuse(cause.code, cause.detail)
                else:
                    self._refuse("invalid_request", "This is not valid HTTP/1.1.")
                return
            break
        if self._phase != _NOTHING:
            self._measure_unfinished()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_body()
        if self._stream is not None:
            self._stream.is_gone = True
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close after the answer under way, if there is one. A streamed body need not have arrived whole by then."""
        if self._is_streamed and not self.cycle.response_complete:
            self._closes_after_stream = True
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        # The client does not read. It has this long, or the answer's memory would be held for ever.
        self.deadline = self.loop.time() + self.request_seconds_max

    def resume_writing(self) -> None:
        super().resume_writing()
        self._rearm()

    def expire(self) -> None:
        """Called by the sweep after the deadline. Answers 408 if part of a request has arrived."""
        over_at = self._over_at_latest
        if over_at is not None and self.loop.time() < over_at and self.transport.get_write_buffer_size():
            self.deadline = self.loop.time() + LINGER_SECONDS
        elif over_at or self._refusal is not None or self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._phase == _NOTHING:
            self.transport.close()
        elif self.flow.read_paused or (self._is_streamed and self._stream is not None and self._stream.busy):
            # It is us who do not read (a pipelined request, or a body not asked for yet), or who owe answers.
            self.deadline = self.loop.time() + self.request_seconds_max
        else:
            seconds = f"{self.request_seconds_max:g}"
            self._refuse("request_timeout", f"The request did not arrive whole within {seconds} seconds.")

    # The parser's callbacks. uvicorn's bookkeeping is kept; `on_header` and `on_response_complete` replace it.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = _HEAD
        self._is_streamed = False
        self._body_bytes = 0
        self._wire_bytes = 0
        self._rearm()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != _HEAD:
            return  # trailers: the application already has its headers
        name = name.lower()
        if name == b"content-length":
            # The parser has checked that these are digits and that there is one such header.
            if int(value) > self.body_bytes_max and int(value) > self._body_bytes_allowed():
                raise self._body_too_large()
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        segments = self._wire_bytes + self._segment_bytes
        if segments > self.header_bytes_max and self._head_bytes() > self.header_bytes_max:
            raise self._head_too_large()
        super().on_headers_complete()
        # The application's task has not begun yet.
        self.scope[SEND_WHOLE] = WholeAnswer(self.cycle)  # type: ignore[typeddict-unknown-key]
        self._phase = _BODY
        if self._path() in _STREAMED:
            self._begin_stream()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self.body_bytes_max and self._body_bytes > self._body_bytes_allowed():
            raise self._body_too_large()
        # Of a stream, the application has taken the rest; else it takes nothing before the end that it does not keep.
        self._hold(self._body_bytes if not self._is_streamed else len(self.cycle.body) + len(body))
        if self.bodies_arriving.total > BODIES_BYTES_MAX:
            raise _Refused("overloaded", "Too many large bodies are arriving at once.")
        super().on_body(body)
        if self._is_streamed:
            self._rearm()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._forget_body()
        self._phase = _NOTHING
        self._segment_shared = True
        self._rearm()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            # Closed, but open until the client has taken the answer.
            self.deadline = self.loop.time() + self.request_seconds_max
            return
        if self._is_streamed and self.cycle.response_complete:
            self.transport.set_write_buffer_limits()
            if self._phase == _BODY or self._closes_after_stream:
                self._end()
                return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            self._rearm()
        elif self._refusal is not None:
            self._send_refusal()
        elif self._phase == _NOTHING:
            self._rearm()

    # Bounds

    def _rearm(self) -> None:
        """Set the deadline anew, by whose turn it is."""
        if self.flow.write_paused:
            return  # only reading the answers can put this one off
        if self._phase != _NOTHING:
            self.deadline = self.loop.time() + self.request_seconds_max
        elif self.cycle is None or self.cycle.response_complete:
            self.deadline = self.loop.time() + self.keep_alive_seconds
        else:
            self.deadline = math.inf

    def _measure_unfinished(self) -> None:
        """Bound a request that goes on in the next segment: the parser keeps unfinished headers to itself."""
        if not self._segment_shared:
            self._wire_bytes += self._segment_bytes
        allowed = self.header_bytes_max
        if self._phase == _BODY:  # the head again for trailers and chunk extensions
            allowed += self.header_bytes_max + (1 + FRAMING_BYTES_PER_BODY_BYTE) * self._body_bytes
        if self._wire_bytes > allowed:
            refused = self._head_too_large()
            self._refuse(refused.code, refused.detail)

    def _hold(self, held_bytes: int) -> None:
        self.bodies_arriving.total += held_bytes - self._held_bytes
        self._held_bytes = held_bytes

    def _forget_body(self) -> None:
        """What has arrived of a body no longer counts: it is whole, refused or given up."""
        self._hold(0)
        self._body_bytes = 0

    def _path(self) -> bytes:
        return self.url.partition(b"?")[0]

    def _body_bytes_allowed(self) -> float:
        path = self._path()
        return math.inf if path in _STREAMED else self.body_bytes_max_by_path.get(path, self.body_bytes_max)

    def _head_bytes(self) -> int:
        """The head's size as it would be written without optional white space: request line, headers, empty line."""
        request_line = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n")
        return request_line + sum(len(name) + len(value) + 4 for name, value in self.headers) + 2

    def _head_too_large(self) -> _Refused:
        return _Refused("head_too_large", f"A request head may have {self.header_bytes_max} bytes.")

    def _body_too_large(self) -> _Refused:
        return _Refused("payload_too_large", f"A request body may have {self._body_bytes_allowed()} bytes.")

    # Streams

    def _begin_stream(self) -> None:
        self._is_streamed = True
        self._stream = self.scope[BODY_STREAM] = BodyStream()  # type: ignore[typeddict-unknown-key]
        low = STREAM_ANSWERS_BYTES_MAX - STREAM_PROGRESS_BYTES
        self.transport.set_write_buffer_limits(STREAM_ANSWERS_BYTES_MAX, low)

    def _end(self) -> None:
        """The last answer of this connection is made, and the client may still be sending: let it read to the end."""
        self._over_at_latest = self.loop.time() + self.request_seconds_max
        self._forget_body()
        self.flow.resume_reading()
        self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER_SECONDS

    # Refusals

    def _refuse(self, code: str, detail: str) -> None:
        """Answer with a problem, after the answers that are owed to earlier requests, and close."""
        request_id = str(uuid4())
        _log.debug("refused %s, request_id %s", code, request_id)
        self._refusal = render_problem(code, detail=detail, request_id=request_id)
        self.deadline = math.inf
        if self._phase == _BODY:
            self._refuse_started(code)
        elif self.cycle is None or self.cycle.response_complete:
            self._send_refusal()

    def _refuse_started(self, code: str) -> None:
        """The application has the head of this request, or will have it when earlier requests are answered."""
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        # From here on the application's answer, if it makes one, goes nowhere; its `receive` says disconnected.
        cycle.disconnected = True
        cycle.message_event.set()
        if self._is_streamed and self._stream is not None:
            self._stream.is_gone = True
        if cycle.response_started:
            self.deadline = self.loop.time() + LINGER_SECONDS
            self.transport.close()
        else:
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        status, body, headers = self._refusal
        content = [STATUS_LINE[status]]
        for name, value in (
            *self.server_state.default_headers,
            *headers,
            (b"content-length", str(len(body)).encode()),
            *_LAST,
        ):
            content += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*content, b"\r\n", body)))
        self.flow.resume_reading()
        self.transport.write_eof()
        self.deadline = self.loop.time() + LINGER_SECONDS


def bounded_protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol class with the bounds of `settings`, for uvicorn's `http=`.

    Its connections need `sweep` to run, or nothing ever times out.
    """
    bounds = {
        "body_bytes_max": settings.body_bytes_max,
        "body_bytes_max_by_path": {b"/batches": settings.batch_body_bytes_max},
        "header_bytes_max": settings.header_bytes_max,
        "request_seconds_max": settings.request_seconds_max,
        "keep_alive_seconds": settings.keep_alive_seconds,
        "connections_max": settings.connections_max,
        "bodies_arriving": _BodiesArriving(),
    }
    return type("BoundedProtocolWithSettings", (BoundedProtocol,), bounds)


async def sweep(connections: Collection[BoundedProtocol], *, interval_seconds: float) -> None:
    """Expire the connections whose deadline has passed, every `interval_seconds`, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(interval_seconds)
        now = loop.time()
        for connection in [each for each in connections if each.deadline <= now]:
            try:
                connection.expire()
            except Exception:
                # One bad connection must not leave all others without time-outs.
                _log.exception("a connection could not be expired")
                connection.transport.abort()
