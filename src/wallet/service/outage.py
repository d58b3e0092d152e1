"""Finds out whether movements fail because their writers get no connection, though other parts of the service may."""

import time
from collections.abc import Callable
from typing import Final

from wallet.storage.connections.database import CannotConnect

SECONDS_LEAST: Final = 1.0
"""How long writers must have been without a connection: a lost one is normally replaced sooner."""
SECONDS_MAX: Final = 5.0
"""How old the last failed try may be: a writer without requests does not try again, so it misses the outage's end."""


class Outage:
    """The outage of the writers of one queue. It learns the result of every batch."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._why: CannotConnect | None = None
        self._since = self._last = 0.0

    def note(self, error: Exception | None) -> None:
        """Note the error that ended a whole batch; None if the batch was answered."""
        if not isinstance(error, CannotConnect):
            self._why = None
            return
        now = self._now()
        if self._why is None or now - self._last >= SECONDS_MAX:
            self._since = now
        self._why, self._last = error, now

    @property
    def reason(self) -> str | None:
        """The reason why no batch has had a connection for a while; None if there is no outage."""
        if self._why is None or self._last - self._since < SECONDS_LEAST or self._now() - self._last >= SECONDS_MAX:
            return None
        return str(self._why)
