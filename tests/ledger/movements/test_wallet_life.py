"""Limits, freezes, closing, reopening and merging: what may become of a wallet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ledger.scripts import answer, ask, in_columns, lines_of, programme_id, seen, told, transaction_id
from tests.ledger.worlds import NOON, World, named, wallet_id, world
from wallet.ledger.model import Attachment, HoldStatus, WalletEvent
from wallet.ledger.outcomes import Applied, Refused

WALLETS = """
wallet asset balance overdraft_limit
alice  GOLD  100     0
bob    GOLD  0       0
cyd    GOLD  0       0
dora   COIN  10      0
"""

# A limit of 10 a day: what was done before, what is done then, and whether that is within the limit.
DAY = """
before                                         | then          -> answer
                                               | spend alice 10 -> applied
                                               | spend alice 11 -> limit_exceeded
                                               | spend alice 11 upto -> limit_exceeded
                                               | hold alice 11 -> limit_exceeded
                                               | transfer alice bob 11 -> limit_exceeded
                                               | move alice-11,bob+11 -> limit_exceeded
spend alice 6                                  | spend alice 4 -> applied
spend alice 6                                  | spend alice 5 -> limit_exceeded
transfer alice bob 6                           | spend alice 5 -> limit_exceeded
move alice-6,bob+6                             | spend alice 5 -> limit_exceeded
hold alice 6                                   | spend alice 5 -> limit_exceeded
h: hold alice 6; capture h                     | spend alice 5 -> limit_exceeded
h: hold alice 6; capture h 2                   | spend alice 5 -> limit_exceeded
h: hold alice 6; capture h 2 final             | spend alice 8 -> applied
h: hold alice 6; void h                        | spend alice 10 -> applied
h: hold alice 6; capture h 2; void h           | spend alice 8 -> applied
h: hold alice 6; capture h 2; void h           | spend alice 9 -> limit_exceeded
h: hold alice 6                                | increase h 5  -> limit_exceeded
h: hold alice 6                                | increase h 4  -> applied
h: hold alice 10                               | capture h     -> applied
s: spend alice 6; refund s                     | spend alice 5 -> limit_exceeded
t: topup alice 6; refund t                     | spend alice 10 -> applied
t: transfer bob alice 6; refund t              | spend alice 10 -> applied
topup alice 6 lot paid in 9; +9                | spend alice 10 -> applied
bonus bob 6 from alice                         | spend alice 10 -> applied
transfer bob alice 6                           | spend alice 10 -> applied
merge cyd alice                                | spend alice 10 -> applied
spend alice 6; +86399                          | spend alice 5 -> limit_exceeded
spend alice 6; +86400                          | spend alice 10 -> applied
spend alice 6; +3600; spend alice 3; +82800    | spend alice 7 -> applied
spend alice 6; +3600; spend alice 3; +82800    | spend alice 8 -> limit_exceeded
h: hold alice 6; +99999                        | spend alice 5 -> limit_exceeded
h: hold alice 6; +86399; capture h; +86399     | spend alice 5 -> limit_exceeded
h: hold alice 6 in 9 on-expiry-capture; +86408 | spend alice 5 -> limit_exceeded
h: hold alice 6 in 9 on-expiry-capture; +86409 | spend alice 10 -> applied
change alice limit_day=-                       | spend alice 99 -> applied
spend alice 6; change alice limit_day=5        | spend alice 1 -> limit_exceeded
"""

# The same by calendar month: noon of 1 January is when it begins, 2,635,200 s before 1 February.
MONTH = """
before                   | then           -> answer
                         | spend alice 11 -> limit_exceeded
spend alice 6            | spend alice 5  -> limit_exceeded
spend alice 6; +2635199  | spend alice 5  -> limit_exceeded
spend alice 6; +2635200  | spend alice 10 -> applied
hold alice 6; +2635200   | spend alice 5  -> limit_exceeded
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    attachments = {
        (programme_id(name), wallet_id(wallet)): Attachment(programme_id(name), wallet_id(wallet), period)
        for name, wallet, period in (("gym", "alice", 3), ("gym", "cyd", 1), ("tea", "alice", 0))
    }
    start = told(world(WALLETS), "topup bob 20")
    return replace(start, attachments=attachments, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(DAY), ids=" | ".join)
