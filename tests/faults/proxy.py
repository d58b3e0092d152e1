"""Stands on loopback between the service and PostgreSQL, and loses, delays, stalls and truncates what passes.

It sees every message of the service as a whole, so a fault can be put at the COMMIT and not just anywhere near it.
"""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.storage.tcp_proxy import Ends, Message, Relay, is_commit
from wallet.storage.embedded.server import DATABASE, PORT, USER

__all__ = ["Link", "Message", "Mode", "Proxy", "Trap", "is_commit", "locks_wallets", "proxy_to"]

READ_BYTES = 65_536
BACKEND_KEY = b"K"


def locks_wallets(message: Message) -> bool:
    """The first round trip of a batch, after whose answer it holds the rows of its wallets."""
    return message[:1] == b"Q" and b"EXECUTE lock_wallets" in message and b"{}" not in message


class Mode(enum.Enum):
    """The treatment of a message that a trap recognises."""

    DROP = "the message is not forwarded, and the connection is cut"
    HALVE = "half of the message is forwarded, and the connection is cut"
    DROP_ANSWER = "the message is forwarded, its answer is not, and the connection is cut"
    HALVE_ANSWER = "the message is forwarded and half of its answer, and the connection is cut"
    HOLD_ANSWER = "the message is forwarded, and its answer late"
    ACT_BEFORE = "nothing is lost; what is done is done while the message waits here"
    ACT_ON_ANSWER = "nothing is lost; what is done is done while the answer waits here"


class Trap:
    """Waits for one message, once. `act` is called before anything is cut or passed on; `sprung` is set after that."""

    def __init__(
        self,
        is_it: Callable[[Message], bool],
        mode: Mode,
        *,
        seconds: float = 0.0,
        act: Callable[["Link", Message], None] | None = None,
    ) -> None:
        self.is_it = is_it
        self.mode = mode
        self.seconds = seconds
        self.act = act
        self.message = b""
        self.sprung = asyncio.Event()

    def act_on(self, link: "Link") -> None:
        if self.act is not None:
            self.act(link, self.message)


class Proxy:
    """`delay_seconds` is how long every message waits here; clear `is_open`, and nothing passes; `is_away`: nobody
    may connect. `links`: the connections through here.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._traps: list[Trap] = []
        self.port = 0
        self.links: set[Link] = set()
        self.delay_seconds = 0.0
        self.is_away = False
        self.is_open = asyncio.Event()
        self.is_open.set()

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}?sslmode=disable"

    def trap(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap

    def disarm(self) -> None:
        self._traps.clear()

    def take_trap(self, message: Message) -> Trap | None:
        trap = next((each for each in self._traps if each.is_it(message)), None)
        if trap is not None:
            self._traps.remove(trap)
            trap.message = message
        return trap

    def cut(self) -> None:
        """Close every connection, in the middle of whatever it was."""
        for link in list(self.links):
            link.cut()

    async def hold_up(self) -> None:
        """Wait for as long as a message has to wait here."""
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self.is_open.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_unix_connection(str(self._socket))
        except OSError:  # the database is away: so is whoever is asked for it
            writer.transport.abort()
            return
        link = Link(self, (reader, writer), server)
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)


class Link(Relay):
    """One connection through the proxy. `backend_pid`: whom of PostgreSQL it leads to."""

    def __init__(self, proxy: Proxy, client: Ends, server: Ends) -> None:
        super().__init__(client, server)
        self._proxy = proxy
        self._awaited: Trap | None = None
        self.client_port: int = self._to_client.get_extra_info("peername")[1]
        self.backend_pid: int | None = None

    async def _pump_questions(self) -> None:
        await self._pass_on(await self._message(has_type=False))
        while True:
            message = await self._message(has_type=True)
            trap = self._proxy.take_trap(message)
            await self._proxy.hold_up()
            if trap is None:
                await self._pass_on(message)
                continue
            if trap.mode in (Mode.DROP, Mode.HALVE):
                trap.act_on(self)
                if trap.mode is Mode.HALVE:
                    await self._pass_on(message[: len(message) // 2])
                trap.sprung.set()
                return
            if trap.mode is Mode.ACT_BEFORE:
                trap.act_on(self)
                trap.sprung.set()
            else:
                self._awaited = trap
            await self._pass_on(message)

    async def _pump_answers(self) -> None:
        await self._pump_greeting()
        while chunk := await self._from_server.read(READ_BYTES):
            trap, self._awaited = self._awaited, None
            await self._proxy.hold_up()
            if trap is not None:
                if trap.mode is Mode.HALVE_ANSWER:
                    self._to_client.write(chunk[: len(chunk) // 2])
                    await self._to_client.drain()
                if trap.mode is Mode.HOLD_ANSWER:
                    await asyncio.sleep(trap.seconds)
                trap.act_on(self)
                trap.sprung.set()
                if trap.mode in (Mode.DROP_ANSWER, Mode.HALVE_ANSWER):
                    return
            self._to_client.write(chunk)
            await self._to_client.drain()

    async def _pump_greeting(self) -> None:
        """The messages of the server up to its process id. A refusal has none, and ends the connection."""
        while self.backend_pid is None:
            head = await self._from_server.readexactly(5)
            body = await self._from_server.readexactly(int.from_bytes(head[1:], "big") - 4)
            if head[:1] == BACKEND_KEY:
                self.backend_pid = int.from_bytes(body[:4], "big")
            self._to_client.write(head + body)
            await self._to_client.drain()


@asynccontextmanager
async def proxy_to(socket_dir: Path) -> AsyncIterator[Proxy]:
    """A proxy on a free port of loopback, in front of the server with its socket in that folder."""
    proxy = Proxy(socket_dir / f".s.PGSQL.{PORT}")
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        running.add(task)
        task.add_done_callback(_forget_with(running))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.is_open.set()
        proxy.cut()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def _forget_with(running: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
    def forget(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled():
            task.exception()  # a connection that was cut: that is what this is for

    return forget
