"""One request that the application answers by a call, and its answer."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from wallet.http.server.request_parser import Head
from wallet.http.server.written import written_answer
from wallet.http.wire.asgi import BodyStream, last_headers
from wallet.http.wire.direct import Operation
from wallet.http.wire.encoding import Answer

_NO_BODY: Final = b""
_CLOSE: Final = (b"connection", b"close")


class DirectChannel(Protocol):
    """What a direct exchange may do with its connection."""

    write: Callable[[Any], None]

    @property
    def flow(self) -> FlowControl: ...

    def close(self) -> None:
        """The last answer is written: end the connection so that the client can read it."""

    def go_by_asgi(self, exchange: "DirectExchange", known: Mapping[str, Any]) -> None:
        """Put an exchange through ASGI into the place of this one."""

    def send_when_read(self, exchange: "DirectExchange", written: bytes) -> None:
        """Write an answer once the client has taken those before it."""


class DirectExchange:
    """Stands among the exchanges of its connection as those through ASGI do. A Reply to its operation."""

    __slots__ = (
        "_channel", "_default_headers", "_is_ours", "_on_response", "_operation", "body", "head", "is_gone",
        "keep_alive", "more_body", "response_started",
    )  # fmt: skip

    stream: BodyStream | None = None
    is_busy = False

    def __init__(
        self,
        *,
        head: Head,
        operation: Operation,
        channel: DirectChannel,
        default_headers: Iterable[tuple[bytes, bytes]],
        on_response: Callable[[], None],
    ) -> None:
        self.head = head
        self.body = _NO_BODY
        self.more_body = True
        self.keep_alive = True
        self.response_started = False
        self.is_gone = False
        self._operation = operation
        self._channel = channel
        self._default_headers = default_headers
        self._on_response = on_response
        self._is_ours = False

    def take(self, piece: bytes) -> None:
        """A piece of the body. How large the whole may be, the parser has bounded."""
        self.body = self.body + piece if self.body else piece

    def end_body(self) -> None:
        self.more_body = False
        if self._is_ours:
            self._operation.begin(self.body, self)

    def start(self) -> None:
        """Its turn has come."""
        self._is_ours = True
        if not self.more_body:
            self._operation.begin(self.body, self)

    def hang_up(self) -> None:
        """The client is gone, or will not be answered by the application."""
        self.is_gone = True

    def go_by_asgi(self, known: Mapping[str, Any]) -> None:
        if not self.is_gone:
            self._channel.go_by_asgi(self, known)

    def answer(self, answer: Answer, *, request_id: bytes, last: Iterable[tuple[bytes, bytes]] = ()) -> None:
        if self.is_gone:
            return
        self.response_started = True
        headers = (
            *self._default_headers,
            *answer.headers,
            (b"content-length", b"%d" % len(answer.body)),
            *last_headers(answer.headers, request_id=request_id),
            *last,
        )
        if not self.keep_alive:
            headers = (*headers, _CLOSE)
        written = written_answer(answer.status, headers, answer.body)
        if self._channel.flow.write_paused:
            self._channel.send_when_read(self, written)
        else:
            self.send(written)

    def send(self, written: bytes) -> None:
        self._channel.write(written)
        if not self.keep_alive:
            self._channel.close()
        self._on_response()
