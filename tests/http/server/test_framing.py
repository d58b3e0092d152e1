"""One parser decides where one request ends and the next begins, whatever a client sends."""

import asyncio
import math
from typing import Any

import pytest

from tests.http.server import wired
from tests.http.server.wired import Wire
from wallet.http.server.bounded_protocol import STREAM_ANSWERS_BYTES_MAX


@pytest.fixture(autouse=True, params=["through ASGI", "by calls"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How requests are answered that may be answered either way."""
    monkeypatch.setattr(Wires, "is_direct", request.param == "by calls")


class Wires:
    is_direct = False


def wire(app: Any = None, *, gate: asyncio.Event | None = None, **settings: Any) -> Wire:
    """`app`: one that has to be asked through ASGI. `gate`: answers wait for it."""
    if app is None and gate is not None and not Wires.is_direct:
        app = waiting(gate)
    return wired.wire(app, is_direct=Wires.is_direct and app is None, gate=gate, **settings)


GET = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join((b"POST /a HTTP/" + version, b"Host: x", *headers, b"", body))


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def waiting(gate: asyncio.Event) -> Any:
    """An application that answers when the event is set."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    return app


OFFER = (b"Connection: Upgrade", b"Upgrade: h2c")
TE = b"Transfer-Encoding: "

REFUSED = {
    "CL.TE": post(length(SMUGGLED), TE + b"chunked", body=b"0\r\n\r\n" + SMUGGLED),
    "TE.CL": post(TE + b"chunked", b"Content-Length: 4", body=chunked(SMUGGLED)),
    "TE.TE": post(TE + b"chunked", TE + b"identity", body=chunked(SMUGGLED)),
    "TE.TE of the same": post(TE + b"chunked", TE + b"chunked", body=chunked(SMUGGLED)),
    "CL.CL": post(b"Content-Length: 0", length(SMUGGLED), body=SMUGGLED),
    "CL.CL of the same": post(length(SMUGGLED), length(SMUGGLED), body=SMUGGLED),
    "CL list": post(b"Content-Length: 3, 3", body=b"abc"),
    "CL with a sign": post(b"Content-Length: +3", body=b"abc"),
    "CL in hexadecimal": post(b"Content-Length: 0x3", body=b"abc"),
    "CL beyond 64 bits": post(b"Content-Length: 18446744073709551619", body=b"abc"),
    "blank before the colon": post(b"Content-Length : 3", body=b"abc"),
    "TE coded twice": post(TE + b"gzip, chunked", body=chunked(SMUGGLED)),
    "TE coded twice, in two fields": post(TE + b"gzip", TE + b"chunked", body=chunked(SMUGGLED)),
    "TE of another coding": post(TE + b"gzip", body=SMUGGLED),
    "TE with a parameter": post(TE + b"chunked;a=b", body=chunked(SMUGGLED)),
    "TE that only looks alike": post(TE + b"xchunked", body=chunked(SMUGGLED)),
    "TE behind a vertical tab": post(TE + b"\x0bchunked", body=chunked(SMUGGLED)),
    "TE without a value": post(TE, body=SMUGGLED),
    "TE in HTTP/1.0": post(TE + b"chunked", body=chunked(b"a"), version=b"1.0"),
    "folded field": post(b"Transfer-Encoding:\r\n chunked", body=chunked(SMUGGLED)),
    "field before any name": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "NUL in a value": post(b"X: a\x00b"),
    "CR in a value": post(b"X: a\rTransfer-Encoding: chunked"),
    "bare LF": b"GET / HTTP/1.1\nHost: x\n\n",
    "chunk size with a blank": post(TE + b"chunked", body=b"1 \r\na\r\n0\r\n\r\n"),
    "chunk size of 17 digits": post(TE + b"chunked", body=b"10000000000000001\r\na\r\n0\r\n\r\n"),
    "chunk that is longer than it says": post(TE + b"chunked", body=b"1\r\nab\r\n0\r\n\r\n"),
    "chunk that ends in LF": post(TE + b"chunked", body=b"1\r\na\n0\r\n\r\n"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n" + SMUGGLED,
    "CONNECT with a length": b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "the same Host twice": b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
    "Host that is none": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "Host with a blank inside": b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
    "target of another host": b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "target with a user": b"GET http://x@y/ HTTP/1.1\r\nHost: y\r\n\r\n",
    "target of another scheme": b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "target with a fragment": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "target * of another method": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def heard(data: bytes, step: int | None = None) -> Wire:
    connection = wire()
    await connection.send([data] if step is None else [data[at : at + step] for at in range(0, len(data), step)])
    return connection


@pytest.mark.parametrize("step", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])
@pytest.mark.parametrize("name", REFUSED)
async def test_what_can_be_read_in_two_ways_is_400_and_ends_the_connection(name: str, step: int | None) -> None:
    connection = await heard(REFUSED[name] + GET, step)
    assert connection.written.startswith(b"HTTP/1.1 400 ")
    assert connection.written.count(b"HTTP/1.1 200 ") == 0
    assert connection.written.count(b"HTTP/1.1 400 ") == 1
    assert [seen for seen in connection.seen if seen.is_whole] == []
    assert connection.is_over


@pytest.mark.parametrize("token", [b"h2c", b"websocket", b"TLS/1.0", b"anything, h2c", b""])
@pytest.mark.parametrize("step", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_the_body_behind_an_offer_to_upgrade_is_a_body(token: bytes, step: int | None, is_chunked: bool) -> None:
    framing = TE + b"chunked" if is_chunked else length(SMUGGLED)
    body = chunked(SMUGGLED) if is_chunked else SMUGGLED
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + token, b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    connection = await heard(post(*offer, framing, body=body) * 2 + GET, step)
    assert [seen.body for seen in connection.seen] == [SMUGGLED, SMUGGLED, b""]
    assert [seen.target for seen in connection.seen] == [b"/a", b"/a", b"/next"]
    assert connection.written.count(b"HTTP/1.1 200 ") == 3
    assert not connection.is_over


async def test_an_offer_without_a_body_is_an_ordinary_request() -> None:
    connection = await heard(post(*OFFER) + post(*OFFER, b"Content-Length: 0") + GET)
    assert [seen.target for seen in connection.seen] == [b"/a", b"/a", b"/next"]


async def test_an_offer_keeps_every_other_header() -> None:
    scopes = []

    async def app(scope: object, receive: object, send: object) -> None:
        scopes.append(scope)

    connection = wire(app)
    await connection.send([post(*OFFER, b"Authorization: Bearer k ", b"X-Empty:", b"Content-Length: 1", body=b"a")])
    assert scopes[0]["headers"] == [  # type: ignore[index]
        (b"host", b"x"),
        (b"connection", b"Upgrade"),
        (b"authorization", b"Bearer k"),
        (b"x-empty", b""),
        (b"content-length", b"1"),
    ]


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t \t"])
async def test_blanks_around_a_value_are_no_part_of_it(blank: bytes) -> None:
    scopes = []

    async def app(scope: object, receive: object, send: object) -> None:
        scopes.append(scope)

    connection = wire(app)
    fields = b"".join(b"%b:%b%b%b\r\n" % (name, blank, b"v v", blank) for name in (b"authorization", b"x-request-id"))
    await connection.send([b"GET / HTTP/1.1\r\nhost:" + blank + b"x" + blank + b"\r\n" + fields + b"\r\n"])
    assert scopes[0]["headers"] == [  # type: ignore[index]
        (b"host", b"x"),
        (b"authorization", b"v v"),
        (b"x-request-id", b"v v"),
    ]


async def test_an_expectation_with_a_blank_behind_it_is_met() -> None:
    connection = await heard(post(b"Expect: 100-continue ", b"Content-Length: 1"))
    assert connection.written == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_an_expectation_of_http_1_0_is_none() -> None:
    connection = await heard(post(b"Expect: 100-continue", b"Content-Length: 1", version=b"1.0"))
    assert connection.written == b""


@pytest.mark.parametrize(
    ("request_head", "target"),
    [
        (b"GET http://X:80/a?b=c HTTP/1.1\r\nHost: x:80\r\n\r\n", b"/a?b=c"),
        (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", b"/"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"*"),
        (b"GET /a HTTP/1.1\r\nHost:\r\n\r\n", b"/a"),
        (b"GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", b"/a"),
        (b"GET /a HTTP/1.0\r\n\r\n", b"/a"),
        (b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"/a"),
    ],
)
async def test_the_less_usual_forms_of_a_request_are_served(request_head: bytes, target: bytes) -> None:
    connection = await heard(request_head)
    assert [seen.target for seen in connection.seen] == [target]


@pytest.mark.parametrize("last", [b"Connection: close", b"Connection: x, Close"])
async def test_nothing_behind_the_last_request_is_served(last: bytes) -> None:
    connection = await heard(post(last, b"Content-Length: 1", body=b"a") + SMUGGLED)
    assert [seen.target for seen in connection.seen] == [b"/a"]
    assert connection.is_over


class TestWhatSurroundsABody:
    HEAD_BYTES_MAX = 32_768

    @pytest.mark.parametrize(
        "body",
        [
            b"1;" + b"e" * 100_000 + b"\r\na\r\n0\r\n\r\n",
            b"1\r\na\r\n0\r\n" + b"T: " + b"t" * 40_000 + b"\r\n\r\n",
            b"1\r\na\r\n0\r\n" + b"T: t\r\n" * 9_000 + b"\r\n",
            b"".join(b"1;eeeeeeeeeeeeeeee\r\na\r\n" for _ in range(20_000)) + b"0\r\n\r\n",
        ],
        ids=["a long extension", "a long trailer", "many trailers", "an extension a byte"],
    )
    @pytest.mark.parametrize("step", [None, 1_000, 65_536])
    async def test_it_is_bounded_however_it_arrives(self, body: bytes, step: int | None) -> None:
        connection = await heard(post(TE + b"chunked", body=body) + GET, step)
        assert connection.written.startswith(b"HTTP/1.1 431 ")
        assert connection.is_over


class TestHalfClosed:
    """A client that has closed its sending side reads all its answers, and then the end."""

    @pytest.mark.parametrize("count", [1, 2, 50])
    async def test_what_it_asked_is_answered(self, count: int) -> None:
        connection = wire()
        connection.protocol.data_received(GET * count)
        await connection.shut_down_sending()
        for _ in range(count):
            await connection.send([])
        assert connection.written.count(b"HTTP/1.1 200 ") == count
        assert connection.transport.is_closing()

    async def test_a_body_that_came_with_the_end_is_read(self) -> None:
        connection = await heard(post(b"Content-Length: 3", body=b"abc"))
        await connection.shut_down_sending()
        assert [seen.body for seen in connection.seen] == [b"abc"]
        assert connection.transport.is_closing()

    @pytest.mark.parametrize(
        "part", [b"GET /a HT", post(b"Content-Length: 3", body=b"ab"), post(TE + b"chunked", body=b"2\r\nab\r\n")]
    )
    async def test_half_a_request_is_400(self, part: bytes) -> None:
        connection = await heard(part)
        await connection.shut_down_sending()
        assert connection.written.startswith(b"HTTP/1.1 400 ")
        assert connection.transport.is_closing()
        assert [seen for seen in connection.seen if seen.is_whole] == []

    async def test_half_a_request_behind_others_is_400_after_their_answers(self) -> None:
        connection = wire()
        connection.protocol.data_received(GET * 3 + b"GET /a HT")
        await connection.shut_down_sending()
        await connection.send([])
        assert connection.written.count(b"HTTP/1.1 200 ") == 3
        assert connection.written.count(b"HTTP/1.1 400 ") == 1
        assert connection.transport.is_closing()

    async def test_what_came_before_something_bad_is_answered(self) -> None:
        gate = asyncio.Event()
        connection = wire(gate=gate)
        await connection.send([GET + b"no http\r\n\r\n"])
        await connection.shut_down_sending()
        gate.set()
        await connection.send([])
        assert connection.written.count(b"HTTP/1.1 200 ") == 1
        assert connection.written.count(b"HTTP/1.1 400 ") == 1
        assert connection.transport.is_closing()

    async def test_an_idle_connection_ends(self) -> None:
        connection = await heard(GET)
        await connection.shut_down_sending()
        assert connection.transport.is_closing()


class TestWaiting:
    async def test_requests_that_wait_for_their_turn_stop_the_reading(self) -> None:
        connection = wire()
        connection.protocol.data_received(GET * 2)
        assert not connection.transport.is_reading_now
        await connection.send([])
        assert connection.transport.is_reading_now
        assert len(connection.seen) == 2

    async def test_a_segment_full_of_requests_is_not_parsed_at_once(self) -> None:
        connection = wire()
        count = 9_000
        connection.protocol.data_received(GET * count)
        assert len(connection.protocol._owed) < count / 100
        for _ in range(count):
            await connection.send([])
        assert len(connection.seen) == count


class TestRefused:
    async def test_a_client_that_does_not_read_is_cut_off_all_the_same(self) -> None:
        gate = asyncio.Event()
        connection = wire(gate=gate)
        await connection.send([GET])
        connection.protocol.pause_writing()
        await connection.send([b"no http\r\n\r\n"])
        assert connection.protocol.deadline < math.inf
        connection.protocol.expire()
        assert connection.transport.is_closing()
        gate.set()
        await connection.send([])

    async def test_a_client_that_sends_no_more_and_does_not_read_is_cut_off_all_the_same(self) -> None:
        gate = asyncio.Event()
        connection = wire(gate=gate)
        await connection.send([GET + b"no http\r\n\r\n"])
        await connection.shut_down_sending()
        gate.set()
        await connection.send([])
        assert connection.protocol.deadline < math.inf

    async def test_it_has_time_to_read_the_answers_before(self) -> None:
        connection = await heard(GET + b"no http\r\n\r\n")
        connection.transport.unread_bytes = 1
        connection.protocol.expire()
        assert not connection.transport.is_closing()
        connection.transport.unread_bytes = 0
        connection.protocol.expire()
        assert connection.transport.is_closing()

    async def test_nothing_is_written_behind_the_refusal(self) -> None:
        bad = post(b"Expect: 100-continue", TE + b"chunked", body=b"no size\r\n")
        connection = await heard(bad)  # the transport would complain
        assert connection.written.startswith(b"HTTP/1.1 400 ")
        assert [seen.is_whole for seen in connection.seen] == [False]


async def test_a_request_behind_an_import_is_answered_though_its_body_is_late() -> None:
    connection = wire()
    head = b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    await connection.send([head + post(b"Content-Length: 4", body=b"de")])
    await connection.send([b"fg"])
    assert [seen.body for seen in connection.seen] == [b"abc", b"defg"]
    assert connection.written.count(b"HTTP/1.1 200 ") == 2
    assert not connection.is_over


async def test_an_import_has_room_for_its_answers_when_its_turn_has_come_and_not_before() -> None:
    gates: list[asyncio.Event] = [asyncio.Event() for _ in range(3)]
    turns = iter(gates)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await next(turns).wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    connection = wire(app)
    one_import = b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    await connection.send([GET + one_import * 2])
    rooms = [connection.transport.high_water]
    for gate in gates:
        gate.set()
        await connection.send([])
        rooms.append(connection.transport.high_water)
    assert rooms == [None, STREAM_ANSWERS_BYTES_MAX, STREAM_ANSWERS_BYTES_MAX, None]


class TestRequestId:
    @pytest.mark.parametrize(
        ("rest", "status"),
        [
            (b"Content-Length: 1000000000\r\n\r\n", b"413"),
            (b"Transfer-Encoding: gzip\r\n\r\n", b"400"),
            (b"no colon\r\n", b"400"),
            (b"Fill: " + b"f" * 40_000, b"431"),
        ],
    )
    async def test_an_answer_of_the_server_itself_has_the_one_that_was_chosen(self, rest: bytes, status: bytes) -> None:
        connection = await heard(b"POST / HTTP/1.1\r\nX-Request-Id: chosen-1\r\nHost: x\r\n" + rest)
        assert connection.written.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nx-request-id: chosen-1\r\n" in connection.written
        assert b'"request_id":"chosen-1"' in connection.written

    async def test_that_of_the_request_before_is_not_used(self) -> None:
        connection = await heard(b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: chosen-1\r\n\r\nno http")
        refusal = connection.written[connection.written.rindex(b"HTTP/1.1 400") :]
        assert b"\r\nx-request-id: " in refusal
        assert b"chosen-1" not in refusal

    async def test_an_application_that_ends_without_an_answer_is_500_with_one(self) -> None:
        async def app(scope: object, receive: object, send: object) -> None:
            pass

        connection = wire(app)
        await connection.send([GET])
        assert connection.written.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nx-request-id: " in connection.written
        assert b'"code":"internal_error"' in connection.written
