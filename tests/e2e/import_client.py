"""A client of POST /import that decides for itself when it sends and when it reads."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Self

ANSWER_SECONDS_MAX = 60.0
"""No measurement: it ends a test that would hang."""

_HEAD = (
    b"POST /import%b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class ImportClient:
    """One import on a connection of its own. Sends in chunks of the caller's, and reads lines."""

    def __init__(self, address: tuple[str, int], query: str = "", *, receive_buffer_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_buffer_bytes is not None:  # before connecting, or the window is as large as it likes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._socket.settimeout(ANSWER_SECONDS_MAX)
        self._socket.connect(address)
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(_HEAD % query.encode())
        self.status: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, lines: bytes) -> None:
        """Raises OSError if the service has closed the connection, or takes nothing for too long."""
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(lines), lines))

    def end(self) -> None:
        self._socket.sendall(b"0\r\n\r\n")

    def send_all(self, pieces: Sequence[bytes]) -> threading.Thread:
        """Send in a thread of its own, and end; whoever closes this client ends the thread, too."""

        def send() -> None:
            # A connection that is cut, or a client that is closed: what had arrived, the answers say.
            with suppress(OSError, ValueError):
                for piece in pieces:
                    self.send(piece)
                self.end()

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines of the answer. Raises EOFError if it ends in the middle."""
        unfinished = b""
        for piece in self._pieces():
            *whole, unfinished = (unfinished + piece).split(b"\n")
            yield from map(json.loads, whole)
        if unfinished:
            raise EOFError(unfinished)

    def _pieces(self) -> Iterator[bytes]:
        self._read_head()
        while True:
            size = self._stream.readline()
            if not size:
                raise EOFError
            piece = self._stream.read(int(size, 16) + 2)
            if piece == b"\r\n":
                return
            yield piece[:-2]

    def _read_head(self) -> None:
        head = self._stream.readline()
        if not head:
            raise EOFError
        self.status = int(head.split()[1])
        while self._stream.readline() not in (b"\r\n", b""):
            pass
