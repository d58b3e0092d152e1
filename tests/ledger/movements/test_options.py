"""Options of requests: up to an amount, conditions, dry runs, effective times, groups. And grants."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ledger.scripts import answer, ask, group, in_columns, lines_of, programme_id, seen, told, transaction_id
from tests.ledger.worlds import NOON, NOTHING, World, named, wallet_id, world
from wallet.ledger.apply import apply_batch
from wallet.ledger.footprint import is_plain
from wallet.ledger.model import Attachment
from wallet.ledger.outcomes import Applied, Grouped, Predicted, Refused, Replayed
from wallet.ledger.requests import weight

WALLETS = """
wallet asset balance overdraft_limit max_balance
alice  GOLD  10      5               -
bob    GOLD  0       0               -
cyd    GOLD  0       0               20
dora   COIN  0       0               -
"""

UP_TO = """
before          | asked                           -> moved
                | spend alice 8 upto              -> 8
                | spend alice 12 upto             -> 10
hold alice 4    | spend alice 12 upto             -> 6
                | transfer alice bob 12 upto      -> 10
                | spend alice 12 upto least 10    -> 10
                | spend alice 12 upto least 11    -> insufficient_funds
spend alice 10  | spend alice 1 upto              -> insufficient_funds
spend alice 13  | spend alice 1 upto              -> insufficient_funds
topup alice 5 lot paid; hold alice 7 | spend alice 12 upto -> 8
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    keys = [(programme_id("gym"), wallet_id(name)) for name in ("bob", "cyd", "dora")]
    attachments = {key: Attachment(*key, 0) for key in keys}
    return replace(world(WALLETS, max_supply=30), attachments=attachments, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(UP_TO), ids=" | ".join)
def test_up_to_moves_what_is_there_without_overdraft_and_at_least_the_least(here: World, row: list[str]) -> None:
    before, asked, expected = row
    outcome = answer(told(here, *lines_of(before)), f"z: {asked}")
    if isinstance(outcome, Refused):
        assert named(outcome) == expected
    else:
        assert isinstance(outcome, Applied)
        assert {str(entry.amount) for entry in outcome.posted.entries} == {expected}


def test_an_answer_to_up_to_says_what_was_requested(here: World) -> None:
    outcome = answer(here, "s: spend alice 12 upto")
    assert isinstance(outcome, Applied)
    assert outcome.posted.details is not None
    assert outcome.posted.details.requested_amount == 12


def test_a_limit_refuses_what_up_to_would_move_and_does_not_shrink_it(here: World) -> None:
    here = told(here, "change alice limit_day=9")
    assert named(answer(here, "s: spend alice 12 upto")) == "limit_exceeded"


def test_a_condition_is_compared_with_the_balance_after_the_movement_and_the_version_before(here: World) -> None:
    assert named(answer(here, "s: spend alice 3 when alice balance 7..7 when alice version 0")) == "applied"
    assert named(answer(here, "t: transfer alice bob 3 when bob balance 3..3 when alice balance 7..7")) == "applied"


def test_conditions_are_no_part_of_what_a_reference_stands_for(here: World) -> None:
    after = told(here, "s: spend alice 3 when alice version 0")
    assert named(answer(after, "s: spend alice 3 (again)")) == "replayed"


def test_a_version_counts_what_was_due(here: World) -> None:
    later = told(here, "h: hold alice 3 in 60", "+60")
    assert named(answer(later, "s: spend alice 3 when alice version 1")) == "version_conflict"
    assert named(answer(later, "s: spend alice 3 when alice version 2")) == "applied"


# Dry runs.


def test_a_dry_run_changes_nothing_and_uses_no_reference(here: World) -> None:
    decision = here.decide(ask("s: spend alice 3 dry", here))
    assert isinstance(decision.outcomes[0], Predicted)
    assert decision[1:] == NOTHING[1:]
    assert named(answer(here, "s: spend alice 4")) == "applied"


