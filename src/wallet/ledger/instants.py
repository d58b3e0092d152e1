"""Instants and spans: arithmetic on given times, without a clock."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY = timedelta(days=1)
SKEW_MAX = timedelta(seconds=5)
"""How far a caller's clock may be ahead of the ledger's."""
HOLD_SPAN_MAX = timedelta(days=400)
"""How long a hold may stay open in all, extensions included."""


def month_after(at: datetime) -> datetime:
    """The first instant of the calendar month after the one that `at` is in (UTC)."""
    at = at.astimezone(UTC)
    return datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)  # all movements of a batch have one instant
def rfc3339(at: datetime) -> str:
    """The instant in UTC, always with six digits of a second, as the service writes every instant."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
