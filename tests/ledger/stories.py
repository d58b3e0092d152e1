"""Hypothesis: steps of stories, as lines of text with gaps (`{hold}`) that the story so far fills.

Amounts, instants and wallets are few and small, so that they meet: each other's limits, expiries and debts.
"""

from dataclasses import replace
from itertools import permutations, product

from hypothesis import strategies as st

from tests.ledger.scripts import programme_id
from tests.ledger.worlds import World, user_id, wallet_id, world
from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds
from wallet.ledger.model import Attachment, OnRefundToExpired, Policy

WALLETS = """
wallet asset balance overdraft_limit max_balance
alice  GOLD  10      0               -
bob    GOLD  0       4               -
cyd    GOLD  5       0               12
dora   COIN  5       0               -
emil   COIN  0       3               -
"""
GOLD, COIN = ("alice", "bob", "cyd"), ("dora", "emil")
USERS = (*GOLD, *COIN)
# Two wallets of one asset have one user, and one wallet has none.
USER_OF = {"alice": "ann", "bob": "ben", "cyd": "ben", "dora": "dan"}
PAIRS = (*permutations(GOLD, 2), *permutations(COIN, 2))
AMOUNTS = (1, 2, 3, 5, 8)
SECONDS = (5, 10, 30, 100)

policies = st.builds(
    lambda gold, coin: {1: gold, 2: coin},
    st.builds(Policy, st.just(False), st.sampled_from(OnRefundToExpired), st.just(20)),
    st.builds(Policy, st.just(True), st.sampled_from(OnRefundToExpired), st.just(20)),
)


bounds = st.sampled_from(
    [DEFAULT_BOUNDS, DEFAULT_BOUNDS, Bounds(lots_max=1, holds_max=2), Bounds(lots_max=2, holds_max=1)]
)


def _world(policy_of: dict[int, Policy], bounds: Bounds = DEFAULT_BOUNDS) -> World:
    start = world(WALLETS, max_supply=6)
    attachments = [Attachment(programme_id("gym"), wallet_id(name), 0) for name in ("alice", "dora")]
    return replace(
        start,
        policies=policy_of,
        bounds=bounds,
        attachments={(each.programme_id, each.wallet_id): each for each in attachments},
        holds={},
        users={wallet_id(name): user_id(user) for name, user in USER_OF.items()},
    )


worlds = st.builds(_world, policies, bounds)


def ordinary_world() -> World:
    return _world({})


_lots = [
    "",
    "",
    *(f" lot {category}{expiry}{priority}" for category, expiry, priority in product(
        ("paid", "promotional"), ("", " in 5", " in 10", " in 30"), ("", " priority 10"))),
    " lot paid till 0",
]  # fmt: skip
_topup = st.builds("topup {} {}{}".format, st.sampled_from(USERS), st.sampled_from(AMOUNTS), st.sampled_from(_lots))
_bonus = st.builds(
    "bonus {} {}{}".format,
    st.sampled_from(["alice", "dora", "bob from alice", "cyd from bob", "emil from dora"]),
    st.sampled_from(AMOUNTS),
    st.sampled_from(_lots),
).map(lambda line: _amount_before_words(line))
_upto = st.sampled_from(["", "", "", " upto", " upto least 3"])
_spend = st.builds(
    lambda ends, amount, upto: f"spend {ends[0]} {amount}{ends[1]}{upto}",
    st.sampled_from([(one, target) for one, other in PAIRS for target in ("", "", f" to {other}")]),
    st.sampled_from(AMOUNTS),
    _upto,
).map(lambda line: _sound(line))
_transfer = st.builds(
    lambda pair, amount, upto: f"transfer {pair[0]} {pair[1]} {amount}{upto}",
    st.sampled_from(PAIRS),
    st.sampled_from(AMOUNTS),
    _upto,
).map(lambda line: _sound(line))
_general = st.sampled_from(
    [f"move {one}-{n},{other}+{n}" for (one, other), n in product(PAIRS, (1, 4))]
    + [f"move alice-{n},GOLD.revenue+{n},COIN.treasury-2,dora+2" for n in (1, 3)]
    + [f"move alice-{n},bob-1,cyd+{n + 1}" for n in (1, 3)]
    + [f"move bob+{n},alice-3,GOLD.revenue+{m},cyd-2,COIN.revenue+1,dora-2,emil+1" for n, m in ((1, 4), (4, 1))]
    + ["move dora-2,COIN.treasury+2"]
)


def _sound(line: str) -> str:
    """Nobody gets as far as the ledger who asks for at least more than they ask for."""
    return line.replace(" least 3", "") if {"1", "2"} & set(line.split()) else line


def _amount_before_words(line: str) -> str:
    verb, wallet, *rest = line.split()
    if rest[0] == "from":
        rest = [rest[2], *rest[:2], *rest[3:]]
    return " ".join([verb, wallet, *rest])


_options = st.sampled_from(
    [""] * 7
    + [" effective -60", " effective 3", " effective 10", " dry", " when alice version 2", " when alice balance 2..9"]
    + [" when dora balance 0..", " when GOLD.revenue balance 0..", " when GOLD.treasury balance 0.."]
)
_KINDS = (_topup, _topup, _bonus, _spend, _spend, _transfer, _transfer, _general)
_movement = st.integers(0, len(_KINDS) - 1).flatmap(lambda number: _KINDS[number])
# Requests that a bound caller may send; the back end may send them, too.
_BOUND = ("spend", "transfer", "move", "hold", "capture", "increase")
_callers = st.sampled_from(["", "", " bound"])


def _by(line: str, caller: str) -> str:
    return line + (caller if line.split()[0] in _BOUND else "")


movements = st.builds(_by, st.builds(str.__add__, _movement, _options), _callers)

