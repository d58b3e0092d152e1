"""Requests as lines of text, so that tables, laws and failing cases read like a story.

`reference: verb arguments words`, for instance

    h1: hold alice 30 to bob in 60 on-expiry-capture
    c1: capture h1 10 final
    s1: spend alice 30 upto 5 when alice version 3
    t1: topup alice 50 lot paid in 3600 priority 10
    r1: refund s1 3 forced
    s2: spend alice 3 to bob bound
    k1: claim alice 5 uses 3 in 60 once
    k2: redeem k1 bob
    k3: cancel k1
    x1: change alice overdraft_limit=5 limit_day=-

A wallet is its name, a hold or an original the reference it was accepted under. `bound`: as a bound caller asks it.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID

from tests.ledger.tables import number
from tests.ledger.worlds import World, legs, wallet_id
from wallet.ledger.fingerprint import fingerprint
from wallet.ledger.model import ORIGIN_SERVICE, Lot, LotCategory, TransactionId
from wallet.ledger.outcomes import Outcome, Refused
from wallet.ledger.requests import (
    NO_OPTIONS,
    ORIGIN_WALLET,
    CancelClaim,
    Capture,
    ChangeWallet,
    Condition,
    Extend,
    Grant,
    Group,
    Increase,
    Leg,
    LotTerms,
    Merge,
    Options,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Single,
    Void,
)
from wallet.ledger.transaction_types import layout_of

Words = dict[str, Any]


def transaction_id(reference: str, *, try_number: int = 1) -> TransactionId:
    """The id of a try of the request under this reference."""
    mark = b"~%d" % try_number if try_number > 1 else b""
    return UUID(bytes=(b":" + reference.encode() + mark)[:16].ljust(16, b"\0"))


def programme_id(name: str) -> UUID:
    return UUID(bytes=(b"%" + name.encode())[:16].ljust(16, b"\0"))


def ask(line: str, here: World, *, try_number: int = 1) -> Single:
    """The request that a line of text means in a world; a later try of it has another id."""
    reference, _, told = line.partition(":")
    verb, *tokens = told.split()
    arguments, words = _read_words(tokens)
    common = {
        "id": transaction_id(reference, try_number=try_number),
        "origin": words.get("origin", "api"),
        "reference_id": reference,
        "fingerprint": _fingerprint(verb, tokens),
        "metadata": words.get("meta"),
        "options": _options(verb, words, here),
    }
    if "bound" in words and verb not in TYPES:
        common["carries_lots"] = True
    if verb in _MOVEMENTS:
        return _movement(verb, arguments, words, common, here)
    if verb in ("change", "close", "reopen"):
        return _change(verb, arguments, words, common)
    return _OTHERS[verb](arguments, words, common, here)


def group(reference: str, lines: list[str], here: World, *, dry: bool = False) -> Group:
    """All of these lines or none."""
    options = Options(dry_run=True) if dry else NO_OPTIONS
    return Group(transaction_id(reference), "api", reference, tuple(ask(line, here) for line in lines), options=options)


_unnamed = count(1)


def told(here: World, *lines: str) -> World:
    """The world after each of these lines was accepted; `+60` lets 60 s pass. A reference may be left out."""
    for line in lines:
        if line.startswith("+"):
            here = here.later(int(line))
        else:
            request = ask(line if ":" in line else f"_{next(_unnamed)}: {line}", here)
            decision = here.decide(request)
            refused = [each for each in decision.outcomes if isinstance(each, Refused)]
            assert not refused, f"{line}: {refused}"
            here = here.left_by(decision)
    return here


def answer(here: World, line: str) -> Outcome:
    """The answer to a line; `(again)` at the end of the line makes it another try."""
    try_number = 2 if line.endswith(" (again)") else 1
    (outcome,) = here.decide(ask(line.removesuffix(" (again)"), here, try_number=try_number)).outcomes
    return outcome


def in_columns(table: str) -> list[list[str]]:
    """The rows of a table of lines: what stands between `|` and `->`, the header left out."""
    return [[cell.strip() for cell in re.split(r"\||->", line)] for line in table.strip().splitlines()[1:]]


def lines_of(cell: str) -> list[str]:
    """The lines of a cell, between `;`."""
    return [line.strip() for line in cell.split(";") if line.strip()]


def batch_of(script: str, here: World) -> list[Single]:
    """A line each; empty ones count for nothing."""
    return [ask(line.strip(), here) for line in script.strip().splitlines()]


_COUNTS = {"in": 1, "till": 1, "upto": 0, "to": 1, "from": 1, "lot": 1, "priority": 1, "effective": 1, "asset": 1,
           "final": 0, "forced": 0, "dry": 0, "meta": 1, "origin": 1, "on-expiry-capture": 0, "version": 1, "least": 1,
           "when": 3, "period": 1, "rollover": 1, "starts": 1, "bound": 0, "uses": 1, "once": 0}  # fmt: skip
TYPES = {"claim": "claim_place", "redeem": "claim_redeem", "cancel": "claim_cancel"}
_UNPRINTED = {"dry": 0, "when": 3, "bound": 0}


def _read_words(tokens: list[str]) -> tuple[list[str], Words]:
    """The words that stand alone, and those with a name."""
    arguments: list[str] = []
    words: Words = {"when": []}
    rest: Iterator[str] = iter(tokens)
    for token in rest:
        if token not in _COUNTS:
            arguments.append(token)
        elif token == "when":
            words["when"].append([next(rest) for _ in range(3)])
        else:
            words[token] = next(rest) if _COUNTS[token] else True
    return arguments, words


def _fingerprint(verb: str, tokens: list[str]) -> bytes:
    """Over all that was said but whether it is a dry run, who asks, and the conditions."""
    meant: list[str] = []
    skip = 0
    for token in tokens:
        if skip:
            skip -= 1
        elif token in _UNPRINTED:
            skip = _UNPRINTED[token]
        else:
            meant.append(token)
    type_ = TYPES.get(verb, verb)
    layout = layout_of(type_)
    values = [type_.encode(), " ".join(meant).encode(), *([None] * (len(layout) - 2))]
    return fingerprint(layout, values)


def _options(verb: str, words: Words, here: World) -> Options:
    conditions = []
    for name, what, value in words["when"]:
        if what == "version":
            conditions.append(Condition(wallet_id(name), expected_version=int(value)))
        else:
            least, _, most = value.partition("..")
            conditions.append(
                Condition(
                    wallet_id(name),
                    min_balance=int(least) if least else None,
                    max_balance=int(most) if most else None,
                )
            )
    options = Options(
        effective_at=here.now + timedelta(seconds=int(words["effective"])) if "effective" in words else None,
        conditions=tuple(conditions),
        dry_run="dry" in words,
        up_to="upto" in words,
        min_amount=int(words.get("least", 1)),
        lot=_lot_terms(words, here) if "lot" in words and verb in ("topup", "bonus") else None,
    )
    return NO_OPTIONS if options == NO_OPTIONS else options


def _lot_terms(words: Words, here: World) -> LotTerms:
    return LotTerms(
        LotCategory(words["lot"]),
        int(words.get("priority", 50)),
        expires_at=here.now + timedelta(seconds=int(words["till"])) if "till" in words else None,
        expires_in_seconds=int(words["in"]) if "in" in words else None,
    )


_MOVEMENTS = {"topup", "bonus", "spend", "transfer", "move"}


def _movement(verb: str, arguments: list[str], words: Words, common: Words, here: World) -> Post:
    if verb == "move":
        return Post(type="exchange", legs=legs(arguments[0]), asset_code=None, **common)
    amount = number(arguments[-1])
    if verb in ("topup", "bonus"):
        pair = (words.get("from", "treasury"), arguments[0])
    elif verb == "spend":
        pair = (arguments[0], words.get("to", "revenue"))
    else:
        pair = (arguments[0], arguments[1])
    code = words.get("asset") or _asset_code(arguments[0], here)
    moved: tuple[Leg, ...] = legs(f"{pair[0]}-{amount},{pair[1]}+{amount}")
    return Post(type=verb, legs=moved, asset_code=code, **common)


def _asset_code(name: str, here: World) -> str:
    state = here.wallets.get(wallet_id(name))
    return next((code for code, asset in here.assets.items() if state and asset.id == state.asset_id), "GOLD")


def _change(verb: str, arguments: list[str], words: Words, common: Words) -> ChangeWallet:
    wallet, *changes = arguments
    read = {"-": None, "yes": True, "no": False}
    pairs = [each.split("=") for each in changes]
    return ChangeWallet(
        type=verb,
        wallet_id=wallet_id(wallet),
        changes=tuple((name, read[value] if value in read else int(value)) for name, value in pairs),
        expected_version=int(words["version"]) if "version" in words else None,
        **{**common, "origin": ORIGIN_WALLET, "reference_id": str(common["id"])},
    )


def _hold(arguments: list[str], words: Words, common: Words, here: World) -> PlaceHold:
    return PlaceHold(
        wallet_id=wallet_id(arguments[0]),
        asset_code=words.get("asset") or _asset_code(arguments[0], here),
        amount=number(arguments[1]) or 0,
        target=wallet_id(words["to"]) if "to" in words else None,
        expires_in_seconds=int(words["in"]) if "in" in words else None,
        capture_at_expiry="on-expiry-capture" in words,
        **common,
    )


def _claim(arguments: list[str], words: Words, common: Words, here: World) -> PlaceClaim:
    return PlaceClaim(
        wallet_id=wallet_id(arguments[0]),
        asset_code=words.get("asset") or _asset_code(arguments[0], here),
        amount=number(arguments[1]) or 0,
        uses=int(words.get("uses", 1)),
        once_per_user="once" in words,
        expires_in_seconds=int(words.get("in", 30 * 24 * 3600)),
        code_hash=sha256(common["id"].bytes).digest(),
        **common,
    )


def _found(reference: str, here: World) -> TransactionId:
    """The id of what was accepted under a reference; of the first try, if nothing was yet."""
    for origin in ("api", ORIGIN_SERVICE):
        if (known := here.known.get((origin, reference))) is not None:
            return known.id
    return transaction_id(reference)


def _second(arguments: list[str]) -> int | None:
    return number(arguments[1]) if len(arguments) > 1 else None


def _grant(arguments: list[str], words: Words, common: Words, here: World) -> Grant:
    name, wallet, amount = arguments
    starts_at = here.now + timedelta(seconds=int(words.get("starts", 0)))
    return Grant(
        programme_id=programme_id(name),
        wallet_id=wallet_id(wallet),
        asset_code=words.get("asset") or _asset_code(wallet, here),
        period=int(words["period"]),
        starts_at=starts_at,
        amount=int(amount),
        rollover_max=number(words.get("rollover", "-")),
        category=LotCategory(words.get("lot", "promotional")),
        priority=int(words.get("priority", 50)),
        expires_at=starts_at + timedelta(seconds=int(words["in"])) if "in" in words else None,
        **{**common, "origin": ORIGIN_SERVICE},
    )


def _settle(arguments: list[str], words: Words, common: Words, here: World) -> Settle:
    return Settle(wallet_id=wallet_id(arguments[0]), **{**common, "origin": ORIGIN_SERVICE})


_OTHERS = {
    "hold": _hold,
    "capture": lambda arguments, words, common, here: Capture(
        hold_id=_found(arguments[0], here), amount=_second(arguments), final="final" in words, **common
    ),
    "void": lambda arguments, words, common, here: Void(hold_id=_found(arguments[0], here), **common),
    "increase": lambda arguments, words, common, here: Increase(
        hold_id=_found(arguments[0], here), amount=int(arguments[1]), **common
    ),
    "extend": lambda arguments, words, common, here: Extend(
        hold_id=_found(arguments[0], here), expires_in_seconds=int(arguments[1]), **common
    ),
    "refund": lambda arguments, words, common, here: Refund(
        original_id=_found(arguments[0], here), amount=_second(arguments), force="forced" in words, **common
    ),
    "claim": _claim,
    "redeem": lambda arguments, words, common, here: RedeemClaim(
        claim_id=_found(arguments[0], here), wallet_id=wallet_id(arguments[1]), **common
    ),
    "cancel": lambda arguments, words, common, here: CancelClaim(claim_id=_found(arguments[0], here), **common),
    "merge": lambda arguments, words, common, here: Merge(
        source=wallet_id(arguments[0]), target=wallet_id(arguments[1]), **common
    ),
    "grant": _grant,
    "settle": _settle,
}


def every_wallet_settled(here: World) -> World:
    """The world as a keeper in time would have left it: whatever is due is posted."""
    names = [state.id for state in here.wallets.values() if state.kind.value == "user"]
    decision = here.decide(*(Settle(UUID(int=n), ORIGIN_SERVICE, f"settle {n}", id_) for n, id_ in enumerate(names)))
    return here.left_by(decision)


__all__ = [
    "Request", "ask", "batch_of", "every_wallet_settled", "group", "programme_id", "told", "transaction_id",
]  # fmt: skip


def seen(here: World, name: str) -> str:
    """A wallet in a few words: `70 held 10 lots 30+5`, lots in the order they are drawn in, `30(10)` where 10 are held.

    The balances of unlocked wallets are added up from their entries.
    """
    state = here.state(name)
    entries = [entry for posted in here.history for entry in posted.entries if entry.wallet_id == state.id]
    balance = state.balance if state.locked else sum(entry.direction * entry.amount for entry in entries)
    lots = [
        f"{lot.remaining}({lot.held})" if lot.held else str(lot.remaining) for lot in draw_order(here.lots_of(name))
    ]
    held = f" held {state.held}" if state.held else ""
    return f"{balance}{held}" + (f" lots {'+'.join(lots)}" if lots else "")


def draw_order(lots: Iterable[Lot]) -> list[Lot]:
    """Earliest expiry, then priority, then oldest."""
    end = datetime.max.replace(tzinfo=UTC)
    return sorted(lots, key=lambda lot: (lot.expires_at or end, lot.priority, lot.opened_at, lot.id))
