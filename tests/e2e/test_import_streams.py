"""POST /import over a socket: both ways at once, held back by whoever is slow, and resumed after whatever happened."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.e2e.import_client import ImportClient
from tests.e2e.serving import Service, served
from tests.postgres import Server
from tests.storage.ledgers import assert_books_balance

WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"  # of the demo data
SLOW_LINES = int(os.environ.get("WALLET_SLOW_LINES", "40000"))
SLOW_BYTES_MAX = 40 * 1024 * 1024
"""Of what a worker's memory may grow by while an import runs whose answers are several times as large."""
ONE_WORKER = {"WALLET_WORKERS": "1"}


@pytest.fixture(scope="module")
def database_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def service(database_url: str) -> Iterator[Service]:
    """For all tests that leave it running. Its patience is short."""
    with served(database_url, **ONE_WORKER, WALLET_REQUEST_SECONDS_MAX="1", WALLET_IMPORTS_AT_ONCE_MAX="2") as service:
        yield service


def line(amount: int = 1, reference_id: str | None = None) -> bytes:
    item = {"op": "topup", "wallet_id": WALLET, "amount": amount, "asset_code": "GOLD"}
    return json.dumps({**item, "reference_id": reference_id or str(uuid4())}).encode() + b"\n"


def pieces_of(lines: Sequence[bytes], each: int = 500) -> list[bytes]:
    return [b"".join(lines[start : start + each]) for start in range(0, len(lines), each)]


def settled(look: Callable[[], int]) -> int:
    """The value once it has not changed for as long as a chunk of lines may take."""
    seen, since = look(), time.monotonic()
    while time.monotonic() < since + 3:
        time.sleep(0.1)
        if (now := look()) != seen:
            seen, since = now, time.monotonic()
    return seen


def asked(database_url: str, query: str, *values: Any) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()

    return asyncio.run(ask())


def applied(database_url: str, prefix: str) -> int:
    return int(asked(database_url, "SELECT count(*) FROM transactions WHERE reference_id LIKE $1", f"{prefix}%"))


def memory_bytes(service: Service, name: str) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith(f"{name}:"))


def test_a_line_is_answered_before_the_next_one_is_sent(service: Service) -> None:
    with ImportClient(service.address) as client:
        answers = client.lines()
        for _ in range(5):
            client.send(line())
            assert next(answers)["status"] == 201
        client.end()
        assert list(answers) == []


def test_a_body_may_take_as_long_as_it_likes_while_it_keeps_coming(service: Service) -> None:
    began = time.monotonic()
    with ImportClient(service.address) as client:
        while time.monotonic() < began + 3:
            client.send(line())
            time.sleep(0.2)
        client.end()
        assert {each["status"] for each in client.lines()} == {201}


def test_a_body_that_stops_coming_is_cut_off(service: Service) -> None:
    with ImportClient(service.address) as client:
        client.send(line())
        with pytest.raises(EOFError):
            list(client.lines())


def test_an_import_that_sends_nothing_at_all_is_408(service: Service) -> None:
    with ImportClient(service.address) as client:
        with pytest.raises((EOFError, ValueError)):
            list(client.lines())
        assert client.status == 408


