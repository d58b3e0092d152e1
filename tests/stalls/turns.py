"""How long the event loop is at one thing: the processor time of its thread from one look to the next.

Not the time on a clock, which a busy machine stretches as it likes.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOOK_SECONDS = 0.001


class Turns:
    """`longest_seconds` so far. Two looks have at most one long turn between them."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._wait()

    def _wait(self) -> None:
        self._worked = time.thread_time()
        self._look_later = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self.longest_seconds = max(self.longest_seconds, time.thread_time() - self._worked)
        self._wait()

    def end(self) -> None:
        self._look_later.cancel()


@asynccontextmanager
async def watched() -> AsyncIterator[Turns]:
    """The turns of the loop while this is open; the one that is under way at its end is waited for."""
    turns = Turns()
    try:
        yield turns
        await asyncio.sleep(5 * LOOK_SECONDS)
    finally:
        turns.end()