_placings = st.builds(
    lambda ends, *rest: "hold {} {}{}{}{}".format(ends[0], rest[0], ends[1], *rest[1:]),
    st.sampled_from([(one, target) for one, other in permutations(GOLD, 2) for target in ("", f" to {other}")]),
    st.sampled_from(AMOUNTS),
    st.sampled_from(["", " in 5", " in 10", " in 30"]),
    st.sampled_from(["", " on-expiry-capture"]),
) | st.builds(
    "hold {} {}{}{}{}".format,
    st.sampled_from(COIN),
    st.sampled_from(AMOUNTS),
    st.sampled_from(["", " to emil"]),
    st.sampled_from(["", " in 5", " in 10", " in 30"]),
    st.sampled_from(["", " on-expiry-capture"]),
)
placings = st.builds(_by, _placings, _callers)
_hold_steps = st.sampled_from(
    [f"capture {{hold}}{amount}{words}" for amount, words in product(
        ("", " 1", " 2", " 3", " 8"), ("", "", " final", " upto", " final upto", " dry", " effective -60"))]
    + ["void {hold}"] * 6
    + [f"increase {{hold}} {amount}" for amount in AMOUNTS]
    + [f"extend {{hold}} {seconds}" for seconds in (*SECONDS, 34559999, 34560000)]
)  # fmt: skip
hold_steps = st.builds(_by, _hold_steps, _callers)
claims = st.builds(
    lambda ends, amount, uses, *rest: "claim {} {} uses {}{}{}{}".format(ends, amount, uses, *rest),
    st.sampled_from(USERS),
    st.sampled_from((1, 2, 3)),
    st.sampled_from((1, 2, 3)),
    st.sampled_from(["", " once", " once"]),
    st.sampled_from(["", " in 5", " in 10", " in 30"]),
    st.sampled_from(["", "", "", " dry", " when alice version 2", " when dora balance 0.."]),
)
claim_steps = st.sampled_from(
    [f"redeem {{claim}} {name}{words}" for name, words in product((*USERS, *GOLD), ("", "", "", " dry"))]
    + [f"redeem {{claim}} {name}" for name in ("nobody", "GOLD.revenue")]
    + ["redeem {claim} bob when bob balance ..3", "redeem {claim} bob when alice version 3", "redeem {hold} alice"]
    + ["cancel {claim}"] * 4
    + ["cancel {claim} dry", "cancel {claim} when alice version 3", "cancel {hold}"]
    + ["void {claim}", "capture {claim}", "capture {claim} 1 final", "increase {claim} 2", "extend {claim} 30"]
)  # fmt: skip
refunds = st.sampled_from(
    [f"refund {{original}}{amount}{words}" for amount, words in product(
        ("", "", " 1", " 2", " 3"), ("", "", "", " forced", " dry", " effective -60", " effective 3"))]
)  # fmt: skip
_changes = [
    "limit_day=5", "limit_month=5", "limit_day=2 limit_month=9", "limit_day=6", "limit_day=-", "limit_month=7",
    "limit_month=-", "limit_day=4 limit_month=9", "overdraft_limit=0", "overdraft_limit=6", "max_balance=9",
    "max_balance=-", "freeze_outgoing=yes", "freeze_outgoing=no", "freeze_incoming=yes", "freeze_incoming=no",
    "freeze_outgoing=no freeze_incoming=no",
]  # fmt: skip
_NAMES = ("alice", "alice", "dora", *USERS)
# Merges are few: they leave little to tell.
wallet_steps = st.sampled_from(
    [f"change {name} {what}{version}" for name in _NAMES for what in _changes for version in ("", "", " version 3")]
    + [f"{verb} {name}" for verb in ("close", "reopen", "reopen") for name in USERS] * 3
    + [f"merge {one} {other}" for one, other in PAIRS] * 3
)
grants = st.builds(
    "grant gym {} {} period {{period}}{}{}".format,
    st.sampled_from(["alice", "dora", "bob"]),
    st.sampled_from((3, 8)),
    st.sampled_from(["", " rollover 0", " rollover 4"]),
    st.sampled_from(["", " in 10", " in 30"]),
)
waits = st.sampled_from((1, 4, 5, 10, 20, 30, 100, 40_000, 86_400, 32 * 86_400))


class Story:
    """Fills the gaps of steps: references are numbered, and those named before can be named again."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.holds: list[str] = []
        self.claims: list[str] = []
        self.originals: list[str] = []
        self.periods: dict[str, int] = {}

    def line(self, step: str, pick: int = 0) -> str:
        """The step as a line of its own. `pick` counts back among the holds, or originals, that there are.

        If there is none yet, one is made.
        """
        if "{hold}" in step and not self.holds:
            step = "hold alice 3 in 30"
        if "{original}" in step and not self.originals:
            step = "spend alice 1"
        if "{claim}" in step and not self.claims:
            step = "claim dora 1 uses 2 once" if "emil" in step else "claim alice 2 uses 3 once in 30"
        number = len(self.lines) + 1
        verb, *words = step.split()
        reference = f"{verb[0]}{number}"
        if verb == "grant":
            wallet = words[1]
            step = step.format(period=self.periods.get(wallet, 0))
            self.periods[wallet] = self.periods.get(wallet, 0) + 1
        line = f"{reference}: " + step.format(
            hold=_back(self.holds, pick), claim=_back(self.claims, pick), original=_back(self.originals, pick)
        )
        if verb == "hold":
            self.holds.append(reference)
        if verb == "claim":
            self.claims.append(reference)
        if "dry" not in words:
            self.originals.append(reference)
        self.lines.append(line)
        return line


def _back(names: list[str], pick: int) -> str:
    return names[-1 - min(pick, len(names) - 1)] if names else ""
