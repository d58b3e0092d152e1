"""The time that an answer may take, whatever it waits for: one look at all requests now and then, no timer for each."""

import asyncio
import time
from typing import Any, Final

from wallet.http.wire.asgi import WholeSender

SWEEP_SECONDS_MAX: Final = 0.5


class Deadline:
    """By when one request is to be answered. `is_late`: its task was cancelled, because it took too long."""

    __slots__ = ("begun_at", "is_late", "sender", "task")

    def __init__(self, task: "asyncio.Task[Any]", begun_at: float, sender: WholeSender | None) -> None:
        self.task = task
        self.begun_at = begun_at
        self.sender = sender
        self.is_late = False


class Deadlines:
    """Those of all requests of this process that have no answer yet, the oldest first, by time.perf_counter."""

    def __init__(self, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._under_way: dict[Deadline, None] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep of late answers")

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()

    def begin(self, task: "asyncio.Task[Any]", begun_at: float, sender: WholeSender | None) -> Deadline:
        """`sender`: what knows whether the request has arrived whole; None: it has."""
        deadline = Deadline(task, begun_at, sender)
        self._under_way[deadline] = None
        return deadline

    def end(self, deadline: Deadline) -> None:
        """Its answer is made, or has begun. May be called again."""
        self._under_way.pop(deadline, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS_MAX, self._seconds_max / 4))
            self.give_up_on_late(time.perf_counter())

    def give_up_on_late(self, now: float) -> None:
        """Cancel the tasks of those that have taken too long from when they had arrived whole."""
        for deadline in list(self._under_way):
            if now - deadline.begun_at < self._seconds_max:
                return
            del self._under_way[deadline]
            if deadline.sender is not None and deadline.sender.is_arriving:
                # The time begins once it has arrived. How long that may take is the protocol's business.
                deadline.begun_at = now
                self._under_way[deadline] = None
            else:
                deadline.is_late = True
                deadline.task.cancel()
