"""The refusals of ordinary movements, and the answer when several apply."""

from itertools import pairwise

import pytest

from tests.ledger.tables import number, rows
from tests.ledger.worlds import NOON, World, asset, legs, named, post, system_wallets, wallet_id, world
from wallet.errors import InvariantViolated
from wallet.http.wire.problems import PROBLEMS
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import Context
from wallet.ledger.book import Book
from wallet.ledger.model import Direction
from wallet.ledger.movements.posts import move_post
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import Leg

# COIN's supply is 1000, of which 40 are left.
WALLETS = """
wallet        asset balance held overdraft_limit max_balance
alice         GOLD  100     0    0               -
bob           GOLD  50      0    0               -
reserved      GOLD  100     30   0               -
trusted       GOLD  10      0    20              -
both          GOLD  10      25   20              -
indebted      GOLD  -20     0    20              -
lowered       GOLD  -50     0    20              -
modest        GOLD  50      0    0               60
sated         GOLD  80      0    0               60
brimming      GOLD  MAX     0    0               -
carol         COIN  40      0    0               -
dave          COIN  0       0    0               5
COIN.treasury COIN  -960    0    0               -
"""

# One row or more for every code, and the movements next to it that are accepted.
SINGLE = """
reference asset legs                           -> outcome              wallet        available required
free      GOLD  alice-100,bob+100              -> applied              -             -         -
used      GOLD  alice-1,bob+1                  -> replayed             -             -         -
used      GOLD  alice-2,bob+2                  -> reference_reused     -             -         -
free      GOLD  alice-5,alice+5                -> same_wallet          -             -         -
free      -     alice-5,bob+10,alice-5         -> same_wallet          -             -         -
free      GOLD  treasury-5,GOLD.treasury+5     -> same_wallet          -             -         -
free      GOLD  treasury-5,treasury+5          -> same_wallet          -             -         -
free      GOLD  nobody-5,bob+5                 -> wallet_not_found     nobody        -         -
free      GOLD  treasury-5,nobody+5            -> wallet_not_found     nobody        -         -
free      -     alice-5,nobody+2,noone+3       -> wallet_not_found     nobody        -         -
free      SOUP  alice-5,bob+5                  -> asset_not_found      -             -         -
free      SOUP  treasury-5,alice+5             -> asset_not_found      -             -         -
free      SOUP  treasury-5,revenue+5           -> asset_not_found      -             -         -
free      SOUP  treasury-5,treasury+5          -> same_wallet          -             -         -
free      GOLD  alice-5,carol+5                -> asset_mismatch       carol         -         -
free      COIN  alice-5,bob+5                  -> asset_mismatch       alice         -         -
free      GOLD  treasury-5,COIN.treasury+5     -> asset_mismatch       COIN.treasury -         -
free      -     alice-5,bob+4                  -> legs_unbalanced      -             -         -
free      -     alice-5,bob+6                  -> legs_unbalanced      -             -         -
free      -     alice-5,carol+5                -> legs_unbalanced      -             -         -
free      -     alice-5,bob+5,carol-1          -> legs_unbalanced      -             -         -
free      -     alice-5,bob-5                  -> legs_unbalanced      -             -         -
free      -     alice+5,bob+5                  -> legs_unbalanced      -             -         -
free      GOLD  alice-101,bob+101              -> insufficient_funds   alice         100       101
free      GOLD  alice-MAX,bob+MAX              -> insufficient_funds   alice         100       MAX
free      GOLD  reserved-70,bob+70             -> applied              -             -         -
free      GOLD  reserved-71,bob+71             -> insufficient_funds   reserved      70        71
free      GOLD  trusted-30,bob+30              -> applied              -             -         -
free      GOLD  trusted-31,bob+31              -> insufficient_funds   trusted       30        31
free      GOLD  both-5,bob+5                   -> applied              -             -         -
free      GOLD  both-6,bob+6                   -> insufficient_funds   both          5         6
free      GOLD  indebted-1,bob+1               -> insufficient_funds   indebted      0         1
free      GOLD  alice-1,indebted+1             -> applied              -             -         -
free      GOLD  alice-1,lowered+1              -> applied              -             -         -
free      GOLD  lowered-1,bob+1                -> insufficient_funds   lowered       -30       1
free      -     alice-101,bob-51,modest+152    -> insufficient_funds   alice         100       101
free      -     modest+152,bob-51,alice-101    -> insufficient_funds   bob           50        51
free      -     modest+11,sated+1,alice-12     -> max_balance_exceeded modest        -         -
free      -     sated+1,alice-12,modest+11     -> max_balance_exceeded sated         -         -
free      GOLD  revenue-500,alice+500          -> applied              -             -         -
free      GOLD  breakage-500,alice+500         -> applied              -             -         -
free      COIN  treasury-40,carol+40           -> applied              -             -         -
free      COIN  treasury-41,carol+41           -> supply_exceeded      COIN.treasury 40        41
free      -     COIN.treasury-41,carol+41      -> supply_exceeded      COIN.treasury 40        41
free      GOLD  alice-10,modest+10             -> applied              -             -         -
free      GOLD  alice-11,modest+11             -> max_balance_exceeded modest        -         -
free      GOLD  alice-1,sated+1                -> max_balance_exceeded sated         -         -
free      GOLD  sated-1,alice+1                -> applied              -             -         -
free      GOLD  alice-1,brimming+1             -> max_balance_exceeded brimming      -         -
free      GOLD  treasury-MAX,alice+MAX         -> max_balance_exceeded alice         -         -
free      GOLD  treasury-MAX,revenue+MAX       -> applied              -             -         -
"""

