"""Whole answers as bytes."""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from wallet.http.wire.asgi import last_headers
from wallet.http.wire.problems import render_problem


def written_answer(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A status line, these headers in their order, and a body."""
    content = [STATUS_LINE[status]]
    for name, value in headers:
        content += (name, b": ", value, b"\r\n")
    content += (b"\r\n", body)
    return b"".join(content)


def written_problem(
    code: str, *, detail: str, request_id: bytes, default_headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """A whole answer that the server gives itself, the last of its connection."""
    status, headers, body = problem_parts(code, detail=detail, request_id=request_id)
    return written_answer(status, (*default_headers, *headers), body)


def problem_parts(code: str, *, detail: str, request_id: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of such an answer."""
    status, body, headers = render_problem(code, detail=detail, request_id=request_id.decode())
    length = (b"content-length", b"%d" % len(body))
    last = last_headers(headers, request_id=request_id)
    return status, [*headers, length, *last, (b"connection", b"close")], body
