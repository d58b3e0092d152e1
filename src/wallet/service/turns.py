"""Long work in the event loop, done in turns, so that the process serves other requests in between.

A turn is bounded by time or by work, never by a number of items: one item may cost a hundred times as much as another.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

TURN_SECONDS: Final = 0.002
"""How long one task works before others get their turn."""

Each = TypeVar("Each")


class Turn:
    """The turn of one task, which calls `make_way` before each piece of work.

    A turn lasts TURN_SECONDS, or with `work_max` until its pieces are more work than that. The latter is for pieces
    whose work is known before they begin; the task chooses the unit.
    """

    __slots__ = ("_until", "_work", "_work_max")

    def __init__(self, *, work_max: int | None = None) -> None:
        self._work_max = work_max
        self._work = 0
        self._until = time.perf_counter() + TURN_SECONDS

    async def make_way(self, work: int = 0) -> None:
        """Give other tasks their turn first, if the next piece, of this much work, does not fit into this turn."""
        self._work += work
        is_over = time.perf_counter() >= self._until if self._work_max is None else self._work > self._work_max
        if is_over:
            await asyncio.sleep(0)
            self._work = work
            self._until = time.perf_counter() + TURN_SECONDS


def parts(whole: Sequence[Each], *, weight_of: Callable[[Each], int], weight_max: int) -> Iterator[Sequence[Each]]:
    """A sequence in parts, each of at most this weight, but of at least one element."""
    first = weight = 0
    for at, each in enumerate(whole):
        added = weight_of(each)
        if weight + added > weight_max and at > first:
            yield whole[first:at]
            first, weight = at, 0
        weight += added
    yield whole[first:]
