"""The effects of an accepted movement: entries, versions, balances and deltas."""

from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

import pytest

from tests.ledger.tables import rows
from tests.ledger.worlds import NOON, NOTHING, World, named, post, wallet_id, world
from wallet.ledger.kinds import wallets_named
from wallet.ledger.model import AMOUNT_MAX, Asset, Direction, Entry, WalletKind
from wallet.ledger.outcomes import Applied
from wallet.ledger.requests import Leg, Post
from wallet.service.writes.commands import Commands

WALLETS = """
wallet asset balance held version overdraft_limit max_balance
alice  GOLD  100     10   7       5               900
bob    GOLD  50      0    0       0               -
carol  COIN  40      0    3       0               -
"""

MOVED = """
asset legs                               -> wallet        version balance held
GOLD  alice-30,bob+30                    -> alice         8       70      10
GOLD  alice-30,bob+30                    -> bob           1       80      0
GOLD  treasury-30,alice+30               -> alice         8       130     10
GOLD  alice-95,revenue+95                -> alice         8       5       10
COIN  treasury-1000,carol+1000           -> carol         4       1040    0
COIN  treasury-1000,carol+1000           -> COIN.treasury 1       -1000   0
COIN  carol-7,treasury+7                 -> COIN.treasury 1       7       0
-     alice-100,bob+100                  -> alice         -       -       -
-     bob-50,alice+50,carol-40,COIN.revenue+40 -> carol   4       0       0
"""


@pytest.fixture
def here() -> World:
    return world(WALLETS)


def entries_of(here: World, request: Post) -> tuple[Entry, ...]:
    (outcome,) = here.decide(request).outcomes
    assert isinstance(outcome, Applied), outcome
    return outcome.posted.entries


@pytest.mark.parametrize("row", rows(MOVED), ids=lambda row: f"{row['asset']}:{row['legs']}:{row['wallet']}")
def test_a_movement_leaves_the_next_state_of_each_locked_wallet(here: World, row: dict[str, str]) -> None:
    states = here.decide(post("r", row["asset"], row["legs"])).states
    if row["version"] == "-":
        assert states == {}
    else:
        state = states[wallet_id(row["wallet"])]
        assert (state.version, state.balance, state.held) == (
            int(row["version"]), int(row["balance"]), int(row["held"]),
        )  # fmt: skip


def test_what_a_movement_does_not_touch_stays_as_it_was(here: World) -> None:
    state = here.decide(post("r", "GOLD", "alice-30,bob+30")).states[wallet_id("alice")]
    before = here.state("alice")
    assert state == before._replace(balance=70, version=8, last_entry_at=NOON)


def test_entries_come_in_the_order_of_the_legs_and_are_numbered_from_zero(here: World) -> None:
    request = post("r", "-", "carol+3,bob-5,COIN.revenue-3,alice+5")
    assert entries_of(here, request) == (
        Entry(request.id, 0, wallet_id("carol"), 2, 1, 3, 4, 43),
        Entry(request.id, 1, wallet_id("bob"), 1, -1, 5, 1, 45),
        Entry(request.id, 2, wallet_id("COIN.revenue"), 2, -1, 3, None, None),
        Entry(request.id, 3, wallet_id("alice"), 1, 1, 5, 8, 105),
    )


def test_the_direction_of_an_entry_is_a_plain_number(here: World) -> None:
    # The driver and the answers take it as such.
    assert [type(entry.direction) for entry in entries_of(here, post("r", "GOLD", "alice-1,bob+1"))] == [int, int]


def test_a_transaction_is_dated_at_the_decision_and_keeps_what_it_was_asked(here: World) -> None:
    request = post("r", "GOLD", "alice-1,bob+1", type_="transfer", metadata='{"note":"x"}', origin="user:1")
    (outcome,) = here.decide(request).outcomes
    assert isinstance(outcome, Applied)
    entries = outcome.posted.entries
    assert outcome.posted == (
        request.id, "user:1", "r", request.fingerprint, "transfer", '{"note":"x"}', NOON, NOON, entries,
        None, None, None,
    )  # fmt: skip


def test_an_uncapped_treasury_pays_any_amount_and_keeps_no_balance_but_a_delta(here: World) -> None:
    decision = here.decide(
        post("a", "GOLD", f"treasury-{AMOUNT_MAX},revenue+{AMOUNT_MAX}"),
        post("b", "GOLD", f"treasury-{AMOUNT_MAX},revenue+{AMOUNT_MAX}"),
        post("c", "GOLD", "treasury-5,bob+5"),
    )
    treasury, revenue = here.assets["GOLD"].treasury, here.assets["GOLD"].revenue
    assert decision.deltas == {treasury: -2 * AMOUNT_MAX - 5, revenue: 2 * AMOUNT_MAX}
    assert decision.states.keys() == {wallet_id("bob")}
    system = [entry for posted in decision.posted for entry in posted.entries if entry.wallet_id == treasury]
    assert {(entry.version, entry.balance_after) for entry in system} == {(None, None)}