def test_a_dry_run_predicts_a_refusal_as_the_real_call_would_give_it(here: World) -> None:
    assert answer(here, "s: spend alice 16 dry") == answer(here, "s: spend alice 16")


def test_a_dry_run_of_a_used_reference_is_its_replay(here: World) -> None:
    after = told(here, "s: spend alice 3")
    outcome = answer(after, "s: spend alice 3 dry (again)")
    assert outcome == Replayed(after.posted("s"))
    assert isinstance(outcome, Replayed)


def test_a_dry_run_does_what_is_due_in_thought(here: World) -> None:
    later = told(here, "h: hold alice 9 in 60", "+60")
    decision = later.decide(ask("s: spend alice 15 dry", later))
    assert isinstance(decision.outcomes[0], Predicted)
    assert decision[1:] == NOTHING[1:]


# Effective times.

EFFECTIVE = """
asked                        -> effective
spend alice 1                -> 0
spend alice 1 effective -600 -> -600
spend alice 1 effective 0    -> 0
spend alice 1 effective 5    -> 0
"""


@pytest.mark.parametrize("row", in_columns(EFFECTIVE), ids=" | ".join)
def test_a_movement_is_effective_when_it_says_and_never_after_it_was_posted(here: World, row: list[str]) -> None:
    outcome = answer(here, f"s: {row[0]}")
    assert isinstance(outcome, Applied)
    assert (outcome.posted.effective_at, outcome.posted.created_at) == (NOON + timedelta(seconds=int(row[1])), NOON)


def test_an_effective_time_affects_neither_limits_nor_lots(here: World) -> None:
    here = told(here, "change alice limit_day=3", "spend alice 3 effective -99999")
    assert named(answer(here, "s: spend alice 1")) == "limit_exceeded"
    after = told(here, "topup bob 5 lot paid in 60 effective -60")
    assert seen(after, "bob") == "5 lots 5"


# Groups.

GROUPS = """
before         | items                                                  -> answers
               | a: spend alice 3; b: spend alice 4                     -> applied,applied
               | a: spend alice 9; b: spend alice 9                     -> group_refused,insufficient_funds
               | a: spend alice 99; b: spend alice 9                    -> insufficient_funds,group_refused
a: spend alice 3 | a: spend alice 3; b: spend alice 4                   -> replayed,applied
a: spend alice 3 | a: spend alice 3; b: spend alice 99                  -> replayed,insufficient_funds
a: spend alice 3 | b: spend alice 99; a: spend alice 3                  -> insufficient_funds,replayed
a: spend alice 3 | b: spend alice 1; a: spend alice 4                   -> group_refused,reference_reused
               | a: spend alice 3; a: spend alice 3                     -> applied,replayed
               | a: spend alice 3; a: spend alice 3; b: spend alice 99 -> group_refused,group_refused,insufficient_funds
               | a: transfer alice bob 8; b: spend bob 8                -> applied,applied
               | h: hold alice 8; c: capture h 5; v: void h             -> applied,applied,applied
               | s: spend alice 8; r: refund s 9                        -> group_refused,refund_exceeds_original
"""


@pytest.mark.parametrize("row", in_columns(GROUPS), ids=" | ".join)
def test_a_group_is_answered_as_the_table_says(here: World, row: list[str]) -> None:
    before, items, expected = row
    here = told(here, *lines_of(before))
    lines = lines_of(items)
    again = [line for line in lines if line in lines_of(before)]
    requests = [
        ask(line, here, try_number=2 if line in again or line in lines[:at] else 1) for at, line in enumerate(lines)
    ]
    (outcome,) = here.decide(group("g", [], here)._replace(items=tuple(requests))).outcomes
    assert named(outcome) == expected


def test_a_refused_group_has_no_effect(here: World) -> None:
    lines = ["a: transfer alice bob 8", "h: hold alice 2", "x: topup bob 9 lot paid", "b: spend alice 99"]
    assert here.decide(group("g", lines, here))[1:] == NOTHING[1:]