def test_a_limit_per_day_counts_what_left_within_24_hours_and_what_is_held(here: World, row: list[str]) -> None:
    before, then, expected = row
    here = told(here, "change alice limit_day=10", *lines_of(before))
    assert named(answer(here, f"z: {then}")) == expected


@pytest.mark.parametrize("row", in_columns(MONTH), ids=" | ".join)
def test_a_limit_per_month_counts_what_left_in_this_calendar_month(here: World, row: list[str]) -> None:
    before, then, expected = row
    here = told(here, "change alice limit_month=10", *lines_of(before))
    assert named(answer(here, f"z: {then}")) == expected


def test_a_limit_set_now_counts_what_was_spent_before(here: World) -> None:
    here = told(here, "spend alice 6", "change alice limit_day=10")
    assert named(answer(here, "s: spend alice 5")) == "limit_exceeded"


def test_a_limit_set_in_the_same_batch_counts_what_was_spent_before(here: World) -> None:
    here = told(here, "spend alice 6")
    batch = [ask(line, here) for line in ("x: change alice limit_day=10", "s: spend alice 5", "t: spend alice 4")]
    assert [named(outcome) for outcome in here.decide(*batch).outcomes] == ["applied", "limit_exceeded", "applied"]


def test_what_is_spent_in_the_same_batch_counts_for_a_limit_set_after_it(here: World) -> None:
    batch = [ask(line, here) for line in ("r: spend alice 6", "x: change alice limit_day=10", "s: spend alice 5")]
    assert [named(outcome) for outcome in here.decide(*batch).outcomes] == ["applied", "applied", "limit_exceeded"]


def test_what_came_in_or_went_elsewhere_in_the_same_batch_does_not_count_for_a_limit_set_after_it(here: World) -> None:
    lines = ("b: transfer bob alice 6", "x: change alice limit_day=10", "s: spend alice 10")
    batch = [ask(line, here) for line in lines]
    assert [named(outcome) for outcome in here.decide(*batch).outcomes] == ["applied"] * 3


def test_a_debit_that_does_not_count_does_not_count_for_a_limit_set_after_it_in_the_same_batch(here: World) -> None:
    here = told(here, "t: topup alice 20")
    batch = [ask(line, here) for line in ("r: refund t", "x: change alice limit_day=10", "s: spend alice 10")]
    assert [named(outcome) for outcome in here.decide(*batch).outcomes] == ["applied"] * 3


def test_what_was_captured_at_an_expiry_counts_from_then_for_a_limit_set_in_the_same_batch(here: World) -> None:
    lines = ("x: change alice limit_day=10", "s: spend alice 10", "t: spend alice 5")
    start = told(here, "h: hold alice 6 in 9 on-expiry-capture", "g: hold alice 5 in 86409 on-expiry-capture", "+86409")
    batch = [ask(line, start) for line in lines]
    # The first capture was 24 hours ago to the instant, the second is now.
    assert [named(outcome) for outcome in start.decide(*batch).outcomes] == ["applied", "limit_exceeded", "applied"]


@pytest.mark.parametrize("line", ["x: change alice max_balance=5", "x: close cyd"])
def test_each_change_is_an_event_and_takes_a_version(here: World, line: str) -> None:
    request = ask(line, here)
    decision = here.decide(request)
    (event,) = decision.changes.events
    state = here.wallets[request.wallet_id]  # type: ignore[union-attr]
    assert event.version == decision.states[event.wallet_id].version == state.version + 1
    assert (event.id, event.kind) == (transaction_id("x"), request.type)
    assert decision.posted == ()
    assert decision.states[event.wallet_id].last_entry_at == here.now


