"""ASGI as this service uses it: its types, the keys of our own in its scope, a whole body in, a whole answer out."""

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
"""Key of the scope for our protocol's way to send a whole answer by one write: a WholeSender.

The edge takes it out of the scope. Left there, it would make each request a cycle of references.
"""

BODY_STREAM: Final = "wallet.body_stream"
"""Key of the scope for the BodyStream of a request whose body has no bound. Our protocol sets it."""

BODY_READ: Final = "wallet.body_read"
"""Key of the scope for a body that a guard has read, so that the handler finds it."""

ACT_ANSWERED: Final = "wallet.act_answered"
"""Key of the scope for the function that notes the status of an administrative act. A guard sets it."""

LAST_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""The headers at the end of every answer. Each forbids browsers a use that no answer of this service is meant for."""

PAGE_HEADER: Final = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""The further header of HTML pages: they load files of this service only, and contain styles."""

BODILESS: Final = frozenset({204, 304})
"""Statuses whose answers have neither a body nor a Content-Length."""

_REQUEST_ID: Final = re.compile(rb"\A[A-Za-z0-9._-]{1,64}\Z")

NO_STORE: Final = (b"cache-control", b"no-store")
"""The default: no cache may keep an answer, because the content of a wallet is for the caller alone."""


class BodyStream:
    """The state that the protocol and the application share while a body without a bound arrives.

    `busy`: the application works on the bytes that have arrived, so the client may wait before it sends more.
    `is_gone`: the client has hung up.
    """

    __slots__ = ("busy", "is_gone")

    def __init__(self) -> None:
        self.busy = False
        self.is_gone = False


class ClientGone(Exception):
    """The client hung up before its request had arrived. The server answers nothing."""


def is_request_id(value: bytes) -> bool:
    """Whether a client may choose this as the id of its request."""
    return _REQUEST_ID.match(value) is not None


def new_request_id() -> bytes:
    """A new request id, for a client that has chosen none."""
    return os.urandom(8).hex().encode()


async def read_body(receive: Receive) -> bytes:
    """The whole body; the protocol bounds its size. Raises ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    pieces = [body]
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
    return b"".join(pieces)


async def send_answer(answer: Answer, send: Send, send_whole: SendWhole | None, *, request_id: bytes) -> None:
    """Send a whole answer, with the headers that end all answers."""
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
    """The headers that an answer with these headers ends with."""
    for name, _ in headers:
        if name == b"cache-control":
            return ((b"x-request-id", request_id), *LAST_HEADERS)
    return ((b"x-request-id", request_id), NO_STORE, *LAST_HEADERS)
