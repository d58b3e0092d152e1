"""The same bytes to this server and to h11, a second parser that shares no line with llhttp: the same requests.

The two may differ in what they refuse, because both may be stricter than they must be. They may not differ in a request
that both let through: then a proxy that reads like the one could be made to hide a request from the other.
"""

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.server.wired import Seen, settled, wire

METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS"])
TARGETS = st.sampled_from([b"/", b"/a", b"/a?b=c", b"/wallets/x/topup"])
OFFERS = st.sampled_from([b"h2c", b"websocket", b"TLS/1.0, HTTP/1.1", b"", b"\x80", b"x" * 300])
# Bytes that look like a request or like framing, so that a body that is read as a request shows at once.
BODIES = st.one_of(
    st.sampled_from(
        [b"", b"a", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"\r\n" * 3]
    ),
    st.binary(max_size=40),
)
FIELDS = st.sampled_from(
    [
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Connection: close, Upgrade",
        b"Expect: 100-continue",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding:chunked ",
        b"Transfer-Encoding: Chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Content-Length: 05",
        b"Content-Length: 5 ",
        b"Content-Length: 5, 5",
        b"Content-Length : 5",
        b"Content_Length: 5",
        b"Host: y",
        b"X: \t y z\t",
        b"X:",
        b"X: a\r\n b",
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    ]
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    parts, at = [], 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b"']))
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[at : at + size]))
        at += size
    trailer = draw(st.sampled_from([b"", b"", b"T: v\r\n", b"Content-Length: 9\r\n"]))
    return b"".join((*parts, b"0\r\n", trailer, b"\r\n"))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, mostly well-formed."""
    body = draw(BODIES)
    lines = [b"%b %b HTTP/%b" % (draw(METHODS), draw(TARGETS), draw(st.sampled_from([b"1.1"] * 6 + [b"1.0"])))]
    lines += [b"Host: x"] * draw(st.sampled_from([1] * 8 + [0, 2]))
    if draw(st.booleans()):
        lines += [b"Connection: Upgrade", b"Upgrade: " + draw(OFFERS)]
    framing = draw(st.sampled_from(["length", "length", "chunked", "none"]))
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = draw(chunked(body))
    lines += draw(st.lists(FIELDS, max_size=2))
    return b"\r\n".join((lines[0], *draw(st.permutations(lines[1:])), b"", body))


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """A few bytes removed, doubled or replaced."""
    mutated = bytearray(data)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        at = draw(st.integers(0, len(mutated) - 1))
        change = draw(st.sampled_from(["remove", "double", "replace"]))
        if change == "remove" and len(mutated) > 1:
            del mutated[at]
        elif change == "double":
            mutated[at:at] = mutated[at : at + draw(st.integers(1, 8))]
        else:
            mutated[at : at + 1] = draw(st.sampled_from([b"\r", b"\n", b" ", b"\t", b":", b"0", b"\x00", b"\xff"]))
    return bytes(mutated)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Pipelined requests, and the same bytes cut into pieces."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    data = draw(mutations(data))
    if draw(st.booleans()):
        return data, [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return data, [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def seen_by_h11(data: bytes) -> tuple[list[Seen], bool]:
    """The requests that h11 finds, and whether it refuses what follows them."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    found: list[Seen] = []
    while True:
        try:
            request, body, is_whole = connection.next_event(), b"", False
            if not isinstance(request, h11.Request):
                return found, False
            found.append(Seen(request.method.decode(), request.target, b"", False))
            while not is_whole:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    return found, False
                if isinstance(event, h11.Data):
                    body += bytes(event.data)
                is_whole = isinstance(event, h11.EndOfMessage)
        except h11.RemoteProtocolError:
            return found, True
        found[-1] = Seen(request.method.decode(), request.target, body, True)
        connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        if connection.our_state is h11.MUST_CLOSE:
            return found, False
        if connection.our_state is h11.MIGHT_SWITCH_PROTOCOL or connection.their_state is h11.MIGHT_SWITCH_PROTOCOL:
            raise AssertionError("an offer that was declined by an answer is over")
        connection.start_next_cycle()


def whole(requests: list[Seen]) -> list[Seen]:
    return [each for each in requests if each.is_whole]


@given(conversation=conversations(), is_direct=st.booleans())
@settings(max_examples=1_500, deadline=None)
async def test_a_second_parser_finds_the_same_requests(
    conversation: tuple[bytes, list[bytes]], is_direct: bool
) -> None:
    data, pieces = conversation
    connection = wire(is_direct=is_direct)
    await connection.send(pieces)
    await connection.shut_down_sending()
    for _ in range(5):
        await connection.send([])
    connection.transport.close()
    await settled()
    expected, refused_by_h11 = seen_by_h11(data)
    found, theirs = whole(connection.seen), whole(expected)
    answers = connection.written.count(b"HTTP/1.1 200 OK\r\n")
    refusals = connection.written.count(b"HTTP/1.1 4")
    assert answers == len(found), "one answer a request"
    assert refusals <= 1
    both = min(len(found), len(theirs))
    assert found[:both] == theirs[:both]
    assert len(found) <= both or refused_by_h11 or len(theirs) < len(expected), "h11 has found less, and not refused it"
    assert len(theirs) <= both or refusals, "this server has found less, and not refused it"
