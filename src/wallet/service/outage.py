"""Whether movements come to nothing because their writers get no connection, though the database may answer others."""

import time
from collections.abc import Callable
from typing import Final

from wallet.storage.connections.database import CannotConnect

SECONDS_LEAST: Final = 1.0
"""How long there must have been no connection: one that was lost is replaced sooner."""
SECONDS_MAX: Final = 5.0
"""How old the last try may be: whoever is asked for nothing cannot find out that it would work again."""


class Outage:
    """Of the writers of one queue. Told what every batch came to."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._why: CannotConnect | None = None
        self._since = self._last = 0.0

    def note(self, error: Exception | None) -> None:
        """What a batch as a whole ended with; None: with answers."""
        if not isinstance(error, CannotConnect):
            self._why = None
            return
        now = self._now()
        if self._why is None or now - self._last >= SECONDS_MAX:
            self._since = now
        self._why, self._last = error, now

    @property
    def reason(self) -> str | None:
        """Why no batch has had a connection for a while, if so."""
        if self._why is None or self._last - self._since < SECONDS_LEAST or self._now() - self._last >= SECONDS_MAX:
            return None
        return str(self._why)
