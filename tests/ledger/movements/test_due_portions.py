"""Settling by portions: whatever the portions, they leave what settling at once leaves."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.ledger import stories
from tests.ledger.laws.test_story_laws import same
from tests.ledger.scripts import ask, every_wallet_settled, told
from tests.ledger.strategies import LAWS
from tests.ledger.worlds import World, wallet_id, world
from wallet.errors import InvariantViolated
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import Decision
from wallet.ledger.model import ORIGIN_SERVICE, DueKey, HoldStatus
from wallet.ledger.outcomes import Settled
from wallet.ledger.requests import Settle

WALLETS = """
wallet asset balance
alice  GOLD  10
bob    GOLD  0
cyd    GOLD  0
"""

_KINDS = (*[stories.movements] * 4, *[stories.placings] * 4, stories.hold_steps, stories.wallet_steps)
_step = st.integers(0, len(_KINDS) - 1).flatmap(lambda number: _KINDS[number])


def due_keys(here: World) -> list[DueKey]:
    """All due steps, in order."""
    keys: list[DueKey] = [
        (hold.expires_at, 0, hold.id)
        for hold in here.holds.values()
        if hold.status is HoldStatus.OPEN and hold.expires_at is not None and hold.expires_at <= here.now
    ]
    keys += [
        (lot.expires_at, 1, lot.id)
        for lot in here.lots.values()
        if lot.free and lot.expires_at is not None and lot.expires_at <= here.now
    ]
    return sorted(keys)


def decided(here: World, name_or_id: Any, until: DueKey) -> Decision:
    """A portion of what is due, loaded as Context says: no more of lots and holds than it is about, and the live lots
    where what is carried may join one.
    """
    id_ = wallet_id(name_or_id) if isinstance(name_or_id, str) else name_or_id
    batch = [Settle(UUID(int=7), ORIGIN_SERVICE, "settle", id_)]
    holds = {key[2]: here.holds[key[2]] for key in due_keys(here) if key[1] == 0 and key <= until}
    reserved = {each.lot_id for hold in holds.values() for each in hold.slices}
    due = {key[2] for key in due_keys(here) if key <= until}
    carries = any(hold.carries_lots and hold.capture_at_expiry for hold in holds.values())
    lots = {lot.id: lot for lot in here.lots.values() if lot.id in due | reserved or (carries and lot.remaining)}
    context = here.context(batch)._replace(holds=holds, lots=lots, next_due={}, due_until=until)
    return apply_batch(batch, context, here.now)


def settled_by_portions(here: World, sizes: list[int]) -> World:
    for size in sizes:
        if not (keys := due_keys(here)):
            break
        until = keys[: size + 1][-1]
        home = next(
            state.id
            for state in here.wallets.values()
            if (at := state.standing.next_due_at) is not None and at <= here.now
        )
        decision = decided(here, home, until)
        assert decision.outcomes == (Settled(is_all=False),)
        after = here.left_by(decision)
        for key in due_keys(after):
            assert key > until
            owner = (after.holds.get(key[2]) or after.lots[key[2]]).wallet_id
            next_due_at = after.wallets[owner].standing.next_due_at
            assert next_due_at is not None
            assert next_due_at <= key[0]
        here = after
    return every_wallet_settled(here)


@LAWS
@given(
    stories.worlds,
    st.lists(st.tuples(_step, st.integers(0, 2)), min_size=4, max_size=16),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_portions_leave_what_settling_at_once_leaves(
    here: World, told_: list[tuple[str, int]], sizes: list[int]
) -> None:
    story = stories.Story()
    for step, pick in told_:
        here = here.after(ask(story.line(step, pick), here), seconds=0)
    here = here.later(100)
    event(f"{min(len(due_keys(here)), 6)} due")
    by_portions, at_once = same(settled_by_portions(here, sizes)), same(every_wallet_settled(here))
    # Wallets that nothing links are settled in another order.
    for name in ("history", "steps", "lot_moves", "declines"):
        by_portions[name], at_once[name] = (sorted(each[name], key=repr) for each in (by_portions, at_once))
    assert by_portions == at_once


def test_a_portion_posts_its_steps_and_says_that_more_are_due() -> None:
    here = told(
        world(WALLETS), "topup alice 1 lot paid in 5", "topup alice 2 lot paid in 6", "topup alice 4 lot paid in 9"
    )
    here = here.later(60)
    first, second, _ = due_keys(here)
    decision = decided(here, "alice", second)
    assert decision.outcomes == (Settled(is_all=False),)
    assert [posted.reference_id for posted in decision.posted] == [
        f"lot:{first[2]}:expiry:1", f"lot:{second[2]}:expiry:1",
    ]  # fmt: skip
    # No later than the next of them.
    assert here.left_by(decision).state("alice").standing.next_due_at == second[0]


def test_a_step_that_links_two_wallets_may_come_after_the_portion() -> None:
    here = told(
        world(WALLETS), "h: hold alice 8 to bob in 20 on-expiry-capture", "topup alice 4 lot paid in 9", "+60"
    )  # fmt: skip
    lot, hold = due_keys(here)
    # Of bob, who has nothing due before what comes from alice.
    after = here.left_by(decided(here, "bob", lot))
    assert [key[2] for key in due_keys(after)] == [hold[2]]
    assert after.state("bob").standing.next_due_at == lot[0]


def test_at_one_instant_a_portion_may_end_between_a_hold_and_a_lot() -> None:
    here = told(world(WALLETS), "h: hold alice 3 in 9", "topup alice 5 lot paid in 9")
    here = here.later(60)
    hold, lot = due_keys(here)
    assert (hold[0], hold[1], lot[1]) == (lot[0], 0, 1)
    assert [posted.type for posted in decided(here, "alice", hold).posted] == ["expiry"]
    assert [key[1] for key in due_keys(here.left_by(decided(here, "alice", hold)))] == [1]


def test_nothing_is_judged_on_a_portion() -> None:
    here = told(world(WALLETS), "topup alice 5 lot paid in 9", "topup alice 4 lot paid in 10").later(60)
    batch = [ask("s: spend alice 1", here)]
    context = here.context(batch)._replace(due_until=due_keys(here)[0])
    with pytest.raises(InvariantViolated):
        apply_batch(batch, context, here.now)