def test_movements_that_cancel_out_on_an_unlocked_wallet_leave_a_delta_of_zero(here: World) -> None:
    decision = here.decide(post("a", "GOLD", "treasury-5,bob+5"), post("b", "GOLD", "bob-5,treasury+5"))
    assert decision.deltas == {here.assets["GOLD"].treasury: 0}


def test_a_capped_treasury_issues_to_the_cap_and_not_one_more(here: World) -> None:
    decision = here.decide(
        post("a", "COIN", "treasury-999,carol+999"),
        post("b", "COIN", "treasury-2,carol+2"),
        post("c", "COIN", "treasury-1,carol+1"),
        post("d", "COIN", "treasury-1,carol+1"),
    )
    assert [named(outcome) for outcome in decision.outcomes] == ["applied", "supply_exceeded"] * 2
    assert decision.states[wallet_id("COIN.treasury")].balance == -1000
    assert decision.deltas == {}


def test_what_is_credited_to_a_capped_treasury_may_be_issued_again(here: World) -> None:
    outcomes = here.decide(
        post("a", "COIN", "treasury-1000,carol+1000"),
        post("b", "-", "carol-30,COIN.treasury+30"),
        post("c", "COIN", "treasury-31,carol+31"),
        post("d", "COIN", "treasury-30,carol+30"),
    ).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "applied", "supply_exceeded", "applied"]


def test_what_is_spent_does_not_free_supply(here: World) -> None:
    outcomes = here.decide(
        post("a", "COIN", "treasury-1000,carol+1000"),
        post("b", "COIN", "carol-1000,revenue+1000"),
        post("c", "COIN", "treasury-1,carol+1"),
    ).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "applied", "supply_exceeded"]


def test_the_greatest_cap_there_is_can_be_issued_whole() -> None:
    here = world("wallet asset\nrich COIN", max_supply=AMOUNT_MAX)
    decision = here.decide(post("a", "COIN", "treasury-MAX,rich+MAX"), post("b", "COIN", "treasury-1,revenue+1"))
    assert [named(outcome) for outcome in decision.outcomes] == ["applied", "supply_exceeded"]
    assert decision.states[wallet_id("COIN.treasury")].balance == -AMOUNT_MAX
    assert decision.states[wallet_id("rich")].balance == AMOUNT_MAX


def test_a_balance_grows_to_63_bits_exactly_and_is_never_wrapped() -> None:
    here = world("wallet asset balance\nrich GOLD 1")
    decision = here.decide(
        post("a", "GOLD", "treasury-MAX,rich+MAX"),
        post("b", "GOLD", f"treasury-{AMOUNT_MAX - 1},rich+{AMOUNT_MAX - 1}"),
        post("c", "GOLD", "treasury-1,rich+1"),
    )
    assert [named(outcome) for outcome in decision.outcomes] == [
        "max_balance_exceeded", "applied", "max_balance_exceeded",
    ]  # fmt: skip
    assert decision.states[wallet_id("rich")].balance == AMOUNT_MAX


def test_a_maximum_of_63_bits_bounds_like_none() -> None:
    here = world("wallet asset balance max_balance\nrich GOLD 1 MAX")
    outcomes = here.decide(
        post("a", "GOLD", "treasury-MAX,rich+MAX"),
        post("b", "GOLD", f"treasury-{AMOUNT_MAX - 1},rich+{AMOUNT_MAX - 1}"),
    ).outcomes
    assert [named(outcome) for outcome in outcomes] == ["max_balance_exceeded", "applied"]


def test_a_wallet_may_be_overdrawn_to_63_bits_below_zero() -> None:
    here = world("wallet asset overdraft_limit\ndeep GOLD MAX")
    decision = here.decide(post("a", "GOLD", "deep-MAX,revenue+MAX"), post("b", "GOLD", "deep-1,revenue+1"))
    assert [named(outcome) for outcome in decision.outcomes] == ["applied", "insufficient_funds"]
    assert decision.states[wallet_id("deep")].balance == -AMOUNT_MAX


def test_a_movement_of_100_legs_is_one_transaction() -> None:
    names = [f"w{n}" for n in range(100)]
    here = world("wallet asset balance\n" + "\n".join(f"{name} GOLD {n + 1}" for n, name in enumerate(names)))
    moved = ",".join(f"{name}{'-' if n % 2 else '+'}{n // 2 + 1}" for n, name in enumerate(names))
    decision = here.decide(post("r", "-", moved))
    (transaction,) = decision.posted
    assert [entry.leg for entry in transaction.entries] == list(range(100))
    assert len(decision.states) == 100
    assert sum(state.balance for state in decision.states.values()) == sum(range(1, 101))


def test_of_100_legs_one_that_cannot_be_afforded_stops_all() -> None:
    names = [f"w{n}" for n in range(100)]
    here = world("wallet asset balance\n" + "\n".join(f"{name} GOLD 1" for name in names))
    moved = ",".join(f"{name}-{2 if name == 'w98' else 1}" for name in names[:99]) + ",w99+100"
    decision = here.decide(post("r", "-", moved))
    assert [named(outcome) for outcome in decision.outcomes] == ["insufficient_funds"]
    assert (decision.posted, decision.states, decision.deltas) == ((), {}, {})


