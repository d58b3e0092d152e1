"""The time that an answer may take, whatever it waits for: one look at all requests now and then, no timer for each."""

import asyncio
import time
from typing import Any, Final, Protocol

from wallet.errors import OutcomeUnknown, StorageUnavailable, WalletError
from wallet.http.wire.asgi import WholeSender

SWEEP_SECONDS_MAX: Final = 0.5


class Answering(Protocol):
    """A request that is ours to answer. begun_at: when it became so, on the clock of time.perf_counter."""

    begun_at: float

    @property
    def is_arriving(self) -> bool:
        """Whether a part of it is still to come."""

    def give_up(self) -> None:
        """It has taken too long: answer it."""


class Turn:
    """A request that a task answers. `is_late`: the task was cancelled, because it took too long."""

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


class Turns:
    """All requests of this process that have no answer yet, the oldest first. Times are of time.perf_counter."""

    def __init__(self, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._under_way: dict[Answering, None] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep of late answers")

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()

    def begin(self, task: "asyncio.Task[Any]", begun_at: float, sender: WholeSender | None) -> Turn:
        """`sender`: what knows whether the request has arrived whole; None: it has."""
        turn = Turn(task, begun_at, sender)
        self.add(turn)
        return turn

    def add(self, turn: Answering) -> None:
        """One that begins now, and that no task answers."""
        self._under_way[turn] = None

    def end(self, turn: Answering) -> None:
        """Its answer is made, or has begun. May be called again."""
        self._under_way.pop(turn, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS_MAX, self._seconds_max / 4))
            self.give_up_on_late(time.perf_counter())

    def give_up_on_late(self, now: float) -> None:
        """Give up those that have taken too long from when they had arrived whole."""
        for turn in list(self._under_way):
            if now - turn.begun_at < self._seconds_max:
                return
            del self._under_way[turn]
            if turn.is_arriving:
                # Our turn has not come. How long a request may take to arrive is the protocol's business.
                turn.begun_at = now
                self._under_way[turn] = None
            else:
                turn.give_up()


def too_late(*, moves_money: bool) -> WalletError:
    """What is known of a request that was given up."""
    if moves_money:
        return OutcomeUnknown("It could not be answered in time, and may have been applied")
    return StorageUnavailable("It could not be answered in time")
