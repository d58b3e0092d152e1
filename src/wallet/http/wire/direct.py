"""Requests that the application answers by a call, without a task: the contract between the server and the edge.

The server shows each head that arrives to the application's side of the connection. A request that is taken there is
begun when it is whole and its turn has come, and is answered by one call of `Reply.answer`. Every other request goes
through ASGI, and so does one that turns out to be out of the ordinary before anything was done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from wallet.http.wire.encoding import Answer


class Reply(Protocol):
    """Where the answer to one request goes."""

    def answer(self, answer: Answer, *, request_id: bytes, last: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send a whole answer, with the headers that all answers end with and these behind them. Called once."""

    def go_by_asgi(self, known: Mapping[str, Any]) -> None:
        """Have this request answered through ASGI instead; `known` becomes part of its scope."""


class Operation(Protocol):
    """What was asked for, as far as its head says."""

    def begin(self, body: bytes, reply: Reply) -> None:
        """The request is whole, and its turn has come. Never answers before it returns, and never raises."""


class Connection(Protocol):
    """What the application remembers of one connection."""

    def operation(self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Operation | None:
        """What a request asks for, if it is plainly one of those that are answered by a call."""


class Lane(Protocol):
    """The part of an application that answers by calls."""

    def connect(self) -> Connection: ...
