"""Sentences of docs/ledger.md that no other test of the core tells: what is refused, and what a story leaves behind."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.ledger.scripts import TYPES, answer, ask, in_columns, lines_of, programme_id, seen, told
from tests.ledger.worlds import LAYOUTS, NOON, World, named, wallet_id, world
from wallet.ledger.instants import DAY, rfc3339
from wallet.ledger.model import ORIGIN_SERVICE, Attachment, Policy
from wallet.ledger.outcomes import Refused
from wallet.ledger.requests import ChangeWallet

WALLETS = """
wallet asset balance overdraft_limit max_balance
alice  GOLD  100     0               -
bob    GOLD  0       20              -
cyd    GOLD  0       0               5
dora   COIN  10      0               -
"""

# COIN's supply is 20, none of which is issued.
ANSWERS = """
before                                                       | asked                          -> answer
topup dora 20 lot paid in 9; +9; settle dora                 | t: topup dora 1                -> supply_exceeded
topup dora 20; spend dora 20                                 | t: topup dora 1                -> supply_exceeded
topup dora 15; x: move dora-5,COIN.treasury+5; topup dora 10 | r: refund x forced             -> supply_exceeded
                                                             | t: transfer alice cyd 6 upto   -> max_balance_exceeded
g: grant gym alice 5 period 0                                | r: refund g 2                  -> applied
g: grant gym alice 5 period 0; refund g 2                    | r: refund g 4                  -> refund_exceeds_original
m: merge cyd bob                                             | r: refund m                    -> not_refundable
m: merge alice bob                                           | r: refund m                    -> same_wallet
change bob freeze_incoming=yes                               | h: hold alice 5 to bob         -> applied
                                                             | h: hold alice 9 to cyd         -> applied
h: hold alice 5 to bob; merge bob alice                      | v: void h                      -> applied
topup bob 5 lot paid; h: hold bob 5; spend bob 5; void h     | x: close bob                   -> wallet_not_empty
spend bob 1                                                  | x: close bob                   -> wallet_not_empty
hold bob 1                                                   | x: close bob                   -> wallet_not_empty
h: hold alice 5 in 60; extend h 34560000; +9                 | e: extend h 34560000           -> expiry_out_of_range
h: hold alice 5                                              | h: hold alice 6 origin user:7 (again) -> applied
h: hold alice 5                                              | h: hold alice 6 (again)        -> reference_reused
"""

STORIES = """
story                                                                      -> alice        | bob
topup alice 5 lot promotional; bonus bob 3 from alice                      -> 102 lots 2   | 3
topup alice 5 lot promotional; bonus bob 3 from alice lot paid             -> 102 lots 2   | 3 lots 3
topup alice 5 lot paid; spend bob 9; topup cyd 5 lot paid; merge cyd bob   -> 105 lots 5   | -4 lots 5
topup alice 5 lot paid; h: hold alice 2; topup alice 9 lot paid in 60; capture h -> 112 lots 9+3 | 0
topup bob 5 lot paid in 9; h: hold bob 5; spend bob 5; void h; change bob overdraft_limit=0; +9; settle bob -> 100 | -5
hold alice 5 to bob in 9 on-expiry-capture; hold bob 5 to cyd in 9 on-expiry-capture; +9; settle cyd -> 95 | 0
t: topup alice 8; topup alice 5 lot paid; refund t 3                       -> 110 lots 2   | 0
g: grant gym alice 5 period 0; topup alice 9 lot paid in 60; refund g      -> 109 lots 9   | 0
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    attachment = Attachment(programme_id("gym"), wallet_id("alice"), 0)
    attachments = {(attachment.programme_id, attachment.wallet_id): attachment}
    return replace(world(WALLETS, max_supply=20), attachments=attachments, is_thrifty=request.param)


@pytest.mark.parametrize("row", in_columns(ANSWERS), ids=" | ".join)
def test_a_request_is_answered_as_the_table_says(here: World, row: list[str]) -> None:
    before, asked, expected = row
    assert named(answer(told(here, *lines_of(before)), asked)) == expected


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_story_leaves_the_wallets_as_the_table_says(here: World, row: list[str]) -> None:
    story, *expected = row
    after = told(here, *lines_of(story))
    assert [seen(after, name) for name in ("alice", "bob")] == expected


