"""Traps that a review of the money found: what requests of one batch must know of each other, and extremes."""

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import pytest

from tests.ledger.scripts import answer, ask, seen, told, transaction_id
from tests.ledger.worlds import NOON, World, named, wallet_id, world
from wallet.ledger import book
from wallet.ledger.lots import draw_order
from wallet.ledger.model import AMOUNT_MAX, Lot, LotCategory, OnRefundToExpired, Policy, Standing

WALLETS = """
wallet asset balance overdraft_limit
alice  GOLD  100     0
bob    GOLD  0       0
cyd    GOLD  0       0
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    return replace(world(WALLETS), is_thrifty=request.param)


def test_a_wallet_that_became_a_target_by_a_merge_of_the_same_batch_is_not_closed(here: World) -> None:
    here = told(here, "h: hold alice 5 to bob")
    outcomes = here.decide(ask("m: merge bob cyd", here), ask("x: close cyd", here)).outcomes
    assert [named(outcome) for outcome in outcomes] == ["applied", "wallet_not_empty"]
    assert named(answer(told(here, "m: merge bob cyd"), "x: close cyd")) == "wallet_not_empty"


def captured_from_one_lot_twice(here: World) -> World:
    """A hold has 6 of a lot, 2 of main credit and, once increased, 4 of the lot again; all of it is captured as c."""
    return told(
        here, "topup alice 10 lot paid in 60", "g: hold alice 4", "h: hold alice 8", "void g", "increase h 4",
        "c: capture h 12",
    )  # fmt: skip


def test_what_is_forfeited_counts_once_where_a_lot_comes_back_in_two_parcels(here: World) -> None:
    here = replace(here, policies={1: Policy(on_refund_to_expired=OnRefundToExpired.FORFEIT)})
    after = told(captured_from_one_lot_twice(here), "+60", "r: refund c")
    assert (seen(after, "alice"), seen(after, "GOLD.breakage")) == ("100", "10")
    details = after.posted("r").details
    assert details is not None
    assert details.forfeited == 10


def test_a_lot_that_comes_back_in_two_parcels_is_taken_over_once(here: World) -> None:
    after = told(captured_from_one_lot_twice(here), "merge alice bob", "r: refund c")
    assert seen(after, "bob") == "110 lots 10"
    moves = [move for move in after.lot_moves if move.transaction_id == transaction_id("r")]
    alice, bob = wallet_id("alice"), wallet_id("bob")
    assert [(move.wallet_id, move.change) for move in moves] == [(alice, 0), (bob, 0), (bob, 4), (bob, 6)]
    assert [move.ordinal for move in moves] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "before",
    [
        f"hold ann MAX; hold ben MAX; topup ann {2**62} lot paid; topup ben {2**62 - 1} lot paid",
        "topup ann MAX lot paid; hold ann MAX; spend ann MAX; topup ben 1 lot paid",
        "topup ann MAX lot paid; h: hold ann MAX; spend ann MAX; void h; hold ben MAX",
    ],
    ids=["held", "in lots", "held and in lots"],
)
def test_wallets_that_have_more_together_than_63_bits_can_say_are_not_merged(before: str, here: World) -> None:
    extreme = world("wallet asset balance overdraft_limit\nann GOLD 0 MAX\nben GOLD 0 MAX")
    extreme = told(replace(extreme, is_thrifty=here.is_thrifty), *before.replace("MAX", str(AMOUNT_MAX)).split("; "))
    assert named(answer(extreme, "m: merge ben ann")) == "max_balance_exceeded"


class CountedId(UUID):
    """An id that counts how often it is compared with another."""

    comparisons: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        CountedId.comparisons += 1
        return super().__eq__(other)

    __hash__ = UUID.__hash__


@pytest.mark.parametrize("seconds", [1, 0], ids=["alive", "due"])
def test_a_wallet_of_thousands_of_lots_is_not_looked_through_for_each_of_them(seconds: int) -> None:
    here, count, alice = world(WALLETS), 1000, wallet_id("alice")
    until = NOON + timedelta(seconds=seconds)
    ids = [CountedId(int=number) for number in range(1, count + 1)]
    lots = {
        id_: Lot(id_, alice, 1, LotCategory.PAID, 50, until, NOON, transaction_id("t"), amount=1, remaining=1)
        for id_ in ids
    }
    state = here.state("alice")
    state = state._replace(balance=count, standing=Standing(next_due_at=until, lot_balance=count))
    here = replace(here, wallets={**here.wallets, alice: state}, lots=lots)
    CountedId.comparisons = 0
    assert named(answer(here, "s: spend alice 1")) == ("applied" if seconds else "insufficient_funds")
    assert CountedId.comparisons < 20 * count


def test_the_lots_of_a_wallet_are_put_in_order_once_for_all_who_draw_from_it(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = told(here, "topup alice 3 lot paid in 60", "topup alice 3 lot paid in 30", "topup alice 3 lot paid in 90")
    calls = []
    monkeypatch.setattr(book, "draw_order", lambda lots: calls.append(1) or draw_order(lots))
    lines = [f"s{number}: spend alice 1" for number in range(5)]
    after = here.left_by(here.decide(*(ask(line, here) for line in lines)))
    assert (seen(after, "alice"), len(calls)) == ("104 lots 1+3", 1)
    # One that comes in between is put in its place; the others stay where they are.
    calls.clear()
    lines = ["s6: spend alice 1", "t: topup alice 2 lot paid in 10", "s7: spend alice 1", "s8: spend alice 2"]
    after = after.left_by(after.decide(*(ask(line, after) for line in lines)))
    assert (seen(after, "alice"), len(calls)) == ("102 lots 2", 1)
