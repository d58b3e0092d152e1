"""The outermost ASGI layer, around fast lane and framework: request id, metrics, and an answer whatever happens.

Both lanes get their answers' last headers here, and nowhere else.
"""

import os
import re
import time
from typing import Final

from wallet.errors import WalletError
from wallet.http.asgi import SEND_WHOLE, App, ClientGone, Message, Receive, Scope, Send, send_answer
from wallet.http.failures import failure
from wallet.http.fast_lane import FastLane
from wallet.telemetry import Telemetry

_REQUEST_ID: Final = re.compile(rb"\A[A-Za-z0-9._-]{1,64}\Z")


class Edge:
    """Wraps the lanes. Sets `scope["request_id"]` (text) and reads `scope["path_template"]` for metrics."""

    def __init__(self, framework: App, fast_lane: FastLane | None, telemetry: Telemetry) -> None:
        self._framework = framework
        self._fast_lane = fast_lane
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope["headers"])
        scope["request_id"] = request_id.decode()
        send_whole = scope.pop(SEND_WHOLE, None)
        if scope["method"] == "HEAD":
            # The server sends the head alone; it keeps the scope it made.
            scope = {**scope, "method": "GET"}
        status = 0
        operation = None if self._fast_lane is None else self._fast_lane.operation(scope, receive)
        try:
            if operation is None:
                status = await self._by_framework(scope, receive, send, request_id)
            else:
                answer = await operation
                status = answer.status
                await send_answer(answer, send, send_whole, request_id=request_id)
        except ClientGone:
            pass
        except Exception as error:
            if operation is None or status:
                raise  # An answer has begun; the server can only cut it off.
            moves_money = scope["method"] == "POST"
            answer = failure(error, request_id=scope["request_id"], moves_money=moves_money)
            status = answer.status
            await send_answer(answer, send, send_whole, request_id=request_id)
        finally:
            self._telemetry.request(scope.get("path_template") or "other", status, time.perf_counter() - started)

    async def _by_framework(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> int:
        """Answers the status that was sent; 0 if none was."""
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._framework(scope, receive, send_with_id)
        except ClientGone:
            raise
        except Exception as error:
            if status:
                raise  # An answer has begun; the server can only cut it off.
            moves_money = scope["method"] == "POST" and not isinstance(error, WalletError)
            answer = failure(error, request_id=scope["request_id"], moves_money=moves_money)
            status = answer.status
            await send_answer(answer, send, None, request_id=request_id)
        return status


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            return value
    return os.urandom(8).hex().encode()
