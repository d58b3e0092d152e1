"""Hypothesis: small worlds and hostile batches, in which every answer of the ledger occurs often.

Movements are enumerated, simple ones first, and then picked: a choice each instead of ten keeps the laws fast.
"""

import os
from itertools import permutations, product
from typing import TypeAlias

from hypothesis import settings
from hypothesis import strategies as st

from tests.ledger.worlds import ASSET_IDS, World, asset, legs, post, system_wallets, tried_again, wallet_id
from wallet.ledger.model import AMOUNT_MAX, Direction, WalletId, WalletKind, WalletState
from wallet.ledger.requests import Leg, Post

LAWS = settings(deadline=None, max_examples=int(os.environ.get("WALLET_LAW_EXAMPLES", "100")), print_blob=True)
"""How each law is tried: often enough to be worth it, and without a clock, because machines differ."""

NAMES = {"GOLD": ("alice", "bob"), "COIN": ("carol", "dave")}
CAPS = (1, 10, AMOUNT_MAX)
# Few different ones, so that they meet each other's limits; and those next to the end of 63 bits.
AMOUNTS = (1, 2, 3, 5, 10, 2**62, AMOUNT_MAX - 1, AMOUNT_MAX)

Legs: TypeAlias = tuple[Leg, ...]


def _wallets(id_: WalletId, asset_id: int) -> st.SearchStrategy[WalletState]:
    """A wallet in any state that movements, holds and changed limits could have left it in."""
    states = []
    for overdraft_limit, balance, held, max_balance in product(
        (0, 3, AMOUNT_MAX),
        (10, 0, 1, 5, 100, 2**62, AMOUNT_MAX - 1, AMOUNT_MAX, -4, None),
        (0, 1, 5),
        (None, 10, AMOUNT_MAX),
    ):
        start = -overdraft_limit if balance is None else balance  # none: all that it may be overdrawn by
        states.append(
            WalletState(
                id_,
                asset_id,
                WalletKind.USER,
                locked=True,
                balance=start,
                held=held,
                version=start % 5,
                overdraft_limit=overdraft_limit,
                max_balance=max_balance,
            )
        )
    return st.sampled_from(states)


_USERS = st.tuples(*(_wallets(wallet_id(name), ASSET_IDS[code]) for code, names in NAMES.items() for name in names))
_SUPPLIES = [(cap, issued) for cap in CAPS for issued in sorted({0, cap // 2, cap - 1, cap})]


def _world(users: tuple[WalletState, ...], supply: tuple[int, int]) -> World:
    cap, issued = supply
    gold, coin = asset("GOLD"), asset("COIN", max_supply=cap)
    states = [*system_wallets(gold), *system_wallets(coin, treasury_balance=-issued), *users]
    return World({state.id: state for state in states}, {"GOLD": gold, "COIN": coin}, {})


worlds = st.builds(_world, _USERS, st.sampled_from(_SUPPLIES))
"""GOLD without a cap, COIN with one, and two wallets in each."""


def _verbs(whom: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str | None, Legs]]:
    moved = []
    for amount, (code, one, other) in product(AMOUNTS, whom):
        moved += [
            ("topup", code, legs(f"treasury-{amount},{one}+{amount}")),
            ("bonus", code, legs(f"treasury-{amount},{one}+{amount}")),
            ("spend", code, legs(f"{one}-{amount},revenue+{amount}")),
            ("transfer", code, legs(f"{one}-{amount},{other}+{amount}")),
        ]
    return moved


def _pairs(names: tuple[str, ...]) -> list[Legs]:
    two = list(permutations(names, 2))
    return [legs(f"{source}-{amount},{target}+{amount}") for amount in AMOUNTS for source, target in two]


_SOUND = _verbs(
    (("GOLD", "alice", "bob"), ("GOLD", "bob", "alice"), ("COIN", "carol", "dave"), ("COIN", "dave", "carol"))
)
_UNSOUND = _verbs(
    (("GOLD", "alice", "alice"), ("COIN", "nobody", "carol"), ("SOUP", "alice", "bob"), ("SOUP", "nobody", "alice"),
     ("GOLD", "bob", "carol"), ("COIN", "alice", "COIN.treasury"), ("GOLD", "GOLD.treasury", "GOLD.revenue"))
)  # fmt: skip
_pair = st.sampled_from(_pairs(("alice", "bob", "GOLD.treasury"))) | st.sampled_from(
    _pairs(("carol", "dave", "COIN.treasury", "COIN.breakage"))
)
_stray = st.sampled_from([Leg(wallet_id("alice"), way, amount) for way in Direction for amount in AMOUNTS]).map(
    lambda leg: (leg,)
)
_exchange = (
    st.tuples(st.sampled_from(["exchange", "swap"]), st.none(), _pair)
    | st.tuples(st.just("exchange"), st.none(), st.builds(tuple.__add__, _pair, _pair))
    | st.tuples(st.just("exchange"), st.none(), st.builds(tuple.__add__, _stray, _pair))
)
_movement = st.sampled_from(_SOUND) | _exchange | st.sampled_from(_UNSOUND)
# Few references, so that they are used again; mostly one origin, mostly no metadata.
_key = st.sampled_from([*((f"r{n}", "api", None) for n in range(6)), ("r0", "user:7", None), ("r0", "api", "{}")])


def _request(key: tuple[str, str, str | None], movement: tuple[str, str | None, Legs]) -> Post:
    (reference, origin, metadata), (type_, code, moved) = key, movement
    return post(reference, code, moved, type_=type_, metadata=metadata, origin=origin)


def _with_tries(steps: list[tuple[Post, str]]) -> list[Post]:
    batch: list[Post] = []
    for request, instead in steps:
        if instead == "" or not batch:
            batch.append(request)
        else:
            batch.append(tried_again(batch[-1]) if instead == "another try" else batch[len(batch) // 2])
    return batch


_step = st.tuples(
    st.builds(_request, _key, _movement), st.sampled_from(["", "", "", "", "another try", "the same try"])
)
batches = st.lists(_step, min_size=1, max_size=12).map(_with_tries)
"""Up to a dozen requests, some of them tries of an earlier one: with a new id, or with the very same."""
