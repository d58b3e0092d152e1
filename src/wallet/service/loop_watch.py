"""Measures how long the event loop of this process stands still. Meanwhile the process serves no request at all."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.02
"""How often the watch looks at its clock. A stall is measured up to this much too short."""

STALL_SECONDS_MAX: Final = 0.1
"""The longest stall that one request should cost the others. A longer one is logged."""

QUIET_SECONDS: Final = 60.0
"""How long the watch logs nothing after it has logged a line."""

_log = logging.getLogger(__name__)


class LoopWatch:
    """Watches the event loop that it is started in. `observe` gets the seconds that each look was late."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._look_later: asyncio.TimerHandle | None = None
        self._worst = self._worst_at_work = 0.0
        self._quiet_until = 0.0

    def start(self) -> None:
        self._wait()

    def close(self) -> None:
        if self._look_later is not None:
            self._look_later.cancel()

    def _wait(self) -> None:
        # Not the loop's clock, which stands still with the loop.
        self._due_at = time.monotonic() + LOOK_SECONDS
        self._worked = time.thread_time()
        self._look_later = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        late = max(0.0, now - self._due_at)
        self._observe(late)
        if late > self._worst:
            self._worst, self._worst_at_work = late, time.thread_time() - self._worked
        if now >= self._quiet_until:
            self._tell(now)
        self._wait()

    def _tell(self, now: float) -> None:
        if self._worst > STALL_SECONDS_MAX:
            # The rest of the time it waited: for the interpreter, held by another thread, or for a processor.
            _log.warning(
                "the event loop stood still for %.0f ms; for %.0f ms of them it worked",
                self._worst * 1000,
                self._worst_at_work * 1000,
            )
            self._quiet_until = now + QUIET_SECONDS
        self._worst = self._worst_at_work = 0.0
