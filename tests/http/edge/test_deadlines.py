"""Deadlines: who is given up, and when, without a clock that runs."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from wallet.http.edge.deadlines import Deadline, Deadlines

SECONDS = 10.0


class Sender:
    """The object that knows whether a request has arrived whole."""

    def __init__(self, *, is_arriving: bool) -> None:
        self.is_arriving = is_arriving

    def __call__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, /) -> bool:
        return False


@pytest.fixture
async def tasks() -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Tasks that wait for ever."""

    async def wait() -> None:
        await asyncio.Event().wait()

    made = [asyncio.create_task(wait()) for _ in range(3)]
    yield made
    for task in made:
        task.cancel()
    await asyncio.gather(*made, return_exceptions=True)


async def cancelled(deadlines: Iterable[Deadline]) -> list[bool]:
    for _ in range(3):
        await asyncio.sleep(0)
    return [deadline.task.cancelled() for deadline in deadlines]


async def test_whoever_has_taken_too_long_is_given_up_and_nobody_else(tasks: list["asyncio.Task[None]"]) -> None:
    deadlines = Deadlines(seconds_max=SECONDS)
    begun = [deadlines.begin(task, float(at), None) for at, task in enumerate(tasks)]
    deadlines.give_up_on_late(SECONDS - 0.1)
    assert await cancelled(begun) == [False] * 3
    deadlines.give_up_on_late(SECONDS + 1)
    assert await cancelled(begun) == [True, True, False]
    assert [deadline.is_late for deadline in begun] == [True, True, False]


async def test_what_has_its_answer_is_let_be(tasks: list["asyncio.Task[None]"]) -> None:
    deadlines = Deadlines(seconds_max=SECONDS)
    begun = [deadlines.begin(task, 0.0, None) for task in tasks]
    deadlines.end(begun[1])
    deadlines.end(begun[1])
    deadlines.give_up_on_late(SECONDS)
    assert await cancelled(begun) == [True, False, True]


async def test_the_time_counts_from_when_a_request_has_arrived(tasks: list["asyncio.Task[None]"]) -> None:
    deadlines = Deadlines(seconds_max=SECONDS)
    slow, quick = Sender(is_arriving=True), Sender(is_arriving=False)
    begun = [deadlines.begin(tasks[0], 0.0, slow), deadlines.begin(tasks[1], 1.0, quick)]
    deadlines.give_up_on_late(SECONDS)
    slow.is_arriving = False
    deadlines.give_up_on_late(SECONDS + 1)
    assert await cancelled(begun) == [False, True]
    deadlines.give_up_on_late(2 * SECONDS)
    assert await cancelled(begun) == [True, True]
