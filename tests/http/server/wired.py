"""The server's protocol without a socket: bytes go in at chosen splits, and what the application saw comes out."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import uvicorn

from wallet.http.server.bounded_protocol import BoundedProtocol
from wallet.http.server.bounds import bounded_protocol
from wallet.http.server.request_meter import STREAMED
from wallet.http.wire.direct import DirectOperation, Lane, Reply
from wallet.http.wire.encoding import Answer
from wallet.settings import Settings

# Turns of the loop after which all tasks have done what they can: nothing here waits for anything outside.
TURNS = 12


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the application saw it. `is_whole`: its body came to its end."""

    method: str
    target: bytes
    body: bytes
    is_whole: bool


class WireTransport(asyncio.Transport):
    """Keeps what is written. Like a socket's transport, it calls `connection_lost` a turn after it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._closing = False
        self.written = bytearray()
        self.has_written_eof = False
        self.is_reading_now = True
        self.unread_bytes = 0
        self.high_water: int | None = None

    def write(self, data: Any) -> None:
        assert not self.has_written_eof, "nothing is written behind the end"
        if not self._closing:
            self.written += data

    def write_eof(self) -> None:
        self.has_written_eof = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_water = high

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


@dataclass
class Wire:
    """One connection. `seen` are the requests that reached the application, in order."""

    protocol: BoundedProtocol
    transport: WireTransport
    seen: list[Seen]
    another: Callable[[], "Wire"]
    """A further connection to the same server, with the same budget."""

    @property
    def written(self) -> bytes:
        return bytes(self.transport.written)

    @property
    def is_over(self) -> bool:
        """Whether the server says no more on this connection."""
        return self.transport.is_closing() or self.transport.has_written_eof

    async def send(self, pieces: Iterable[bytes]) -> None:
        """Deliver the pieces as the kernel would: none while reading is paused, none after the end."""
        for piece in pieces:
            for _ in range(1_000):
                if self.transport.is_reading_now or self.transport.is_closing():
                    break
                await asyncio.sleep(0)
            if self.transport.is_closing():
                break
            self.protocol.data_received(piece)
            await asyncio.sleep(0)
        await settled()

    async def shut_down_sending(self) -> None:
        if not self.transport.is_closing() and not self.protocol.eof_received():
            self.transport.close()
        await settled()


@dataclass
class Recording:
    """An application that reads each request to its end and answers it with its number."""

    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        self.seen.append(Seen(scope["method"], target, body, is_whole))
        if is_whole:
            answer = b"%d" % len(self.seen)
            headers = [(b"content-length", b"%d" % len(answer)), (b"x-number", answer)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})


class Answering:
    """The direct lane of an application that takes all it can, notes what it takes, and answers with its number.

    gate: when; None: in the next turn of the loop.
    """

    def __init__(self, recording: Recording, gate: asyncio.Event | None = None) -> None:
        self._recording = recording
        self._gate = gate

    def connect(self) -> "Answering":
        return self

    def operation(self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> DirectOperation | None:
        is_expecting = any(name == b"expect" for name, _ in headers)
        is_odd = method == "HEAD" or not target.startswith((b"/", b"*"))
        if is_odd or is_expecting or target.partition(b"?")[0] in STREAMED:
            return None
        return _Answered(self._recording, method, target, self._gate)


class _Answered:
    def __init__(self, recording: Recording, method: str, target: bytes, gate: asyncio.Event | None) -> None:
        self._recording = recording
        self._asked = method, target
        self._gate = gate

    def begin(self, body: bytes, reply: Reply) -> None:
        self._recording.seen.append(Seen(*self._asked, bytes(body), True))
        answer = Answer(200, b"%d" % len(self._recording.seen), ())
        self._task = asyncio.create_task(self._answer(answer, reply))

    async def _answer(self, answer: Answer, reply: Reply) -> None:
        if self._gate is not None:
            await self._gate.wait()
        reply.answer(answer, request_id=b"r")


class Served:
    """An application with a direct lane beside it."""

    def __init__(self, app: Any, direct: Lane) -> None:
        self._app = app
        self.direct = direct

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def wire(app: Any = None, *, is_direct: bool = False, gate: asyncio.Event | None = None, **settings: Any) -> Wire:
    """A first connection to a new server of an application, by default a Recording; is_direct: with a direct lane,
    which answers when the gate is open.
    """
    recording = Recording()
    if is_direct:
        app = Served(app or recording, Answering(recording, gate))
    elif app is None:
        app = recording
    config = uvicorn.Config(
        app,
        http=bounded_protocol(Settings(**settings)),
        lifespan="off",
        ws="none",
        interface="asgi3",
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)

    def connected() -> Wire:
        protocol: BoundedProtocol = cast("Any", config.http_protocol_class)(
            config=config, server_state=server.server_state, app_state={}
        )
        transport = WireTransport(protocol)
        protocol.connection_made(transport)
        return Wire(protocol, transport, recording.seen, connected)

    return connected()


async def settled() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
