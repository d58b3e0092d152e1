"""ASGI in this house: its types, a whole body in, a whole answer out."""

import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Protocol, TypeAlias

from wallet.http.wire.encoding import Answer

AsgiScope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[AsgiScope, Receive, Send], Awaitable[None]]


SendWhole: TypeAlias = Callable[[int, Iterable[tuple[bytes, bytes]], bytes], bool]


class WholeSender(Protocol):
    """Sends a whole answer, and knows whether its request has arrived. See http.server.exchange.WholeAnswer."""

    def __call__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, /) -> bool: ...

    @property
    def is_arriving(self) -> bool: ...


SEND_WHOLE: Final = "wallet.send_whole"
"""Key of the scope under which our protocol offers to send a whole answer by one write: a WholeSender.

Taken out of the scope by the edge: left there, it would make a cycle of every request, for the collector to find.
"""

BODY_STREAM: Final = "wallet.body_stream"
"""Key of the scope under which our protocol gives the BodyStream of a request whose body has no bound."""

BODY_READ: Final = "wallet.body_read"
"""Key of the scope under which a guard leaves the body that it has read for the handler."""

ACT_ANSWERED: Final = "wallet.act_answered"
"""Key of the scope under which a guard leaves what is to be awaited with the status of an administrative act."""

LAST_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""What every answer ends with, whoever makes it. Each says to browsers what nothing here is meant for."""

PAGE_HEADER: Final = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""What pages have besides: they load our own files, and have styles of their own in them."""

BODILESS: Final = frozenset({204, 304})
"""Statuses whose answers have no body, and no length of one either."""

_REQUEST_ID: Final = re.compile(rb"\A[A-Za-z0-9._-]{1,64}\Z")

NO_STORE: Final = (b"cache-control", b"no-store")
"""Where an answer says nothing else of it: what is in a wallet is for who asked."""


class BodyStream:
    """What the protocol and the application tell each other while a body without a bound arrives.

    `busy`: the application works on what has arrived; who waits for its answers is not late with the rest.
    `is_gone`: the client has hung up.
    """

    __slots__ = ("busy", "is_gone")

    def __init__(self) -> None:
        self.busy = False
        self.is_gone = False


class ClientGone(Exception):
    """The client hung up before its request had arrived. There is nobody to answer."""


def is_request_id(value: bytes) -> bool:
    """Whether a client may choose this as the id of its request."""
    return _REQUEST_ID.match(value) is not None


def new_request_id() -> bytes:
    """The id of a request for which the client has chosen none."""
    return os.urandom(8).hex().encode()


async def read_body(receive: Receive) -> bytes:
    """The whole body, whose size the protocol has bounded. Raises ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    chunks = [body]
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


async def send_answer(answer: Answer, send: Send, send_whole: SendWhole | None, *, request_id: bytes) -> None:
    """Send a whole answer, with the headers that all answers end with."""
    headers = (
        *answer.headers,
        *(((b"content-length", b"%d" % len(answer.body)),) if answer.status not in BODILESS else ()),
        *last_headers(answer.headers, request_id=request_id),
    )
    if send_whole is not None and send_whole(answer.status, headers, answer.body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def last_headers(headers: Iterable[tuple[bytes, bytes]], *, request_id: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """What an answer with these headers ends with."""
    for name, _ in headers:
        if name == b"cache-control":
            return ((b"x-request-id", request_id), *LAST_HEADERS)
    return ((b"x-request-id", request_id), NO_STORE, *LAST_HEADERS)
