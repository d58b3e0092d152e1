"""The HTTP protocol of one connection, with a bound on everything that a client decides.

This module bounds the time in which a request must arrive, the time that a connection may idle or leave an answer
unread, and the number of connections. The parser bounds the bytes of a request. A request beyond a bound is answered
with a problem (RFC 9457), and the connection is closed. There is no timer per request: each connection has one
deadline, and one sweep per process looks at all of them.

A streamed body (an import) has no bound of size, and may last as long as its bytes keep coming. While the application
does not ask for more, nothing is read from the client, so the memory of the body is bounded.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from wallet.http.server.body_budget import BodyBudget, Charge
from wallet.http.server.direct_exchange import DirectExchange
from wallet.http.server.exchange import Exchange, scope_of
from wallet.http.server.flow import Flow
from wallet.http.server.request_meter import STREAMED, RequestRefused, Sizes
from wallet.http.server.request_parser import BODY, NOTHING, Head, RequestParser
from wallet.http.server.written import written_problem
from wallet.http.wire.asgi import is_request_id, new_request_id
from wallet.http.wire.direct import DirectConnection, Lane

# After the answer to a refused request, the server goes on reading for this time. If it closed with unread bytes, the
# kernel would send a reset, and a client that is still writing would lose the answer that says why.
LINGER_SECONDS: Final = 2.0
# Bytes of a body that are parsed at once.
PIECE_BYTES_MAX: Final = 16 * 1024
# The same where further requests may follow. Parsing stops between two pieces while answers are owed: one segment from
# the kernel can hold ten thousand requests, and a parsed request takes a hundred times the memory of its bytes.
HEADS_BYTES_MAX: Final = 2 * 1024

# Bytes of answers to a streamed body that may wait to be read: room for a client that sends everything before it reads.
STREAM_ANSWERS_BYTES_MAX: Final = 2 * 1024 * 1024
# A client that reads this many of them is alive.
STREAM_PROGRESS_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)


class BoundedProtocol(asyncio.Protocol):
    """Use `bounds.bounded_protocol(settings)`, which fills in the bounds; uvicorn makes the instances."""

    sizes: ClassVar[Sizes]
    request_seconds_max: ClassVar[float]
    keep_alive_seconds: ClassVar[float]
    connections_max: ClassVar[int]
    bodies: ClassVar[BodyBudget]

    transport: asyncio.Transport
    flow: Flow
    write: Callable[[Any], None]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self._app: Any = config.loaded_app
        self._server_state = server_state
        self._app_state = app_state
        # The application answers some requests through this, without ASGI. None: it has no such lane.
        lane: Lane | None = getattr(self._app, "direct", None)
        self._direct: DirectConnection | None = None if lane is None else lane.connect()
        self._requests = RequestParser(self, self.sizes)
        # The time, on the loop's clock, after which the sweep calls `expire`. Infinite while the server works.
        self.deadline = math.inf
        # The unanswered requests. The application works on the first; the body of the last may still be arriving.
        self._owed: deque[Exchange | DirectExchange] = deque()
        # Bytes that arrived behind unanswered requests; they are parsed when those are answered.
        self._unparsed = b""
        # The client has closed its sending side: the connection ends when its requests are answered.
        self._has_eof = False
        self._charge = Charge(self.bodies, self)
        # Once set, nothing more is parsed, and further bytes are dropped.
        self._refusal: bytes | None = None
        # Set after the last answer of this connection, which the client may read until then. Further bytes are dropped.
        self._over_at_latest: float | None = None
        self._closes_after_stream = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if len(self._server_state.connections) >= self.connections_max:
            transport.abort()
            return
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self.flow = Flow(transport)
        self.write = transport.write
        self._addresses = get_local_addr(transport), get_remote_addr(transport)
        self.deadline = self.loop.time() + self.request_seconds_max

    def data_received(self, data: bytes) -> None:
        if self._is_deaf():
            return
        if self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """Keep the connection open while answers are owed. Refuse an incomplete request: it will stay incomplete."""
        self._has_eof = True
        if self._is_deaf():
            return self._over_at_latest is None  # a refusal that waits for the answers before it
        if self._requests.phase != NOTHING and not self._unparsed:
            self._refuse(RequestRefused("invalid_request", "The connection closed before the request was complete."))
            return True
        return bool(self._owed or self._unparsed)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._charge.close()
        for exchange in self._owed:
            exchange.hang_up()
        if self._owed:
            self.flow.resume_writing()
        self._requests.close()

    def shutdown(self) -> None:
        """Close after the current answer, if there is one. Do not wait for the rest of a streamed body."""
        if not self._owed:
            self.transport.close()
        elif self._owed[-1].stream is not None:
            self._closes_after_stream = True
        else:
            self._owed[-1].keep_alive = False

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        # The client does not read. Without this deadline it could keep the answer's memory for ever.
        self.deadline = self.loop.time() + self.request_seconds_max

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self._rearm()

    def expire(self) -> None:
        """Called by the sweep after the deadline. Answers 408 if part of a request has arrived."""
        over_at = self._over_at_latest
        if over_at is not None and self.loop.time() < over_at and self.transport.get_write_buffer_size():
            self.deadline = self.loop.time() + LINGER_SECONDS
        elif over_at or self._refusal is not None or self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._requests.phase == NOTHING:
            self.transport.close()
        elif self.flow.read_paused or (self._requests.phase == BODY and self._owed[-1].is_busy):
            # The server is the one that waits: it does not read now (a pipelined request, or a body that the
            # application has not asked for), or it owes an answer.
            self.deadline = self.loop.time() + self.request_seconds_max
        else:
            seconds = f"{self.request_seconds_max:g}"
            self._refuse(
                RequestRefused("request_timeout", f"The request did not arrive whole within {seconds} seconds.")
            )

    # Requests, as the parser finds them

    def request_begins(self) -> None:
        self._rearm()

    def head_arrived(self, head: Head) -> None:
        exchange = self._direct_exchange(head) or self._exchange(head)
        self._owed.append(exchange)
        if len(self._owed) == 1:
            self._start(exchange)

    def body_arrived(self, piece: bytes) -> None:
        exchange = self._owed[-1]
        exchange.take(piece)
        if exchange.stream is not None:
            self._rearm()

    def request_is_whole(self) -> None:
        self._charge.end()
        self._owed[-1].end_body()
        self._rearm()

    def _direct_exchange(self, head: Head) -> DirectExchange | None:
        if self._direct is None or not head.keeps_alive or head.version != "1.1":
            return None
        operation = self._direct.operation(head.method, head.target, head.headers)
        if operation is None:
            return None
        return DirectExchange(
            head=head,
            operation=operation,
            channel=self,
            default_headers=self._server_state.default_headers,
            on_response=self._answered,
        )

    def _exchange(self, head: Head) -> Exchange:
        server, client = self._addresses
        exchange = Exchange(
            scope=scope_of(head, server=server, client=client, state=self._app_state),
            head=head,
            channel=self,
            flow=self.flow,
            default_headers=self._server_state.default_headers,
            on_response=self._answered,
        )
        if head.target.partition(b"?")[0] in STREAMED:
            exchange.begin_stream()
        return exchange

    def _parse(self, data: bytes) -> None:
        """Parse while at most one answer is owed. Keep the rest for later, and read nothing more until then."""
        begin = 0
        try:
            while begin < len(data) and len(self._owed) < 2 and not self._is_deaf():
                length = max(HEADS_BYTES_MAX, min(PIECE_BYTES_MAX, self._requests.body_bytes_left))
                piece = data if len(data) <= length else data[begin : begin + length]
                begin += len(piece)
                self._requests.feed(piece)
                if self._requests.phase == BODY:
                    self._charge_body()
        except RequestRefused as refused:
            self._refuse(refused)
        if len(self._owed) > 1 and not self._is_deaf():
            self._unparsed = data[begin:]
            self.flow.is_stopped = True
            self.flow.pause_reading()

    def _start(self, exchange: Exchange | DirectExchange) -> None:
        if isinstance(exchange, DirectExchange):
            exchange.start()
            return
        if exchange.stream is not None:
            # Not when the head arrives: the answers to earlier requests must not use so much room.
            low = STREAM_ANSWERS_BYTES_MAX - STREAM_PROGRESS_BYTES
            self.transport.set_write_buffer_limits(STREAM_ANSWERS_BYTES_MAX, low)
        task = self.loop.create_task(exchange.run_asgi(self._app))
        tasks = self._server_state.tasks
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def go_by_asgi(self, exchange: DirectExchange, known: Mapping[str, Any]) -> None:
        """Called by the first exchange owed, when its request is whole."""
        instead = self._exchange(exchange.head)
        cast("dict[str, Any]", instead.scope).update(known)
        instead.keep_alive = exchange.keep_alive
        instead.take(bytes(exchange.body))
        instead.end_body()
        self._owed[0] = instead
        self._start(instead)

    # Answers

    def close(self) -> None:
        """Called by an exchange after its last answer. A client that is still sending can read the whole answer."""
        if self._requests.phase == BODY and not self._has_eof:
            self._end()
        else:
            self.transport.close()

    def abort(self) -> None:
        """Called by an exchange that cannot be answered."""
        self.transport.abort()

    def is_closing(self) -> bool:
        return self._over_at_latest is not None or self.transport.is_closing()

    def _answered(self) -> None:
        """Called by the first exchange when its answer is made."""
        self._server_state.total_requests += 1
        answered = self._owed.popleft()
        if self._over_at_latest is not None:
            return
        if self.transport.is_closing():
            # The transport closes when the client has read the answer. This deadline bounds the wait.
            self.deadline = self.loop.time() + self.request_seconds_max
            return
        if answered.stream is not None:
            self.transport.set_write_buffer_limits()
            if answered.more_body or self._closes_after_stream:
                self._end()
                return
        if self._owed:
            self._start(self._owed[0])
            self._rearm()
        elif self._refusal is not None:
            self._send_refusal()
            return
        elif self._requests.phase == NOTHING:
            self._rearm()
        if len(self._owed) < 2:
            self._go_on()

    def _go_on(self) -> None:
        """Parse the bytes that waited for answers, and read on. Close if all is answered and the client has ended."""
        self.flow.is_stopped = False
        if self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        self.flow.resume_reading()
        if self._has_eof and not self._unparsed and not self._is_deaf():
            if self._requests.phase != NOTHING:
                self.eof_received()
            elif not self._owed:
                self.transport.close()

    def _is_deaf(self) -> bool:
        return self._refusal is not None or self._over_at_latest is not None

    def _end(self) -> None:
        """End the connection after its last answer. Drop further bytes until the client has read the answer."""
        self._over_at_latest = self.loop.time() + self.request_seconds_max
        self.deadline = self.loop.time() + LINGER_SECONDS
        self._charge.end()
        if self._has_eof:
            self.transport.close()
            return
        self.flow.is_stopped = False
        self.flow.resume_reading()
        self.transport.write_eof()

    # Bounds

    def _rearm(self) -> None:
        """Set the deadline again: for the request to arrive, for the server to answer, or for the client to ask."""
        if self.flow.write_paused or self._over_at_latest is not None:
            return  # this deadline moves only when the client reads
        if self._requests.phase != NOTHING and self._refusal is None:
            self.deadline = self.loop.time() + self.request_seconds_max
        elif self._owed:
            self.deadline = math.inf
        else:
            self.deadline = self.loop.time() + self.keep_alive_seconds

    def _charge_body(self) -> None:
        """Charge the bytes kept of a body that goes on in the next piece."""
        # The application consumes a stream as it arrives. Of any other body it keeps every byte until the end.
        exchange = self._owed[-1]
        kept = self._requests.body_bytes if exchange.stream is None else len(exchange.body)
        self._charge.pay(self._requests.headers, kept)

    def give_up_body(self) -> None:
        """Called by the budget when the bodies together are too large."""
        self._refuse(RequestRefused("overloaded", "Too many large bodies are arriving at once."))

    # Refusals

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer with a problem, after the answers to earlier requests, and close."""
        headers = self._requests.headers if self._requests.phase != NOTHING else ()
        given = (value for name, value in headers if name == b"x-request-id" and is_request_id(value))
        request_id = next(given, None) or new_request_id()
        _log.debug("refused %s, request_id %s", refused.code, request_id.decode())
        self._refusal = written_problem(
            refused.code,
            detail=refused.detail,
            request_id=request_id,
            default_headers=self._server_state.default_headers,
        )
        self._unparsed = b""
        self._charge.end()
        self._rearm()
        if self._requests.phase == BODY:
            self._refuse_started(self._owed[-1])
        elif not self._owed:
            self._send_refusal()

    def _refuse_started(self, exchange: Exchange | DirectExchange) -> None:
        """Refuse a request whose head has arrived: the application has it, or would get it after earlier requests."""
        if len(self._owed) > 1:
            self._owed.pop()
            return
        # From now on an answer of the application is not sent; its `receive` tells it that the client is gone.
        exchange.hang_up()
        if exchange.response_started:
            self.deadline = self.loop.time() + LINGER_SECONDS
            self.transport.close()
        else:
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        self.transport.write(self._refusal)
        self._end()
