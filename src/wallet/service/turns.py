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
    """The turn of one caller. `if turn.is_over: await turn.next()` after each piece of work."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + TURN_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether it is the others' turn."""
        return time.perf_counter() >= self._until

    async def next(self) -> None:
        """Let the others have theirs."""
        await asyncio.sleep(0)
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
