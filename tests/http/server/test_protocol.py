"""Everything that a client decides about a connection has a bound; tested over real sockets."""

import gc
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import parse_headers
from typing import Any

import pytest

from tests.http.server.tiny_service import Running, TinyApplication, running
from wallet.http.edge.authentication import Authentication
from wallet.http.edge.deadlines import Deadlines
from wallet.http.edge.edge import Edge
from wallet.http.wire.encoding import Answer
from wallet.service.access.key_ring import KeyRing
from wallet.telemetry import Telemetry

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and decoded body of the next answer; not a byte of the one after it."""
    with connection.makefile("rb", buffering=0) as stream:
        line = stream.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers = {name.lower(): value for name, value in parse_headers(stream).items()}  # type: ignore[arg-type]
        body = b""
        while len(body) < int(headers["content-length"]):
            body += stream.read(int(headers["content-length"]) - len(body)) or b""
    return int(line.split()[1]), headers, json.loads(body)


def read_to_the_end(connection: socket.socket) -> bytes:
    """All that arrives until the server closes; it may reset a connection that it had not read to the end."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def answer_to(service: Running, request: bytes) -> tuple[int, dict[str, str], Any]:
    with service.connect() as connection:
        connection.sendall(request)
        return read_answer(connection)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will happen; fail if it does not."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def service() -> Iterator[Running]:
    """Small bounds on sizes, long ones on times."""
    with running(header_bytes_max=1_000, body_bytes_max=2_000, request_seconds_max=20.0) as service:
        yield service


@pytest.fixture
def hasty_service() -> Iterator[Running]:
    """Short bounds on times."""
    with running(request_seconds_max=0.2, keep_alive_seconds=0.2) as service:
        yield service


class TestHead:
    def test_a_head_within_the_bound_is_served(self, service: Running) -> None:
        status, _, _ = answer_to(service, b"GET /a HTTP/1.1\r\nHost: x\r\nFill: " + b"f" * 900 + b"\r\n\r\n")
        assert status == 200

    @pytest.mark.parametrize(
        "request_head",
        [
            b"GET /a HTTP/1.1\r\nHost: x\r\nFill: " + b"f" * 1_000 + b"\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"f: f\r\n" * 200 + b"\r\n",
            b"GET /" + b"a" * 1_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /" + b"a" * 1_000,
            b"GET /a HTTP/1.1\r\nHost: x\r\nFill: " + b"f" * 300_000,
            b"GET /a HTTP/1.1\r\nHost: x\r\nFill: " + b"f" * 300_000 + b"\r\n\r\n",
        ],
        ids=["one header", "many headers", "request line", "endless request line", "endless header", "huge header"],
    )
    def test_a_head_beyond_the_bound_is_431(self, service: Running, request_head: bytes) -> None:
        status, headers, problem = answer_to(service, request_head)
        assert (status, problem["code"], headers["connection"]) == (431, "head_too_large", "close")
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")

    def test_a_head_in_many_segments_is_counted_whole(self, service: Running) -> None:
        with service.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n")
            for _ in range(60):
                connection.sendall(b"Fill: " + b"f" * 20 + b"\r\n")
            assert read_answer(connection)[0] == 431

    def test_many_small_requests_in_one_segment_are_not_one_large_head(self, service: Running) -> None:
        with service.connect() as connection:
            connection.sendall(GET * 100 + b"GET /last HTTP/1.1\r\n")
            for _ in range(100):
                assert read_answer(connection)[0] == 200
            connection.sendall(b"Host: x\r\n\r\n")
            assert read_answer(connection)[2]["path"] == "/last"


class TestBody:
    def test_a_body_within_the_bound_is_served(self, service: Running) -> None:
        _, _, seen = answer_to(service, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b"b" * 2_000)
        assert seen["body_bytes"] == 2_000

    def test_a_content_length_beyond_the_bound_is_413_before_the_body_is_sent(self, service: Running) -> None:
        status, _, problem = answer_to(service, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n")
        assert (status, problem["code"]) == (413, "payload_too_large")

    def test_a_client_that_sends_its_large_body_first_still_reads_the_413(self, service: Running) -> None:
        body = b"b" * 5_000_000
        status, _, _ = answer_to(service, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + body)
        assert status == 413

    def test_a_chunked_body_within_the_bound_is_served(self, service: Running) -> None:
        request = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nb\r\n" * 2_000 + b"0\r\n\r\n"
        assert answer_to(service, request)[2]["body_bytes"] == 2_000

    def test_a_chunked_body_beyond_the_bound_is_413(self, service: Running) -> None:
        request = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"b" * 100 + b"\r\n"
        with service.connect() as connection:
            connection.sendall(request + (b"64\r\n" + b"b" * 100 + b"\r\n") * 20)
            status, _, problem = read_answer(connection)
        assert (status, problem["code"]) == (413, "payload_too_large")

    @pytest.mark.parametrize(
        "tail", [b"1;" + b"e" * 300_000, b"0\r\nTrailer: " + b"t" * 300_000], ids=["chunk extension", "trailer"]
    )
    def test_what_surrounds_a_chunked_body_is_bounded(self, service: Running, tail: bytes) -> None:
        status, _, _ = answer_to(service, POST + b"Transfer-Encoding: chunked\r\n\r\n" + tail)
        assert status == 431

    def test_trailers_are_no_headers(self, service: Running) -> None:
        request = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: late\r\n\r\n"
        assert answer_to(service, request)[2]["headers"] == ["host", "transfer-encoding"]

    def test_an_expectation_is_met_with_100(self, service: Running) -> None:
        with service.connect() as connection:
            connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"abc")
            assert read_answer(connection)[2]["body_bytes"] == 3

    def test_an_expectation_for_a_large_body_is_met_with_413(self, service: Running) -> None:
        request = b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2001\r\n\r\n"
        assert answer_to(service, request)[0] == 413


