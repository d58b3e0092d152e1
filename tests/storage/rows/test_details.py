"""Details as text and back. A stored text is read for ever, so the text itself is written down here."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallet.ledger.model import Details, Drawn, Hold, HoldStatus, LotCategory, Slice
from wallet.storage.rows.details import changes_text, details_of, details_text

IDS = [UUID(int=number) for number in range(10)]
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

EVERYTHING = Details(
    requested_amount=7,
    drawn=(
        Drawn(IDS[1], IDS[2], LotCategory.PAID, 3),
        Drawn(IDS[1], IDS[3], LotCategory.PROMOTIONAL, 2),
        Drawn(IDS[1], None, None, 2**63 - 1),
    ),
    opened=(IDS[4], IDS[5]),
    forfeited=1,
    hold=Hold(
        IDS[6], IDS[1], 1, IDS[7], 9, 2, 3, NOON, True, HoldStatus.OPEN, NOON - timedelta(microseconds=1),
        (Slice(IDS[2], 3), Slice(None, 1)),
    ),
    skipped="rollover \"é\U0001f600\"",
)  # fmt: skip

TEXT = (
    '{"requested_amount":7,"drawn":[{"wallet_id":"00000000-0000-0000-0000-000000000001",'
    '"lot_id":"00000000-0000-0000-0000-000000000002","category":"paid","amount":3},'
    '{"wallet_id":"00000000-0000-0000-0000-000000000001","lot_id":"00000000-0000-0000-0000-000000000003",'
    '"category":"promotional","amount":2},'
    '{"wallet_id":"00000000-0000-0000-0000-000000000001","amount":9223372036854775807}],'
    '"opened":["00000000-0000-0000-0000-000000000004","00000000-0000-0000-0000-000000000005"],"forfeited":1,'
    '"hold":{"id":"00000000-0000-0000-0000-000000000006","wallet_id":"00000000-0000-0000-0000-000000000001",'
    '"asset_id":1,"target":"00000000-0000-0000-0000-000000000007","amount":9,"captured":2,"released":3,'
    '"expires_at":"2026-01-02T12:00:00.000000Z","capture_at_expiry":true,"status":"open",'
    '"created_at":"2026-01-02T11:59:59.999999Z",'
    '"slices":[{"lot_id":"00000000-0000-0000-0000-000000000002","amount":3},{"amount":1}]},'
    '"skipped":"rollover \\"é\U0001f600\\""}'
)


def test_the_text_stays_as_it_was() -> None:
    assert details_text(EVERYTHING) == TEXT
    assert details_of(TEXT) == EVERYTHING


def test_a_hold_that_carries_lots_says_so_at_its_end() -> None:
    assert EVERYTHING.hold is not None
    carrying = EVERYTHING._replace(hold=EVERYTHING.hold._replace(carries_lots=True))
    text = TEXT.replace('{"amount":1}]}', '{"amount":1}],"carries_lots":true}')
    assert details_text(carrying) == text
    assert details_of(text) == carrying


def test_what_joined_lots_comes_last() -> None:
    details = Details(joined=(Slice(IDS[2], 3), Slice(IDS[3], 1)))
    text = (
        '{"joined":[{"lot_id":"00000000-0000-0000-0000-000000000002","amount":3},'
        '{"lot_id":"00000000-0000-0000-0000-000000000003","amount":1}]}'
    )
    assert details_text(details) == text
    assert details_of(text) == details


def test_what_says_nothing_is_left_out() -> None:
    assert details_text(Details()) == "{}"
    assert details_of("{}") == Details()


def test_a_member_that_a_later_release_added_does_no_harm() -> None:
    assert details_of('{"forfeited":1,"later":[1]}') == Details(forfeited=1)


def test_the_time_zone_of_the_machine_is_nobodys_business() -> None:
    assert EVERYTHING.hold is not None
    elsewhere = EVERYTHING.hold._replace(expires_at=NOON.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert details_text(EVERYTHING._replace(hold=elsewhere)) == TEXT


ids = st.uuids()
amounts = st.integers(1, 2**63 - 1)
times = st.datetimes(timezones=st.just(UTC))
slices = st.builds(Slice, st.none() | ids, amounts)
holds = st.builds(
    Hold, ids, ids, st.integers(1, 2**31 - 1), st.none() | ids, amounts, amounts, amounts, st.none() | times,
    st.booleans(), st.sampled_from(HoldStatus), times, st.lists(slices, max_size=3).map(tuple), st.booleans(),
)  # fmt: skip
drawn = st.builds(Drawn, ids, ids, st.sampled_from(LotCategory), amounts) | st.builds(
    Drawn, ids, st.none(), st.none(), amounts
)
details = st.builds(
    Details, st.none() | amounts, st.lists(drawn, max_size=3).map(tuple), st.lists(ids, max_size=3).map(tuple),
    st.none() | amounts, st.none() | holds, st.none() | st.text(), st.lists(slices, max_size=2).map(tuple),
)  # fmt: skip


@given(details)
def test_any_details_come_back_as_they_were(details: Details) -> None:
    text = details_text(details)
    assert details_of(text) == details
    assert details_text(details_of(text)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ((), "{}"),
        (
            (("overdraft_limit", 5), ("label", "a\u00e9"), ("freeze_incoming", True), ("max_balance", None)),
            '{"freeze_incoming":true,"label":"a\u00e9","max_balance":null,"overdraft_limit":5}',
        ),
    ],
)
def test_changes_are_text_in_order_of_names(
    changes: tuple[tuple[str, str | int | bool | None], ...], text: str
) -> None:
    assert changes_text(changes) == text
