"""Sending a whole answer by one write, where uvicorn's own way makes two."""

from collections.abc import Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# A larger body is not copied: all who read one page slowly wait for the same bytes.
BODY_BYTES_MAX: Final = 65_536


def send_whole(cycle: RequestResponseCycle, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
    """Send a whole answer by one write, and tell whether that was done; uvicorn's `send` makes two, and more calls.

    `headers` are lower-case and hold the content-length. Where anything is out of the ordinary, `send` is to do it.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive:
        return False
    if len(body) > BODY_BYTES_MAX:
        return False
    content = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        content += (name, b": ", value, b"\r\n")
    content.append(b"\r\n")
    if cycle.scope["method"] != "HEAD":
        content.append(body)
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(b"".join(content))
    cycle.message_event.set()
    cycle.on_response()
    return True