def test_an_event_keeps_the_fields_and_their_new_values(here: World) -> None:
    after = told(here, "x: change alice max_balance=500 freeze_outgoing=yes limit_day=-")
    assert after.events == (
        WalletEvent(
            transaction_id("x"), wallet_id("alice"), 1, "change",
            (("max_balance", 500), ("freeze_outgoing", True), ("limit_day", None)),
        ),
    )  # fmt: skip


def test_closing_what_is_closed_is_applied_and_no_event(here: World) -> None:
    after = told(here, "close cyd")
    decision = after.decide(ask("x: close cyd", after))
    assert isinstance(decision.outcomes[0], Applied)
    assert (decision.changes.events, decision.states) == ((), {})


def test_a_change_asked_for_again_under_its_id_is_applied_once(here: World) -> None:
    request = ask("x: change alice max_balance=500", here)
    after = here.after(request)
    decision = after.decide(request)
    assert isinstance(decision.outcomes[0], Applied)
    assert decision.states == {}


def test_a_lowered_limit_may_leave_a_wallet_below_it_which_can_then_only_be_credited(here: World) -> None:
    here = told(here, "change cyd overdraft_limit=9", "spend cyd 9", "change cyd overdraft_limit=4")
    assert named(answer(here, "s: spend cyd 1")) == "insufficient_funds"
    assert seen(told(here, "topup cyd 3"), "cyd") == "-6"


def test_a_maximum_below_the_balance_only_stops_credits(here: World) -> None:
    here = told(here, "change alice max_balance=50")
    assert named(answer(here, "t: topup alice 1")) == "max_balance_exceeded"
    assert named(answer(here, "s: spend alice 1")) == "applied"


def test_null_clears_what_a_wallet_may_do(here: World) -> None:
    cleared = "overdraft_limit=- max_balance=- limit_day=- limit_month=- freeze_outgoing=- freeze_incoming=-"
    limited = told(here, "change bob overdraft_limit=9 max_balance=9 limit_day=9 freeze_outgoing=yes")
    after = told(limited, f"change bob {cleared}")
    assert named(answer(after, "s: spend bob 20")) == "applied"
    assert named(answer(after, "s: spend bob 21")) == "insufficient_funds"
    assert named(answer(after, "t: topup bob 99")) == "applied"


def test_a_closed_wallet_has_nothing_and_a_reopened_one_works_again(here: World) -> None:
    here = told(here, "spend alice 100", "close alice", "reopen alice", "topup alice 5")
    assert seen(here, "alice") == "5"


# Merging.


def test_a_merge_moves_balance_lots_open_holds_and_grants(here: World) -> None:
    here = told(here, "topup alice 5 lot paid", "h: hold alice 7", "i: hold alice 9", "void i", "m: merge alice bob")
    assert (seen(here, "alice"), seen(here, "bob")) == ("0", "125 held 7 lots 5(5)")
    assert (here.hold("h").wallet_id, here.hold("i").wallet_id) == (wallet_id("bob"), wallet_id("alice"))
    assert {key: each.period for key, each in here.attachments.items() if key[1] != wallet_id("cyd")} == {
        (programme_id("gym"), wallet_id("bob")): 3, (programme_id("tea"), wallet_id("bob")): 0,
    }  # fmt: skip


def test_who_has_a_programme_already_does_not_get_it_twice(here: World) -> None:
    here = told(here, "merge alice cyd")
    assert {key: each.period for key, each in here.attachments.items()} == {
        (programme_id("gym"), wallet_id("cyd")): 1, (programme_id("tea"), wallet_id("cyd")): 0,
    }  # fmt: skip


def test_a_merge_is_one_transaction_of_the_whole_balance(here: World) -> None:
    posted = told(here, "m: merge alice bob").posted("m")
    assert [(entry.wallet_id, entry.direction, entry.amount) for entry in posted.entries] == [
        (wallet_id("alice"), -1, 100), (wallet_id("bob"), 1, 100),
    ]  # fmt: skip


