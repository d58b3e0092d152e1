"""One request that the application answers by a call, and its answer."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from wallet.http.server.flow import Flow
from wallet.http.server.request_parser import Head
from wallet.http.server.written import written_answer
from wallet.http.wire.asgi import BodyStream, last_headers
from wallet.http.wire.direct import DirectOperation
from wallet.http.wire.encoding import Answer

_log = logging.getLogger(__name__)
_CLOSE: Final = (b"connection", b"close")


class DirectChannel(Protocol):
    """The part of a connection that a direct exchange uses."""

    write: Callable[[Any], None]

    @property
    def flow(self) -> Flow: ...

    def close(self) -> None:
        """The last answer is written: end the connection so that the client can read it."""

    def abort(self) -> None:
        """End the connection at once."""

    def go_by_asgi(self, exchange: "DirectExchange", known: Mapping[str, Any]) -> None:
        """Put an exchange through ASGI into the place of this one."""


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
        operation: DirectOperation,
        channel: DirectChannel,
        default_headers: Iterable[tuple[bytes, bytes]],
        on_response: Callable[[], None],
    ) -> None:
        self.head = head
        self.body: bytes | bytearray = b""
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
        """Keep a piece of the body. The parser bounds the whole."""
        if not self.body:
            self.body = piece  # nearly always all of it
        else:
            # Not `bytes + bytes`: a body of one-byte chunks would be copied once for each.
            self.body = self.body if isinstance(self.body, bytearray) else bytearray(self.body)
            self.body += piece

    def end_body(self) -> None:
        self.more_body = False
        if self._is_ours:
            self._begin()

    def start(self) -> None:
        """Every earlier request is answered."""
        self._is_ours = True
        if not self.more_body:
            self._begin()

    def _begin(self) -> None:
        self._operation.begin(bytes(self.body), self)

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
        try:  # Nothing may be raised here: the caller answers other requests after this one.
            self._write(answer, request_id, last)
        except Exception:
            _log.exception("an answer could not be sent")
            self._channel.abort()

    def _write(self, answer: Answer, request_id: bytes, last: Iterable[tuple[bytes, bytes]]) -> None:
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
            self._channel.flow.when_writable(partial(self._send, written))
        else:
            self._send(written)

    def _send(self, written: bytes) -> None:
        if self.is_gone:
            return
        self._channel.write(written)
        if not self.keep_alive:
            self._channel.close()
        self._on_response()
