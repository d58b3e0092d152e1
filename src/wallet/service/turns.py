"""Long work in the event loop, in turns: others in the process are served in between.

What bounds a turn is time or work, never a number of items: one item may be a hundred times as dear as another.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

TURN_SECONDS: Final = 0.002
"""How long one caller works before others get their turn."""

Each = TypeVar("Each")


class Turn:
    """The turn of one caller, who calls `make_way` before each piece of work.

    It lasts TURN_SECONDS, or with `work_max` as long as the pieces come to no more work than that: for pieces that are
    weighed before they are begun. The unit is the caller's.
    """

    __slots__ = ("_until", "_work", "_work_max")

    def __init__(self, *, work_max: int | None = None) -> None:
        self._work_max = work_max
        self._work = 0
        self._until = time.perf_counter() + TURN_SECONDS

    async def make_way(self, work: int = 0) -> None:
        """Let others have their turn first, if the next piece, which is so much work, is beyond this one."""
        self._work += work
        is_over = time.perf_counter() >= self._until if self._work_max is None else self._work > self._work_max
        if is_over:
            await asyncio.sleep(0)
            self._work = work
            self._until = time.perf_counter() + TURN_SECONDS


def parts(whole: Sequence[Each], *, weight_of: Callable[[Each], int], weight_max: int) -> Iterator[Sequence[Each]]:
    """A sequence in parts of up to this weight each, but at least one element."""
    first = weight = 0
    for at, each in enumerate(whole):
        added = weight_of(each)
        if weight + added > weight_max and at > first:
            yield whole[first:at]
            first, weight = at, 0
        weight += added
    yield whole[first:]