# Both refusals apply to `legs`; once the first cause is taken away (`mended`), the second is the answer.
PRECEDENCE = """
first              second               reference asset legs                                    mended_reference mended_asset mended_legs
reference_reused   same_wallet          used      GOLD  alice-5,alice+5                         free             GOLD         alice-5,alice+5
same_wallet        wallet_not_found     free      GOLD  nobody-5,nobody+5                       free             GOLD         alice-5,nobody+5
wallet_not_found   asset_not_found      free      SOUP  nobody-5,revenue+5                      free             SOUP         alice-5,revenue+5
asset_not_found    asset_mismatch       free      SOUP  alice-5,carol+5                         free             GOLD         alice-5,carol+5
asset_mismatch     legs_unbalanced      free      GOLD  alice-5,carol+6                         free             -            alice-5,carol+6
legs_unbalanced    insufficient_funds   free      -     alice-101,bob+99                        free             -            alice-101,bob+101
insufficient_funds supply_exceeded      free      -     COIN.treasury-41,dave-1,carol+42        free             -            COIN.treasury-41,carol+41
supply_exceeded    max_balance_exceeded free      COIN  treasury-41,dave+41                     free             COIN         treasury-40,dave+40
reference_reused   insufficient_funds   used      GOLD  alice-101,bob+101                       free             GOLD         alice-101,bob+101
reference_reused   max_balance_exceeded used      GOLD  alice-20,modest+20                      free             GOLD         alice-20,modest+20
reference_reused   asset_not_found      used      SOUP  alice-5,bob+5                           free             SOUP         alice-5,bob+5
same_wallet        asset_not_found      free      SOUP  alice-5,alice+5                         free             SOUP         alice-5,bob+5
same_wallet        asset_mismatch       free      COIN  alice-5,alice+5                         free             COIN         alice-5,bob+5
same_wallet        legs_unbalanced      free      -     alice-5,alice+6                         free             -            alice-5,bob+6
same_wallet        insufficient_funds   free      GOLD  alice-101,alice+101                     free             GOLD         alice-101,bob+101
same_wallet        supply_exceeded      free      -     COIN.treasury-41,carol+20,carol+21      free             -            COIN.treasury-41,carol+41
wallet_not_found   asset_mismatch       free      GOLD  carol-5,nobody+5                        free             GOLD         carol-5,bob+5
wallet_not_found   legs_unbalanced      free      -     alice-5,nobody+6                        free             -            alice-5,bob+6
wallet_not_found   insufficient_funds   free      GOLD  alice-101,nobody+101                    free             GOLD         alice-101,bob+101
asset_not_found    insufficient_funds   free      SOUP  alice-101,bob+101                       free             GOLD         alice-101,bob+101
asset_not_found    max_balance_exceeded free      SOUP  alice-11,modest+11                      free             GOLD         alice-11,modest+11
asset_mismatch     insufficient_funds   free      GOLD  alice-101,carol+101                     free             GOLD         alice-101,bob+101
asset_mismatch     max_balance_exceeded free      GOLD  alice-6,dave+6                          free             COIN         carol-6,dave+6
legs_unbalanced    supply_exceeded      free      -     COIN.treasury-41,carol+42               free             -            COIN.treasury-41,carol+41
legs_unbalanced    max_balance_exceeded free      -     alice-11,modest+12                      free             -            alice-12,modest+12
insufficient_funds max_balance_exceeded free      GOLD  alice-101,modest+101                    free             GOLD         alice-100,modest+100
insufficient_funds max_balance_exceeded free      -     modest+101,alice-101                    free             -            modest+100,alice-100
supply_exceeded    max_balance_exceeded free      -     dave+41,COIN.treasury-41                free             -            dave+40,COIN.treasury-40
"""  # noqa: E501


