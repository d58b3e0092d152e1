"""The outermost ASGI layer, around fast lane and framework: request id, metrics, and an answer whatever happens.

Both lanes get their answers' last headers here, and nowhere else.
"""

import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from wallet.errors import WalletError
from wallet.http.answers import Answer
from wallet.http.failures import failure
from wallet.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID: Final = re.compile(rb"\A[A-Za-z0-9._-]{1,64}\Z")


class ClientGone(Exception):
    """The client hung up before its request had arrived. There is nobody to answer."""


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


async def send_answer(answer: Answer, send: Send) -> None:
    """Send a whole answer."""
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class Edge:
    """Wraps the application. Sets `scope["request_id"]` (text) and reads `scope["path_template"]` for metrics."""

    def __init__(self, app: App, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope["headers"])
        scope["request_id"] = request_id.decode()
        status = 0
        if scope["method"] == "HEAD":
            # The server sends the head alone; it keeps the scope it made.
            scope = {**scope, "method": "GET"}

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientGone:
            pass
        except Exception as error:
            if status:
                raise  # An answer has begun; the server can only cut it off.
            moves_money = scope["method"] == "POST" and not isinstance(error, WalletError)
            await send_answer(failure(error, request_id=scope["request_id"], moves_money=moves_money), send_with_id)
        finally:
            route = scope.get("path_template") or "other"
            self._telemetry.request(route, status, time.perf_counter() - started)


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return value
    return os.urandom(8).hex().encode()
