"""All movements mixed, against the oracle: a story is told step by step, and both must tell it alike.

WALLET_STORIES is how many stories, WALLET_STORY_STEPS how long each may be. A failure prints the story it shrank to.
"""

import os

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.ledger import stories
from tests.ledger.laws.facts import check_facts
from tests.ledger.oracle.agreement import Pair
from tests.ledger.scripts import ask, group
from tests.ledger.worlds import World
from wallet.ledger.requests import Request

STORIES = int(os.environ.get("WALLET_STORIES", "400"))
STEPS = int(os.environ.get("WALLET_STORY_STEPS", "25"))
_picks = st.integers(0, 3)
# Mostly decided at once; sometimes together with what follows.
_waiting = st.sampled_from([False, False, False, True])
_of_a_group = (
    stories.movements | stories.placings | stories.hold_steps | stories.refunds | stories.claims | stories.claim_steps
)


class Told(RuleBasedStateMachine):
    """A story. Waiting requests are decided in one batch with the next ones."""

    @initialize(here=stories.worlds)
    def begin(self, here: World) -> None:
        self.pair = Pair(here)
        self.story = stories.Story()
        self.waiting: list[Request] = []
        self.is_over = False
        self.told: list[str] = [f"policies: {here.policies}"]

    @rule(step=stories.movements, waits=_waiting)
    def move(self, step: str, waits: bool) -> None:
        self.say(self.story.line(step), waits=waits)

    @rule(step=stories.placings, waits=_waiting)
    def hold(self, step: str, waits: bool) -> None:
        self.say(self.story.line(step), waits=waits)

    @rule(step=stories.hold_steps, pick=_picks, waits=_waiting)
    def step_hold(self, step: str, pick: int, waits: bool) -> None:
        self.say(self.story.line(step, pick), waits=waits)

    @rule(step=stories.claims, waits=_waiting)
    def claim(self, step: str, waits: bool) -> None:
        self.say(self.story.line(step), waits=waits)

    @rule(step=stories.claim_steps, pick=_picks, waits=_waiting)
    def step_claim(self, step: str, pick: int, waits: bool) -> None:
        self.say(self.story.line(step, pick), waits=waits)

    @rule(step=stories.refunds, pick=_picks, waits=_waiting)
    def refund(self, step: str, pick: int, waits: bool) -> None:
        self.say(self.story.line(step, pick), waits=waits)

    @rule(step=stories.wallet_steps, waits=_waiting)
    def change(self, step: str, waits: bool) -> None:
        self.say(self.story.line(step), waits=waits)

    @rule(step=stories.grants, waits=_waiting)
    def grant(self, step: str, waits: bool) -> None:
        self.say(self.story.line(step), waits=waits)

    @rule(pick=_picks, waits=_waiting)
    def again(self, pick: int, waits: bool) -> None:
        if self.story.lines and "effective" not in self.story.lines[-1 - min(pick, len(self.story.lines) - 1)]:
            line = self.story.lines[-1 - min(pick, len(self.story.lines) - 1)]
            self.say(line, waits=waits, try_number=2)

    @rule(
        steps=st.lists(_of_a_group, min_size=1, max_size=4),
        pick=_picks,
        dry=st.sampled_from([False, False, True]),
        waits=_waiting,
    )
    def all_or_none(self, steps: list[str], pick: int, dry: bool, waits: bool) -> None:
        lines = [self.story.line(step.replace(" dry", ""), pick) for step in steps]
        self.told.append(f"{'dry ' if dry else ''}all or none: {lines}")
        self.waiting.append(group(f"g{len(self.told)}", lines, self.pair.here, dry=dry))
        if not waits:
            self.decide()

    @rule(seconds=stories.waits)
    def wait(self, seconds: int) -> None:
        self.decide()
        self.told.append(f"+{seconds}")
        self.pair.wait(seconds)

    def say(self, line: str, *, waits: bool, try_number: int = 1) -> None:
        self.told.append(line + (" (another try)" if try_number > 1 else "") + (" ..." if waits else ""))
        self.waiting.append(ask(line, self.pair.here, try_number=try_number))
        if not waits:
            self.decide()

    def decide(self) -> None:
        batch, self.waiting = self.waiting, []
        before = self.pair.here
        try:
            decision = self.pair.decide(*batch)
            check_facts(before, decision, self.pair.here)
        except Exception as error:
            self.is_over = True
            error.add_note("\n".join(["The story:", *self.told]))
            raise

    def teardown(self) -> None:
        if hasattr(self, "pair") and not self.is_over:
            self.decide()


def test_the_ledger_tells_every_story_as_the_oracle_does() -> None:
    run_state_machine_as_test(
        Told,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=set(Phase) - {Phase.explain},
            report_multiple_bugs=False,
        ),
    )
