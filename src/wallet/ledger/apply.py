"""apply_batch: the loop over a batch, and idempotency. The only place with control flow over requests.

Request n sees the effects of 1..n-1. Splitting a batch anywhere changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from wallet.errors import ensure
from wallet.ledger.fingerprint import differing_fields, is_same
from wallet.ledger.legs import wallets_named
from wallet.ledger.model import Asset, Context, Entry, Post, Posted, Request, WalletId, WalletState
from wallet.ledger.movements import Movement, move_post
from wallet.ledger.outcomes import Applied, Outcome, RefusalCode, Refused, Replayed
from wallet.ledger.rules import first_refusal_post


class Kind(NamedTuple):
    """What makes a kind of request: the wallets it needs, when it is refused, what it does."""

    wallets_named: Callable[[Post, Mapping[str, Asset]], list[WalletId]]
    first_refusal: Callable[[Post, Mapping[WalletId, WalletState], Mapping[str, Asset]], Refused | None]
    move: Callable[[Post, Mapping[WalletId, WalletState], Mapping[str, Asset], datetime], Movement]


KINDS: Mapping[type[Request], Kind] = {Post: Kind(wallets_named, first_refusal_post, move_post)}


class Decision(NamedTuple):
    """What a batch comes to.

    outcomes: one per request, in order. posted: what was applied, in order. states: the last state of every
    locked wallet that changed. deltas: net change of every unlocked wallet that took part.
    """

    outcomes: tuple[Outcome, ...]
    posted: tuple[Posted, ...]
    states: Mapping[WalletId, WalletState]
    deltas: Mapping[WalletId, int]


def apply_batch(batch: Sequence[Request], context: Context, decided_at: datetime) -> Decision:
    """Decide a batch at one instant. Raises InvariantViolated where a law of the ledger would be broken."""
    wallets = dict(context.wallets)
    known = dict(context.known)
    outcomes: list[Outcome] = []
    posted: list[Posted] = []
    states: dict[WalletId, WalletState] = {}
    deltas: dict[WalletId, int] = {}
    for request in batch:
        key = (request.origin, request.reference_id)
        earlier = known.get(key)
        if earlier is not None:
            outcomes.append(_repeat(request, earlier))
            continue
        kind = KINDS[type(request)]
        refused = kind.first_refusal(request, wallets, context.assets)
        if refused is not None:
            outcomes.append(refused)
            continue
        movement = kind.move(request, wallets, context.assets, decided_at)
        _ensure_cancels_out(movement.entries)
        for state in movement.states:
            wallets[state.id] = states[state.id] = state
        for entry in movement.entries:
            if entry.version is None:
                deltas[entry.wallet_id] = deltas.get(entry.wallet_id, 0) + entry.direction * entry.amount
        known[key] = transaction = Posted(
            request.id,
            request.origin,
            request.reference_id,
            request.fingerprint,
            request.type,
            request.metadata,
            decided_at,
            decided_at,
            movement.entries,
        )
        posted.append(transaction)
        outcomes.append(Applied(transaction))
    return Decision(tuple(outcomes), tuple(posted), states, deltas)


def _repeat(request: Request, earlier: Posted) -> Outcome:
    if is_same(request.fingerprint, earlier.fingerprint):
        # The id is made per try. An equal one is this very try, committed although its answer was lost.
        return Applied(earlier) if earlier.id == request.id else Replayed(earlier)
    differs = differing_fields(
        known_type=earlier.type,
        known=earlier.fingerprint,
        request_type=request.type,
        request=request.fingerprint,
    )
    detail = f"This reference was used by another request; they differ in {', '.join(differs)}."
    return Refused(RefusalCode.REFERENCE_REUSED, detail, differs=differs)


def _ensure_cancels_out(entries: Sequence[Entry]) -> None:
    net: dict[int, int] = {}
    for entry in entries:
        net[entry.asset_id] = net.get(entry.asset_id, 0) + entry.direction * entry.amount
    ensure(not any(net.values()), "entries of a movement do not cancel out")
