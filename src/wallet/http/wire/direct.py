"""The contract for requests that the application answers by a call, without a task: between the server and the edge.

The server shows each head that arrives to the application's side of the connection. If the application takes the
request, the server begins it when it is complete and all earlier ones are answered, and one call of `Reply.answer`
answers it. Every other request goes through ASGI. So does a request that turns out to be unusual before anything was
done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from wallet.http.wire.encoding import Answer


class Reply(Protocol):
    """The server's side of one request."""

    def answer(self, answer: Answer, *, request_id: bytes, last: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send a whole answer: its headers, those that all answers end with, and `last`. Called once. Never raises."""

    def go_by_asgi(self, known: Mapping[str, Any]) -> None:
        """Have this request answered through ASGI instead; `known` becomes part of its scope."""


class DirectOperation(Protocol):
    """The application's side of one request."""

    def begin(self, body: bytes, reply: Reply) -> None:
        """The request is complete, and all earlier ones are answered. Never answers before it returns; never raises."""


class DirectConnection(Protocol):
    """The application's side of one connection."""

    def operation(self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> DirectOperation | None:
        """The operation that a request asks for. None: it goes through ASGI. Never takes a HEAD request."""


class Lane(Protocol):
    """The part of an application that answers by calls."""

    def connect(self) -> DirectConnection: ...
