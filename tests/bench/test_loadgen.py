"""The load generator must not take a failure for a success, and must end."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from tests.bench import loadgen, traffic

ANSWERS = {
    201: b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
    422: b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 4\r\n\r\nnope",
    503: b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n",
}


@asynccontextmanager
async def a_server(answer: Callable[[int], list[bytes]]) -> AsyncIterator[int]:
    """A server on a free port whose nth answer is written in the pieces that `answer(n)` says."""
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"content-length: " in head:
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            pieces = answer(answered)
            answered += 1
            if not pieces:
                break
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def serve_until_hung_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve_until_hung_up, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def topups() -> Callable[[], bytes]:
    return traffic.movements("topup", ["0" * 36], "gold", random.Random(1), key="wlt_test")


async def test_only_201_counts_as_accepted() -> None:
    statuses = [201, 422, 503]
    async with a_server(lambda n: [ANSWERS[statuses[n % 3]]]) as port:
        result = await loadgen.drive(port, topups(), connections=2, accepted_status=201, requests_max=30)
    assert (result.sent, result.accepted, result.refused, result.unknown) == (30, 10, 10, 10)


async def test_latencies_are_those_of_accepted_answers_only() -> None:
    async with a_server(lambda n: [ANSWERS[201 if n % 2 else 422]]) as port:
        result = await loadgen.drive(port, topups(), connections=1, accepted_status=201, requests_max=20)
    assert len(result.latencies_us) == result.window_accepted <= result.accepted == 10


async def test_a_hung_up_connection_leaves_its_request_unknown() -> None:
    async with a_server(lambda n: [ANSWERS[201]] if n < 5 else []) as port:
        result = await loadgen.drive(port, topups(), connections=1, accepted_status=201, requests_max=10)
    assert (result.sent, result.accepted, result.unknown) == (6, 5, 1)


async def test_it_stops_by_itself_when_the_time_is_over() -> None:
    async with a_server(lambda n: [ANSWERS[201]]) as port:
        result = await loadgen.drive(port, topups(), connections=3, accepted_status=201, seconds=0.05)
    assert result.accepted == result.sent > 0


def test_it_runs_on_the_event_loop_of_the_bench() -> None:
    async def run() -> loadgen.LoadResult:
        async with a_server(lambda n: [ANSWERS[201]]) as port:
            return await loadgen.drive(port, topups(), connections=2, accepted_status=201, requests_max=8)

    assert uvloop.run(run()).accepted == 8


async def test_an_answer_in_pieces_is_one_answer() -> None:
    pieces = [ANSWERS[422][:20], ANSWERS[422][20:-2], ANSWERS[422][-2:]]
    async with a_server(lambda n: pieces) as port:
        result = await loadgen.drive(port, topups(), connections=1, accepted_status=201, requests_max=4)
    assert result.statuses == {"422": 4}


async def test_an_answer_without_a_length_is_a_fault_of_the_run() -> None:
    async with a_server(lambda n: [b"HTTP/1.1 201 Created\r\n\r\n"]) as port:
        with pytest.raises(RuntimeError, match="Content-Length"):
            await loadgen.drive(port, topups(), connections=1, accepted_status=201, requests_max=1)


async def test_a_load_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="end"):
        await loadgen.drive(1, topups(), connections=1, accepted_status=201)


def test_every_request_has_a_reference_of_its_own() -> None:
    next_request = topups()
    bodies = {next_request().partition(b"\r\n\r\n")[2] for _ in range(1_000)}
    assert len(bodies) == 1_000


def test_the_length_of_a_request_is_the_one_it_says() -> None:
    ids = [f"{n:036d}" for n in range(3)]
    for next_request in (topups(), traffic.random_pairs(ids, "gold", random.Random(1), key="wlt_test")):
        head, _, body = next_request().partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head
