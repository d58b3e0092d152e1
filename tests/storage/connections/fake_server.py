"""A server that speaks just enough of PostgreSQL's protocol to answer the start of a session in one way."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TLS_REQUEST = 80877103


def error(state: str) -> bytes:
    """An ErrorResponse that ends the session."""
    fields = b"".join(kind + text.encode() + b"\0" for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", state)))
    return _message(b"E", fields + b"Mhush\0\0")


def authentication(kind: int) -> bytes:
    """The server's request for authentication: 7 is GSSAPI."""
    return _message(b"R", struct.pack("!i", kind))


@asynccontextmanager
async def fake_server(answer: bytes, *, tls: bytes = b"N") -> AsyncIterator[str]:
    """Yield host:port of a server that answers this to whoever starts a session, and `tls` to who asks for TLS first.

    An empty answer: none, and the connection stays open.
    """
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            while True:
                length, code = struct.unpack("!ii", await reader.readexactly(8))
                if code != _TLS_REQUEST:
                    await reader.readexactly(length - 8)
                    break
                writer.write(tls)
            writer.write(answer)
            if answer.startswith(b"E"):
                writer.close()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # a test that ends in the middle
            pass
        finally:
            connections.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        server.close()
        for each in list(connections):
            each.transport.abort()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