@pytest.mark.parametrize(
    "story",
    [
        "topup alice 5 lot paid in 9; +9",
        "hold alice 5 in 9; +9",
        "topup alice 5 lot paid in 9; hold alice 5 in 20; +20",
    ],
)
def test_an_expiry_is_not_refundable(here: World, story: str) -> None:
    here = told(here, *lines_of(story), "settle alice")
    own = [posted.reference_id for posted in here.history if posted.origin == ORIGIN_SERVICE]
    assert own
    for reference in own:
        assert named(answer(here, f"r: refund {reference}")) == "not_refundable"


def test_a_capture_is_refused_where_its_target_is_closed_however_it_came_to_be(here: World) -> None:
    # Nobody closes a wallet that an open hold is aimed at: this is the second line of defence.
    here = told(here, "h: hold alice 5 to bob")
    bob = here.state("bob")
    closed = replace(here, wallets={**here.wallets, bob.id: bob._replace(standing=bob.standing._replace(closed=True))})
    assert named(answer(closed, "c: capture h")) == "wallet_closed"


def test_reopening_what_is_open_is_applied_and_no_event(here: World) -> None:
    decision = here.decide(ask("x: reopen alice", here))
    assert named(decision.outcomes[0]) == "applied"
    assert (decision.changes.events, decision.states) == ((), {})


EACH_KIND = """
before                        | asked
                              | x: topup alice 5
                              | x: bonus alice 5 from bob
                              | x: spend alice 5
                              | x: transfer alice bob 5
                              | x: move alice-5,bob+5
                              | x: hold alice 5
h: hold alice 5               | x: capture h
h: hold alice 5               | x: void h
h: hold alice 5               | x: increase h 5
h: hold alice 5               | x: extend h 5
                              | x: claim alice 5 uses 2
k: claim alice 5 uses 2       | x: redeem k bob
k: claim alice 5 uses 2       | x: cancel k
s: spend alice 5              | x: refund s
                              | x: merge alice bob
                              | x: grant gym alice 5 period 0
change alice freeze_incoming=yes | x: grant gym alice 5 period 0
"""


@pytest.mark.parametrize("row", in_columns(EACH_KIND), ids=" | ".join)
def test_every_accepted_request_is_one_transaction_under_its_reference(here: World, row: list[str]) -> None:
    before, asked = row
    here = told(here, *lines_of(before))
    request = ask(asked, here)
    (posted,) = here.decide(request).posted
    assert (posted.id, posted.origin, posted.reference_id) == (request.id, request.origin, request.reference_id)
    assert posted.fingerprint == request.fingerprint
    assert posted.created_at == here.now


def test_a_change_of_a_wallet_is_no_transaction(here: World) -> None:
    request = ask("x: change alice max_balance=500", here)
    assert isinstance(request, ChangeWallet)
    assert here.decide(request).posted == ()


def test_every_kind_with_a_fingerprint_of_its_own_is_accepted_by_some_row() -> None:
    accepted = {TYPES.get(verb, verb) for _, asked in in_columns(EACH_KIND) for verb in [asked.split()[1]]}
    assert LAYOUTS.keys() <= accepted


# A balance is the sum of all that ever happened, whatever it says of when: effective times change nothing else.
EFFECTIVE = """
before                                                | asked                             -> answer
topup bob 5; +60                                      | s: spend bob 25 effective -99999  -> applied
topup bob 5 effective -99999                          | s: spend bob 25                   -> applied
topup bob 5 effective -99999                          | s: spend bob 26                   -> insufficient_funds
change bob limit_day=5; spend bob 5 effective -99999  | s: spend bob 1                    -> limit_exceeded
h: hold alice 5 in 9; +9                              | c: capture h effective -5         -> hold_closed
"""