@pytest.fixture
def here() -> World:
    """The wallets above, where the reference `used` is taken by a movement of 1 from alice to bob, undone since."""
    start = world(WALLETS)
    return start.after(post("used", "GOLD", "alice-1,bob+1"), post("undone", "GOLD", "bob-1,alice+1"))


@pytest.mark.parametrize("row", rows(SINGLE), ids=lambda row: f"{row['asset']}:{row['legs']}:{row['outcome']}")
def test_a_movement_is_decided_as_the_table_says(here: World, row: dict[str, str]) -> None:
    (outcome,) = here.decide(post(row["reference"], row["asset"], row["legs"])).outcomes
    assert named(outcome) == row["outcome"]
    if isinstance(outcome, Refused):
        expected_wallet = None if row["wallet"] == "-" else wallet_id(row["wallet"])
        assert outcome.wallet_id == expected_wallet
        assert (outcome.available, outcome.required) == (number(row["available"]), number(row["required"]))


@pytest.mark.parametrize("row", rows(PRECEDENCE), ids=lambda row: f"{row['first']}>{row['second']}:{row['legs']}")
def test_of_two_refusals_that_apply_the_first_is_the_answer(here: World, row: dict[str, str]) -> None:
    (both,) = here.decide(post(row["reference"], row["asset"], row["legs"])).outcomes
    (mended,) = here.decide(post(row["mended_reference"], row["mended_asset"], row["mended_legs"])).outcomes
    assert (named(both), named(mended)) == (row["first"], row["second"])


# The reasons that can refuse an ordinary movement. All else is in test_refusal_stories.py.
ORDINARY_CODES = (
    RefusalCode.REFERENCE_REUSED,
    RefusalCode.SAME_WALLET,
    RefusalCode.WALLET_NOT_FOUND,
    RefusalCode.ASSET_NOT_FOUND,
    RefusalCode.ASSET_MISMATCH,
    RefusalCode.LEGS_UNBALANCED,
    RefusalCode.INSUFFICIENT_FUNDS,
    RefusalCode.SUPPLY_EXCEEDED,
    RefusalCode.MAX_BALANCE_EXCEEDED,
)


def test_every_refusal_code_of_an_ordinary_movement_has_a_row() -> None:
    assert {code.value for code in ORDINARY_CODES} <= {row["outcome"] for row in rows(SINGLE)}


def test_the_precedence_of_ordinary_codes_is_that_of_all_codes() -> None:
    assert [code for code in RefusalCode if code in ORDINARY_CODES] == list(ORDINARY_CODES)


def test_every_pair_of_adjacent_precedences_has_a_row() -> None:
    in_table = {(row["first"], row["second"]) for row in rows(PRECEDENCE)}
    assert {(first.value, second.value) for first, second in pairwise(ORDINARY_CODES)} <= in_table


@pytest.mark.parametrize("code", RefusalCode, ids=lambda code: code.value)
def test_every_refusal_code_is_a_problem_the_edge_can_write(code: RefusalCode) -> None:
    assert code.value in PROBLEMS


