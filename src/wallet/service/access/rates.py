"""The rate of a key: a bucket of tokens that fills at this rate and holds those of one second."""

from typing import Final

BURST_MIN: Final = 1.0


class TokenBucket:
    """The bucket of one key in one process. `per_second` > 0; `now`: any clock that does not go back, in seconds."""

    __slots__ = ("_at", "_burst", "_tokens", "per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        # A bucket of a rate below one per second still holds one token, or it would never admit a request.
        self._burst = max(BURST_MIN, per_second)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> float:
        """Zero if a request is admitted, otherwise the seconds until the next one will be."""
        tokens = self._tokens + (now - self._at) * self.per_second
        if tokens > self._burst:
            tokens = self._burst
        self._at = now
        if tokens >= 1:
            self._tokens = tokens - 1
            return 0
        self._tokens = tokens
        return (1 - tokens) / self.per_second
