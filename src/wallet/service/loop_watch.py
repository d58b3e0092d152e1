"""How long the event loop of this process stands still. For as long nobody is served, whatever they ask."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.02
"""How often the watch looks at its clock. A stall is told from this much less to its full length."""

STALL_SECONDS_MAX: Final = 0.1
"""What no request is meant to cost others. A longer stall is logged."""

QUIET_SECONDS: Final = 60.0
"""How long nothing is logged after a line."""

_log = logging.getLogger(__name__)


class LoopWatch:
    """Belongs to the event loop it is started in. `observe` is told how late each look was, in seconds."""

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
        # Not the loop's clock, which stands still with it.
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
            # The rest it waited: for the interpreter, which a thread of ours had, or for a processor.
            _log.warning(
                "the event loop stood still for %.0f ms, of which it worked %.0f ms",
                self._worst * 1000,
                self._worst_at_work * 1000,
            )
            self._quiet_until = now + QUIET_SECONDS
        self._worst = self._worst_at_work = 0.0