class TestTime:
    def test_a_slow_head_is_408(self, hasty_service: Running) -> None:
        status, _, problem = answer_to(hasty_service, b"GET /a HTTP/1.1\r\nHost: x\r\nHos")
        assert (status, problem["code"]) == (408, "request_timeout")

    def test_a_slow_body_is_408(self, hasty_service: Running) -> None:
        status, headers, problem = answer_to(
            hasty_service, b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow"
        )
        assert (status, problem["code"], headers["connection"]) == (408, "request_timeout", "close")

    def test_bytes_that_keep_coming_do_not_put_the_end_off(self, hasty_service: Running) -> None:
        with hasty_service.connect() as connection:
            connection.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
            connection.settimeout(0.01)
            while True:
                try:
                    received = connection.recv(1_000)
                    break
                except TimeoutError:
                    connection.sendall(b"b")
        assert received.startswith(b"HTTP/1.1 408 ")

    def test_the_application_is_told_that_a_slow_body_will_not_come(self, hasty_service: Running) -> None:
        answer_to(hasty_service, POST + b"Content-Length: 9\r\n\r\nslow")
        until(lambda: hasty_service.app.events == ["disconnected"])

    @pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["nothing", "empty lines"])
    def test_a_connection_without_a_request_is_closed_without_an_answer(
        self, hasty_service: Running, sent: bytes
    ) -> None:
        with hasty_service.connect() as connection:
            connection.sendall(sent)
            assert read_to_the_end(connection) == b""

    def test_an_idle_connection_is_closed_after_its_answer(self, hasty_service: Running) -> None:
        with hasty_service.connect() as connection:
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
            assert read_to_the_end(connection) == b""

    def test_an_answer_that_takes_long_is_no_slow_request(self) -> None:
        with running(request_seconds_max=0.1, keep_alive_seconds=0.1) as service, service.connect() as connection:
            connection.sendall(b"GET /answered-by-drain HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: service.app.events == ["accepted"])
            with service.connect() as other:  # closed for its silence, after the first one's deadline would have been
                assert read_to_the_end(other) == b""
            service.server.should_exit = True
            assert read_answer(connection)[0] == 200

    def test_a_client_that_does_not_read_its_answer_is_cut_off(self, hasty_service: Running) -> None:
        with hasty_service.connect() as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: hasty_service.server.server_state.total_requests == 1)
            until(lambda: not hasty_service.server.server_state.connections)


