"""Credit that bound callers move to users' wallets keeps its terms: no kind of movement makes a better credit of it."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from tests.ledger import stories
from tests.ledger.oracle.agreement import Pair
from tests.ledger.scripts import answer, ask, every_wallet_settled, in_columns, lines_of, seen, told
from tests.ledger.worlds import NOON, World, named, wallet_id, world
from wallet.ledger.lots import dealt
from wallet.ledger.model import LotCategory, Slice, WalletKind
from wallet.ledger.outcomes import Applied, Predicted
from wallet.ledger.requests import Group

WALLETS = """
wallet asset balance overdraft_limit
alice  GOLD  10      0
bob    GOLD  0       50
cyd    GOLD  0       0
"""

STORIES = """
story                                                                              -> alice         | bob
topup alice 5 lot paid; spend alice 3 to bob bound                                 -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; spend alice 8 to bob bound                                 -> 7             | 8 lots 5
topup alice 5 lot paid; spend alice 99 to bob upto bound                           -> 0             | 15 lots 5
topup alice 5 lot paid; spend alice 3 to GOLD.treasury bound                       -> 12 lots 2     | 0
topup alice 5 lot paid; spend alice 3 to bob                                       -> 12 lots 2     | 3
topup alice 5 lot paid; transfer alice bob 3 bound                                 -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; move alice-3,bob+3 bound                                   -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; move bob+3,alice-3 bound                                   -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; move alice-8,bob+5,cyd+3 bound                             -> 7             | 5 lots 5
topup alice 5 lot paid; move alice-8,cyd+3,bob+5 bound                             -> 7             | 5 lots 2
topup alice 5 lot paid; move alice-8,GOLD.revenue+4,bob+4 bound                    -> 7             | 4 lots 1
topup alice 5 lot paid; move bob+4,alice-8,GOLD.revenue+4 bound                    -> 7             | 4 lots 4
topup alice 5 lot paid; topup cyd 4 lot paid; move alice-7,cyd-4,bob+11 bound      -> 8             | 11 lots 9
topup alice 5 lot paid; topup cyd 4 lot paid; move cyd-4,alice-7,GOLD.revenue+5,bob+6 bound -> 8    | 6 lots 4
topup alice 5 lot paid; h: hold alice 3 to bob bound; capture h                    -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; h: hold alice 3 to bob bound; capture h bound              -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; h: hold alice 3 to bob; capture h bound                    -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; h: hold alice 3 to bob; capture h 2 bound; capture h       -> 12 lots 2     | 3 lots 2
topup alice 5 lot paid; h: hold alice 3 to bob; increase h 1 bound; capture h      -> 11 lots 1     | 4 lots 4
topup alice 5 lot paid; h: hold alice 3 to bob bound; increase h 1; capture h      -> 11 lots 1     | 4 lots 4
topup alice 5 lot paid; h: hold alice 8 to bob bound; capture h 6; void h          -> 9             | 6 lots 5
topup alice 5 lot paid; h: hold alice 8 to bob bound; capture h 2 final            -> 13 lots 3     | 2 lots 2
topup alice 5 lot paid; h: hold alice 8 bound; capture h 6                         -> 9 held 2      | 0
topup alice 5 lot paid; hold alice 3 to bob in 9 on-expiry-capture bound; +9; settle bob -> 12 lots 2 | 3 lots 3
topup alice 5 lot paid; hold alice 3 to bob in 9 on-expiry-capture; +9; settle bob -> 12 lots 2     | 3
topup alice 5 lot paid; hold alice 3 to cyd in 9 on-expiry-capture bound; merge cyd bob; +9; settle bob -> 12 lots 2 | 3 lots 3
topup alice 5 lot paid; k: claim alice 3 uses 2; redeem k bob                      -> 12 held 3 lots 2(2) | 3 lots 3
topup alice 5 lot paid; k: claim alice 3 uses 2; redeem k bob; redeem k bob        -> 9             | 6 lots 5
topup alice 5 lot paid; k: claim alice 3 uses 2; redeem k bob; cancel k            -> 12 lots 2     | 3 lots 3
topup alice 5 lot paid; topup bob 2 lot paid; k: claim alice 3; redeem k bob       -> 12 lots 2     | 5 lots 5
topup alice 5 lot paid; spend bob 3; k: claim alice 5; redeem k bob                -> 10            | 2 lots 5
topup alice 5 lot paid; topup bob 2 lot paid; spend alice 3 to bob bound           -> 12 lots 2     | 5 lots 5
topup alice 5 lot paid; topup bob 2 lot paid; move alice-3,bob+3 bound             -> 12 lots 2     | 5 lots 5
topup alice 5 lot paid; topup bob 2 lot paid; h: hold alice 3 to bob bound; capture h -> 12 lots 2  | 5 lots 5
topup alice 5 lot paid; topup bob 2 lot paid; hold alice 3 to bob in 9 on-expiry-capture bound; +9; settle bob -> 12 lots 2 | 5 lots 5
topup alice 5 lot paid; spend bob 3; transfer alice bob 5                          -> 10            | 2 lots 2
topup alice 5 lot paid; spend bob 3; transfer alice bob 5 bound                    -> 10            | 2 lots 5
topup alice 5 lot paid; spend bob 3; spend alice 5 to bob bound                    -> 10            | 2 lots 5
topup alice 5 lot paid; spend bob 3; h: hold alice 8 to bob bound; capture h       -> 7             | 5 lots 5
topup alice 5 lot paid; spend bob 3; move alice-8,bob+8 bound; topup bob 2 lot paid -> 7            | 7 lots 5+2
topup alice 5 lot paid; s: spend alice 8 to bob bound; refund s                    -> 15 lots 5     | 0
topup alice 5 lot paid; m: move alice-8,bob+8 bound; refund m                      -> 15 lots 5     | 0
topup alice 5 lot paid; h: hold alice 8 to bob bound; c: capture h; refund c       -> 15 lots 5     | 0
topup alice 5 lot paid; s: spend alice 5 to bob bound; spend bob 2; refund s       -> 15 lots 5     | -2
"""  # noqa: E501

# A hold keeps a slice of a lot that is over: 5 until 60.
OUTLIVED = """
story                                                                    -> alice         | bob | breakage
h: hold alice 3 to bob bound; +60; capture h                             -> 10            | 0   | 5
h: hold alice 3 to bob bound; +60; capture h 1                           -> 12 held 2 lots 2(2) | 0 | 3
h: hold alice 3 to bob bound; +60; capture h 1 final                     -> 10            | 0   | 5
h: hold alice 8 to bob bound; +60; capture h                             -> 7             | 3   | 5
k: claim alice 3; +60; redeem k bob                                      -> 10            | 0   | 5
k: claim alice 4 uses 2; +60; redeem k bob; redeem k bob                 -> 7             | 3   | 5
k: claim alice 1 uses 3; +60; redeem k bob; cancel k                     -> 10            | 0   | 5
k: claim alice 3 in 60; +60; settle alice                                -> 10            | 0   | 5
k: claim alice 3; +59; redeem k bob; +1; settle bob; settle alice        -> 10            | 0   | 5
h: hold alice 3 to bob; +60; capture h bound                             -> 10            | 0   | 5
h: hold alice 3 to bob; +60; capture h                                   -> 10            | 3   | 2
h: hold alice 3 bound; +60; capture h                                    -> 10            | 0   | 2
h: hold alice 3 to bob bound; +60; void h                                -> 10            | 0   | 5
h: hold alice 3 to bob bound; +59; capture h                             -> 12 lots 2     | 3 lots 3 | 0
h: hold alice 3 to bob bound; +59; capture h; +1; settle bob; settle alice -> 10          | 0   | 5
hold alice 3 to bob in 60 on-expiry-capture bound; +60; settle alice     -> 10            | 0   | 5
hold alice 3 to bob in 70 on-expiry-capture bound; +99; settle alice     -> 10            | 0   | 5
hold alice 3 to bob in 50 on-expiry-capture bound; +99; settle alice     -> 10            | 0   | 5
hold alice 3 to bob in 50 on-expiry-capture bound; +99; settle bob       -> 10            | 0   | 5
spend bob 2; h: hold alice 3 to bob bound; +60; capture h                -> 10            | -2  | 5
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    return replace(world(WALLETS), is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_story_leaves_the_wallets_as_the_table_says(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob")] == expected


@pytest.mark.parametrize("row", in_columns(OUTLIVED), ids=" | ".join)
def test_what_is_captured_of_an_expired_lot_lapses_where_it_arrives(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, "topup alice 5 lot paid in 60", *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob", "GOLD.breakage")] == expected


@pytest.mark.parametrize(
    "story",
    [row[0] for row in in_columns(STORIES)]
    + [f"topup alice 5 lot paid in 60; {row[0]}" for row in in_columns(OUTLIVED)],
)
def test_the_oracle_tells_these_stories_alike(story: str) -> None:
    pair = Pair(world(WALLETS))
    for number, line in enumerate(lines_of(story)):
        if line.startswith("+"):
            pair.wait(int(line))
        else:
            pair.decide(ask(line if ":" in line else f"_{number}: {line}", pair.here))


@pytest.mark.parametrize(
    "lines",
    [
        ["spend alice 4 to bob bound"],
        ["move alice-4,bob+4 bound"],
        ["h: hold alice 4 to bob bound", "capture h"],
        ["hold alice 4 to bob in 5 on-expiry-capture bound", "+8", "settle bob"],
    ],
    ids=" ".join,
)
def test_a_lot_that_goes_along_keeps_category_expiry_and_priority(here: World, lines: list[str]) -> None:
    after = told(here, "topup alice 5 lot promotional in 60 priority 7", *lines)
    (lot,) = after.lots_of("bob")
    assert (lot.category, lot.priority, lot.expires_at) == (LotCategory.PROMOTIONAL, 7, NOON + timedelta(seconds=60))
    assert (lot.amount, lot.remaining, lot.programme_id) == (4, 4, None)


def test_what_is_captured_at_an_expiry_is_as_old_as_that(here: World) -> None:
    after = told(
        here, "topup alice 5 lot paid", "hold alice 4 to bob in 5 on-expiry-capture bound", "+60", "settle bob"
    )
    assert [lot.opened_at for lot in after.lots_of("bob")] == [NOON + timedelta(seconds=5)]


def test_what_lapses_between_a_late_capture_and_now_is_posted_at_its_own_instant(here: World) -> None:
    start = told(here, "topup alice 5 lot paid in 60", "hold alice 4 to bob in 50 on-expiry-capture bound")
    after = told(start, "+99", "settle bob")
    own = [
        (each.type, (each.effective_at - NOON).seconds, each.entries[0].wallet_id)
        for each in after.history
        if each.origin == "service"
    ]
    alice, bob = wallet_id("alice"), wallet_id("bob")
    assert sorted(own) == [("capture", 50, alice), ("expiry", 60, alice), ("expiry", 60, bob)]
    assert own[0][0] == "capture"


@pytest.mark.parametrize("line", ["spend alice 3 to bob", "move alice-3,bob+3", "capture h", "transfer alice bob 3"])
def test_a_dry_run_of_a_bound_caller_foretells_the_lots(here: World, line: str) -> None:
    here = told(here, "topup alice 5 lot paid", "h: hold alice 2 to bob")
    foretold, real = (answer(here, f"x: {line} bound{dry}") for dry in (" dry", ""))
    assert isinstance(foretold, Predicted)
    assert isinstance(real, Applied)
    assert foretold.posted == real.posted
    assert real.posted.details is not None
    assert real.posted.details.opened


def test_a_refund_takes_by_the_draw_order_what_is_not_there_any_more(here: World) -> None:
    here = told(here, "s: spend alice 5 to cyd bound", "topup cyd 3 lot promotional", "spend cyd 5")
    assert (seen(here, "alice"), seen(here, "cyd")) == ("5", "3")
    here = told(here, "bonus cyd 4 lot promotional", "refund s")
    assert (seen(here, "alice"), seen(here, "cyd")) == ("10", "2")


def test_who_asks_is_no_part_of_a_fingerprint(here: World) -> None:
    here = told(here, "topup alice 5 lot paid", "s: spend alice 3 to bob")
    assert named(answer(here, "s: spend alice 3 to bob bound (again)")) == "replayed"


def test_slices_are_dealt_out_from_the_front() -> None:
    lot, other = wallet_id("lot"), wallet_id("other")
    slices = [Slice(lot, 3), Slice(None, 2), Slice(other, 4)]
    assert dealt(slices, [1, 3, 5]) == [
        (Slice(lot, 1),),
        (Slice(lot, 2), Slice(None, 1)),
        (Slice(None, 1), Slice(other, 4)),
    ]
    assert dealt([Slice(lot, 1), Slice(lot, 1)], [2]) == [(Slice(lot, 2),)]


# The law


MAIN = datetime.max.replace(tzinfo=NOON.tzinfo)
FOR_EVER = MAIN - timedelta(days=1)


def lasting(here: World) -> Counter[tuple[int, datetime]]:
    """The credit of users, by asset and by how long it lasts; main credit lasts longest."""
    found: Counter[tuple[int, datetime]] = Counter()
    for state in here.wallets.values():
        if state.kind is WalletKind.USER:
            found[state.asset_id, MAIN] += state.balance
    for lot in here.lots.values():
        found[lot.asset_id, MAIN] -= lot.remaining
        found[lot.asset_id, lot.expires_at or FOR_EVER] += lot.remaining
    return found


def better(before: World, after: World) -> list[tuple[int, datetime]]:
    """The places where users have more credit that lasts so long than they had."""
    had, have = lasting(before), lasting(after)
    return [
        key
        for asset in (1, 2)
        for key, more in _from_the_end({key: have[key] - had[key] for key in had | have if key[0] == asset})
        if more > 0
    ]


def _from_the_end(changes: dict[tuple[int, datetime], int]) -> list[tuple[tuple[int, datetime], int]]:
    keys = sorted(changes, reverse=True)
    return list(zip(keys, accumulate(changes[key] for key in keys), strict=True))


LAW = settings(max_examples=500, deadline=None, phases=set(Phase) - {Phase.explain})
_OF_BOUND = {"spend", "transfer", "move", "hold", "increase", "claim", "redeem"}
_BY_ANYBODY = {"capture", "void", "extend", "cancel", "merge", "close", "reopen"}
_steps = (
    stories.movements | stories.placings | stories.placings | stories.hold_steps | stories.hold_steps
    | stories.claims | stories.claim_steps | stories.refunds | stories.wallet_steps | stories.waits
)  # fmt: skip
_lots = st.lists(
    st.sampled_from(
        [f"topup {name} {amount} lot promotional{expiry}"
         for name in stories.USERS for amount in (3, 8) for expiry in ("", " in 10", " in 30", " in 100")]),
    min_size=1, max_size=5,
)  # fmt: skip
_debts = st.lists(st.sampled_from(["spend bob 4", "spend emil 3"]), max_size=2, unique=True)
_back_ends_holds = st.lists(
    st.sampled_from([f"hold alice {n} to {name}" for n in (2, 8) for name in ("bob", "cyd")]), max_size=2
)


def asked_by_bound(step: str) -> str:
    """The step as a bound caller asks it, if it is one that a bound caller may ask."""
    may = step.split()[0] in _OF_BOUND and "treasury-" not in step
    return step + " bound" if may and not step.endswith(" bound") else step


def is_judged(line: str, here: World) -> bool:
    """Whether a line is a bound caller's, or the back end's about what one of these has made."""
    _, verb, *words = line.split()
    if verb == "capture" and "bound" not in words:
        hold = here.holds.get(ask(line, here).hold_id)  # type: ignore[union-attr]
        return hold is None or hold.carries_lots
    return (verb in _OF_BOUND and "treasury-" not in line) or verb in _BY_ANYBODY


@LAW
@given(
    stories.worlds,
    st.builds(list.__add__, st.builds(list.__add__, _debts, _lots), _back_ends_holds),
    st.lists(st.tuples(_steps, st.integers(0, 2)), min_size=3, max_size=14),
    st.booleans(),
)
def test_nothing_that_bound_callers_do_makes_a_credit_last_longer(
    here: World, begun: list[str], steps: list[tuple[str | int, int]], is_grouped: bool
) -> None:
    story = stories.Story()
    for line in begun:
        here = here.left_by(here.decide(ask(story.line(line), here)))
    for step, pick in steps:
        if isinstance(step, int):
            after = every_wallet_settled(here.later(step))
            assert better(here, after) == [], f"+{step}"
            here = after
            continue
        line = story.line(asked_by_bound(step), pick)
        request = ask(line, here)
        asked = Group(wallet_id("group"), "api", "group", (request,)) if is_grouped else request
        decision = here.decide(asked)
        after = here.left_by(decision)
        event(f"{line.split()[1]} {named(decision.outcomes[0])}")
        if is_judged(line, here):
            assert better(here, after) == [], line
        here = after
