"""What is refused, and why: one "first refusal" function per kind of request.

Each reads states and answers the first refusal in the order of RefusalCode, or None. References are apply's
business; nothing here changes anything.
"""

from collections.abc import Mapping, Sequence

from wallet.ledger.legs import asset_of, wallet_of
from wallet.ledger.model import (
    AMOUNT_MAX,
    Asset,
    Direction,
    Leg,
    Post,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.outcomes import RefusalCode, Refused


def first_refusal_post(
    post: Post, wallets: Mapping[WalletId, WalletState], assets: Mapping[str, Asset]
) -> Refused | None:
    """Why this movement cannot be made on these states, or None."""
    asset = asset_of(post, assets)
    ids = [wallet_of(leg, asset) for leg in post.legs]
    if len(set(ids)) < len(ids) and _has_one_twice(post.legs, ids):
        return Refused(RefusalCode.SAME_WALLET, "A wallet may appear only once in a movement.")
    states = []
    for wallet_id in ids:
        if wallet_id is None:
            return _asset_not_found(post)
        state = wallets.get(wallet_id)
        if state is None:
            return Refused(RefusalCode.WALLET_NOT_FOUND, f"There is no wallet {wallet_id}.", wallet_id)
        states.append(state)
    if post.asset_code is not None and asset is None:
        return _asset_not_found(post)
    return (
        _first_foreign(states, asset)
        or (_first_unbalanced(post.legs, states) if asset is None else None)
        or _first_beyond_a_limit(post.legs, states)
    )


def _asset_not_found(post: Post) -> Refused:
    return Refused(RefusalCode.ASSET_NOT_FOUND, f"There is no asset {post.asset_code}.")


def _first_foreign(states: Sequence[WalletState], asset: Asset | None) -> Refused | None:
    if asset is not None:
        for state in states:
            if state.asset_id != asset.id:
                detail = f"Wallet {state.id} does not hold {asset.code}."
                return Refused(RefusalCode.ASSET_MISMATCH, detail, state.id)
    return None


def _first_unbalanced(legs: Sequence[Leg], states: Sequence[WalletState]) -> Refused | None:
    net: dict[int, int] = {}
    for leg, state in zip(legs, states, strict=True):
        net[state.asset_id] = net.get(state.asset_id, 0) + leg.direction * leg.amount
    for asset_id, amount in net.items():
        if amount:
            side = "credits" if amount > 0 else "debits"
            detail = f"In asset {asset_id} the {side} are {abs(amount)} too high; each asset must cancel out."
            return Refused(RefusalCode.LEGS_UNBALANCED, detail)
    return None


def _first_beyond_a_limit(legs: Sequence[Leg], states: Sequence[WalletState]) -> Refused | None:
    """Insufficient funds before supply before maximum balance; within each, the first leg."""
    supply = overfull = None
    for leg, state in zip(legs, states, strict=True):
        if not state.locked:
            continue
        if leg.direction is Direction.DEBIT:
            if state.available < leg.amount:
                if state.kind is not WalletKind.TREASURY:
                    return _uncovered(RefusalCode.INSUFFICIENT_FUNDS, "is available", leg, state)
                # A capped treasury has no funds that could be insufficient: what runs out is the asset's supply.
                supply = supply or _uncovered(RefusalCode.SUPPLY_EXCEEDED, "may still be issued", leg, state)
        else:
            most = AMOUNT_MAX if state.max_balance is None else state.max_balance
            if state.balance + leg.amount > most and overfull is None:
                detail = f"Wallet {state.id} may hold {most} at most."
                overfull = Refused(RefusalCode.MAX_BALANCE_EXCEEDED, detail, state.id)
    return supply or overfull


def _uncovered(code: RefusalCode, what: str, leg: Leg, state: WalletState) -> Refused:
    detail = f"{leg.amount} is asked for, {state.available} {what}."
    return Refused(code, detail, state.id, available=state.available, required=leg.amount)


def _has_one_twice(legs: Sequence[Leg], ids: Sequence[WalletId | None]) -> bool:
    # System wallets of an asset that does not exist have no ids, but are as many as their kinds.
    seen = [leg.wallet if wallet_id is None else wallet_id for leg, wallet_id in zip(legs, ids, strict=True)]
    return len(set(seen)) < len(seen)
