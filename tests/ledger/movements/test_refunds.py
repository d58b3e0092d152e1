"""Refunds and reversals: the mirror of an earlier transaction, slice by slice."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ledger.scripts import answer, ask, in_columns, lines_of, seen, told, transaction_id
from tests.ledger.worlds import NOON, World, named, world
from wallet.ledger.model import AMOUNT_MAX, LotCategory, OnRefundToExpired, Policy
from wallet.ledger.outcomes import Applied

WALLETS = """
wallet asset balance overdraft_limit max_balance
alice  GOLD  10      0               20
bob    GOLD  0       5               -
dora   COIN  10      0               -
"""

STORIES = """
story                                                                          -> alice       | bob | GOLD.revenue
s: spend alice 8; refund s                                                     -> 10          | 0   | 0
s: spend alice 8; refund s 3                                                   -> 5           | 0   | 5
s: spend alice 8; refund s 3; refund s 2                                       -> 7           | 0   | 3
s: spend alice 8; refund s 3; refund s                                         -> 10          | 0   | 0
s: spend alice 8 to bob; refund s 3                                            -> 5           | 5   | 0
t: transfer alice bob 8; refund t 3                                            -> 5           | 5   | 0
t: topup alice 8; refund t                                                     -> 10          | 0   | 0
t: topup alice 8; refund t 3                                                   -> 15          | 0   | 0
b: bonus alice 3 from bob; refund b 2                                          -> 11          | -1  | 0
x: move alice-8,bob+6,GOLD.revenue+2; refund x                                 -> 10          | 0   | 0
h: hold alice 8; c: capture h 6; refund c 2                                    -> 6 held 2    | 0   | 4
t: topup alice 8 lot paid; refund t 3                                          -> 15 lots 5   | 0   | 0
t: topup alice 8 lot paid; refund t                                            -> 10          | 0   | 0
t: topup alice 8 lot paid; spend alice 5; refund t                             -> 5           | 0   | 5
t: topup alice 8 lot paid; topup alice 2 lot paid in 9; refund t 3             -> 17 lots 2+5 | 0   | 0
t: topup alice 6 lot paid; topup alice 2 lot paid in 9; spend alice 7; refund t 4 -> 7        | 0   | 7
topup alice 5 lot paid in 9; s: spend alice 8; refund s                        -> 15 lots 5   | 0   | 0
topup alice 5 lot paid in 9; s: spend alice 8; refund s 3                      -> 10          | 0   | 5
topup alice 5 lot paid in 9; s: spend alice 8; refund s 4                      -> 11 lots 1   | 0   | 4
topup alice 5 lot paid in 9; s: spend alice 8; refund s 2; refund s 2          -> 11 lots 1   | 0   | 4
topup alice 5 lot paid in 9; topup alice 4 lot paid in 99; s: spend alice 8; refund s 4 -> 15 lots 1+4 | 0 | 4
topup alice 5 lot paid; t: transfer alice bob 8; refund t 4                    -> 11 lots 1   | 4 lots 1 | 0
topup alice 5 lot paid; t: transfer alice bob 5; refund t                      -> 15 lots 5   | 0   | 0
t: topup bob 4; spend bob 9; refund t forced                                   -> 10          | -9  | 9
t: topup bob 4; spend bob 9; refund t forced; topup bob 10 lot paid            -> 10          | 1 lots 1 | 9
t: topup alice 8 lot paid; hold alice 18; refund t forced                      -> 10 held 18 lots 8(8) | 0 | 0
topup alice 10; s: spend alice 8; topup alice 5; refund s                      -> 25          | 0   | 0
"""

# The lot of 5 that was spent has expired when the refund comes; `main` is what then is main credit.
EXPIRED = """
policy  -> alice       | GOLD.breakage | forfeited
grace   -> 15 lots 5   | 0             | None
forfeit -> 10          | 5             | 5
to_main -> 15          | 0             | None
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    return replace(world(WALLETS), policies={1: Policy(grace_seconds=50)}, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_story_leaves_the_wallets_as_the_table_says(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob", "GOLD.revenue")] == expected


@pytest.mark.parametrize("row", in_columns(EXPIRED), ids=" | ".join)
def test_a_refund_into_a_lot_that_has_expired_does_what_the_assets_policy_says(here: World, row: list[str]) -> None:
    policy, alice, breakage, forfeited = row
    here = replace(here, policies={1: Policy(on_refund_to_expired=OnRefundToExpired(policy), grace_seconds=50)})
    after = told(here, "topup alice 5 lot promotional in 9", "s: spend alice 5", "+9", "r: refund s")
    assert [seen(after, "alice"), seen(after, "GOLD.breakage")] == [alice, breakage]
    details = after.posted("r").details
    assert str(details.forfeited if details else None) == forfeited


def test_a_lot_of_grace_is_of_the_same_category_and_lasts_as_long_as_the_policy_says(here: World) -> None:
    after = told(here, "topup alice 5 lot promotional in 9 priority 3", "s: spend alice 5", "+9", "r: refund s")
    (lot,) = after.lots_of("alice")
    assert (lot.category, lot.priority, lot.amount) == (LotCategory.PROMOTIONAL, 3, 5)
    assert lot.expires_at == NOON + timedelta(seconds=9 + 50)
    assert lot.opened_by == transaction_id("r")


def test_only_the_part_of_a_refund_that_is_of_an_expired_lot_is_forfeited(here: World) -> None:
    here = replace(here, policies={1: Policy(on_refund_to_expired=OnRefundToExpired.FORFEIT)})
    after = told(
        here, "topup alice 5 lot paid in 9", "topup alice 3 lot paid", "s: spend alice 10", "+9", "r: refund s 7"
    )
    assert seen(after, "alice") == "13 lots 3"
    assert after.posted("r").details.forfeited == 2  # type: ignore[union-attr]
    assert [entry.amount for entry in after.posted("r").entries] == [7, 7]


def test_a_refund_mirrors_its_original_and_names_it(here: World) -> None:
    outcome = answer(told(here, "s: spend alice 8"), "r: refund s 3")
    assert isinstance(outcome, Applied)
    posted = outcome.posted
    assert (posted.type, posted.refund_of) == ("refund", transaction_id("s"))
    assert [(entry.direction, entry.amount) for entry in posted.entries] == [(1, 3), (-1, 3)]


def test_originals_are_never_edited(here: World) -> None:
    before = told(here, "s: spend alice 8")
    assert told(before, "refund s").posted("s") == before.posted("s")


def test_refunds_of_one_original_add_up_to_what_moved_and_no_more(here: World) -> None:
    after = told(here, "s: spend alice 8", "refund s 5")
    assert after.refunded[transaction_id("s")] == (5, 1)
    assert named(answer(after, "r: refund s 4")) == "refund_exceeds_original"
    assert named(answer(after, "r: refund s 3")) == "applied"


def test_two_refunds_in_one_batch_know_of_each_other(here: World) -> None:
    here = told(here, "s: spend alice 8")
    outcomes = here.decide(*(ask(f"{name}: refund s 5", here) for name in ("a", "b"))).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "refund_exceeds_original"]


def test_a_refund_does_not_undo_what_was_spent_for_a_limit(here: World) -> None:
    after = told(here, "change alice limit_day=8", "s: spend alice 8", "refund s")
    assert named(answer(after, "u: spend alice 1")) == "limit_exceeded"


def test_a_reversal_does_not_count_for_a_limit(here: World) -> None:
    after = told(here, "t: topup alice 5", "change alice limit_day=3", "refund t", "spend alice 3")
    assert seen(after, "alice") == "7"


def test_what_is_held_is_never_taken_by_a_reversal(here: World) -> None:
    after = told(here, "t: topup alice 8 lot paid", "hold alice 6")
    assert named(answer(after, "r: refund t")) == "applied"
    assert seen(told(after, "refund t"), "alice") == "10 held 6 lots 6(6)"


def test_a_reversed_topup_may_be_issued_again() -> None:
    here = world(WALLETS, max_supply=20)
    full = told(here, "t: topup dora 20")
    assert named(answer(full, "u: topup dora 1")) == "supply_exceeded"
    assert named(answer(told(full, "refund t 5"), "u: topup dora 5")) == "applied"


def test_even_by_force_no_wallet_goes_further_below_zero_than_63_bits_can_say() -> None:
    here = world("wallet asset balance overdraft_limit\ndeep GOLD 9 MAX")
    here = told(here, "t: topup deep 20", f"spend deep {AMOUNT_MAX - 5}", "h: hold deep 5")
    assert named(answer(told(here, "spend deep 9"), "r: refund t forced")) == "applied"
    deeper = told(here, "spend deep 10")
    assert named(answer(deeper, "r: refund t forced")) == "insufficient_funds"
    assert seen(told(deeper, "refund t 19 forced", "capture h"), "deep") == str(-AMOUNT_MAX)


def test_what_is_given_back_to_a_wallet_as_deep_as_63_bits_can_say_is_no_debit() -> None:
    here = world("wallet asset balance overdraft_limit\ndeep GOLD 0 MAX")
    here = told(here, f"s: spend deep {AMOUNT_MAX}")
    assert seen(told(here, "refund s"), "deep") == "0"


def test_refunds_ignore_the_maximum_balance(here: World) -> None:
    after = told(here, "topup alice 10", "s: spend alice 15", "topup alice 15", "refund s")
    assert seen(after, "alice") == "35"


def test_a_refund_may_be_effective_at_its_originals_instant_and_not_before(here: World) -> None:
    later = told(here, "s: spend alice 5 effective -60", "+60")
    assert named(answer(later, "r: refund s effective -121")) == "effective_before_original"
    assert named(answer(later, "r: refund s effective -120")) == "applied"
