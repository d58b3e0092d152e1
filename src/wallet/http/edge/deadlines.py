"""Limits the time of every answer: one task looks at all requests now and then, so that no request needs a timer."""

import asyncio
import time
from typing import Any, Final, Protocol

from wallet.errors import OutcomeUnknown, StorageUnavailable, WalletError
from wallet.http.wire.asgi import WholeSender

SWEEP_SECONDS_MAX: Final = 0.5


class Limited(Protocol):
    """A request whose answer has a deadline. begun_at: when its time began, by time.perf_counter."""

    begun_at: float

    @property
    def is_arriving(self) -> bool:
        """Whether a part of the request is still to come."""

    def give_up(self) -> None:
        """Answer, because it has taken too long."""


class Deadline:
    """The deadline of a request that a task answers. `is_late`: the task was cancelled, because it took too long."""

    __slots__ = ("begun_at", "is_late", "sender", "task")

    def __init__(self, task: "asyncio.Task[Any]", begun_at: float, sender: WholeSender | None) -> None:
        self.task = task
        self.begun_at = begun_at
        self.sender = sender
        self.is_late = False

    @property
    def is_arriving(self) -> bool:
        return self.sender is not None and self.sender.is_arriving

    def give_up(self) -> None:
        self.is_late = True
        self.task.cancel()


class Deadlines:
    """The deadlines of all unanswered requests of this process, the oldest first, by time.perf_counter."""

    def __init__(self, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._under_way: dict[Limited, None] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep of late answers")

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()

    def begin(self, task: "asyncio.Task[Any]", begun_at: float, sender: WholeSender | None) -> Deadline:
        """Start the time of a request. `sender` knows whether the request has arrived completely; None: it has."""
        deadline = Deadline(task, begun_at, sender)
        self.add(deadline)
        return deadline

    def add(self, limited: Limited) -> None:
        """Start the time of a request that begins now."""
        self._under_way[limited] = None

    def end(self, deadline: Limited) -> None:
        """Stop the time of a request whose answer is made or has begun. May be called twice."""
        self._under_way.pop(deadline, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS_MAX, self._seconds_max / 4))
            self.give_up_on_late(time.perf_counter())

    def give_up_on_late(self, now: float) -> None:
        """Give up the requests that have taken too long since they arrived completely."""
        for deadline in list(self._under_way):
            if now - deadline.begun_at < self._seconds_max:
                return
            del self._under_way[deadline]
            if deadline.is_arriving:
                # The time begins when the request has arrived. The protocol limits how long that may take.
                deadline.begun_at = now
                self._under_way[deadline] = None
            else:
                deadline.give_up()


def too_late(*, moves_money: bool) -> WalletError:
    """The error of a request that was given up."""
    if moves_money:
        return OutcomeUnknown("It could not be answered in time, and may have been applied")
    return StorageUnavailable("It could not be answered in time")
