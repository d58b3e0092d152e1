"""One request and its answer: uvicorn's class, with answers sent by one write and another way to close."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from wallet.http.server.request_parser import Head
from wallet.http.server.written import problem_parts, written_answer
from wallet.http.wire.asgi import BODY_STREAM, SEND_WHOLE, AsgiScope, BodyStream, new_request_id

# A larger body is not copied into one write: slow readers of one page then share its bytes in memory.
WHOLE_BYTES_MAX: Final = 65_536
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_log = logging.getLogger(__name__)


class Channel(Protocol):
    """The connection, as an exchange uses it."""

    write: Callable[[Any], None]

    def close(self) -> None:
        """End the connection after its last answer, so that the client can read the answer."""

    def is_closing(self) -> bool: ...


class Exchange(RequestResponseCycle):
    """Connects one request to the application: gives it the body, and sends its answer.

    stream: the state of a body without a bound, which the application may answer while it still arrives; else None.
    """

    stream: BodyStream | None = None

    def __init__(
        self,
        *,
        scope: AsgiScope,
        head: Head,
        channel: Channel,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
    ) -> None:
        is_newest = head.version == "1.1"
        super().__init__(
            scope=cast("Any", scope),
            transport=cast("Any", channel),
            flow=flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=is_newest and _expects_100(head),
            keep_alive=is_newest and head.keeps_alive,
            on_response=on_response,
        )
        scope[SEND_WHOLE] = WholeAnswer(self)

    def hang_up(self) -> None:
        """Tell the application, by `receive`, that its answer will not be sent: the client is gone, or was refused."""
        if not self.response_complete:
            self.disconnected = True
        if self.stream is not None:
            self.stream.is_gone = True
        self.message_event.set()

    def begin_stream(self) -> None:
        self.stream = BodyStream()
        cast("AsgiScope", self.scope)[BODY_STREAM] = self.stream

    def take(self, piece: bytes) -> None:
        """A piece of the body. Nothing more is read while the application has not asked for what is here."""
        self.body += piece
        if len(self.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    def end_body(self) -> None:
        self.more_body = False
        self.message_event.set()

    @property
    def is_busy(self) -> bool:
        """Whether the application works on a part of a streamed body, so the client may wait before it sends more."""
        return self.stream is not None and self.stream.busy

    async def send(self, message: Any) -> None:
        """ASGI's send. An answer that begins before the body has arrived is the last of its connection."""
        if self.more_body and self.stream is None and not self.response_started:
            self.keep_alive = False
        await super().send(message)

    async def send_500_response(self) -> None:
        """Answer a request that the application left without an answer: a fault, since its edge always answers."""
        request_id = new_request_id()
        status, headers, body = problem_parts("internal_error", detail="Something went wrong.", request_id=request_id)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def send_whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer by one write, and return whether that was possible; `send` needs two writes.

        `headers` are in lower case and hold the content-length. In every unusual case this does nothing, and the caller
        uses `send`.
        """
        if (
            self.response_started
            or self.more_body
            or self.disconnected
            or self.flow.write_paused
            or not self.keep_alive
            or len(body) > WHOLE_BYTES_MAX
        ):
            return False
        answer = written_answer(
            status, (*self.default_headers, *headers), body if self.scope["method"] != "HEAD" else b""
        )
        self.waiting_for_100_continue = False
        self.response_started = self.response_complete = True
        self.transport.write(answer)
        self.message_event.set()
        self.on_response()
        return True


class WholeAnswer:
    """Sends the whole answer of an exchange, and knows whether its request has arrived completely."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __call__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        return self._exchange.send_whole(status, headers, body)

    @property
    def is_arriving(self) -> bool:
        """Whether a part of the body has not arrived yet."""
        return self._exchange.more_body


def scope_of(
    head: Head, *, server: tuple[str, int | None] | None, client: tuple[str, int] | None, state: dict[str, Any]
) -> AsgiScope:
    """The ASGI scope of a request."""
    url = httptools.parse_url(head.target)
    raw_path = url.path or b"/"
    path = raw_path.decode("ascii")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": head.version,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "method": head.method,
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": url.query or b"",
        "headers": head.headers,
        "state": state.copy(),
    }


def _expects_100(head: Head) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in head.headers)