def test_an_empty_wallet_is_merged_without_an_entry(here: World) -> None:
    after = told(here, "m: merge cyd bob")
    assert after.posted("m").entries == ()
    assert after.state("cyd").standing.merged_into == wallet_id("bob")


def test_a_merged_lot_keeps_its_category_and_expiry_and_expires_at_its_new_wallet(here: World) -> None:
    here = told(here, "topup alice 5 lot promotional in 60", "merge alice bob")
    assert seen(here, "bob") == "125 lots 5"
    assert seen(told(here, "+60", "settle bob"), "bob") == "120"


def test_hold_steps_follow_a_merge(here: World) -> None:
    here = told(here, "h: hold alice 7 in 60", "i: hold alice 8 in 60", "merge alice bob")
    here = told(here, "capture h 2", "increase h 1")
    assert seen(here, "bob") == "118 held 14"
    assert seen(told(here, "+60", "settle bob"), "bob") == "118"


def test_captures_follow_the_merge_of_their_target(here: World) -> None:
    here = told(here, "h: hold alice 7 to bob in 60 on-expiry-capture", "merge bob cyd", "capture h 2")
    assert seen(here, "cyd") == "22"
    assert seen(told(here, "+60", "settle cyd"), "cyd") == "27"


def test_a_hold_whose_ends_were_merged_into_one_is_released_at_its_expiry(here: World) -> None:
    here = told(here, "h: hold alice 7 to bob in 60 on-expiry-capture", "merge alice bob", "+60", "settle bob")
    assert (here.hold("h").status, seen(here, "bob")) == (HoldStatus.EXPIRED, "120")


def test_refunds_follow_a_merge_into_the_lots_too(here: World) -> None:
    here = told(here, "topup alice 5 lot paid", "s: spend alice 8", "merge alice bob", "refund s")
    assert seen(here, "bob") == "125 lots 5"
    assert seen(here, "alice") == "0"


def test_refunds_follow_merges_of_merges(here: World) -> None:
    here = told(here, "topup alice 5 lot paid", "s: spend alice 8", "merge alice bob", "merge bob cyd", "refund s 6")
    assert seen(here, "cyd") == "123 lots 3"


def test_a_wallet_below_zero_is_not_merged(here: World) -> None:
    here = told(here, "change cyd overdraft_limit=9", "spend cyd 9")
    assert named(answer(here, "m: merge cyd bob")) == "insufficient_funds"
    assert named(answer(here, "m: merge bob cyd")) == "applied"


def test_what_is_held_on_an_overdraft_is_not_merged_into_a_wallet_that_cannot_cover_it(here: World) -> None:
    here = told(here, "change cyd overdraft_limit=30", "hold cyd 21")
    refused = answer(here, "m: merge cyd bob")
    assert isinstance(refused, Refused)
    assert (named(refused), refused.available, refused.required) == ("insufficient_funds", -1, 0)
    assert named(answer(told(here, "topup bob 1"), "m: merge cyd bob")) == "applied"


def test_what_fell_due_at_the_source_is_posted_before_it_is_merged(here: World) -> None:
    here = told(here, "topup alice 5 lot paid in 60", "h: hold alice 9 in 60", "+60", "m: merge alice bob")
    assert seen(here, "bob") == "120"
    assert here.posted("m").entries[0].amount == 100


def test_a_merged_away_wallet_never_falls_due_again(here: World) -> None:
    here = told(here, "h: hold alice 9 in 60", "merge alice bob")
    assert here.state("alice").standing.next_due_at is None
    assert here.state("bob").standing.next_due_at == NOON + timedelta(seconds=60)


def test_a_wallet_that_was_merged_away_has_nothing_left_in_lots(here: World) -> None:
    after = told(here, "topup alice 5 lot paid", "topup bob 3 lot paid", "m: merge alice bob")
    assert after.wallets[wallet_id("alice")].standing.lot_balance == 0
    assert after.wallets[wallet_id("bob")].standing.lot_balance == 8
