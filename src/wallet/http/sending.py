"""Sending a whole answer by one write, where uvicorn's own way makes two."""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class WholeAnswer:
    """Sends the whole answer to one request, and knows whether the request has arrived whole."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def __call__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        return send_whole(self._cycle, status, headers, body)

    @property
    def is_arriving(self) -> bool:
        """Whether the client is still to send a part of the body."""
        return self._cycle.more_body


def send_whole(cycle: RequestResponseCycle, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
    """Send a whole answer by one write, and tell whether that was done; uvicorn's `send` makes two, and more calls.

    `headers` are lower-case and hold the content-length. Where anything is out of the ordinary, `send` is to do it.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive:
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
