"""Arithmetic on times that are given."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from wallet.ledger.instants import HOLD_SPAN_MAX, month_after, rfc3339
from wallet.ledger.model import OnRefundToExpired, Policy


@pytest.mark.parametrize(
    ("at", "after"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_month_after_begins_with_its_first_instant_in_utc(at: datetime, after: datetime) -> None:
    assert month_after(at) == after


def test_times_are_written_in_utc_with_microseconds_and_four_digits_of_year() -> None:
    assert rfc3339(datetime(2, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == "0002-01-01T00:00:00.000000Z"


def test_what_holds_until_somebody_says_otherwise() -> None:
    assert timedelta(days=400) == HOLD_SPAN_MAX
    assert Policy() == (False, OnRefundToExpired.GRACE, timedelta(days=30).total_seconds())
