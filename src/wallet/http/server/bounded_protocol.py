"""The HTTP protocol of one connection, with a bound on everything that a client decides.

The time a request takes to arrive, the time a connection idles or leaves an answer unread, and the number of
connections are bounded here, the bytes of a request by its parser. What exceeds a bound gets a problem (RFC 9457) and
the connection is closed. There is no timer per request: each connection carries one deadline, and one sweep per process
looks at them all.

A streamed body (an import) has no bound and may take for ever, as long as it keeps coming: it is held back while the
application does not ask for it, so what is held of it is bounded.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from wallet.http.server.body_budget import BodyBudget
from wallet.http.server.exchange import Exchange, scope_of, written_problem
from wallet.http.server.request_meter import STREAMED, RequestRefused, Sizes
from wallet.http.server.request_parser import BODY, NOTHING, Head, RequestParser
from wallet.http.wire.asgi import is_request_id, new_request_id

# Seconds that a refused connection is still read from after the answer. Closing with unread bytes makes the kernel
# send a reset, and a client that is still writing would lose the answer that tells it why.
LINGER_SECONDS: Final = 2.0
# Bytes of a body that are parsed in one go.
PIECE_BYTES_MAX: Final = 16 * 1024
# The same where other requests may be behind. While answers are owed, parsing stops between two pieces: a segment that
# the kernel delivers can hold ten thousand requests, each of which takes a hundred times its bytes once it is parsed.
HEADS_BYTES_MAX: Final = 2 * 1024

# Bytes of answers to a streamed body that may wait for their reader: what a client has that sends all before it reads.
STREAM_ANSWERS_BYTES_MAX: Final = 2 * 1024 * 1024
# A reader who takes this many of them is not dead.
STREAM_PROGRESS_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)


class _Flow(FlowControl):
    """Nothing is read while requests wait for their turn, even if the exchange under way asks for its body."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(asyncio.Protocol):
    """Use `bounds.bounded_protocol(settings)`, which fills in the bounds: uvicorn makes the instances."""

    sizes: ClassVar[Sizes]
    request_seconds_max: ClassVar[float]
    keep_alive_seconds: ClassVar[float]
    connections_max: ClassVar[int]
    bodies: ClassVar[BodyBudget]

    transport: asyncio.Transport
    flow: "_Flow"
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
        self._requests = RequestParser(self, self.sizes)
        # On the loop's clock: when the sweep calls `expire`. Infinite while it is our turn.
        self.deadline = math.inf
        # What is not answered. The first is under way; of the last, the body may still be arriving.
        self._owed: deque[Exchange] = deque()
        # Bytes that arrived behind requests whose answers are owed; they are parsed when those are given.
        self._unparsed = b""
        # The client has closed its sending side: what it asked is answered, and then the connection ends.
        self._has_eof = False
        # Under which key the bytes of the current body count, once they do.
        self._charged_key: bytes | None = None
        # Once set, nothing more is parsed; what still arrives is thrown away.
        self._refusal: bytes | None = None
        # Once set, the same, after the last answer of this connection, which may be taken until then.
        self._over_at_latest: float | None = None
        self._closes_after_stream = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        if len(self._server_state.connections) >= self.connections_max:
            transport.abort()
            return
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self.flow = _Flow(transport)
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
        """Keep the connection open while answers are owed; a request that is not whole by now will not be."""
        self._has_eof = True
        if self._is_deaf():
            return self._over_at_latest is None  # a refusal that waits for the answers before it
        if self._requests.phase != NOTHING and not self._unparsed:
            self._refuse(RequestRefused("invalid_request", "The connection was closed before the request was whole."))
            return True
        return bool(self._owed or self._unparsed)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._forget_body()
        for exchange in self._owed:
            exchange.hang_up()
        if self._owed:
            self.flow.resume_writing()
        self._requests.close()

    def shutdown(self) -> None:
        """Close after the answer under way, if there is one. A streamed body need not have arrived whole by then."""
        if not self._owed:
            self.transport.close()
        elif self._owed[-1].stream is not None:
            self._closes_after_stream = True
        else:
            self._owed[-1].keep_alive = False

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        # The client does not read. It has this long, or the answer's memory would be held for ever.
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
            # It is us who do not read (a pipelined request, or a body not asked for yet), or who owe answers.
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
        server, client = self._addresses
        scope = scope_of(head, server=server, client=client, state=self._app_state)
        exchange = Exchange(
            scope=scope,
            head=head,
            channel=self,
            flow=self.flow,
            default_headers=self._server_state.default_headers,
            on_response=self._answered,
        )
        if head.target.partition(b"?")[0] in STREAMED:
            exchange.begin_stream()
        self._owed.append(exchange)
        if len(self._owed) == 1:
            self._start(exchange)

    def body_arrived(self, piece: bytes) -> None:
        exchange = self._owed[-1]
        exchange.body += piece
        if len(exchange.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.message_event.set()
        if exchange.stream is not None:
            self._rearm()

    def request_is_whole(self) -> None:
        exchange = self._owed[-1]
        exchange.more_body = False
        exchange.message_event.set()
        self._forget_body()
        self._rearm()

    def _parse(self, data: bytes) -> None:
        """Parse while at most one answer is owed. Then the rest waits, and nothing more is read."""
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
            self.flow.is_held = True
            self.flow.pause_reading()

    def _start(self, exchange: Exchange) -> None:
        if exchange.stream is not None:
            # Now, and not with the head: the answers before it have no claim to so much room.
            low = STREAM_ANSWERS_BYTES_MAX - STREAM_PROGRESS_BYTES
            self.transport.set_write_buffer_limits(STREAM_ANSWERS_BYTES_MAX, low)
        task = self.loop.create_task(exchange.run_asgi(self._app))
        tasks = self._server_state.tasks
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    # Answers

    def close(self) -> None:
        """Called by an exchange behind its last answer. A client that is still sending can read it to its end."""
        if self._requests.phase == BODY and not self._has_eof:
            self._end()
        else:
            self.transport.close()

    def is_closing(self) -> bool:
        return self._over_at_latest is not None or self.transport.is_closing()

    def _answered(self) -> None:
        """The answer of the exchange whose turn it was is made."""
        self._server_state.total_requests += 1
        answered = self._owed.popleft()
        if self._over_at_latest is not None:
            return
        if self.transport.is_closing():
            # Closed, but open until the client has taken the answer.
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
        """Parse what has waited for answers, and read on. A client that sends no more goes with its last answer."""
        self.flow.is_held = False
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
        """The last answer of this connection is made. What still comes is thrown away until the client has read it."""
        self._over_at_latest = self.loop.time() + self.request_seconds_max
        self.deadline = self.loop.time() + LINGER_SECONDS
        self._forget_body()
        if self._has_eof:
            self.transport.close()
            return
        self.flow.is_held = False
        self.flow.resume_reading()
        self.transport.write_eof()

    # Bounds

    def _rearm(self) -> None:
        """Set the deadline anew, by whose turn it is."""
        if self.flow.write_paused or self._over_at_latest is not None:
            return  # only reading the answers can put this one off
        if self._requests.phase != NOTHING and self._refusal is None:
            self.deadline = self.loop.time() + self.request_seconds_max
        elif self._owed:
            self.deadline = math.inf
        else:
            self.deadline = self.loop.time() + self.keep_alive_seconds

    def _charge_body(self) -> None:
        """Count what is held of a body that goes on in the next piece."""
        if self._charged_key is None:
            authorization = next((value for name, value in self._requests.headers if name == b"authorization"), b"")
            self._charged_key = authorization.rpartition(b" ")[2]
        # Of a stream, the application has taken the rest; else it takes nothing before the end that it does not keep.
        exchange = self._owed[-1]
        held = self._requests.body_bytes if exchange.stream is None else len(exchange.body)
        self.bodies.charge(self._charged_key, self, held)

    def give_up_body(self) -> None:
        """Called by the budget: this body is one too many."""
        self._refuse(RequestRefused("overloaded", "Too many large bodies are arriving at once."))

    def _forget_body(self) -> None:
        """What has arrived of a body no longer counts: it is whole, answered, refused or given up."""
        if self._charged_key is not None:
            self.bodies.release(self._charged_key, self)
            self._charged_key = None

    # Refusals

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer with a problem, after the answers that are owed to earlier requests, and close."""
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
        self._forget_body()
        self._rearm()
        if self._requests.phase == BODY:
            self._refuse_started(self._owed[-1])
        elif not self._owed:
            self._send_refusal()

    def _refuse_started(self, exchange: Exchange) -> None:
        """The application has the head of this request, or will have it when earlier requests are answered."""
        if len(self._owed) > 1:
            self._owed.pop()
            return
        # From here on the application's answer, if it makes one, goes nowhere; its `receive` says disconnected.
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
