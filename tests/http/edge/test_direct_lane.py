"""The direct lane: the requests that it takes, and unusual ends of them. There is no database: the test stands where it
would be asked.
"""

import asyncio
import gc
import json
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from tests.http.server.wired import Wire, settled, wire
from wallet.bootstrap import make_app
from wallet.errors import OutcomeUnknown, StorageUnavailable
from wallet.http.edge.lifespan import Lifespan
from wallet.ledger.outcomes import Applied, RefusalCode, Refused
from wallet.service.access.callers import Caller, Scope
from wallet.service.access.permissions import Permissions
from wallet.settings import Settings
from wallet.storage.reads.balances import Balance

WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
HOST = (b"host", b"localhost")
BALANCE = Balance(UUID(WALLET), "GOLD", 2, 100, 0, 100, 7, datetime.now(UTC), None, False)


class World:
    """An application whose questions and movements wait in lists for the test."""

    def __init__(self) -> None:
        self.settings = Settings(database_url="postgresql://", development=True)
        self.app: Lifespan = make_app(self.settings)
        self.asked: list[Any] = []
        self.moving: list[Any] = []
        service = cast("Any", self.app.service)
        service.balances = self
        service.committer = self
        service.permissions = Permissions(cast("Any", None))

    def ask(self, _wallet_id: UUID, receiver: Any) -> None:
        self.asked.append(receiver)

    def accept(self, _request: Any, receiver: Any) -> None:
        self.moving.append(receiver)

    async def submit(self, _request: Any) -> Any:
        raise StorageUnavailable("by ASGI")

    async def balance(self, _wallet_id: UUID) -> Any:
        raise StorageUnavailable("by ASGI")

    def wire(self) -> Wire:
        return wire(self.app)

    @property
    def deadlines(self) -> Any:
        return cast("Any", self.app)._deadlines


@pytest.fixture
async def world() -> World:
    return World()


