"""The ordinary movement in one pass: two or more ordinary wallets of one asset, enough funds, nothing special.

It only says yes, or nothing at all: what it leaves is decided by rules and movements, which would have come to the
same. That they do is a property that tests/ledger proves; what it saves is in docs/performance.md.
"""

from wallet.ledger.book import Book
from wallet.ledger.model import AMOUNT_MAX, ORDINARY, Entry, Posted, WalletId, WalletKind, WalletState
from wallet.ledger.requests import NO_OPTIONS, Post


def move_if_plain(post: Post, book: Book) -> Posted | None:
    """Make a movement whose reference is new, if it is an ordinary one that nothing is against."""
    code = post.asset_code
    if code is None or post.options is not NO_OPTIONS or (asset := book.assets.get(code)) is None:
        return None
    decided_at = book.decided_at
    moved: dict[WalletId, WalletState] = {}
    entries: list[Entry] = []
    net = 0
    for leg, (wallet, direction, amount) in enumerate(post.legs):
        wallet_id = asset.system_wallet(wallet) if isinstance(wallet, WalletKind) else wallet
        state = book.wallets.get(wallet_id)
        if state is None or state.standing is not ORDINARY or state.asset_id != asset.id or wallet_id in moved:
            return None
        change = direction * amount
        net += change
        version = balance = None
        if state.locked:
            _, asset_id, kind, _, balance, held, version, overdraft_limit, max_balance, _, _ = state
            version += 1
            balance += change
            most = AMOUNT_MAX if max_balance is None else max_balance
            if balance > most if change > 0 else balance - held + overdraft_limit < 0:
                return None
            state = WalletState(
                wallet_id, asset_id, kind, True, balance, held, version, overdraft_limit, max_balance, decided_at
            )
        moved[wallet_id] = state
        entries.append(Entry(post.id, leg, wallet_id, asset.id, direction.value, amount, version, balance))
    if net:
        return None
    for state, entry in zip(moved.values(), entries, strict=True):
        if state.locked:
            book.wallets[state.id] = book.states[state.id] = state
        else:
            book.deltas[state.id] = book.deltas.get(state.id, 0) + entry.direction * entry.amount
    posted = Posted(
        post.id,
        post.origin,
        post.reference_id,
        post.fingerprint,
        post.type,
        post.metadata,
        decided_at,
        decided_at,
        tuple(entries),
    )
    book.known[post.origin, post.reference_id] = posted
    book.posted.append(posted)
    return posted
