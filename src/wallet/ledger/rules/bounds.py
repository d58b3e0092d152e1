"""The bounds on a wallet's live lots and open holds.

They refuse no request that gives back or moves on existing credit: refunds, captures, expiries, merges. They refuse no
grant either, since a refused grant would be lost.
"""

from collections.abc import Sequence

from wallet.ledger.book import Book
from wallet.ledger.lots import Parcel
from wallet.ledger.model import Direction, Slice, WalletId, WalletKind, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.parcels import carried_over, dealt_out, lots_opened, of_terms
from wallet.ledger.requests import PlaceHold, Post
from wallet.ledger.rules.shared import Side
from wallet.ledger.transaction_types import TRANSFER


def too_many_lots(post: Post, sides: Sequence[Side], book: Book) -> Refused | None:
    """The refusal of a movement that would open too many lots, counting those that are live in its targets."""
    lot, carries = post.options.lot, post.carries_lots or post.type == TRANSFER.name
    if lot is None and not (carries and _draws_lots(sides)):
        return None
    arriving = dealt_out(sides, _draws(sides, book)) if lot is None else {}
    for state, direction, amount in sides:
        if direction is Direction.DEBIT or state.kind is not WalletKind.USER:
            continue
        parcels = of_terms(lot, amount, book) or carried_over(arriving.get(state.id, ()), state, book) or ()
        if refused := beyond_lots(state, parcels, book, origin=post.origin, repays=not post.carries_lots):
            return refused
    return None


def beyond_lots(
    state: WalletState, parcels: Sequence[Parcel], book: Book, *, origin: str, repays: bool
) -> Refused | None:
    """The refusal of parcels that would open too many lots in a wallet, counting those that are live there."""
    most = book.bounds.share_of(origin).lots_max
    # Nearly every wallet is far from the bound, and this count is cheap.
    if len(book.lots_of(state.id)) + len(parcels) <= most:
        return None
    opened = lots_opened(parcels, state, book, repays=repays)
    if not opened or book.live_lots(state.id) + opened <= most:
        return None
    detail = f"Wallet {state.id} would have more than {most} lots."
    return Refused(RefusalCode.TOO_MANY_LOTS, detail, state.id, members=(("limit", most),))


def _draws_lots(sides: Sequence[Side]) -> bool:
    return any(direction is Direction.DEBIT and state.standing.lot_balance for state, direction, _ in sides)


def _draws(sides: Sequence[Side], book: Book) -> dict[WalletId, tuple[Slice, ...]]:
    return {
        state.id: book.slices_for(state, amount) for state, direction, amount in sides if direction is Direction.DEBIT
    }


def too_many_holds(request: PlaceHold, book: Book) -> Refused | None:
    """The refusal by the open holds on the wallet, or, for a hold that is captured at expiry, by those of its
    target.
    """
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
