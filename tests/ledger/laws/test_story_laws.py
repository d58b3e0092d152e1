"""Laws for any batch after any story (ledger.md, "Laws that always hold").

The laws of every single decision (money conserved, versions without gaps, holds and lots that add up) are in facts.py,
and are checked here and along the stories of test_machine.py.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from tests.ledger import stories
from tests.ledger.laws.facts import check_facts
from tests.ledger.laws.fixed_seeds import tried_until
from tests.ledger.oracle.agreement import as_answer, lot_names, wallet_view
from tests.ledger.scripts import ask, every_wallet_settled, told
from tests.ledger.strategies import LAWS
from tests.ledger.worlds import NOTHING, World, named
from wallet.ledger.model import ORDINARY, ORIGIN_SERVICE, Posted, WalletState
from wallet.ledger.outcomes import Applied, Predicted, RefusalCode, Refused, Replayed
from wallet.ledger.requests import ChangeWallet, Group, Single

_FAMILIES = (
    *[stories.movements] * 6,
    *[stories.placings] * 3,
    *[stories.hold_steps] * 4,
    *[stories.claims] * 2,
    *[stories.claim_steps] * 4,
    *[stories.refunds] * 2,
    *[stories.wallet_steps] * 2,
    stories.grants,
)
_step = st.integers(0, len(_FAMILIES) - 1).flatmap(lambda number: _FAMILIES[number])
_told = st.lists(st.tuples(_step | stories.waits, st.integers(0, 2)), min_size=3, max_size=14)
_batches = st.lists(st.tuples(_step, st.integers(0, 2)), min_size=1, max_size=8)


def _after(here: World, told: list[tuple[str | int, int]], story: stories.Story) -> World:
    for step, pick in told:
        here = here.later(step) if isinstance(step, int) else here.after(ask(story.line(step, pick), here), seconds=0)
    return here


@st.composite
def cases(draw: st.DrawFn) -> tuple[World, list[Single]]:
    """A world after a story, and a batch that comes next."""
    story = stories.Story()
    here = _after(draw(stories.worlds), draw(_told), story)
    steps: list[tuple[str, int]] = draw(_batches)
    return here, [ask(story.line(step, pick), here) for step, pick in steps]


def same(here: World) -> dict[str, Any]:
    """All there is in a world but what is only remembered while a batch is decided, and bounds that may be early."""
    return {**vars(here), "wallets": {id_: _lasting(state) for id_, state in here.wallets.items()}}


def _lasting(state: WalletState) -> WalletState:
    return state._replace(
        standing=state.standing._replace(
            next_due_at=None, spent_day=0, spent_month=0, day_resets_at=None, month_resets_at=None
        )
    )


# Groups are tried on purpose; what edges and clients' ids make rare has rows in test_refusal_stories.py.
RARE = {
    "group_refused", "asset_not_found", "wallet_not_found", "asset_mismatch", "legs_unbalanced", "wallet_closed",
    "effective_before_original", "expiry_out_of_range", "wallet_not_empty", "reference_reused", "programme_not_found",
    "limit_exceeded", "wallet_merged", "wallet_frozen", "group_too_large",
}  # fmt: skip


def test_the_stories_tried_here_get_nearly_every_answer_there_is() -> None:
    answers: Counter[str] = Counter()
    wanted = {"applied", "predicted", *(code.value for code in RefusalCode)} - RARE
    steps = st.lists(st.tuples(_step | stories.waits, st.integers(0, 2)), min_size=10, max_size=20)

    @tried_until(lambda: wanted <= answers.keys(), stories.worlds, steps, examples=350)
    def count(here: World, told: list[tuple[str | int, int]]) -> None:
        story = stories.Story()
        for step, pick in told:
            if isinstance(step, int):
                here = here.later(step)
            else:
                decision = here.decide(ask(story.line(step, pick), here))
                answers.update(named(outcome) for outcome in decision.outcomes)
                here = here.left_by(decision)

    assert wanted - answers.keys() == set()


@LAWS
@given(cases())
def test_what_must_always_hold_does(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    decision = here.decide(*batch)
    check_facts(here, decision, here.left_by(decision))


@LAWS
@given(cases())
def test_what_is_loaded_beside_what_is_needed_makes_no_difference(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    assert here.decide(*batch) == replace(here, is_thrifty=True).decide(*batch)


@LAWS
@given(cases(), st.data(), st.booleans())
def test_splitting_a_batch_anywhere_changes_nothing(
    case: tuple[World, list[Single]], choice: st.DataObject, is_thrifty: bool
) -> None:
    here, batch = case
    here = replace(here, is_thrifty=is_thrifty)
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(batch)), max_size=3), label="cuts"))
    whole = here.decide(*batch)
    outcomes, parts = [], here
    for start, end in pairwise([0, *cuts, len(batch)]):
        decision = parts.decide(*batch[start:end])
        outcomes += decision.outcomes
        parts = parts.left_by(decision)
    assert tuple(outcomes) == whole.outcomes
    assert same(parts) == same(here.left_by(whole))


@LAWS
@given(cases())
def test_asking_again_changes_nothing_and_repeats_the_answers_field_for_field(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    decision = here.decide(*batch)
    answered = [
        (request._replace(id=_another(request)), outcome)
        for request, outcome in zip(batch, decision.outcomes, strict=True)
        if isinstance(outcome, Applied | Replayed) and not isinstance(request, ChangeWallet)
    ]
    event(f"{min(len(answered), 5)} accepted")
    again = here.left_by(decision).later(99).decide(*(request for request, _ in answered))
    assert again.outcomes == tuple(Replayed(outcome.posted) for _, outcome in answered)
    assert all(isinstance(outcome, Replayed) for outcome in again.outcomes)
    assert again[1:] == NOTHING[1:]


def _another(request: Single) -> Any:
    return type(request.id)(int=request.id.int ^ 1)


@LAWS
@given(cases())
def test_running_a_batch_again_whose_answer_was_lost_applies_nothing_twice(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    first = here.decide(*batch)
    kept = [
        (request, outcome)
        for request, outcome in zip(batch, first.outcomes, strict=True)
        if not isinstance(outcome, Refused | Predicted)
    ]
    again = here.left_by(first).later(99).decide(*(request for request, _ in kept))
    assert again.outcomes == tuple(outcome for _, outcome in kept)
    assert again[1:] == NOTHING[1:]


@LAWS
@given(cases())
def test_what_is_refused_has_no_effect_but_what_was_due(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    for request in batch:
        decision = here.decide(request)
        if isinstance(decision.outcomes[0], Refused):
            event(named(decision.outcomes[0]))
            assert all(posted.origin == ORIGIN_SERVICE for posted in decision.posted)
            assert settled_view(here.left_by(decision)) == settled_view(here)
        here = here.left_by(decision)


def settled_view(here: World) -> dict[str, Any]:
    """A world once whatever is due is posted, in whatever order wallets were settled."""
    settled = every_wallet_settled(here)
    fields = same(settled)
    for name in ("history", "steps", "lot_moves", "declines"):
        fields[name] = sorted(fields[name], key=repr)
    return fields


@LAWS
@given(cases(), st.booleans())
def test_a_group_is_applied_whole_or_not_at_all(case: tuple[World, list[Single]], is_dry: bool) -> None:
    here, batch = case
    items = tuple(request._replace(options=request.options._replace(dry_run=False)) for request in batch)
    group = Group(_another(batch[0]), "api", "group", items)
    if is_dry:
        group = group._replace(options=group.options._replace(dry_run=True))
    decision = here.decide(group)
    (grouped,) = decision.outcomes
    one_by_one = here.decide(*items)
    is_refused = any(isinstance(outcome, Refused) for outcome in one_by_one.outcomes)
    event("refused" if is_refused else "applied")
    assert grouped.is_refused == is_refused  # type: ignore[union-attr]
    if is_dry:
        assert decision[1:] == NOTHING[1:]
    elif is_refused:
        assert settled_view(here.left_by(decision)) == settled_view(here)
    else:
        assert grouped.outcomes == one_by_one.outcomes  # type: ignore[union-attr]
        assert decision[1:] == one_by_one[1:]


@LAWS
@given(cases())
def test_a_dry_run_predicts_exactly_what_the_real_call_does(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    for request in batch:
        real = request._replace(options=request.options._replace(dry_run=False))
        dry = request._replace(options=request.options._replace(dry_run=True))
        predicted, decision = here.decide(dry), here.decide(real)
        (foretold,), (outcome,) = predicted.outcomes, decision.outcomes
        assert foretold == (Predicted(outcome.posted) if isinstance(outcome, Applied) else outcome)
        assert isinstance(foretold, Predicted) == isinstance(outcome, Applied)
        assert predicted[1:] == NOTHING[1:]
        here = here.left_by(decision)


@LAWS
@given(cases())
def test_deciding_changes_nothing_that_it_was_given(case: tuple[World, list[Single]]) -> None:
    here, batch = case
    context = here.context(batch)
    before = [dict(each) if isinstance(each, dict) else each for each in context]
    here.decide(*batch)
    assert [dict(each) if isinstance(each, dict) else each for each in context] == before


@LAWS
@given(stories.worlds, _told)
def test_a_late_keeper_changes_nothing_that_a_caller_can_see(start: World, told: list[tuple[str | int, int]]) -> None:
    late, story, answers = start, stories.Story(), []
    lines = [(step if isinstance(step, int) else story.line(step, pick)) for step, pick in told]
    for line in lines:
        if isinstance(line, int):
            late = late.later(line)
        else:
            late, answer = _answered(late, line)
            answers.append(answer)
    timely = start
    for line in lines:
        if isinstance(line, int):
            timely = _kept(timely, until=late.at(timely.now).later(line).now)
        else:
            timely, answer = _answered(timely, line)
            assert answer == answers.pop(0), line
    assert _seen(every_wallet_settled(late)) == _seen(every_wallet_settled(timely))


def _answered(here: World, line: str) -> tuple[World, dict[str, Any]]:
    decision = here.decide(ask(line, here))
    after = here.left_by(decision)
    return after, as_answer(decision.outcomes[0], lot_names(after.history), after)


def _kept(here: World, *, until: datetime) -> World:
    """The world then, where a keeper was there at each instant at which anything fell due."""
    while (instant := min(_instants(here), default=until)) <= until and instant > here.now:
        here = every_wallet_settled(here.at(instant))
    return here.at(until)


def _instants(here: World) -> list[datetime]:
    due = [hold.expires_at for hold in here.holds.values() if hold.remaining]
    due += [lot.expires_at for lot in here.lots.values() if lot.free]
    return [instant for instant in due if instant is not None and instant > here.now]


def _seen(here: World) -> list[dict[str, Any]]:
    """Everything that callers can see of wallets and of the service's own transactions, except when these were
    posted.
    """
    names = lot_names(here.history)
    wallets = [wallet_view(here, id_, names) for id_, state in here.wallets.items() if state.locked]
    return [*wallets, *sorted((_own(posted) for posted in here.history if posted.origin == ORIGIN_SERVICE), key=repr)]


def _own(posted: Posted) -> dict[str, Any]:
    entries = [entry[2:] for entry in posted.entries]
    return {"type": posted.type, "effective": posted.effective_at, "entries": entries, "hold": posted.hold_id}


def test_ordinary_wallets_stay_the_very_same_ordinary() -> None:
    here = stories.ordinary_world()
    after = here.after(ask("s: spend alice 1", here))
    assert after.state("alice").standing is ORDINARY
    # Nor does what is not ordinary make them remember what nobody will ask for.
    assert told(after, "h: hold alice 2", "capture h 1").state("alice").standing is ORDINARY
    assert not any((ORDINARY.lot_balance, ORDINARY.spent_day, ORDINARY.spent_month))