def test_what_is_due_is_posted_even_if_the_group_is_refused(here: World) -> None:
    later = told(here, "h: hold alice 8 in 60", "+60")
    decision = later.decide(group("g", ["a: spend alice 9", "b: spend alice 9"], later))
    assert [posted.reference_id for posted in decision.posted] == [f"hold:{transaction_id('h')}:expiry"]


def test_a_references_of_a_refused_group_are_free(here: World) -> None:
    after = here.after(group("g", ["a: spend alice 9", "b: spend alice 9"], here))
    assert named(answer(after, "a: spend alice 5")) == "applied"


def test_a_dry_group_predicts_and_changes_nothing(here: World) -> None:
    decision = here.decide(group("g", ["a: transfer alice bob 8", "b: spend bob 8"], here, dry=True))
    (outcome,) = decision.outcomes
    assert isinstance(outcome, Grouped)
    assert named(outcome) == "predicted,predicted"
    assert decision[1:] == NOTHING[1:]


def test_a_group_is_applied_in_order(here: World) -> None:
    (outcome,) = here.decide(group("g", ["a: spend bob 8", "b: transfer alice bob 8"], here)).outcomes
    assert named(outcome) == "insufficient_funds,group_refused"


LINES = """
before                                     | items                            | lines
                                           | a: spend alice 1; b: spend alice 1 | 4
                                           | a: move alice-2,bob+1,cyd+1      | 3
topup bob 4 lot paid; topup bob 5 lot paid | a: spend bob 3; b: spend bob 3   | 10
                                           | a: topup bob 4 lot paid          | 4
                                           | h: hold alice 8; c: capture h 5  | 6
h: hold bob 5 in 60; topup alice 2; +60    | a: spend bob 1; b: spend bob 1   | 5
"""


@pytest.mark.parametrize("row", in_columns(LINES), ids=" | ".join)
@pytest.mark.parametrize("is_behind_others", [False, True])
def test_a_group_may_come_to_so_many_lines_and_no_more(here: World, row: list[str], *, is_behind_others: bool) -> None:
    before, items, lines = row
    here = told(here, "topup bob 5", *lines_of(before))
    asked = group("g", lines_of(items), here)
    batch = [*(ask(line, here) for line in ("x: topup cyd 1", "y: topup cyd 2") if is_behind_others), asked]
    context = here.context(batch)
    allowed = apply_batch(batch, context._replace(group_lines_max=int(lines)), here.now)
    assert set(named(allowed.outcomes[-1]).split(",")) == {"applied"}
    refused = apply_batch(batch, context._replace(group_lines_max=int(lines) - 1), here.now)
    assert named(refused.outcomes[-1]).split(",")[-1] == "group_too_large"
    assert {posted.reference_id for posted in refused.posted}.isdisjoint(item.reference_id for item in asked.items)


def test_what_is_no_group_may_come_to_any_number_of_lines(here: World) -> None:
    batch = [ask("s: spend alice 1", here)]
    decision = apply_batch(batch, here.context(batch)._replace(group_lines_max=0), NOON)
    assert named(decision.outcomes[0]) == "applied"


def test_a_request_weighs_about_as_many_wallets_as_it_locks(here: World) -> None:
    lines = ["a: spend alice 1", "h: hold alice 1", "x: move alice-2,bob+1,cyd+1"]
    assert [weight(ask(line, here)) for line in lines] == [2, 2, 3]
    assert weight(group("g", lines, here)) == 7
    assert weight(group("g", lines, here, dry=True)) == 7


def test_what_is_only_tried_weighs_more_for_it_is_tried_on_a_copy_of_all_there_is(here: World) -> None:
    asked = ask("s: spend alice 1", here)
    assert weight(asked._replace(options=asked.options._replace(dry_run=True))) == 20