def test_of_two_things_not_found_the_first_leg_names_the_answer(here: World) -> None:
    topup, spend = post("a", "SOUP", "treasury-5,nobody+5"), post("b", "SOUP", "nobody-5,revenue+5")
    assert [named(outcome) for outcome in here.decide(topup, spend).outcomes] == ["asset_not_found", "wallet_not_found"]


def test_of_two_treasuries_that_run_out_the_first_leg_names_the_answer() -> None:
    assets = {code: asset(code, max_supply=5) for code in ("GOLD", "COIN")}
    wallets = {state.id: state for each in assets.values() for state in system_wallets(each)}
    request = post("r", "-", "COIN.treasury-7,GOLD.treasury-6,COIN.revenue+7,GOLD.revenue+6")
    (outcome,) = World(wallets, assets, {}).decide(request).outcomes
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.wallet_id) == (RefusalCode.SUPPLY_EXCEEDED, wallet_id("COIN.treasury"))


DETAILS = [
    (("used", "GOLD", "alice-2,bob+2"), "This reference was used by another request; they differ in legs."),
    (("free", "GOLD", "alice-5,alice+5"), "A wallet may appear only once in a movement."),
    (("free", "GOLD", "nobody-5,bob+5"), f"There is no wallet {wallet_id('nobody')}."),
    (("free", "SOUP", "alice-5,bob+5"), "There is no asset SOUP."),
    (("free", "GOLD", "alice-5,carol+5"), f"Wallet {wallet_id('carol')} does not hold GOLD."),
    (("free", "-", "alice-5,bob+2"), "In asset GOLD the debits are 3 too high; each asset must cancel out."),
    (("free", "-", "alice-5,bob+6"), "In asset GOLD the credits are 1 too high; each asset must cancel out."),
    (("free", "-", "dave+9,carol-2"), "In asset COIN the credits are 7 too high; each asset must cancel out."),
    (("free", "GOLD", "alice-101,bob+101"), "101 is asked for, 100 is available."),
    (("free", "COIN", "treasury-41,carol+41"), "41 is asked for, 40 may still be issued."),
    (("free", "GOLD", "alice-11,modest+11"), f"Wallet {wallet_id('modest')} may hold 60 at most."),
    (("free", "GOLD", "alice-1,brimming+1"), f"Wallet {wallet_id('brimming')} may hold {2**63 - 1} at most."),
]


@pytest.mark.parametrize(("asked", "detail"), DETAILS)
def test_a_refusal_says_in_words_what_is_wrong(here: World, asked: tuple[str, str, str], detail: str) -> None:
    (outcome,) = here.decide(post(*asked)).outcomes
    assert isinstance(outcome, Refused)
    assert outcome.detail == detail


# The second line of defence: if a rule were ever wrong, the movement faults instead of moving money.


@pytest.mark.parametrize(
    ("moved", "why"),
    [
        ("alice-101,bob+101", "an overdraft"),
        ("reserved-71,bob+71", "an overdraft"),
        ("COIN.treasury-41,carol+41", "an overdraft"),
        ("alice-1,brimming+1", "beyond 63 bits"),
    ],
)
def test_a_movement_that_a_rule_should_have_refused_is_a_fault(here: World, moved: str, why: str) -> None:
    with pytest.raises(InvariantViolated, match=why):
        move_post(post("free", "-", moved), Book(here.context(()), NOON))


def test_a_leg_without_a_wallet_is_a_fault_for_a_movement(here: World) -> None:
    with pytest.raises(InvariantViolated, match="without a wallet"):
        move_post(post("free", "SOUP", "treasury-5,bob+5"), Book(here.context(()), NOON))


def test_entries_that_do_not_cancel_out_are_a_fault_even_if_no_rule_saw_it(here: World) -> None:
    # No command makes such a request: one asset named, so the rules take the balance of its legs for granted.
    crooked = post("free", "GOLD", (Leg(wallet_id("alice"), Direction.DEBIT, 5), *legs("bob+6")))
    with pytest.raises(InvariantViolated, match="do not cancel out"):
        apply_batch([crooked], Context(here.wallets, here.assets, here.known), NOON)
