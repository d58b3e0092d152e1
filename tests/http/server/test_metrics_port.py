"""The figures on a port of their own: who serves them, and what a client there cannot do."""

import os
import signal
import socket
from contextlib import ExitStack, closing
from http.client import BadStatusLine, HTTPConnection, HTTPResponse

import httpx
import pytest

from tests.e2e.serving import served
from tests.http.server.test_server import PATIENCE_SECONDS, ask, program, until
from tests.http.server.tiny_service import make_tiny_application
from wallet.errors import SettingsInvalid
from wallet.http.server.listeners import listen
from wallet.http.server.metrics_port import CONNECTIONS_MAX
from wallet.http.server.serve import serve
from wallet.settings import Settings


@pytest.fixture
def metrics_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def asked(port: int, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()


@pytest.mark.parametrize("workers", [1, 2])
def test_they_are_there_and_nothing_else_is(metrics_port: int, workers: int) -> None:
    with program(workers=workers, metrics_port=metrics_port) as running:
        address = running.ready()
        answer, body = asked(metrics_port, "/metrics")
        assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
        assert (b"tiny_answers 1" in body) == (workers == 1), "several write files, and tiny ones none"
        head, nothing = asked(metrics_port, "/metrics", "HEAD")
        assert (head.status, nothing, head.headers["content-length"]) == (200, b"", str(len(body)))
        for path in ("/", "/healthz", "/metrics/", "/users"):
            assert asked(metrics_port, path)[0].status == 404
        refused, _ = asked(metrics_port, "/metrics", "POST")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert ask(address)["path"] == "/"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_they_end_with_the_service(metrics_port: int, workers: int, number: signal.Signals) -> None:
    with program(workers=workers, metrics_port=metrics_port) as running, ExitStack() as idle:
        running.ready()
        # Neither an idle connection nor half a request holds the end up.
        for sent in (b"", b"GET /metrics HTTP/1.1\r\n"):
            connection = idle.enter_context(socket.create_connection(("127.0.0.1", metrics_port)))
            connection.sendall(sent)
        os.killpg(running.process.pid, number)
        assert running.ended() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", metrics_port))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_refused_in_one_line_that_says_what_to_do(workers: int) -> None:
    with listen(Settings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid) as refused:
            serve(
                Settings(port=0, metrics_port=port, workers=workers), make_tiny_application, on_ready=lambda _url: None
            )
    assert str(refused.value) == (
        f"port {port} on 127.0.0.1 is taken by another program; "
        "end that one, or choose another port with WALLET_METRICS_PORT"
    )


@pytest.mark.parametrize("port", [8080, 65_536, -1])
def test_a_port_that_it_cannot_be_is_refused_in_one_line(port: int) -> None:
    with pytest.raises(SettingsInvalid, match=r"\A[^\n]*WALLET_METRICS_PORT[^\n]*\Z"):
        Settings(port=8080, metrics_port=port)


def test_connections_have_a_bound(metrics_port: int) -> None:
    with program(metrics_port=metrics_port) as running, ExitStack() as kept:
        address = running.ready()
        connections = [
            HTTPConnection("127.0.0.1", metrics_port, timeout=PATIENCE_SECONDS) for _ in range(CONNECTIONS_MAX)
        ]
        for connection in connections:
            kept.enter_context(closing(connection))
            connection.request("GET", "/metrics")
            assert connection.getresponse().read()
        with pytest.raises((ConnectionError, BadStatusLine)):
            asked(metrics_port, "/metrics")
        assert ask(address)["path"] == "/", "the service has connections of its own"
        connections[0].close()

        def is_let_in() -> bool:
            try:
                return asked(metrics_port, "/metrics")[0].status == 200
            except (ConnectionError, BadStatusLine):
                return False

        until(is_let_in)


def test_a_request_that_does_not_arrive_is_not_waited_for(metrics_port: int) -> None:
    with program(metrics_port=metrics_port, request_seconds_max=0.5) as running:
        running.ready()
        with socket.create_connection(("127.0.0.1", metrics_port), timeout=PATIENCE_SECONDS) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert slow.recv(65_536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_they_are_the_figures_of_all_workers(database_url: str, metrics_port: int, workers: str) -> None:
    with served(database_url, WALLET_WORKERS=workers, WALLET_METRICS_PORT=str(metrics_port)) as service:
        httpx.get(f"{service.url}/assets")
        assert httpx.get(f"{service.url}/metrics").status_code == 404

        def are_counted() -> bool:
            figures = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
            return 'wallet_request_seconds_count{route="/assets",status="200"} 1.0' in figures

        until(are_counted)
