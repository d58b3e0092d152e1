"""Lots: credit with a category and an expiry, drawn in order, carried over, held, and gone at its instant."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ledger.scripts import answer, ask, in_columns, lines_of, programme_id, seen, told
from tests.ledger.worlds import NOON, World, named, wallet_id, world
from wallet.ledger.lots import NewLot, Parcel, after_repaying
from wallet.ledger.model import Attachment, LotCategory, Policy, Slice
from wallet.ledger.outcomes import Applied

WALLETS = """
wallet asset balance overdraft_limit
alice  GOLD  10      0
bob    GOLD  0       50
cyd    GOLD  0       0
dora   COIN  10      20
emil   COIN  0       0
"""

# COIN draws main credit first.
STORIES = """
story                                                                        -> alice             | bob
topup alice 5 lot paid                                                       -> 15 lots 5         | 0
bonus alice 5 lot promotional in 60                                          -> 15 lots 5         | 0
bonus alice 4 from bob lot promotional                                       -> 14 lots 4         | -4
topup alice 5 lot paid; spend alice 3                                        -> 12 lots 2         | 0
topup alice 5 lot paid; spend alice 7                                        -> 8                 | 0
topup alice 5 lot paid; topup alice 6 lot promotional in 60; spend alice 3   -> 18 lots 3+5       | 0
topup alice 5 lot paid in 90; topup alice 6 lot paid in 60; spend alice 8    -> 13 lots 3         | 0
topup alice 5 lot paid in 60; topup alice 6 lot paid in 60 priority 9; spend alice 2 -> 19 lots 4+5 | 0
topup alice 5 lot paid; +1; topup alice 6 lot paid; spend alice 2            -> 19 lots 3+6       | 0
topup alice 1 lot paid; topup alice 2 lot paid; topup alice 3 lot paid; topup alice 4 lot paid -> 20 lots 1+2+3+4 | 0
topup alice 5 lot paid; transfer alice bob 3                                 -> 12 lots 2         | 3 lots 3
topup alice 5 lot paid; transfer alice bob 8                                 -> 7                 | 8 lots 5
topup alice 5 lot paid in 60; topup alice 6 lot promotional; transfer alice bob 8 -> 13 lots 3    | 8 lots 5+3
topup alice 5 lot paid; move alice-3,bob+3                                   -> 12 lots 2         | 3
topup alice 5 lot paid; spend alice 3 to bob                                 -> 12 lots 2         | 3
topup alice 5 lot paid; h: hold alice 3 to bob; capture h                    -> 12 lots 2         | 3
topup alice 5 lot paid; h: hold alice 3                                      -> 15 held 3 lots 5(3) | 0
topup alice 5 lot paid; h: hold alice 8                                      -> 15 held 8 lots 5(5) | 0
topup alice 5 lot paid; h: hold alice 3; spend alice 4                       -> 11 held 3 lots 3(3) | 0
topup alice 5 lot paid; h: hold alice 3; void h                              -> 15 lots 5         | 0
topup alice 5 lot paid; h: hold alice 8; capture h 4                         -> 11 held 4 lots 1(1) | 0
topup alice 5 lot paid; h: hold alice 8; capture h 6                         -> 9 held 2          | 0
topup alice 5 lot paid; h: hold alice 3; increase h 4                        -> 15 held 7 lots 5(5) | 0
topup alice 3 lot paid; s: spend alice 2; h: hold alice 2; refund s; increase h 2 -> 13 held 4 lots 3(3) | 0
topup alice 3 lot paid; s: spend alice 2; h: hold alice 2; refund s; increase h 2; capture h -> 9 | 0
topup alice 3 lot paid; s: spend alice 2; h: hold alice 2; refund s; increase h 2; void h -> 13 lots 3 | 0
topup alice 3 lot paid; s: spend alice 2; h: hold alice 2; refund s; increase h 2; capture h 3 -> 10 held 1 lots 1(1) | 0
spend bob 7; topup bob 5 lot paid                                            -> 10                | -2
spend bob 7; topup bob 9 lot paid                                            -> 10                | 2 lots 2
topup bob 5 lot paid; spend bob 7                                            -> 10                | -2
topup alice 5 lot paid; spend bob 3; transfer alice bob 5                    -> 10                | 2 lots 2
topup alice 5 lot paid in 60; +59; settle alice                              -> 15 lots 5         | 0
topup alice 5 lot paid in 60; +60; settle alice                              -> 10                | 0
topup alice 5 lot paid in 60; spend alice 2; +60; settle alice               -> 10                | 0
topup alice 5 lot paid in 60; transfer alice bob 3; +60; settle bob          -> 12 lots 2         | 0
topup alice 5 lot paid in 60; h: hold alice 3; +60; settle alice             -> 13 held 3 lots 3(3) | 0
topup alice 5 lot paid in 60; h: hold alice 3; +60; void h                   -> 10                | 0
topup alice 5 lot paid in 60; h: hold alice 3; +60; capture h                -> 10                | 0
topup alice 5 lot paid in 60; h: hold alice 3; +60; capture h 1 final        -> 10                | 0
topup alice 5 lot paid in 60; h: hold alice 3; +60; capture h 1              -> 12 held 2 lots 2(2) | 0
topup alice 5 lot paid in 60; h: hold alice 3 in 60; +60; settle alice       -> 10                | 0
topup alice 5 lot paid in 60; h: hold alice 3 in 90; +99; settle alice       -> 10                | 0
"""  # noqa: E501

MAIN_FIRST = """
story                                                                        -> dora
topup dora 5 lot paid; spend dora 3                                          -> 12 lots 5
topup dora 5 lot paid; spend dora 12                                         -> 3 lots 3
topup dora 5 lot paid; spend dora 18                                         -> -3
topup dora 5 lot paid; h: hold dora 12                                       -> 15 held 12 lots 5(2)
spend dora 10; topup dora 5 lot paid; hold dora 3; topup dora 6; spend dora 6 -> 5 held 3 lots 5(3)
hold dora 10; spend dora 5; topup dora 8 lot paid; spend dora 3              -> 10 held 10 lots 5
topup dora 5 lot paid; hold dora 9; spend dora 4                             -> 11 held 9 lots 2
topup dora 5 lot paid; h: hold dora 12; topup dora 4; increase h 6; capture h -> 1 lots 1
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    start = world(WALLETS)
    return replace(start, policies={1: Policy(), 2: Policy(main_first=True)}, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_story_leaves_the_wallets_as_the_table_says(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob")] == expected


@pytest.mark.parametrize("row", in_columns(MAIN_FIRST), ids=" | ".join)
def test_a_main_first_asset_draws_main_credit_down_to_zero_then_lots_then_the_overdraft(
    here: World, row: list[str]
) -> None:
    story, expected = row
    assert seen(told(here, *lines_of(story)), "dora") == expected


def drawn(here: World, line: str) -> list[tuple[str | None, int]]:
    """The amounts that a debit took, by category; None is main credit."""
    outcome = answer(here, line)
    assert isinstance(outcome, Applied), outcome
    details = outcome.posted.details
    return [(each.category and each.category.value, each.amount) for each in details.drawn] if details else []


def test_every_debit_records_what_it_drew_from_each_lot(here: World) -> None:
    here = told(here, "topup alice 5 lot paid in 60", "topup alice 6 lot promotional")
    assert drawn(here, "s: spend alice 3") == [("paid", 3)]
    assert drawn(here, "s: spend alice 13") == [("paid", 5), ("promotional", 6), (None, 2)]
    assert drawn(here, "x: move alice-7,bob+7") == [("paid", 5), ("promotional", 2)]


def test_a_capture_records_what_it_drew_of_what_was_reserved(here: World) -> None:
    here = told(here, "topup alice 5 lot paid in 60", "h: hold alice 7", "topup alice 5 lot promotional in 9")
    assert drawn(here, "c: capture h 6") == [("paid", 5), (None, 1)]


def test_a_debit_without_lots_records_nothing(here: World) -> None:
    assert drawn(here, "s: spend alice 3") == []


def test_main_first_with_an_overdraft_records_main_lots_main(here: World) -> None:
    here = told(here, "topup dora 5 lot paid")
    assert drawn(here, "s: spend dora 18") == [(None, 10), ("paid", 5), (None, 3)]


def test_what_goes_along_with_a_transfer_keeps_category_expiry_and_priority(here: World) -> None:
    after = told(here, "topup alice 5 lot promotional in 60 priority 7", "+9", "transfer alice bob 4")
    (lot,) = after.lots_of("bob")
    assert (lot.category, lot.priority, lot.expires_at) == (LotCategory.PROMOTIONAL, 7, NOON + timedelta(seconds=60))
    assert (lot.amount, lot.remaining, lot.wallet_id) == (4, 4, wallet_id("bob"))


def test_an_expiry_is_posted_to_breakage_at_its_instant_by_the_services_own_reference(here: World) -> None:
    start = told(here, "topup alice 5 lot paid in 60")
    (lot,) = start.lots_of("alice")
    after = told(start, "+99", "settle alice")
    posted = after.posted(f"lot:{lot.id}:expiry:1")
    assert (posted.origin, posted.type) == ("service", "expiry")
    assert (posted.effective_at, posted.created_at) == (NOON + timedelta(seconds=60), NOON + timedelta(seconds=99))
    assert seen(after, "GOLD.breakage") == "5"


def test_what_a_hold_releases_of_an_expired_lot_goes_to_breakage_with_it_when_it_becomes_free(here: World) -> None:
    start = told(here, "topup alice 5 lot paid in 60", "h: hold alice 3")
    (lot,) = start.lots_of("alice")
    after = told(start, "+99", "void h")
    first, second = (after.posted(f"lot:{lot.id}:expiry:{times}") for times in (1, 2))
    assert (first.entries[0].amount, first.effective_at) == (2, NOON + timedelta(seconds=60))
    assert (second.entries[0].amount, second.effective_at) == (3, NOON + timedelta(seconds=99))
    assert seen(after, "GOLD.breakage") == "5"


def test_what_a_hold_releases_at_its_expiry_of_an_expired_lot_goes_to_breakage_at_that_instant(here: World) -> None:
    start = told(here, "topup alice 5 lot paid in 60", "h: hold alice 3 in 80")
    (lot,) = start.lots_of("alice")
    after = told(start, "+99", "settle alice")
    assert after.posted(f"lot:{lot.id}:expiry:2").effective_at == NOON + timedelta(seconds=80)


def test_of_a_hold_and_a_lot_that_end_at_one_instant_the_hold_is_first(here: World) -> None:
    after = told(here, "topup alice 5 lot paid in 60", "h: hold alice 3 in 60", "+60", "settle alice")
    kinds = [posted.reference_id.split(":")[0] for posted in after.history if posted.origin == "service"]
    assert kinds == ["hold", "lot"]
    assert after.history[-1].entries[0].amount == 5


def test_what_has_expired_cannot_be_spent_by_the_request_that_finds_it(here: World) -> None:
    later = told(here, "topup alice 5 lot paid in 60", "+60")
    assert named(answer(later, "s: spend alice 11")) == "insufficient_funds"
    assert named(answer(later, "s: spend alice 10")) == "applied"


def test_a_held_slice_of_an_expired_lot_can_still_be_captured(here: World) -> None:
    after = told(here, "topup alice 5 lot paid in 60", "h: hold alice 3", "+99", "capture h")
    assert (seen(after, "alice"), seen(after, "GOLD.revenue"), seen(after, "GOLD.breakage")) == ("10", "3", "2")


def test_a_lot_may_be_given_its_expiry_as_an_instant(here: World) -> None:
    after = told(here, "topup alice 5 lot paid till 60")
    assert after.lots_of("alice")[0].expires_at == NOON + timedelta(seconds=60)


def test_the_answer_names_the_lot_that_was_opened(here: World) -> None:
    after = told(here, "t: topup alice 5 lot paid")
    assert after.posted("t").details.opened == (after.lots_of("alice")[0].id,)  # type: ignore[union-attr]


def test_a_lot_is_drawn_from_carried_over_held_and_refunded_in_the_batch_that_opened_it(here: World) -> None:
    lines = (
        "t: topup alice 9 lot paid",
        "s: spend alice 2",
        "x: transfer alice bob 3",
        "h: hold bob 1",
        "r: refund s 1",
    )
    decision = here.decide(*(ask(line, here) for line in lines))
    after = here.left_by(decision)
    assert [named(outcome) for outcome in decision.outcomes] == ["applied"] * 5
    assert (seen(after, "alice"), seen(after, "bob")) == ("15 lots 5", "3 held 1 lots 3(1)")


def test_lots_that_go_along_together_keep_their_order(here: World) -> None:
    opened = ["topup alice 1 lot paid", "topup alice 2 lot promotional"]
    assert seen(told(here, *opened, "transfer alice bob 3"), "bob") == "3 lots 1+2"


def test_a_credit_that_repays_a_debt_whole_opens_no_lot(here: World) -> None:
    after = told(here, "spend bob 7", "t: topup bob 7 lot paid")
    assert after.lots == {}
    assert after.posted("t").details is None


@pytest.mark.parametrize(
    ("debt", "repaid", "left"), [(0, [], [5, 2]), (3, [3], [2, 2]), (6, [5, 1], [1]), (9, [5, 2], [])]
)
def test_what_repays_a_debt_is_main_credit_and_the_parcels_still_add_up(
    debt: int, repaid: list[int], left: list[int]
) -> None:
    new = NewLot(LotCategory.PAID, 50, None)
    parcels = after_repaying([Parcel(5, new=new), Parcel(2, new=new)], debt)
    assert [parcel.amount for parcel in parcels if parcel.new is None] == repaid
    assert [parcel.amount for parcel in parcels if parcel.new is new] == left


def test_main_credit_stays_main_credit(here: World) -> None:
    assert told(here, "topup alice 5").lots == {}


# The credit that a transfer carries, and the lots that were there: BOB has a lot of each kind at most, whatever comes.
JOINS = """
story                                                                                   -> bob
transfer alice bob 1; transfer alice bob 2                                              -> 3 lots 3
transfer alice bob 5; topup alice 4 lot promotional till 60; transfer alice bob 4       -> 9 lots 9
transfer alice bob 2; topup alice 4 lot promotional till 60 priority 9; transfer alice bob 4 -> 6 lots 4+2
transfer alice bob 5; topup alice 4 lot paid till 60; transfer alice bob 4              -> 9 lots 5+4
transfer alice bob 5; topup alice 4 lot promotional till 61; transfer alice bob 4       -> 9 lots 5+4
transfer alice bob 5; topup alice 4 lot promotional; transfer alice bob 4               -> 9 lots 5+4
topup alice 4 lot promotional till 60; transfer alice bob 9                             -> 9 lots 9
transfer alice bob 2; spend bob 1; transfer alice bob 3                                 -> 4 lots 4
transfer alice bob 2; spend bob 2; transfer alice bob 3                                 -> 3 lots 3
transfer alice bob 2; h: hold bob 2; transfer alice bob 3                               -> 5 held 2 lots 5(2)
topup bob 4 lot promotional till 60; transfer alice bob 2                               -> 6 lots 6
topup bob 4 lot promotional till 60; topup bob 1 lot promotional till 60; transfer alice bob 2 -> 7 lots 6+1
transfer alice bob 2; topup bob 4 lot promotional till 60                               -> 6 lots 2+4
transfer alice bob 2; topup bob 4 lot promotional till 60; transfer alice bob 3         -> 9 lots 5+4
spend bob 3; transfer alice bob 2; transfer alice bob 2; transfer alice bob 1           -> 2 lots 2
transfer alice bob 2; transfer alice bob 3; +60; settle bob                             -> 0
transfer alice bob 2; transfer alice bob 3; +59; settle bob                             -> 5 lots 5
transfer alice bob 2; t: transfer alice bob 3; refund t                                 -> 2 lots 2
t: transfer alice bob 2; transfer alice bob 3; refund t                                 -> 3 lots 3
topup bob 9 lot paid; transfer alice bob 2; t: transfer alice bob 3; refund t           -> 11 lots 2+9
topup bob 3 lot promotional till 30; transfer alice bob 2; t: transfer alice bob 3; refund t -> 5 lots 3+2
transfer alice bob 2; t: transfer alice bob 3; h: hold bob 4; refund t 1                -> 4 held 4 lots 4(4)
transfer alice bob 2; merge bob cyd; transfer alice cyd 1                               -> 0
"""


@pytest.mark.parametrize("row", in_columns(JOINS), ids=" | ".join)
def test_what_a_transfer_carries_joins_a_live_lot_of_equal_terms(here: World, row: list[str]) -> None:
    story, expected = row
    after = told(here, "topup alice 5 lot promotional till 60", *lines_of(story))
    assert seen(after, "bob") == expected


def test_what_joins_a_lot_takes_its_place_and_leaves_it_as_it_was_opened(here: World) -> None:
    here = told(here, "topup alice 9 lot promotional", "transfer alice bob 2", "+1", "topup bob 4 lot paid")
    before = here.lots_of("bob")[0]
    after = told(here, "transfer alice bob 3")
    assert after.lots_of("bob")[0] == before._replace(remaining=5)
    assert seen(told(after, "spend bob 6"), "bob") == "3 lots 3"


def test_a_transfer_says_which_lots_it_has_opened_and_how_much_has_joined_which(here: World) -> None:
    lots = ("topup alice 9 lot promotional", "topup alice 2 lot paid in 60")
    after = told(here, *lots, "transfer alice bob 1", "t: transfer alice bob 8")
    paid, promotional = after.lots_of("bob")
    details = after.posted("t").details
    assert details is not None
    assert (details.opened, details.joined) == ((promotional.id,), (Slice(paid.id, 1),))
    assert (paid.remaining, promotional.amount) == (2, 7)


def test_no_reversal_takes_more_of_a_lot_than_its_original_put_there(here: World) -> None:
    """In parts, too, however much else the lot has by then: paid credit does not become promotional."""
    here = told(here, "topup bob 9 lot paid", "topup alice 5 lot paid", "topup alice 3 lot promotional in 60")
    here = told(here, "t: transfer alice bob 8")
    assert seen(here, "bob") == "17 lots 3+14"
    here = told(here, "refund t 4")
    assert seen(here, "bob") == "13 lots 3+10"
    here = told(here, "refund t 4")
    assert seen(here, "bob") == "9 lots 9"
    assert seen(here, "alice") == "18 lots 3+5"


@pytest.mark.parametrize("line", ["topup bob 4 lot promotional", "bonus bob 4 from alice lot promotional"])
def test_a_lot_that_is_issued_is_one_of_its_own(here: World, line: str) -> None:
    after = told(here, "topup bob 4 lot promotional", f"t: {line}")
    assert len(after.lots_of("bob")) == 2
    assert after.posted("t").details.joined == ()  # type: ignore[union-attr]


def test_credit_of_a_programme_is_joined_by_nothing(here: World) -> None:
    attachment = Attachment(programme_id("gym"), wallet_id("bob"), 0)
    here = replace(here, attachments={(attachment.programme_id, attachment.wallet_id): attachment})
    after = told(here, "grant gym bob 5 period 0", "topup alice 3 lot paid", "transfer alice bob 3")
    assert seen(after, "bob") == "8 lots 5+3"


def test_lots_of_grace_that_one_refund_opens_are_one_where_they_are_of_equal_terms(here: World) -> None:
    lots = ("topup alice 5 lot paid in 60", "topup alice 4 lot paid in 61", "topup alice 2 lot promotional in 62")
    after = told(here, *lots, "s: spend alice 11", "+99", "refund s")
    assert seen(after, "alice") == "21 lots 2+9"
