"""How often a caller may name a code of a claim that it cannot redeem.

A code has 125 random bits, so nobody guesses one. The bound is on the work that guesses cost, and on the noise that
they leave among the declines.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from wallet.errors import RateLimited
from wallet.service.access.callers import Caller

BOUND_PER_SECOND: Final = 1 / 6
BOUND_AT_ONCE: Final = 10
"""Wrong codes of one user, or of one key that is bound to wallets: as many as a person mistypes."""

UNBOUND_PER_SECOND: Final = 10
UNBOUND_AT_ONCE: Final = 100
"""Wrong codes of one key of a back end, which sends those of all its players."""

SUBJECTS_KEPT_MAX: Final = 10_000
"""Users and keys whose wrong codes are remembered. Beyond, those that were wrong longest ago are forgotten."""


class _Allowance:
    """Wrong codes that one subject may still send: below zero where several were on their way at once."""

    __slots__ = ("at", "at_once", "left", "per_second")

    def __init__(self, per_second: float, at_once: float, now: float) -> None:
        self.per_second = per_second
        self.left = self.at_once = at_once
        self.at = now

    def refill(self, now: float) -> None:
        self.left = min(self.at_once, self.left + (now - self.at) * self.per_second)
        self.at = now


class Guesses:
    """Counts wrong codes by user, or by key. Belongs to one process, which has its part of the rate.

    workers: how many processes serve. now: a clock that never goes back, in seconds.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        now: Callable[[], float] = time.monotonic,
        subjects_kept_max: int = SUBJECTS_KEPT_MAX,
    ) -> None:
        self._workers = workers
        self._now = now
        self._subjects_kept_max = subjects_kept_max
        self._allowances: OrderedDict[UUID, _Allowance] = OrderedDict()

    def ensure_may_try(self, caller: Caller) -> None:
        """Raise RateLimited while the caller has sent too many wrong codes."""
        subject = _subject(caller)
        allowance = None if subject is None else self._allowances.get(subject)
        if allowance is None:
            return
        allowance.refill(self._now())
        if allowance.left < 1:
            seconds = (1 - allowance.left) / allowance.per_second
            raise RateLimited("Too many codes were wrong", retry_after_seconds=max(1, math.ceil(seconds)))

    def note_wrong(self, caller: Caller) -> None:
        """Charge a code that the caller could not redeem."""
        subject = _subject(caller)
        if subject is None:
            return
        now = self._now()
        allowance = self._allowances.get(subject)
        if allowance is None:
            per_second, at_once = _rate(caller)
            allowance = _Allowance(per_second / self._workers, max(1.0, at_once / self._workers), now)
            self._allowances[subject] = allowance
        allowance.refill(now)
        allowance.left -= 1
        self._allowances.move_to_end(subject)
        while len(self._allowances) > self._subjects_kept_max:
            self._allowances.popitem(last=False)


def _subject(caller: Caller) -> UUID | None:
    """All keys of one user are charged together. Without a key nobody is: that is in development mode only."""
    return caller.key_id if caller.user_id is None else caller.user_id


def _rate(caller: Caller) -> tuple[float, float]:
    return (BOUND_PER_SECOND, BOUND_AT_ONCE) if caller.is_bound else (UNBOUND_PER_SECOND, UNBOUND_AT_ONCE)
