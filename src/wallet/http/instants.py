"""Instants from a query: RFC 3339 with an offset, to the microsecond, and never a guess."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from wallet.errors import FieldError, Malformed
from wallet.http.decoding import malformed
from wallet.storage.history import Axis

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6})(\d{0,12}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_SHAPE: Final = "Must be a time as of RFC 3339 with an offset, as 2026-01-31T12:00:00Z."
_AXES: Final = {axis.value: axis for axis in Axis}


def instant(name: str, text: str, *, round_up: bool = False) -> datetime:
    """An instant in UTC. Raises Malformed.

    Digits beyond the microsecond are cut off, or rounded up: no instant of the ledger lies in between, so "not after"
    means the same cut off, and "not before" and "before" the same rounded up.
    """
    if (match := _RFC3339.fullmatch(text)) is None:
        if " " in text:  # an unescaped plus
            raise malformed(name, f"{_SHAPE} In a query, + is written %2B.")
        raise malformed(name, _SHAPE)
    date, time, fraction, rest, offset = match.groups()
    try:
        parsed = datetime.fromisoformat(f"{date}T{time}.{(fraction or '0').ljust(6, '0')}{offset.upper()}")
        if round_up and rest and int(rest):
            parsed += timedelta(microseconds=1)
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed(name, "There is no such time.") from None


def axis_named(text: str) -> Axis:
    """The axis of that name. Raises Malformed."""
    if text not in _AXES:
        raise malformed("axis", f"Must be one of {', '.join(_AXES)}.")
    return _AXES[text]


class Wrong:
    """Collects what is wrong with a query, so that every parameter is named at once."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def __enter__(self) -> "Wrong":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Swallows Malformed, and goes on after the block."""
        if isinstance(error, Malformed):
            self._errors.extend(error.errors)
            return True
        return False

    def raise_if_any(self) -> None:
        if self._errors:
            raise Malformed(self._errors)