def test_an_exchange_moves_two_assets_at_once(here: World) -> None:
    decision = here.decide(post("r", "-", "alice-90,GOLD.revenue+90,COIN.treasury-5,carol+5"))
    assert {id_: state.balance for id_, state in decision.states.items()} == {
        wallet_id("alice"): 10, wallet_id("carol"): 45, wallet_id("COIN.treasury"): -5,
    }  # fmt: skip
    assert decision.deltas == {wallet_id("GOLD.revenue"): 90}


def test_assets_that_only_cancel_out_together_are_unbalanced(here: World) -> None:
    (outcome,) = here.decide(post("r", "-", "alice-5,bob+4,carol+1")).outcomes
    assert named(outcome) == "legs_unbalanced"


def test_each_movement_sees_what_the_one_before_it_left(here: World) -> None:
    outcomes = here.decide(
        post("a", "GOLD", "bob-51,alice+51"),
        post("b", "GOLD", "alice-1,bob+1"),
        post("c", "GOLD", "bob-51,alice+51"),
        post("d", "GOLD", "bob-1,alice+1"),
    ).outcomes
    assert [named(outcome) for outcome in outcomes] == [
        "insufficient_funds", "applied", "applied", "insufficient_funds",
    ]  # fmt: skip


def test_versions_have_no_gap_and_each_balance_follows_from_the_one_before(here: World) -> None:
    decision = here.decide(
        post("a", "GOLD", "alice-10,bob+10"),
        post("b", "GOLD", "alice-500,bob+500"),
        post("c", "GOLD", "treasury-25,alice+25"),
        post("a", "GOLD", "alice-10,bob+11"),
        post("d", "-", "bob-60,alice+60"),
    )
    chain = [entry for posted in decision.posted for entry in posted.entries if entry.wallet_id == wallet_id("alice")]
    assert [(entry.version, entry.balance_after) for entry in chain] == [(8, 90), (9, 115), (10, 175)]
    for before, after in pairwise(chain):
        assert before.balance_after is not None
        assert after.balance_after == before.balance_after + after.direction * after.amount
    assert decision.states[wallet_id("alice")][4:7] == (175, 10, 10)


def test_a_batch_of_nothing_comes_to_nothing(here: World) -> None:
    assert here.decide() == NOTHING


# The four verbs are general transactions of two legs.

ALICE, BOB = wallet_id("alice"), wallet_id("bob")
VERBS: dict[str, tuple[Callable[[Commands], Post], str]] = {
    "topup": (lambda make: _wallet_movement(make, "topup"), "GOLD.treasury-5,alice+5"),
    "bonus": (lambda make: _wallet_movement(make, "bonus"), "GOLD.treasury-5,alice+5"),
    "spend": (lambda make: _wallet_movement(make, "spend"), "alice-5,GOLD.revenue+5"),
    "transfer": (
        lambda make: make.transfer(
            from_wallet_id=ALICE, to_wallet_id=BOB, asset_code="GOLD", amount=5, reference_id="r", metadata=None
        ),
        "alice-5,bob+5",
    ),
}


def _wallet_movement(make: Commands, type_: str) -> Post:
    return make.wallet_movement(type_, wallet_id=ALICE, asset_code="GOLD", amount=5, reference_id="r", metadata=None)


@pytest.mark.parametrize("type_", VERBS)
def test_a_verb_is_the_general_transaction_with_its_two_legs(here: World, type_: str) -> None:
    make_verb, moved = VERBS[type_]
    verb = make_verb(Commands())
    general = post("g", "-", moved)._replace(id=verb.id)
    by_verb, by_legs = here.decide(verb), here.decide(general)
    assert verb.type == type_
    assert by_verb.posted[0].entries == by_legs.posted[0].entries
    assert (by_verb.states, by_verb.deltas) == (by_legs.states, by_legs.deltas)


def test_the_wallets_named_are_those_of_the_legs_in_their_order(here: World) -> None:
    assert wallets_named(post("r", "GOLD", "treasury-5,alice+5"), here.assets) == [wallet_id("GOLD.treasury"), ALICE]
    assert wallets_named(post("r", "SOUP", "treasury-5,alice+5"), here.assets) == [ALICE]
    assert wallets_named(post("r", "-", "bob-5,COIN.treasury+5"), here.assets) == [BOB, wallet_id("COIN.treasury")]


def test_each_kind_of_system_wallet_is_the_assets_own() -> None:
    gold = Asset(1, "GOLD", 2, None, *(UUID(int=n) for n in range(3)))
    kinds = (WalletKind.TREASURY, WalletKind.REVENUE, WalletKind.BREAKAGE)
    request = post("r", "GOLD", tuple(Leg(kind, Direction.CREDIT, 1) for kind in kinds))
    assert wallets_named(request, {"GOLD": gold}) == [UUID(int=0), UUID(int=1), UUID(int=2)]
