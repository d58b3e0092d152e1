"""What one wallet may be burdened with: so many live lots, so many open holds.

Nothing is refused for it that gives back or moves on what is there already: refunds, captures, expiries, merges. Nor
is a grant, which would be lost.
"""

from collections.abc import Sequence

from wallet.ledger.book import Book
from wallet.ledger.lots import Parcel
from wallet.ledger.model import Direction, WalletId, WalletKind, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.parcels import carried_over, lots_opened, of_terms
from wallet.ledger.requests import PlaceHold, Post
from wallet.ledger.rules.shared import Side


def too_many_lots(post: Post, sides: Sequence[Side], book: Book) -> Refused | None:
    """The lots that a top-up, a bonus or a transfer would open, and those that are live where it arrives."""
    if post.options.lot is None and post.type != "transfer":
        return None
    most = book.bounds.share_of(post.origin).lots_max
    for state, direction, amount in sides:
        if direction is Direction.DEBIT or state.kind is not WalletKind.USER:
            continue
        parcels = _parcels(post, state, amount, sides, book)
        # Nearly always far from it, and known by counting what is at hand.
        if parcels is None or len(book.lots_of(state.id)) + len(parcels) <= most:
            continue
        opened = lots_opened(parcels, state, book)
        if opened and book.live_lots(state.id) + opened > most:
            detail = f"Wallet {state.id} would have more than {most} lots."
            return Refused(RefusalCode.TOO_MANY_LOTS, detail, state.id, members=(("limit", most),))
    return None


def _parcels(
    post: Post, target: WalletState, amount: int, sides: Sequence[Side], book: Book
) -> Sequence[Parcel] | None:
    if post.options.lot is not None:
        return of_terms(post.options.lot, amount, book)
    source = next(state for state, direction, _ in sides if direction is Direction.DEBIT)
    if not source.standing.lot_balance:
        return None
    return carried_over(book.slices_for(source, amount), target, book)


def too_many_holds(request: PlaceHold, book: Book) -> Refused | None:
    """The open holds on the wallet; and those captured into the target at their expiry, if this is one."""
    most = book.bounds.share_of(request.origin).holds_max
    if book.holds_placed.get(request.wallet_id, 0) >= most:
        return _too_many_holds(request.wallet_id, "on", most)
    is_due_there = request.capture_at_expiry and request.expires_in_seconds is not None
    if request.target is not None and is_due_there and book.holds_aimed.get(request.target, 0) >= most:
        return _too_many_holds(request.target, "captured at their expiry into", most)
    return None


def _too_many_holds(wallet_id: WalletId, where: str, most: int) -> Refused:
    detail = f"There are {most} open holds {where} wallet {wallet_id}, as many as there may be."
    return Refused(RefusalCode.TOO_MANY_HOLDS, detail, wallet_id, members=(("limit", most),))
