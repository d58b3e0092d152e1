"""Claims: credit reserved for the holders of a code, moved to their wallets one use at a time."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from tests.ledger.oracle.agreement import Pair
from tests.ledger.scripts import answer, ask, group, in_columns, lines_of, seen, told, transaction_id
from tests.ledger.worlds import NOON, World, named, user_id, wallet_id, world
from wallet.ledger.batch import Bounds
from wallet.ledger.model import AMOUNT_MAX, Claim, HoldStatus, LotCategory
from wallet.ledger.outcomes import Applied, Predicted

WALLETS = """
wallet asset balance max_balance overdraft_limit
alice  GOLD  100     -           0
bob    GOLD  0       20          0
cyd    GOLD  0       -           0
eve    GOLD  10      -           5
"""
USERS = {wallet_id(name): user_id(user) for name, user in (("alice", "ann"), ("bob", "ben"), ("cyd", "ben"))}

# The events, and the balances of alice, bob and cyd afterwards.
STORIES = """
story                                                                     -> alice       | bob | cyd
k: claim alice 5                                                          -> 100 held 5  | 0   | 0
k: claim alice 5 uses 3                                                   -> 100 held 15 | 0   | 0
k: claim alice 5 uses 3; redeem k bob                                     -> 95 held 10  | 5   | 0
k: claim alice 5 uses 3; redeem k bob; redeem k bob                       -> 90 held 5   | 10  | 0
k: claim alice 5 uses 3; redeem k bob; redeem k cyd; redeem k bob         -> 85          | 10  | 5
k: claim alice 5 uses 3; redeem k bob; cancel k                           -> 95          | 5   | 0
k: claim alice 5 uses 3; cancel k                                         -> 100         | 0   | 0
k: claim alice 5 uses 3 in 60; redeem k bob; +59; redeem k bob            -> 90 held 5   | 10  | 0
k: claim alice 5 uses 3 in 60; redeem k bob; +60; settle alice            -> 95          | 5   | 0
k: claim alice 5 uses 3; c: redeem k bob; refund c                        -> 100 held 10 | 0   | 0
k: claim alice 5 uses 3; c: redeem k bob; refund c 2; redeem k bob        -> 92 held 5   | 8   | 0
k: claim alice 5 uses 3; l: claim alice 5 uses 3; redeem k bob; cancel l  -> 95 held 10  | 5   | 0
k: claim alice 5 uses 3; merge alice eve; redeem k bob                    -> 0           | 5   | 0
k: claim alice 5 uses 3 once; redeem k bob                                -> 95 held 10  | 5   | 0
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    return replace(world(WALLETS), users=USERS, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_story_leaves_the_wallets_as_the_table_says(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob", "cyd")] == expected


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_the_oracle_tells_these_stories_alike(here: World, row: list[str]) -> None:
    pair = Pair(here)
    for line in lines_of(row[0]):
        if line.startswith("+"):
            pair.wait(int(line))
        else:
            pair.decide(ask(line if ":" in line else f"{len(pair.here.history)}: {line}", pair.here))


def test_a_claim_is_a_hold_of_all_its_uses_for_nobody_yet(here: World) -> None:
    outcome = answer(here, "k: claim alice 5 uses 3 in 60 once")
    assert isinstance(outcome, Applied)
    posted = outcome.posted
    assert (posted.type, posted.entries, posted.hold_id) == ("claim_place", (), posted.id)
    hold = posted.details.hold if posted.details else None
    assert hold is not None
    terms = Claim(5, 3, True, sha256(posted.id.bytes).digest())
    assert hold == (
        transaction_id("k"), wallet_id("alice"), 1, None, 15, 0, 0, NOON + timedelta(seconds=60), False,
        HoldStatus.OPEN, NOON, ((None, 15),), True, terms,
    )  # fmt: skip


def test_a_redemption_moves_one_use_from_wallet_to_wallet(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 3", "c: redeem k bob")
    posted = here.posted("c")
    moved = [(entry.wallet_id, entry.direction, entry.amount) for entry in posted.entries]
    assert (posted.type, posted.hold_id) == ("claim_redeem", transaction_id("k"))
    assert moved == [(wallet_id("alice"), -1, 5), (wallet_id("bob"), 1, 5)]
    assert posted.details is not None
    assert posted.details.hold == here.hold("k")
    assert [(step.kind, step.held_change, step.captured) for step in here.steps] == [
        ("place", 15, 0),
        ("capture", -5, 5),
    ]


STATUS = """
story                                                     -> status   | redeemed | released | remaining
k: claim alice 5 uses 3                                   -> open     | 0        | 0        | 15
k: claim alice 5 uses 3; redeem k bob                     -> open     | 5        | 0        | 10
k: claim alice 5 uses 2; redeem k bob; redeem k bob       -> captured | 10       | 0        | 0
k: claim alice 5 uses 3; redeem k bob; cancel k           -> voided   | 5        | 10       | 0
k: claim alice 5 uses 3 in 9; redeem k bob; +9; settle alice -> expired | 5      | 10       | 0
"""


@pytest.mark.parametrize("row", in_columns(STATUS), ids=" | ".join)
def test_redeemed_released_and_remaining_are_all_uses(here: World, row: list[str]) -> None:
    story, status, *amounts = row
    hold = told(here, *lines_of(story)).hold("k")
    assert hold.status.value == status
    assert [hold.captured, hold.released, hold.remaining] == [int(amount) for amount in amounts]
    assert hold.claim is not None
    assert hold.captured + hold.released + hold.remaining == hold.claim.amount * hold.claim.uses


def test_a_refused_redemption_consumes_no_use(here: World) -> None:
    here = told(here, "k: claim alice 15 uses 2", "redeem k bob")
    assert named(answer(here, "c: redeem k bob")) == "max_balance_exceeded"
    here = here.after(ask("c: redeem k bob", here))
    assert (seen(here, "alice"), named(answer(here, "c: redeem k cyd"))) == ("85 held 15", "applied")


def test_of_two_redemptions_of_the_last_use_in_one_batch_the_first_is_applied(here: World) -> None:
    here = told(here, "k: claim alice 5")
    outcomes = here.decide(ask("a: redeem k bob", here), ask("b: redeem k cyd", here)).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "claim_closed"]


def test_of_two_redemptions_by_one_user_in_one_batch_the_first_is_applied(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 2 once")
    outcomes = here.decide(ask("a: redeem k bob", here), ask("b: redeem k cyd", here)).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "already_redeemed"]


def test_a_redemption_that_is_only_tried_leaves_the_user_its_use(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 2 once")
    outcomes = here.decide(ask("a: redeem k bob dry", here), ask("b: redeem k cyd", here)).outcomes
    assert [named(outcome) for outcome in outcomes] == ["predicted", "applied"]


def test_a_redemption_of_a_refused_group_leaves_the_user_its_use(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 2 once")
    refused = group("g", ["a: redeem k bob", "b: spend alice 500"], here)
    outcomes = here.decide(refused, ask("c: redeem k cyd", here)).outcomes
    assert [named(outcome) for outcome in outcomes] == ["group_refused,insufficient_funds", "applied"]


def test_a_claim_that_was_placed_in_the_batch_can_be_redeemed_in_it(here: World) -> None:
    place = ask("k: claim alice 5 uses 2 once", here)
    redemptions = [ask(f"{name}: redeem k bob", here) for name in "ab"]
    decision = here.decide(place, *redemptions)
    assert [named(outcome) for outcome in decision.outcomes] == ["applied", "applied", "already_redeemed"]
    assert decision.changes.redemptions == {(place.id, user_id("ben")): redemptions[0].id}


def test_its_expiry_is_posted_at_its_instant_before_the_redemption_that_comes_too_late(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 3 in 60", "redeem k bob", "+99")
    decision = here.decide(ask("c: redeem k bob", here))
    (expiry,) = decision.posted
    assert named(decision.outcomes[0]) == "claim_closed"
    assert (expiry.type, expiry.effective_at) == ("expiry", NOON + timedelta(seconds=60))


def test_uses_up_to_63_bits_can_be_reserved_and_no_more(here: World) -> None:
    rich = world(f"wallet asset balance\nalice GOLD {AMOUNT_MAX}\nbob GOLD 0")
    here = told(replace(here, wallets=rich.wallets), f"k: claim alice {AMOUNT_MAX // 7} uses 7", "redeem k bob")
    assert here.state("bob").balance == AMOUNT_MAX // 7


def test_lots_go_over_use_by_use_from_the_front_with_category_expiry_and_priority(here: World) -> None:
    here = told(
        here, "topup alice 3 lot promotional in 600 priority 7", "topup alice 9 lot paid", "k: claim alice 5 uses 3"
    )
    here = told(here, "redeem k cyd", "redeem k bob", "redeem k cyd")
    lots = {name: [(lot.category, lot.remaining, lot.priority, lot.expires_at) for lot in here.lots_of(name)]
            for name in ("bob", "cyd")}  # fmt: skip
    until = NOON + timedelta(seconds=600)
    assert lots["cyd"] == [
        (LotCategory.PROMOTIONAL, 3, 7, until), (LotCategory.PAID, 2 + 2, 50, None),
    ]  # fmt: skip
    assert lots["bob"] == [(LotCategory.PAID, 5, 50, None)]
    assert seen(here, "cyd") == "10 lots 3+4"


def test_what_a_bound_caller_may_fill_with_lots_is_half(here: World) -> None:
    here = replace(
        told(here, "topup alice 9 lot promotional", "topup cyd 1 lot paid", "k: claim alice 3 uses 3"),
        bounds=Bounds(2, 9),
    )
    assert named(answer(here, "c: redeem k cyd origin ben")) == "too_many_lots"
    assert named(answer(here, "c: redeem k cyd")) == "applied"


def test_a_general_transaction_that_was_named_like_a_claim_before_there_were_any_is_refunded_as_one(
    here: World,
) -> None:
    for name in ("claim_place", "claim_redeem", "claim_cancel"):
        old = ask("x: move alice-5,bob+3,cyd+2", here)._replace(type=name)  # type: ignore[call-arg]
        before = here.after(old)
        assert named(answer(before, "r: refund x 3")) == "not_refundable"
        after = told(before, "r: refund x")
        assert [seen(after, each) for each in ("alice", "bob", "cyd")] == ["100", "0", "0"]
        assert named(answer(after, "s: refund x")) == "refund_exceeds_original"


def test_a_dry_run_foretells_each_step(here: World) -> None:
    here = told(here, "topup alice 9 lot paid", "k: claim alice 5 uses 3 once")
    for line in ("x: claim alice 5 uses 2", "x: redeem k bob", "x: cancel k"):
        foretold, real = answer(here, f"{line} dry"), answer(here, line)
        assert isinstance(foretold, Predicted)
        assert isinstance(real, Applied)
        assert foretold.posted == real.posted


def test_a_replayed_step_shows_the_claim_as_it_was_then(here: World) -> None:
    here = told(here, "k: claim alice 5 uses 3", "a: redeem k bob", "redeem k bob", "cancel k")
    for reference, remaining in (("k", 15), ("a", 10)):
        details = here.posted(reference).details
        assert details is not None
        assert details.hold is not None
        assert details.hold.remaining == remaining