@pytest.mark.parametrize("row", in_columns(EFFECTIVE), ids=" | ".join)
def test_an_effective_time_affects_neither_funds_nor_limits_nor_expiry(here: World, row: list[str]) -> None:
    before, asked, expected = row
    assert named(answer(told(here, *lines_of(before)), asked)) == expected


# A refusal names the wallet and the numbers that were compared.
@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ("s: spend alice 101", (100, 101)),
        ("h: hold bob 21", (20, 21)),
        ("t: topup dora 21", (20, 21)),
        ("s: spend alice 105 upto least 101", (100, 101)),
    ],
)
def test_a_refusal_for_want_of_something_says_what_there_is_and_what_was_asked_for(
    here: World, asked: str, numbers: tuple[int, int]
) -> None:
    refused = answer(here, asked)
    assert isinstance(refused, Refused)
    assert (refused.available, refused.required) == numbers
    assert refused.wallet_id is not None


def test_a_period_is_granted_once_however_often_a_batch_asks_for_it(here: World) -> None:
    batch = [
        ask(f"{name}: grant gym alice 5 period {period}", here)
        for name, period in (("a", 0), ("b", 0), ("c", 1), ("d", 0))
    ]
    outcomes = here.decide(*batch).outcomes
    assert [named(outcome) for outcome in outcomes] == [
        "applied", "programme_not_found", "applied", "programme_not_found",
    ]  # fmt: skip


def test_grace_counts_from_the_refund_and_not_from_when_the_lot_expired(here: World) -> None:
    here = replace(here, policies={1: Policy(grace_seconds=50)})
    after = told(here, "topup alice 5 lot paid in 9", "s: spend alice 5", "+30", "refund s")
    assert [lot.expires_at for lot in after.lots_of("alice")] == [NOON + timedelta(seconds=30 + 50)]


def test_a_limit_resets_when_the_first_of_what_counts_no_longer_does(here: World) -> None:
    here = told(here, "change alice limit_day=10", "spend alice 3", "+60")
    batch = [ask(line, here) for line in ("a: spend alice 3", "b: hold alice 2", "c: spend alice 3")]
    refused = here.decide(*batch).outcomes[-1]
    assert isinstance(refused, Refused)
    assert dict(refused.members) == {"per": "day", "limit": 10, "used": 8, "resets_at": rfc3339(NOON + DAY)}


# Alice may spend 10 a day. The same movements count if all of them are decided in one batch.
ONE_BATCH = """
batch                                             -> last
a: spend alice 6; b: spend alice 4                -> applied
a: spend alice 6; b: spend alice 5                -> limit_exceeded
a: transfer alice bob 6; b: spend alice 5         -> limit_exceeded
a: move alice-6,bob+6; b: spend alice 5           -> limit_exceeded
a: hold alice 6; b: spend alice 5                 -> limit_exceeded
a: hold alice 6; b: capture a; c: spend alice 5   -> limit_exceeded
a: hold alice 6; b: void a; c: spend alice 10     -> applied
a: claim alice 3 uses 2; b: spend alice 5         -> limit_exceeded
a: claim alice 3 uses 2; b: redeem a bob; c: spend alice 5 -> limit_exceeded
a: claim alice 3 uses 2; b: redeem a bob; c: cancel a; d: spend alice 7 -> applied
a: claim alice 3 uses 2; b: redeem a bob; c: cancel a; d: spend alice 8 -> limit_exceeded
a: spend alice 6; b: refund a; c: spend alice 5   -> limit_exceeded
a: topup alice 6; b: refund a; c: spend alice 10  -> applied
a: bonus bob 6 from alice; b: spend alice 10      -> applied
a: merge cyd alice; b: spend alice 10             -> applied
"""


@pytest.mark.parametrize("row", in_columns(ONE_BATCH), ids=" | ".join)
def test_what_counts_for_a_limit_counts_within_a_batch_as_well(here: World, row: list[str]) -> None:
    lines, expected = row
    here = told(here, "change alice limit_day=10")
    outcomes = here.decide(*(ask(line, here) for line in lines_of(lines))).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied"] * (len(outcomes) - 1) + [expected]
