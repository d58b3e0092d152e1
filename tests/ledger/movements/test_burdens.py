"""The limits on a wallet's lots and holds: so many live lots, so many open holds. All that is there goes on."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.ledger.scripts import answer, ask, in_columns, lines_of, seen, told
from tests.ledger.worlds import World, named, wallet_id, world
from wallet.errors import GroupTooLarge
from wallet.ledger.batch import Bounds
from wallet.ledger.lots import draw_order
from wallet.ledger.model import Lot, OnRefundToExpired, Policy
from wallet.ledger.outcomes import Applied, Refused

WALLETS = """
wallet asset balance
alice  GOLD  100
bob    GOLD  100
cyd    GOLD  100
"""


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    return replace(world(WALLETS), is_thrifty=request.param, bounds=Bounds(2, 2))


def with_policy(here: World, on_refund: OnRefundToExpired) -> World:
    return replace(here, policies={1: Policy(on_refund_to_expired=on_refund, grace_seconds=20)})


@pytest.mark.parametrize(
    ("before", "asked", "wallet", "code"),
    [
        ("topup alice 1 lot paid", "topup alice 1 lot paid", "alice", "too_many_lots"),
        ("topup bob 1 lot paid", "x: transfer alice bob 101", "bob", "too_many_lots"),
        ("hold alice 1", "hold alice 1", "alice", "too_many_holds"),
        ("hold bob 1 to alice in 9 on-expiry-capture", "hold cyd 1 to alice in 9 on-expiry-capture", "alice",
         "too_many_holds"),
    ],
)  # fmt: skip
def test_a_refusal_says_which_wallet_and_how_many_there_may_be(
    here: World, before: str, asked: str, wallet: str, code: str
) -> None:
    """One that is bound may fill half."""
    start = told(here, "topup alice 1 lot promotional", *lines_of(before))
    refused = answer(start, f"r: {asked.removeprefix('x: ')} origin ann")
    assert isinstance(refused, Refused)
    assert (refused.code.value, refused.wallet_id) == (code, wallet_id(wallet))
    assert refused.members == (("limit", 1),)


GIVEN_BACK = """
before                                                                                    | asked          -> alice
topup alice 1 lot paid in 60; topup alice 1 lot paid in 61; s: spend alice 1; topup alice 1 lot paid | refund s -> 103 lots 1+1+1
topup alice 1 lot paid; topup alice 1 lot paid; h: hold bob 5 to alice; hold alice 1; hold alice 1 | capture h -> 107 held 2 lots 1(1)+1(1)
topup bob 1 lot promotional; merge bob alice; topup alice 1 lot paid; hold alice 1        | topup alice 5  -> 207 held 1 lots 1(1)+1
topup alice 1 lot paid; topup alice 1 lot paid; topup bob 1 lot paid; topup bob 1 lot paid in 9 | merge bob alice -> 204 lots 1+1+1+1
hold alice 1; hold alice 1; hold bob 1; hold bob 1                                        | merge bob alice -> 200 held 4
"""  # noqa: E501


@pytest.mark.parametrize("row", in_columns(GIVEN_BACK), ids=" | ".join)
def test_what_is_there_is_given_back_and_moved_on_however_much_it_is(here: World, row: list[str]) -> None:
    before, asked, expected = row
    assert seen(told(here, *lines_of(before), asked), "alice") == expected


@pytest.mark.parametrize("policy", OnRefundToExpired)
def test_a_refund_into_lots_that_have_expired_is_not_refused_for_the_lots_of_grace(
    here: World, policy: OnRefundToExpired
) -> None:
    lots = ("topup alice 2 lot paid in 9", "topup alice 3 lot promotional in 9")
    start = told(with_policy(here, policy), *lines_of("; ".join(lots)), "s: spend alice 5", "+9")
    start = told(start, "topup alice 1 lot paid", "topup alice 1 lot promotional")
    assert named(answer(start, "r: refund s")) == "applied"


def test_what_falls_due_is_posted_however_much_it_is(here: World) -> None:
    holds = [f"hold bob {n} to alice in 9 on-expiry-capture" for n in (1, 2, 3)]
    start = told(replace(here, bounds=Bounds()), "topup alice 5 lot paid in 9", "topup alice 5 lot paid", *holds)
    after = told(replace(start, bounds=Bounds(1, 1)), "+9", "settle alice")
    assert seen(after, "alice") == "111 lots 5"
    assert after.declines == ()


def test_a_wallet_that_has_more_goes_on_with_all_it_has(here: World) -> None:
    lots = [f"topup alice {n} lot paid" for n in (1, 2, 3)]
    holds = ["h: hold alice 1", "i: hold alice 1", "j: hold alice 1 in 9"]
    start = replace(told(replace(here, bounds=Bounds()), *lots, *holds), bounds=Bounds(1, 1))
    assert named(answer(start, "t: topup alice 1 lot paid")) == "too_many_lots"
    assert named(answer(start, "k: hold alice 1")) == "too_many_holds"
    steps = ("increase h 1", "extend j 20", "capture h", "void i", "spend alice 1", "transfer alice bob 1", "+20")
    after = told(start, *steps, "topup alice 1", "settle alice")
    assert seen(after, "alice") == "103 lots 1+1"


def test_each_that_ends_makes_room_within_its_batch(here: World) -> None:
    start = told(here, "topup alice 1 lot paid", "topup alice 1 lot paid", "h: hold alice 1", "hold alice 1")
    lines = ("a: hold alice 1", "v: void h", "b: hold alice 1", "c: hold alice 1")
    outcomes = start.decide(*(ask(line, start) for line in lines)).outcomes
    assert [named(each) for each in outcomes] == ["too_many_holds", "applied", "applied", "too_many_holds"]
    lines = ("t: topup alice 1 lot paid", "s: spend alice 1", "u: topup alice 1 lot paid")
    start = told(start, "void h")
    outcomes = start.decide(*(ask(line, start) for line in lines)).outcomes
    assert [named(each) for each in outcomes] == ["too_many_lots", "applied", "applied"]


def _of_many_lots(count: int) -> World:
    here = world(WALLETS)
    topups = [ask(f"l{n}: topup alice 1 lot promotional in {100 + n}", here) for n in range(count)]
    return here.left_by(here.decide(*topups))


def test_a_movement_of_many_lots_puts_none_of_them_in_order_again(monkeypatch: pytest.MonkeyPatch) -> None:
    here, sorted_at = _of_many_lots(200), []

    def noted(lots: Iterable[Lot]) -> list[Lot]:
        in_order = draw_order(lots)
        sorted_at.append(len(in_order))
        return in_order

    monkeypatch.setattr("wallet.ledger.book.draw_order", noted)
    to_and_fro = [f"x{n}: transfer {'alice bob' if n % 2 == 0 else 'bob alice'} 200" for n in range(4)]
    decision = here.decide(*(ask(line, here) for line in to_and_fro))
    assert all(isinstance(each, Applied) for each in decision.outcomes)
    # Once for each wallet: alice's as they were, bob's before he had any.
    assert sorted_at == [200, 0]
    assert [lot.amount for lot in decision.changes.lots.values() if lot.remaining] == [1] * 200


@pytest.mark.parametrize(
    "line",
    ["x{}: transfer alice bob 200 dry", "x{}: transfer alice bob 200 when alice version 1", "y{}: hold alice 200 dry"],
)
def test_several_requests_that_come_to_too_much_are_not_decided_at_once(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _of_many_lots(200)
    monkeypatch.setattr("wallet.ledger.apply.LINES_OF_SEVERAL_MAX", 450)
    batch = [ask(line.format(n), here) for n in range(4)]
    with pytest.raises(GroupTooLarge):
        here.decide(*batch)
    assert len(here.decide(batch[0]).outcomes) == 1
