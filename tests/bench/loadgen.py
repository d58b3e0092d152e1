"""A closed-loop HTTP load generator that is cheap enough to share two cores with what it measures.

One process, one raw protocol per connection, one request in flight per connection. It understands just enough HTTP/1.1
to know where an answer with a Content-Length ends and what its status is. The module traffic.py decides the contents of
the requests.
"""

import asyncio
import contextlib
import gc
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

DRAIN_SECONDS_MAX = 15.0
CONNECT_SECONDS_MAX = 30.0


@dataclass(slots=True, kw_only=True)
class LoadResult:
    """The answers that came back. The `window` fields leave out the warm-up; the others cover every request sent."""

    window_seconds: float = 0.0
    window_accepted: int = 0
    window_cpu_seconds: float = 0.0
    latencies_us: "array[float]" = field(default_factory=lambda: array("d"))
    """Of the accepted answers in the window, in order of arrival."""
    statuses: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    sent: int = 0

    @property
    def refused(self) -> int:
        """Answers that certainly changed nothing."""
        return sum(n for status, n in self.statuses.items() if status.startswith("4"))

    @property
    def unknown(self) -> int:
        """Requests whose effect cannot be told: no answer, or one of the 5xx."""
        return self.sent - self.accepted - self.refused


class _Load:
    """The state that all connections of one run share."""

    def __init__(self, next_request: Callable[[], bytes], accepted_status: int, requests_max: int | None) -> None:
        self.next_request = next_request
        self.accepted_status = str(accepted_status).encode()
        self.requests_left = -1 if requests_max is None else requests_max
        self.sent = 0
        self.recording = False
        self.stopping = False
        self.statuses: dict[bytes, int] = {}
        self.window_accepted = 0
        self.latencies_us = array("d")
        self.connections_open = 0
        self.fault: str | None = None
        self.all_closed = asyncio.Event()

    def stop(self) -> None:
        self.stopping = True


class _Connection(asyncio.Protocol):
    __slots__ = ("buffer", "in_flight", "load", "sent_at_ns", "transport")

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.buffer = b""
        self.in_flight = False
        self.sent_at_ns = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports behave like asyncio's without being derived from them.
        self.transport = cast(asyncio.Transport, transport)
        self.load.connections_open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.connections_open -= 1
        if self.load.connections_open == 0:
            self.load.all_closed.set()

    def send(self) -> None:
        load = self.load
        if load.stopping or load.requests_left == 0:
            self.in_flight = False
            self.transport.close()
            return
        load.requests_left -= 1
        load.sent += 1
        self.in_flight = True
        request = load.next_request()
        self.sent_at_ns = time.perf_counter_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        length = _answer_bytes(data)
        if length < 0:
            self.load.fault = f"an answer without Content-Length: {data[:200]!r}"
            self.transport.abort()
            return
        if length == 0 or len(data) < length:
            self.buffer = data
            return
        arrived_at_ns = time.perf_counter_ns()
        self.buffer = b""
        load = self.load
        status = data[9:12]
        load.statuses[status] = load.statuses.get(status, 0) + 1
        if load.recording and status == load.accepted_status:
            load.window_accepted += 1
            load.latencies_us.append((arrived_at_ns - self.sent_at_ns) / 1_000)
        self.send()


def _answer_bytes(data: bytes) -> int:
    """The whole length of the answer that `data` starts with; 0 while its head is incomplete, -1 if unknown."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    # uvicorn writes header names in lower case; anything else pays for the copy.
    at = data.find(b"\r\ncontent-length:", 0, head_end)
    if at < 0:
        at = data[:head_end].lower().find(b"\r\ncontent-length:")
        if at < 0:
            return -1
    line_end = data.find(b"\r\n", at + 2)
    return head_end + 4 + int(data[at + 17 : line_end])


async def drive(
    port: int,
    next_request: Callable[[], bytes],
    *,
    connections: int,
    accepted_status: int,
    seconds: float | None = None,
    warmup_seconds: float = 0.0,
    requests_max: int | None = None,
    on_window_start: Callable[[], None] = lambda: None,
    on_window_end: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Send requests to 127.0.0.1:`port` until `seconds` after the warm-up, or until `requests_max` are answered.

    Stops sending first and then waits for the answers in flight (bounded), so that what was accepted is known.
    Only answers with `accepted_status` count as done. Raises RuntimeError if the server does not speak as expected.
    """
    if seconds is None and requests_max is None:
        raise ValueError("a load without an end: give seconds or requests_max")
    loop = asyncio.get_running_loop()
    load = _Load(next_request, accepted_status, requests_max)
    protocols: list[_Connection] = []
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        for _ in range(connections):
            _, protocol = await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
            protocols.append(protocol)
    result = LoadResult()
    gc.collect()
    gc.disable()  # a collection over the pre-built requests would show up as latency of the service
    try:
        for protocol in protocols:
            protocol.send()
        await _measure(load, result, warmup_seconds, seconds, on_window_start, on_window_end)
        load.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                await load.all_closed.wait()
    finally:
        gc.enable()
        for protocol in protocols:
            protocol.transport.abort()
    if load.fault:
        raise RuntimeError(load.fault)
    result.window_accepted = load.window_accepted
    result.latencies_us = load.latencies_us
    result.statuses = {status.decode(): n for status, n in sorted(load.statuses.items())}
    result.accepted = load.statuses.get(load.accepted_status, 0)
    result.sent = load.sent
    return result


async def _measure(
    load: _Load,
    result: LoadResult,
    warmup_seconds: float,
    seconds: float | None,
    on_window_start: Callable[[], None],
    on_window_end: Callable[[], None],
) -> None:
    """Open the window, wait for its end (or for the last answer), close it."""
    await _sleep_unless_done(load, warmup_seconds)
    on_window_start()
    started_at, cpu_before = time.perf_counter(), time.process_time()
    load.recording = True
    await _sleep_unless_done(load, seconds)
    load.recording = False
    result.window_seconds = time.perf_counter() - started_at
    result.window_cpu_seconds = time.process_time() - cpu_before
    on_window_end()


async def _sleep_unless_done(load: _Load, seconds: float | None) -> None:
    if seconds == 0:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await load.all_closed.wait()
