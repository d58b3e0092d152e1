"""The memory that unfinished bodies take is charged to the key they come with, and ends with the answer."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.http.server.tiny_service import running
from tests.http.server.wired import Wire, wire
from wallet.http.server.body_budget import BodyBudget


@dataclass(eq=False)
class Holder:
    """A connection that frees its body when it is told to."""

    budget: BodyBudget
    key: bytes
    refused: int = field(default=0)

    def give_up_body(self) -> None:
        self.refused += 1
        self.budget.release(self.key, self)


CHARGES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60)


@given(charges=CHARGES)
def test_what_is_held_is_what_was_charged_and_never_more_than_the_bounds(charges: list[tuple[int, int]]) -> None:
    budget = BodyBudget(bytes_max=100, key_bytes_max=60)
    holders = [Holder(budget, b"ab"[number % 2 : number % 2 + 1]) for number in range(6)]
    held: dict[Holder, int] = {}
    for number, amount in charges:
        before = {each: each.refused for each in holders}
        budget.charge(holders[number].key, holders[number], amount)
        held[holders[number]] = amount
        for each in holders:
            if each.refused > before[each]:
                held[each] = 0
        assert budget.total == sum(held.values()) <= 100
        for key in (b"a", b"b"):
            assert sum(amount for each, amount in held.items() if each.key == key) <= 60
    for each in holders:
        budget.release(each.key, each)
    assert (budget.total, budget._kept, budget._sums) == (0, {}, {})


def test_a_key_that_holds_much_is_refused_itself() -> None:
    budget = BodyBudget(bytes_max=100, key_bytes_max=60)
    first, second = Holder(budget, b"greedy"), Holder(budget, b"greedy")
    budget.charge(b"greedy", first, 50)
    budget.charge(b"greedy", second, 20)
    assert (first.refused, second.refused) == (0, 1)


def test_the_largest_body_of_the_key_that_holds_most_makes_room_for_others() -> None:
    budget = BodyBudget(bytes_max=100, key_bytes_max=60)
    small, large = Holder(budget, b"greedy"), Holder(budget, b"greedy")
    neighbour, newcomer = Holder(budget, b"neighbour"), Holder(budget, b"newcomer")
    budget.charge(b"greedy", small, 15)
    budget.charge(b"greedy", large, 40)
    budget.charge(b"neighbour", neighbour, 42)
    budget.charge(b"newcomer", newcomer, 10)
    assert [each.refused for each in (small, large, neighbour, newcomer)] == [0, 1, 0, 0]


# On connections

KIB = 1024


async def refuse_at_once(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def beginning(*, key: bytes = b"k", length: int = 2_000 * KIB) -> bytes:
    head = b"POST /batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
    return head % (key, length)


async def test_bytes_behind_an_early_answer_are_neither_kept_nor_counted_nor_answered() -> None:
    connection = wire(refuse_at_once)
    await connection.send([beginning(), *[b"x" * 256 * KIB] * 20])
    assert connection.written.count(b"HTTP/1.1 401 ") == 1
    assert b"connection: close" in connection.written
    assert connection.protocol.bodies.total == 0
    assert connection.is_over
    assert connection.transport.is_reading_now, "what still comes is taken and thrown away, so that the answer is read"


async def test_an_answer_before_a_body_in_the_same_segment_ends_the_connection() -> None:
    connection = wire(refuse_at_once)
    await connection.send([beginning() + b"x" * 200 * KIB, b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.protocol.bodies.total == 0


async def filled(count: int, *, of: Wire, key: bytes) -> list[Wire]:
    """Connections to the same server, on each of which a megabyte of a body has arrived."""
    connections = []
    for _ in range(count):
        connection = of.another()
        await connection.send([beginning(key=key), *[b"x" * 128 * KIB] * 8])
        connections.append(connection)
    return connections


async def test_one_key_cannot_make_a_request_of_another_be_refused() -> None:
    first = wire()
    greedy = await filled(40, of=first, key=b"greedy")
    refused = [each for each in greedy if each.written.startswith(b"HTTP/1.1 503 ")]
    assert len(refused) == 40 - 32
    assert all(b'"code":"overloaded"' in each.written for each in refused)
    (other,) = await filled(1, of=first, key=b"other")
    assert other.written == b""
    await other.send([b"x" * (2_000 - 1_024) * KIB])
    assert other.written.startswith(b"HTTP/1.1 200 ")


async def test_a_key_in_other_letters_is_the_same_key() -> None:
    first = wire()
    await filled(20, of=first, key=b"greedy")
    variants = [b"Bearer greedy", b"bearer greedy", b"BEARER  greedy", b"Bearer greedy "]
    answers = b""
    for number in range(20):
        connection = first.another()
        head = b"POST /batches HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\nContent-Length: 9999999\r\n\r\n"
        await connection.send([head % variants[number % 4], *[b"x" * 128 * KIB] * 8])
        answers += connection.written
    assert answers.count(b"HTTP/1.1 503 ") == 20 - 12


async def test_many_keys_share_the_process_and_the_greatest_gives_way() -> None:
    first = wire()
    greedy = await filled(30, of=first, key=b"greedy")
    others = [await filled(1, of=first, key=b"%d" % number) for number in range(40)]
    assert [each.written for (each,) in others] == [b""] * 40
    assert sum(each.written.startswith(b"HTTP/1.1 503 ") for each in greedy) == 30 + 40 - 64
    for connection in (*greedy, *(each for (each,) in others)):
        connection.transport.close()
        await connection.send([])
    assert first.protocol.bodies.total == 0


def test_the_bound_on_small_bodies_is_the_default() -> None:
    with running() as service, service.connect() as connection:
        connection.sendall(b"POST /wallets/x/topup HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n")
        assert connection.recv(1_000).startswith(b"HTTP/1.1 413 ")