def test_only_a_movement_that_opens_no_lot_is_plain(here: World) -> None:
    lines = ["a: spend alice 1", "t: topup alice 1 lot paid", "h: hold alice 1"]
    assert [is_plain(ask(line, here)) for line in lines] == [True, False, False]


# Grants.

GRANTS = """
story                                                                      -> bob
grant gym bob 5 period 0                                                   -> 5 lots 5
grant gym bob 5 period 0; grant gym bob 5 period 1                         -> 10 lots 5+5
grant gym bob 5 period 0 rollover 0; grant gym bob 5 period 1 rollover 0   -> 5 lots 5
grant gym bob 5 period 0; spend bob 2; grant gym bob 5 period 1 rollover 0 -> 5 lots 3+2
grant gym bob 5 period 0; grant gym bob 5 period 1 rollover 3              -> 8 lots 5+3
grant gym bob 5 period 0; grant gym bob 5 period 1 rollover 9              -> 10 lots 5+5
grant gym bob 5 period 0; topup bob 9 lot paid; grant gym bob 5 period 1 rollover 3 -> 17 lots 5+9+3
grant gym bob 5 period 0; hold bob 5; grant gym bob 5 period 1 rollover 0  -> 5 held 5 lots 5(5)
grant gym bob 5 period 0 in 60; +60; grant gym bob 5 period 1 rollover 0   -> 5 lots 5
grant gym bob 5 period 0 in 60 starts -59                                  -> 5 lots 5
grant gym bob 5 period 0 in 60 starts -60                                  -> 0
"""


@pytest.mark.parametrize("row", in_columns(GRANTS), ids=" | ".join)
def test_a_grant_tops_up_to_what_may_roll_over_and_one_period(here: World, row: list[str]) -> None:
    story, expected = row
    assert seen(told(here, *lines_of(story)), "bob") == expected


SKIPPED = """
before                                                    | grant                              -> why
grant gym bob 5 period 0                                  | grant gym bob 5 period 1 rollover 0 -> rollover_max
change bob freeze_incoming=yes                            | grant gym bob 5 period 0           -> wallet_frozen
close bob                                                 | grant gym bob 5 period 0           -> wallet_closed
                                                          | grant gym cyd 21 period 0          -> max_balance_exceeded
                                                          | grant gym dora 31 period 0         -> supply_exceeded
                                                          | grant gym bob 5 period 0 in 9 starts -9 -> expired
"""


@pytest.mark.parametrize("row", in_columns(SKIPPED), ids=" | ".join)
def test_a_zero_or_refused_grant_is_recorded_as_skipped_and_not_tried_again(here: World, row: list[str]) -> None:
    before, grant, why = row
    here = told(here, *lines_of(before))
    outcome = answer(here, f"g: {grant}")
    assert isinstance(outcome, Applied)
    assert outcome.posted.entries == ()
    assert outcome.posted.details is not None
    assert outcome.posted.details.skipped == why
    after = told(here, f"g: {grant}")
    assert named(answer(after, f"k: {grant}")) == "programme_not_found"
    assert named(answer(after, f"g: {grant} (again)")) == "replayed"


def test_a_grant_is_effective_when_its_period_starts_and_its_lot_expires_counted_from_then(here: World) -> None:
    after = told(here, "g: grant gym bob 5 period 0 in 60 starts -20")
    assert after.posted("g").effective_at == NOON - timedelta(seconds=20)
    (lot,) = after.lots_of("bob")
    assert (lot.expires_at, lot.programme_id) == (NOON + timedelta(seconds=40), programme_id("gym"))


def test_a_lot_of_a_grant_that_was_transferred_is_of_no_programme(here: World) -> None:
    after = told(here, "grant gym bob 5 period 0", "transfer bob cyd 3", "grant gym bob 5 period 1 rollover 0")
    assert (seen(after, "bob"), seen(after, "cyd")) == ("5 lots 2+3", "3 lots 3")
    assert [lot.programme_id for lot in after.lots_of("cyd")] == [None]