class TestLargeBodies:
    def test_a_batch_has_a_bound_of_its_own(self) -> None:
        with running(body_bytes_max=2_000, batch_body_bytes_max=4_000) as service:
            head = b"POST /batches?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            assert answer_to(service, head % 4_000 + b"b" * 4_000)[2]["body_bytes"] == 4_000
            status, _, problem = answer_to(service, head % 4_001)
            assert (status, problem["detail"]) == (413, "A request body may have 4000 bytes.")
            assert answer_to(service, b"POST /batchesx HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n")[0] == 413

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_an_import_has_none_and_little_of_it_is_held(self, service: Running, is_chunked: bool) -> None:
        piece, pieces = b"b" * 50_000, 200
        with service.connect() as connection:
            framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % (len(piece) * pieces)
            connection.sendall(b"POST /import HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
            held = 0
            for _ in range(pieces):
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                held = max(held, service.arriving_bytes)
            connection.sendall(b"0\r\n\r\n" if is_chunked else b"")
            assert read_answer(connection)[2]["body_bytes"] == len(piece) * pieces
            assert 0 < held < 2_000_000
            connection.sendall(GET)
            assert read_answer(connection)[0] == 200
        until(lambda: service.arriving_bytes == 0)

    def test_what_surrounds_a_streamed_body_is_bounded(self, service: Running) -> None:
        head = b"POST /import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert answer_to(service, head + b"1;" + b"e" * 300_000)[0] == 431

    def test_a_streamed_body_may_take_its_time_while_it_keeps_coming(self, hasty_service: Running) -> None:
        with hasty_service.connect() as connection:
            connection.sendall(b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                time.sleep(0.05)
                connection.sendall(b"b")
            assert read_answer(connection)[2]["body_bytes"] == 20

    def test_a_streamed_body_that_stops_coming_is_408(self, hasty_service: Running) -> None:
        request = b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nb"
        assert answer_to(hasty_service, request)[0] == 408
        until(lambda: hasty_service.app.events == ["disconnected"])


class TestConnections:
    def test_a_connection_beyond_the_limit_is_closed_at_once(self) -> None:
        with running(connections_max=2) as service, service.connect() as first, service.connect() as second:
            for connection in (first, second):
                connection.sendall(GET)
                assert read_answer(connection)[0] == 200
            with service.connect() as third:
                assert read_to_the_end(third) == b""

    def test_a_connection_that_ends_makes_room(self) -> None:
        with running(connections_max=1) as service:
            for _ in range(3):
                assert answer_to(service, GET)[0] == 200
                until(lambda: not service.server.server_state.connections)

    def test_two_thousand_idle_connections_leave_room_for_a_request(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with running(request_seconds_max=60.0) as service, ExitStack() as idle:
            for _ in range(2_000):
                idle.enter_context(service.connect())
            assert answer_to(service, GET)[0] == 200
            until(lambda: len(service.server.server_state.connections) >= 2_000)


class TestPipelining:
    def test_requests_are_answered_in_order(self, service: Running) -> None:
        with service.connect() as connection:
            connection.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(5)))
            assert [read_answer(connection)[2]["path"] for _ in range(5)] == ["/0", "/1", "/2", "/3", "/4"]

    @pytest.mark.parametrize(
        ("bad", "expected"),
        [
            (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2001\r\n\r\n", 413),
            (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n" + b"b" * 3_000 + b"\r\n", 413),
            (b"GET /a HTTP/1.1\r\nHost: x\r\nFill: " + b"f" * 1_000 + b"\r\n\r\n", 431),
            (b"no http at all\r\n\r\n", 400),
        ],
        ids=["length", "chunks", "head", "malformed"],
    )
    def test_a_refusal_comes_after_the_answers_owed(self, service: Running, bad: bytes, expected: int) -> None:
        with service.connect() as connection:
            connection.sendall(GET * 2 + bad + GET)
            assert [read_answer(connection)[0] for _ in range(3)] == [200, 200, expected]
            assert read_to_the_end(connection) == b""

    def test_an_answer_before_the_body_ends_the_connection(self, service: Running) -> None:
        with service.connect() as connection:
            connection.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
            status, headers, _ = read_answer(connection)
            assert (status, headers["connection"]) == (200, "close")
            connection.sendall(b"late" + GET)
            assert read_to_the_end(connection) == b""

    def test_an_offer_to_upgrade_is_declined_by_a_plain_answer(self, service: Running) -> None:
        offer = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        with service.connect() as connection:
            connection.sendall(offer + offer + GET)
            assert [read_answer(connection)[0] for _ in range(3)] == [200, 200, 200]


class TestMalformed:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 100 + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
    )
    def test_it_is_400(self, service: Running, request_bytes: bytes) -> None:
        status, headers, problem = answer_to(service, request_bytes)
        assert (status, problem["code"]) == (400, "invalid_request")
        assert headers["content-type"] == "application/problem+json"

    def test_a_problem_has_all_its_members_and_an_own_request_id(self, service: Running) -> None:
        first, second = (answer_to(service, b"hello\r\n\r\n")[2] for _ in range(2))
        members = ["type", "title", "status", "detail", "code", "request_id", "applied", "retry"]
        assert list(first) == members
        assert first["type"] == "/docs/errors#invalid_request"
        assert first["request_id"] != second["request_id"]


class TestMemory:
    def test_a_request_leaves_nothing_for_the_collector_of_cycles(self) -> None:
        # It would stop everybody: with a cycle per request it once took 25 ms twice a second.
        request = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with running(EdgeApplication()) as service, service.connect() as connection:

            def ask(times: int) -> None:
                for _ in range(times):
                    connection.sendall(request)
                    assert read_answer(connection)[0] == 200

            ask(10)
            gc.collect()
            gc.disable()
            try:
                ask(100)
                assert gc.collect() < 100, "less than one object per request"
            finally:
                gc.enable()


class EdgeApplication(TinyApplication):
    """Answers by the way that the fast lane's answers take."""

    def __init__(self) -> None:
        super().__init__()
        anybody = Authentication(KeyRing(workers=1, requests_per_second_max=0), is_development=True)
        self._edge = Edge(super().__call__, self, Telemetry(), anybody, Deadlines(seconds_max=10))  # type: ignore[arg-type]

    def operation(self, scope: Any, receive: Any) -> Any:
        async def answer() -> Answer:
            return Answer(200, b"{}")

        return answer()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._edge(scope, receive, send)
