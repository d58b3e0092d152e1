"""Requests to the application in this process at the price of nothing but the application."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wallet.http.wire.asgi import App

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request. `name` says which of a route's it is."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (200, 201)
    name: str = ""


async def ask(app: App, asked: Asked) -> tuple[int, int]:
    """Status and size of the answer, which is thrown away. The body arrives in pieces, as it does from a socket."""
    pieces = _pieces(asked.body)
    status, size = 0, 0
    is_answered = asyncio.Event()

    async def receive() -> Any:
        if (piece := next(pieces, None)) is not None:
            return piece
        await is_answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, size
        status = message.get("status", status)
        size += len(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_answered.set()

    await app(_scope(asked), receive, send)
    return status, size


def _pieces(body: bytes) -> Iterator[Mapping[str, Any]]:
    for at in range(0, max(len(body), 1), PIECE_BYTES):
        yield {"type": "http.request", "body": body[at : at + PIECE_BYTES], "more_body": at + PIECE_BYTES < len(body)}


def _scope(asked: Asked) -> dict[str, Any]:
    headers = {"host": "localhost", "content-type": "application/json", **asked.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
