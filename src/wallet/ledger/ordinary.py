"""The ordinary movement in one pass: two or more ordinary wallets of one asset, enough funds, nothing special.

This module only accepts: rules and movements decide the requests that it leaves. They would have decided an accepted
one in the same way, which a property in tests/ledger proves; docs/performance.md says what the one pass saves.
"""

from typing import Any, Final

from wallet.ledger.book import Book
from wallet.ledger.model import AMOUNT_MAX, ORDINARY, Direction, Entry, Posted, WalletId, WalletKind, WalletState
from wallet.ledger.requests import NO_OPTIONS, Post

_CREDIT: Final = Direction.CREDIT
_new: Final[Any] = tuple.__new__
"""Makes a NamedTuple from all its values, in half the time of its constructor."""


def move_if_plain(post: Post, book: Book) -> Posted | None:
    """Make a movement whose reference is new, if it is an ordinary one that no rule refuses; otherwise answer None."""
    id_, origin, reference_id, fingerprint, type_, legs, code, metadata, options, _ = post
    if code is None or options is not NO_OPTIONS or (asset := book.assets.get(code)) is None:
        return None
    decided_at, asset_id, wallets = book.decided_at, asset.id, book.wallets
    moved: dict[WalletId, WalletState] = {}
    entries: list[Entry] = []
    net = 0
    for leg, (wallet, direction, amount) in enumerate(legs):
        wallet_id = asset.system_wallet(wallet) if isinstance(wallet, WalletKind) else wallet
        before = wallets.get(wallet_id)
        if before is None or wallet_id in moved:
            return None
        _, of_asset, kind, locked, balance, held, version, overdraft_limit, max_balance, _, standing = before
        if standing is not ORDINARY or of_asset != asset_id:
            return None
        sign = 1 if direction is _CREDIT else -1
        change = sign * amount
        net += change
        if locked:
            version += 1
            balance += change
            most = AMOUNT_MAX if max_balance is None else max_balance
            if balance > most if change > 0 else balance - held + overdraft_limit < 0:
                return None
            after = (
                wallet_id, asset_id, kind, True, balance, held, version, overdraft_limit, max_balance, decided_at,
                ORDINARY,
            )  # fmt: skip
            moved[wallet_id] = _new(WalletState, after)
            entries.append(_new(Entry, (id_, leg, wallet_id, asset_id, sign, amount, version, balance)))
        else:
            moved[wallet_id] = before
            entries.append(_new(Entry, (id_, leg, wallet_id, asset_id, sign, amount, None, None)))
    if net:
        return None
    for (wallet_id, state), entry in zip(moved.items(), entries, strict=True):
        if state.locked:
            wallets[wallet_id] = book.states[wallet_id] = state
        else:
            book.deltas[wallet_id] = book.deltas.get(wallet_id, 0) + entry.direction * entry.amount
    row = (id_, origin, reference_id, fingerprint, type_, metadata, decided_at, decided_at)
    posted: Posted = _new(Posted, (*row, tuple(entries), None, None, None))
    book.known[origin, reference_id] = posted
    book.posted.append(posted)
    return posted
