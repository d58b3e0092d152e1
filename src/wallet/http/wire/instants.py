"""Instants in requests, in bodies and queries alike: RFC 3339 with an offset, to the microsecond, and no guessing."""

import re
from datetime import UTC, datetime
from typing import Final

from wallet.errors import FieldError, Malformed
from wallet.http.wire.decoding import malformed
from wallet.http.wire.fields import INSTANT, NO_INSTANT
from wallet.storage.reads.wallet_at import Axis

_YEARS_KEPT: Final = range(2, 9999)
_RFC3339: Final = re.compile(INSTANT)
_AXES: Final = {axis.value: axis for axis in Axis}


def instant(name: str, text: str) -> datetime:
    """An instant in UTC. Raises Malformed.

    Digits beyond the microsecond are cut off. Rounded up, the last instant of a month would be in the next one.
    """
    if (match := _RFC3339.match(text)) is None:
        if " " in text:  # an unescaped plus
            raise malformed(name, f"{NO_INSTANT} In a query, + is written %2B.")
        raise malformed(name, NO_INSTANT)
    date, time, fraction, offset = match.groups()
    try:
        if time > "24":  # some versions of Python take 24:00 for the next day
            raise ValueError(time)
        return datetime.fromisoformat(f"{date}T{time}.{(fraction or '').ljust(6, '0')}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed(name, "There is no such time.") from None


def kept_instant(field: str, text: str) -> datetime:
    """An instant in UTC that the service will store.

    Raises Malformed at the ends of the calendar, too: the PostgreSQL driver reads the calendar's first and last
    microsecond as infinity.
    """
    kept = instant(field, text)
    if kept.year not in _YEARS_KEPT:
        raise malformed(field, f"Must be in the years {_YEARS_KEPT[0]} to {_YEARS_KEPT[-1]}.")
    return kept


def axis_named(text: str) -> Axis:
    """The axis of that name. Raises Malformed."""
    if text not in _AXES:
        raise malformed("axis", f"Must be one of {', '.join(_AXES)}.")
    return _AXES[text]


class Wrong:
    """Collects the errors of a query, so that one answer names every wrong parameter."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def __enter__(self) -> "Wrong":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Keep a Malformed for later, and go on after the block."""
        if isinstance(error, Malformed):
            self._errors.extend(error.errors)
            return True
        return False

    def raise_if_any(self) -> None:
        if self._errors:
            raise Malformed(self._errors)
