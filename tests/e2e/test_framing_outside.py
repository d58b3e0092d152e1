"""The bytes of one client are never read as the request of another: the real service, alone and behind nginx."""

import json
import secrets
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import nginx
from tests.e2e.serving import ANSWER_SECONDS_MAX, Service, served


@pytest.fixture(scope="module", params=["1", "0"], ids=["fast lane", "framework"])
def service(request: pytest.FixtureRequest, postgres: Any) -> Iterator[Service]:
    with (
        postgres.database() as dsn,
        served(dsn, WALLET_WORKERS="1", WALLET_FAST_LANE=request.param) as service,
    ):
        yield service


def top_up(wallet: str, amount: int, *headers: str) -> bytes:
    body = json.dumps({"reference_id": secrets.token_hex(8), "amount": amount, "asset_code": "gold"})
    lines = [f"POST /wallets/{wallet}/topup HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, f"Content-Length: {len(body)}", "", body]).encode()


def offered(request: bytes) -> bytes:
    """The same, with an offer to go on in another protocol."""
    return request.replace(b"\r\n", b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", 1)


def smuggling(inner: bytes, *, is_chunked: bool) -> bytes:
    """A request that offers an upgrade, with another one as its body."""
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(inner)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if is_chunked else inner
    return b"POST /transfers HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n" + body


def answers(connection: socket.socket, count: int) -> list[tuple[int, Any]]:
    found = []
    for _ in range(count):
        answer = HTTPResponse(connection)
        answer.begin()
        found.append((answer.status, json.loads(answer.read())))
        answer.close()
    return found


def ask(service: Service, path: str) -> Any:
    connection = HTTPConnection(*service.address, timeout=ANSWER_SECONDS_MAX)
    connection.request("GET", path)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


def new_wallet(service: Service) -> str:
    connection = HTTPConnection(*service.address, timeout=ANSWER_SECONDS_MAX)
    connection.request("POST", "/wallets", b'{"asset_code": "gold"}', {"Content-Type": "application/json"})
    wallet: str = json.loads(connection.getresponse().read())["id"]
    connection.close()
    return wallet


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_the_body_of_an_offered_upgrade_is_no_request(service: Service, is_chunked: bool) -> None:
    wallet = new_wallet(service)
    with socket.create_connection(service.address, timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(offered(smuggling(top_up(wallet, 5), is_chunked=is_chunked)) + top_up(wallet, 1))
        (first, _), (second, moved) = answers(connection, 2)
    assert (first, second) == (415, 201)
    assert moved["entries"][1]["wallet_id"] == wallet
    assert ask(service, f"/wallets/{wallet}/balance")["balance"] == 1


def test_a_movement_that_comes_with_an_offer_is_made(service: Service) -> None:
    # Java's HttpClient offers h2c with each first request over plain HTTP.
    wallet = new_wallet(service)
    with socket.create_connection(service.address, timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(offered(top_up(wallet, 7)))
        assert answers(connection, 1)[0][0] == 201
    assert ask(service, f"/wallets/{wallet}/balance")["balance"] == 7


def test_a_client_that_closes_its_sending_side_is_answered(service: Service) -> None:
    wallet = new_wallet(service)
    with socket.create_connection(service.address, timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(top_up(wallet, 3) + top_up(wallet, 4))
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _ in answers(connection, 2)] == [201, 201]
        assert connection.recv(1) == b""
    assert ask(service, f"/wallets/{wallet}/balance")["balance"] == 7


def test_lines_of_an_import_are_answered_to_a_client_that_closes_its_sending_side(service: Service) -> None:
    wallet = new_wallet(service)
    item = {"op": "topup", "wallet_id": wallet, "amount": 1, "asset_code": "gold"}
    lines = b"".join(json.dumps({**item, "reference_id": secrets.token_hex(8)}).encode() + b"\n" for _ in range(1_000))
    head = (
        b"POST /import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    )
    with socket.create_connection(service.address, timeout=ANSWER_SECONDS_MAX) as connection:
        connection.sendall(head % len(lines) + lines)
        connection.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(connection)
        answer.begin()
        assert len(answer.read().splitlines()) == 1_000
        answer.close()
    assert ask(service, f"/wallets/{wallet}/balance")["balance"] == 1_000


@pytest.mark.skipif(nginx.NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")
@pytest.mark.parametrize("headers", [nginx.PLAIN, nginx.WEBSOCKETS], ids=["plain", "WebSocket lines"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_behind_nginx_the_next_client_s_request_arrives_as_it_was_sent(
    service: Service, headers: str, is_chunked: bool
) -> None:
    victim, thief = new_wallet(service), new_wallet(service)
    # The head of a top-up whose body is to be what the next client sends.
    stolen = top_up(thief, 0).partition(b"Content-Length")[0] + b"Content-Length: 400\r\n\r\n"
    with nginx.nginx_before(service.address, headers) as front:
        for amount in range(1, 6):
            _send(front, offered(smuggling(stolen, is_chunked=is_chunked)))
            status, moved = _send(front, top_up(victim, amount))
            assert status == 201
            assert moved["entries"][1]["wallet_id"] == victim
    assert ask(service, f"/wallets/{victim}/balance")["balance"] == 1 + 2 + 3 + 4 + 5
    assert ask(service, f"/wallets/{thief}/balance")["balance"] == 0


def _send(front: Path, request: bytes) -> tuple[int, Any]:
    with nginx.connect(front) as connection:
        connection.sendall(request)
        return answers(connection, 1)[0]
