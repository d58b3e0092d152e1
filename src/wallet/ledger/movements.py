"""What happens once nothing is refused: one "move" function per kind of request. None of them can refuse."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from wallet.errors import ensure
from wallet.ledger.legs import asset_of, wallet_of
from wallet.ledger.model import AMOUNT_MAX, Asset, Entry, Post, WalletId, WalletState


class Movement(NamedTuple):
    """Entries in order of legs, and the next state of each locked wallet among them."""

    entries: tuple[Entry, ...]
    states: tuple[WalletState, ...]


def move_post(
    post: Post,
    wallets: Mapping[WalletId, WalletState],
    assets: Mapping[str, Asset],
    decided_at: datetime,
) -> Movement:
    """Debit and credit what the legs say. Raises InvariantViolated if a rule has let through what it must not."""
    asset = asset_of(post, assets)
    entries, states = [], []
    for position, leg in enumerate(post.legs):
        wallet_id = wallet_of(leg, asset)
        ensure(wallet_id is not None, "a leg without a wallet was let through")
        state = wallets[wallet_id]  # type: ignore[index]  # ensured above
        change = leg.direction * leg.amount
        version = balance = None
        if state.locked:
            version, balance = state.version + 1, state.balance + change
            moved = WalletState(
                state.id,
                state.asset_id,
                state.kind,
                True,
                balance,
                state.held,
                version,
                state.overdraft_limit,
                state.max_balance,
                decided_at,
            )
            ensure(balance <= AMOUNT_MAX, "a balance beyond 63 bits was let through")
            ensure(change > 0 or moved.available >= 0, "an overdraft was let through")
            states.append(moved)
        entries.append(
            Entry(post.id, position, state.id, state.asset_id, leg.direction.value, leg.amount, version, balance)
        )
    return Movement(tuple(entries), tuple(states))