def get(path: str = f"/wallets/{WALLET}/balance", *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", "")).encode()


def post(body: Mapping[str, Any] | bytes, path: str = f"/wallets/{WALLET}/topup", *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers)
    return "\r\n".join((*head, f"Content-Length: {len(content)}", "", "")).encode() + content


TOP_UP = {"reference_id": "r", "amount": 1, "asset_code": "gold"}


def bodies(connection: Wire) -> Sequence[Any]:
    return [json.loads(each.split(b"\r\n\r\n")[1]) for each in connection.written.split(b"HTTP/1.1 ")[1:]]


TAKEN: Mapping[str, bytes] = {
    "balance": get(),
    "balance with an id of the client's": get(f"/wallets/{WALLET}/balance", "X-Request-Id: a"),
    "offer to go on otherwise": get(f"/wallets/{WALLET}/balance", "Connection: upgrade", "Upgrade: h2c"),
    "top-up": post(TOP_UP),
    "bonus": post(TOP_UP, f"/wallets/{WALLET}/bonus"),
    "spend": post(TOP_UP, f"/wallets/{WALLET}/spend"),
    "transfer": post({**TOP_UP, "from_wallet_id": WALLET, "to_wallet_id": WALLET}, "/transfers"),
    "hold": post({**TOP_UP, "wallet_id": WALLET}, "/holds"),
    "capture": post({"reference_id": "r"}, f"/holds/{WALLET}/capture"),
    "reference in the header": post(
        {"amount": 1, "asset_code": "gold"}, f"/wallets/{WALLET}/topup", "Idempotency-Key: k"
    ),
}

LEFT: Mapping[str, bytes] = {
    "query": get(f"/wallets/{WALLET}/balance?amounts=string"),
    "empty query": get(f"/wallets/{WALLET}/balance?"),
    "balance with a reference": get(f"/wallets/{WALLET}/balance", "Idempotency-Key: k"),
    "no id": get("/wallets/x/balance"),
    "id with a slash": get(f"/wallets/{'a' * 17}/{'a' * 18}/balance"),
    "encoded id": get(f"/wallets/%61{WALLET[3:]}/balance"),
    "target with a host": get(f"http://localhost/wallets/{WALLET}/balance"),
    "last request": get(f"/wallets/{WALLET}/balance", "Connection: close"),
    "a proxy's": get(f"/wallets/{WALLET}/balance", "X-Forwarded-For: 1.2.3.4"),
    "a page's": get(f"/wallets/{WALLET}/balance", "Origin: https://elsewhere.example"),
    "two keys": get(f"/wallets/{WALLET}/balance", "Authorization: Bearer a", "Authorization: Bearer a"),
    "another scheme": get(f"/wallets/{WALLET}/balance", "Authorization: Basic a"),
    "a key that is not known yet": get(f"/wallets/{WALLET}/balance", "Authorization: Bearer wlt_a"),
    "compressed": post(TOP_UP, f"/wallets/{WALLET}/topup", "Content-Encoding: gzip"),
    "expectation": post(TOP_UP, f"/wallets/{WALLET}/topup", "Expect: 100-continue"),
    "no JSON": post(b"{"),
    "conditions": post({**TOP_UP, "conditions": [{"wallet_id": WALLET, "min_balance": 1}]}),
    "another method": get().replace(b"GET", b"PUT"),
    "head": get().replace(b"GET", b"HEAD"),
    "another movement": post({}, "/transactions"),
    "HTTP/1.0": get().replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_plain_waits_for_its_outcome_without_a_task(world: World, name: str) -> None:
    connection = world.wire()
    before = asyncio.all_tasks()
    connection.protocol.data_received(TAKEN[name])
    assert len(world.asked) + len(world.moving) == 1
    assert asyncio.all_tasks() == before
    assert connection.written == b""


@pytest.mark.parametrize("name", LEFT)
async def test_what_is_out_of_the_ordinary_is_answered_through_asgi(world: World, name: str) -> None:
    connection = world.wire()
    await connection.send([LEFT[name]])
    for _ in range(1_000):  # no measurement: it ends a test that would hang
        if connection.written:
            break
        await asyncio.sleep(0.01)
    assert (world.asked, world.moving) == ([], [])
    assert connection.written.startswith(b"HTTP/1.1 ")


async def test_an_answer_is_one_write_behind_those_before(world: World) -> None:
    connection = world.wire()
    await connection.send([get() + get() + get(f"/wallets/{WALLET}/balance", "X-Request-Id: third")])
    for count in (1, 2, 3):
        assert len(world.asked) == count, "the next one begins when this one is answered"
        world.asked[-1].set_result(BALANCE)
        await settled()
        assert connection.written.count(b"HTTP/1.1 200 OK\r\n") == count
    assert b"x-request-id: third\r\n" in connection.written
    assert [each["balance"] for each in bodies(connection)] == [100] * 3


async def test_what_is_due_at_a_wallet_is_posted_before_it_is_shown(world: World) -> None:
    connection = world.wire()
    await connection.send([get()])
    world.asked[0].set_result(BALANCE._replace(is_due=True))
    await settled()
    (told,) = bodies(connection)
    assert told["detail"] == "by ASGI."


@pytest.mark.parametrize(("request_bytes", "code"), [(get(), "storage_unavailable"), (post(TOP_UP), "outcome_unknown")])
async def test_what_takes_too_long_is_answered_once(world: World, request_bytes: bytes, code: str) -> None:
    connection = world.wire()
    await connection.send([request_bytes])
    receiver = (world.asked + world.moving)[0]
    assert not receiver.done()
    world.deadlines.give_up_on_late(receiver.begun_at + 1_000)
    await settled()
    (told,) = bodies(connection)
    assert told["code"] == code
    assert receiver.done()
    assert not world.deadlines._under_way


async def test_a_client_that_hangs_up_gets_nothing_and_leaves_nothing(world: World) -> None:
    connection = world.wire()
    await connection.send([post(TOP_UP) + post(TOP_UP)])
    connection.transport.close()
    await settled()
    assert not world.moving[0].done(), "what comes of it is counted all the same"
    world.moving[0].set_result(Refused(RefusalCode.WALLET_CLOSED, "It is."))
    await settled()
    assert connection.written == b""
    assert not world.deadlines._under_way
    assert len(world.moving) == 1, "the second one was never begun"
    assert b'wallet_refusals_total{code="wallet_closed"} 1.0' in world.app.exposition()


async def test_the_last_answer_before_the_end_says_so(world: World) -> None:
    connection = world.wire()
    await connection.send([get()])
    connection.protocol.shutdown()
    world.asked[0].set_result(BALANCE)
    await settled()
    assert b"\r\nconnection: close\r\n" in connection.written
    assert connection.is_over


async def test_a_client_that_does_not_read_waits_for_its_answer(world: World) -> None:
    connection = world.wire()
    await connection.send([get() * 2])
    connection.protocol.pause_writing()
    world.asked[0].set_result(BALANCE)
    await settled()
    assert connection.written == b""
    assert len(world.asked) == 1
    connection.protocol.resume_writing()
    await settled()
    assert connection.written.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert len(world.asked) == 2


async def test_a_fault_behind_the_money_is_no_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = world.wire()
    await connection.send([post(TOP_UP)])
    monkeypatch.setattr("wallet.http.operations.perform.Movements.missing_assets", lambda *_: 1 / 0)
    world.moving[0].set_result(Applied(cast("Any", None)))
    await settled()
    (told,) = bodies(connection)
    assert told["code"] == "outcome_unknown"


async def test_an_asset_that_another_process_made_is_loaded_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []

    async def load(_: Any, missing: Any) -> None:
        loaded.append(missing)
        raise OutcomeUnknown("the answer could not be written")

    monkeypatch.setattr("wallet.http.operations.perform.Movements.missing_assets", lambda *_: [5])
    monkeypatch.setattr("wallet.http.operations.perform.Movements.load", load)
    connection = world.wire()
    await connection.send([post(TOP_UP)])
    world.moving[0].set_result(Applied(cast("Any", None)))
    await settled()
    (told,) = bodies(connection)
    assert loaded == [[5]]
    assert told["code"] == "outcome_unknown"


async def test_what_a_fault_says_before_anything_was_done_is_said_through_asgi(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(world, "accept", full)
    connection = world.wire()
    await connection.send([post(TOP_UP)])
    for _ in range(5):
        await settled()
    (told,) = bodies(connection)
    assert told["detail"] == "by ASGI."


async def test_a_request_leaves_nothing_for_the_collector_of_cycles(world: World) -> None:
    connection = world.wire()

    async def ask(times: int) -> None:
        for _ in range(times):
            connection.protocol.data_received(get())
            world.asked.pop().set_result(BALANCE)
            await asyncio.sleep(0)

    await ask(10)
    gc.collect()
    gc.disable()
    try:
        await ask(100)
        assert gc.collect() < 100, "less than one object per request"
    finally:
        gc.enable()


async def test_a_connection_leaves_nothing_for_the_collector_of_cycles(world: World) -> None:
    for _ in range(3):
        gc.collect()
        connection = world.wire()
        connection.protocol.data_received(get())
        world.asked.pop().set_result(BALANCE)
        protocol = weakref.ref(connection.protocol)
        connection.transport.close()
        await settled()
        connection.transport._protocol = cast("Any", None)
        del connection
        gc.disable()
        try:
            assert protocol() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("request_bytes", [get(), post(TOP_UP)], ids=["balance", "top-up"])
@pytest.mark.parametrize(
    "caller",
    [
        Caller("bound to a user", frozenset(Scope), user_id=UUID(WALLET)),
        Caller("bound to wallets", frozenset(Scope), wallet_ids=frozenset()),
        Caller("without the scope", frozenset({Scope.REFUND})),
    ],
    ids=lambda caller: caller.name,
)
async def test_a_caller_that_may_not_do_everything_goes_through_asgi(
    world: World, monkeypatch: pytest.MonkeyPatch, caller: Caller, request_bytes: bytes
) -> None:
    asked = 0

    def known(_digest: bytes) -> Caller:
        nonlocal asked
        asked += 1
        return caller

    monkeypatch.setattr(world.app.service.ring, "known_by_digest", known)
    connection = world.wire()
    head, body = request_bytes.split(b"\r\n\r\n")
    await connection.send([head + b"\r\nAuthorization: Bearer wlt_a\r\n\r\n" + body])
    for _ in range(1_000):  # no measurement: it ends a test that would hang
        if connection.written:
            break
        await asyncio.sleep(0.01)
    assert (world.asked, world.moving) == ([], [])
    assert connection.written.startswith(b"HTTP/1.1 ")
    assert asked == 1, "the key pays once"
