"""Stands between the service and PostgreSQL, and stops the traffic at a chosen message. For tests only.

It listens on a Unix socket in a folder of its own and speaks enough of the protocol to see one message at a time.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

Message = bytes
"""A whole message of the frontend: type, length, body. The first one of a connection has no type."""


def is_commit(message: Message) -> bool:
    return message[:1] == b"Q" and message.endswith(b"COMMIT\0")


def mentions(text: bytes) -> Callable[[Message], bool]:
    """Whether a message has this in it. A prepared statement's text passes once per connection, in its Parse."""
    return lambda message: text in message


def executes(text: bytes) -> Callable[[Message], bool]:
    """The end of the question in which a statement with this text is first executed. The server answers it."""
    was_prepared = False

    def is_it(message: Message) -> bool:
        nonlocal was_prepared
        was_prepared = was_prepared or text in message
        return was_prepared and message[:1] in b"QS"

    return is_it


class Trap:
    """Stops one connection, once, at the first message that `is_it` recognises."""

    def __init__(self, is_it: Callable[[Message], bool], *, let_through: bool) -> None:
        self.is_it = is_it
        self.let_through = let_through
        self.sprung = asyncio.Event()
        """The message has come. Nothing passes any more, in either direction."""
        self.answered = asyncio.Event()
        """The server has answered the message that was let through. The answer is held here."""
        self.opened = asyncio.Event()
        self._link: _Link | None = None

    def spring(self, link: "_Link") -> None:
        self._link = link
        link.trap = self
        self.sprung.set()

    def cut(self) -> None:
        """Close both sides. The bytes that were kept are lost."""
        assert self._link is not None
        self._link.cut()

    def open(self) -> None:
        """Let everything pass again, what was held first."""
        self.opened.set()


class Proxy:
    """`dsn` is the way to the database through here."""

    def __init__(self, dsn: str, folder: str) -> None:
        parts = urlsplit(dsn)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._host = parts.hostname or query["host"]
        self._port = parts.port or int(query.get("port", 5432))
        user = parts.netloc.rpartition("@")[0] or query.get("user", "postgres")
        self.dsn = f"postgresql://{user}@{parts.path}?host={folder}&port=5432"
        self.is_away = False
        """While it is set, whoever connects is cut off at once."""
        self._traps: list[Trap] = []
        self._links: set[_Link] = set()

    def trap(self, is_it: Callable[[Message], bool], *, let_through: bool = False) -> Trap:
        """Stop the next connection that sends such a message; does the message itself still reach the server?"""
        trap = Trap(is_it, let_through=let_through)
        self._traps.append(trap)
        return trap

    def cut(self) -> None:
        """Close every connection."""
        for link in list(self._links):
            link.cut()

    def find_trap(self, message: Message) -> Trap | None:
        trap = next((each for each in self._traps if each.is_it(message)), None)
        if trap is not None:
            self._traps.remove(trap)
        return trap

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = (reader, writer)
        if self.is_away:
            writer.close()
            return
        if self._host.startswith("/"):
            server = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            server = await asyncio.open_connection(self._host, self._port)
        link = _Link(self, client, server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """One connection through a proxy, its messages seen whole. Each kind of proxy decides what becomes of them."""

    def __init__(self, client: Ends, server: Ends) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server

    def cut(self) -> None:
        """Close both sides, in the middle of whatever it was."""
        self._to_client.transport.abort()
        self._to_server.transport.abort()

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._pump_questions()), asyncio.create_task(self._pump_answers())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (self._to_client, self._to_server):
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _pump_questions(self) -> None:
        raise NotImplementedError

    async def _pump_answers(self) -> None:
        raise NotImplementedError

    async def _message(self, *, has_type: bool) -> Message:
        head = await self._from_client.readexactly(5 if has_type else 4)
        return head + await self._from_client.readexactly(int.from_bytes(head[-4:], "big") - 4)

    async def _pass_on(self, message: Message) -> None:
        self._to_server.write(message)
        await self._to_server.drain()


class _Link(Relay):
    """One connection through the proxy, which a trap may hold up."""

    def __init__(self, proxy: Proxy, client: Ends, server: Ends) -> None:
        super().__init__(client, server)
        self.trap: Trap | None = None
        self._proxy = proxy

    def cut(self) -> None:
        super().cut()
        if self.trap is not None:
            self.trap.open()

    async def _pump_questions(self) -> None:
        await self._pass_on(await self._message(has_type=False))
        while True:
            message = await self._message(has_type=True)
            trap = self._proxy.find_trap(message)
            if trap is None:
                await self._pass_on(message)
                continue
            trap.spring(self)
            if trap.let_through:
                await self._pass_on(message)
            await trap.opened.wait()
            if not trap.let_through:
                await self._pass_on(message)

    async def _pump_answers(self) -> None:
        while chunk := await self._from_server.read(65_536):
            if self.trap is not None and not self.trap.opened.is_set():
                self.trap.answered.set()
                await self.trap.opened.wait()
            self._to_client.write(chunk)
            await self._to_client.drain()


@asynccontextmanager
async def proxy_to(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the database of `dsn`."""
    with tempfile.TemporaryDirectory(prefix="wp-") as folder:
        proxy = Proxy(dsn, folder)
        running: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(proxy.serve(reader, writer))
            running.add(task)
            task.add_done_callback(running.discard)

        server = await asyncio.start_unix_server(accept, Path(folder) / ".s.PGSQL.5432")
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            await asyncio.gather(*running, return_exceptions=True)
            await server.wait_closed()
