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
        version: int | None = None
        balance: int | None = None
        if state.locked:
            version = state.version + 1
            balance = state.balance + leg.direction * leg.amount
            ensure(balance <= AMOUNT_MAX, "a balance beyond 63 bits was let through")
            ensure(
                leg.direction > 0 or balance - state.held + state.overdraft_limit >= 0,
                "an overdraft was let through",
            )
            states.append(
                WalletState(
                    id=state.id,
                    asset_id=state.asset_id,
                    kind=state.kind,
                    locked=True,
                    balance=balance,
                    held=state.held,
                    version=version,
                    overdraft_limit=state.overdraft_limit,
                    max_balance=state.max_balance,
                    last_entry_at=decided_at,
                )
            )
        entries.append(
            Entry(post.id, position, state.id, state.asset_id, int(leg.direction), leg.amount, version, balance)
        )
    return Movement(tuple(entries), tuple(states))
