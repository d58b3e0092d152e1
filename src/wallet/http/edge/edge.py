"""The outermost ASGI layer, around fast lane and framework. It sets the request id, finds the caller, limits the time,
counts metrics, and answers every error.

Only this module adds the headers that all answers end with.
"""

import asyncio
import time
from typing import Any, Final, cast

from wallet.errors import WalletError
from wallet.http.edge.authentication import CALLER, Authentication
from wallet.http.edge.cors import Cors
from wallet.http.edge.deadlines import Deadline, Deadlines, too_late
from wallet.http.edge.fast_lane import FastLane
from wallet.http.wire.asgi import (
    ACT_ANSWERED,
    BODY_STREAM,
    SEND_WHOLE,
    App,
    AsgiScope,
    ClientGone,
    Message,
    Receive,
    Send,
    SendWhole,
    WholeSender,
    is_request_id,
    last_headers,
    new_request_id,
    send_answer,
)
from wallet.http.wire.failures import failure
from wallet.telemetry import Telemetry

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Servers disagree which of several Authorization headers counts. None counts here, so the request is refused.
_GIVEN_TWICE: Final = b""


class Edge:
    """Wraps the lanes. Sets `scope["request_id"]` (text) and `scope["caller"]`, and reads `scope["path_template"]` for
    metrics.

    cors: None if no other origin is allowed.
    """

    def __init__(
        self,
        framework: App,
        fast_lane: FastLane | None,
        telemetry: Telemetry,
        authentication: Authentication,
        deadlines: Deadlines,
        *,
        cors: Cors | None = None,
    ) -> None:
        self._framework = framework
        self._fast_lane = fast_lane
        self._telemetry = telemetry
        self._authentication = authentication
        self._deadlines = deadlines
        self._cors = cors

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        started = time.perf_counter()
        request_id, authorization = _read(scope["headers"])
        scope["request_id"] = request_id.decode()
        sender: WholeSender | None = scope.pop(SEND_WHOLE, None)
        send_whole: SendWhole | None = sender
        if self._cors is not None:
            send, send_whole = self._cors.telling(scope, send, send_whole)
        if scope["method"] == "HEAD":
            # The lanes answer as to GET. The server has its own scope, with HEAD, and sends the head alone.
            scope = {**scope, "method": "GET"}
        status = 0
        operation = None
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        deadline = self._deadlines.begin(task, started, sender)
        try:
            try:
                if CALLER not in scope:
                    caller = self._authentication.known(scope["method"], scope["path"], authorization, scope["headers"])
                    scope[CALLER] = await self._authentication.found(authorization) if caller is None else caller
            except Exception as error:
                status = await self._fail(error, scope, send, send_whole, deadline, moves_money=False)
                return
            if self._cors is not None and (preflight := self._cors.preflight(scope)) is not None:
                status = preflight.status
                self._deadlines.end(deadline)
                await send_answer(preflight, send, send_whole, request_id=request_id)
                return
            operation = None if self._fast_lane is None else self._fast_lane.operation(scope, receive)
            if operation is None:
                status = await self._by_framework(scope, receive, send, deadline)
            else:
                answer = await operation
                self._deadlines.end(deadline)
                status = answer.status
                await send_answer(answer, send, send_whole, request_id=request_id)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not deadline.is_late:
                raise
            task.uncancel()
            # A read applies nothing, nor does a request whose caller is not known yet.
            late = too_late(moves_money=scope["method"] not in _READS and CALLER in scope)
            status = await self._fail(late, scope, send, send_whole, deadline, moves_money=False)
        except Exception as error:
            if operation is None or status:
                raise  # An answer has begun; the server can only cut it off.
            moves_money = scope["method"] == "POST"
            status = await self._fail(error, scope, send, send_whole, deadline, moves_money=moves_money)
        finally:
            self._deadlines.end(deadline)
            self._telemetry.request(scope.get("path_template") or "other", status, time.perf_counter() - started)

    async def _fail(
        self,
        error: Exception,
        scope: AsgiScope,
        send: Send,
        send_whole: SendWhole | None,
        deadline: Deadline,
        *,
        moves_money: bool,
    ) -> int:
        """Answer an error that the framework has not handled. Returns the status."""
        self._deadlines.end(deadline)
        answer = failure(error, request_id=scope["request_id"], moves_money=moves_money)
        await send_answer(answer, send, send_whole, request_id=scope["request_id"].encode())
        return answer.status

    async def _by_framework(self, scope: AsgiScope, receive: Receive, send: Send, deadline: Deadline) -> int:
        """Let the framework answer. Returns the status that was sent; 0 if none was."""
        status = 0
        request_id = scope["request_id"].encode()
        if BODY_STREAM in scope:
            # An import lasts as long as its client sends lines, so it has no time limit; each of its lines has one.
            self._deadlines.end(deadline)

        async def send_to_the_end(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                await _note_answer(scope, message["status"])
                self._deadlines.end(deadline)
                status = message["status"]
                headers = list(message["headers"])
                message["headers"] = [*headers, *last_headers(headers, request_id=request_id)]
            await send(message)

        try:
            await self._framework(scope, receive, send_to_the_end)
        except ClientGone:
            raise
        except Exception as error:
            if status:
                raise  # An answer has begun; the server can only cut it off.
            moves_money = scope["method"] == "POST" and not isinstance(error, WalletError)
            answer = failure(error, request_id=scope["request_id"], moves_money=moves_money)
            await _note_answer(scope, answer.status)
            self._deadlines.end(deadline)
            status = answer.status
            await send_answer(answer, send, None, request_id=request_id)
        return status


async def _note_answer(scope: AsgiScope, status: int) -> None:
    """Record the status of an administrative act, once."""
    answered = scope.pop(ACT_ANSWERED, None)
    if answered is not None:
        await answered(status)


def _read(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes | None]:
    """The request id, the client's or a new one, and the header Authorization."""
    request_id = authorization = None
    for name, value in headers:
        if name == b"authorization":
            authorization = value if authorization is None else _GIVEN_TWICE
        elif name == b"x-request-id" and request_id is None and is_request_id(value):
            request_id = value
    return request_id or new_request_id(), authorization