def test_a_connection_can_be_used_again_after_an_import(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        for _ in range(3):
            answer = client.post("/import", content=line(), headers={"content-type": "application/x-ndjson"})
            assert (answer.status_code, answer.json()["status"]) == (200, 201)


def test_a_body_is_no_longer_read_once_it_is_refused(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        answer = client.post("/import?answers=none", content=line(), headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 400
        assert client.get("/healthz").status_code == 200
    with ImportClient(service.address, "?answers=none") as refused:
        with pytest.raises((EOFError, ValueError)):
            next(refused.lines())
        assert refused.status == 400
        with pytest.raises(OSError):  # noqa: PT012  # whichever way it notices
            while True:
                refused.send(b"x" * 100_000)
                time.sleep(0.02)


def test_who_sends_everything_before_reading_anything_is_served(service: Service) -> None:
    lines = [line() for _ in range(2_000)]
    with ImportClient(service.address) as client:
        for piece in pieces_of(lines):
            client.send(piece)
        client.end()
        time.sleep(0.5)
        assert [each["index"] for each in client.lines()] == list(range(2_000))


def test_who_never_reads_is_held_back_and_cut_off_and_comes_through_with_failures_only(
    service: Service, database_url: str
) -> None:
    prefix = str(uuid4())
    pieces = pieces_of([line(1, f"{prefix}-{number}") for number in range(20_000)])
    with ImportClient(service.address, receive_buffer_bytes=65_536) as client:
        client.send_all(pieces)
        begun = settled(lambda: applied(database_url, prefix))
        with pytest.raises((EOFError, OSError)):
            list(client.lines())
    assert 0 < begun < 20_000
    assert applied(database_url, prefix) == begun, "the rest is not begun"
    with ImportClient(service.address, "?answers=failures") as client:
        for piece in pieces:
            client.send(piece)
        client.end()
        (summary,) = client.lines()
    assert summary == {"lines": 20_000, "applied": 20_000 - begun, "replayed": begun, "predicted": 0, "failed": 0}
    assert applied(database_url, prefix) == 20_000


def test_of_a_client_who_hangs_up_what_was_begun_is_finished_and_the_rest_not_begun(
    service: Service, database_url: str
) -> None:
    prefix = str(uuid4())
    with ImportClient(service.address) as client:
        client.send_all(pieces_of([line(1, f"{prefix}-{number}") for number in range(20_000)]))
        next(client.lines())
    assert 0 < settled(lambda: applied(database_url, prefix)) < 20_000
    # and its place is free again
    for _ in range(3):
        with ImportClient(service.address) as client:
            client.send(line())
            client.end()
            assert [each["status"] for each in client.lines()] == [201]


def test_the_memory_of_a_worker_is_bounded_however_slowly_its_answers_are_read(service: Service) -> None:
    lines = [line() for _ in range(SLOW_LINES)]
    with ImportClient(service.address) as client:  # what the first one costs, once
        client.send_all(pieces_of(lines[:2_000]))
        assert len(list(client.lines())) == 2_000
    before = memory_bytes(service, "VmRSS")
    with ImportClient(service.address, receive_buffer_bytes=65_536) as client:
        client.send_all(pieces_of(lines))
        number, size = 0, 0
        for number, answer in enumerate(client.lines(), start=1):
            size += len(str(answer))
            if number % 500 == 0:
                time.sleep(0.02)
        assert number == SLOW_LINES
    assert size > SLOW_BYTES_MAX * 0.6, "else nothing was shown"
    assert memory_bytes(service, "VmHWM") - before < SLOW_BYTES_MAX


def test_small_movements_go_on_beside_an_import(service: Service) -> None:
    other = httpx.post(f"{service.url}/wallets", json={"asset_code": "GOLD"}).json()["id"]
    with ImportClient(service.address) as client, httpx.Client(base_url=service.url) as small:
        sending = client.send_all(pieces_of([line() for _ in range(20_000)]))
        answers = client.lines()
        next(answers)
        rest: list[dict[str, Any]] = []
        reading = threading.Thread(target=lambda: rest.extend(answers))
        reading.start()
        posted = 0
        while reading.is_alive():
            body = {"reference_id": str(uuid4()), "amount": 1, "asset_code": "GOLD"}
            assert small.post(f"/wallets/{other}/topup", json=body).status_code == 201
            posted += 1
        reading.join()
        sending.join()
    assert len(rest) == 19_999
    assert posted >= 10, "behind the import there would have been one or two"


def test_shutdown_in_the_middle_ends_with_a_line_that_says_so(postgres: Server) -> None:
    prefix = str(uuid4())
    with postgres.database() as dsn:
        with served(dsn, **ONE_WORKER) as service, ImportClient(service.address) as client:
            client.send_all(pieces_of([line(1, f"{prefix}-{number}") for number in range(50_000)]))
            answers = client.lines()
            first = next(answers)
            os.kill(service.process.pid, signal.SIGTERM)
            *rest, last = answers
            assert {each["status"] for each in (first, *rest)} == {201}
            assert (last["status"], last["reference_id"], last["body"]["code"]) == (503, None, "storage_unavailable")
            assert last["index"] == len(rest) + 1
            assert service.process.wait(60) == 0
        assert applied(dsn, prefix) == last["index"] < 50_000


def test_after_kill_9_in_the_middle_the_import_is_sent_again_and_each_reference_is_there_once(
    postgres: Server,
) -> None:
    prefix, count = str(uuid4()), 10_000
    pieces = pieces_of([line(1, f"{prefix}-{number}") for number in range(count)])
    with postgres.database() as dsn:
        answered = 0
        with served(dsn, **ONE_WORKER) as service, ImportClient(service.address) as client:
            client.send_all(pieces)
            with suppress(EOFError, ConnectionResetError):
                for answered, answer in enumerate(client.lines(), start=1):
                    assert answer["status"] == 201
                    if answered == 2_000:
                        os.killpg(service.process.pid, signal.SIGKILL)
        assert 2_000 <= answered <= applied(dsn, prefix) <= count
        with served(dsn, **ONE_WORKER) as service, ImportClient(service.address) as client:
            before = applied(dsn, prefix)
            client.send_all(pieces)
            answers = list(client.lines())
        assert [each["status"] for each in answers] == [200] * before + [201] * (count - before)
        assert applied(dsn, prefix) == count
        assert asked(dsn, "SELECT balance FROM wallets WHERE id = $1::text::uuid", WALLET) == 1_000 + count

        async def check() -> None:
            connection = await asyncpg.connect(dsn)
            try:
                await assert_books_balance(connection)
            finally:
                await connection.close()

        asyncio.run(check())
