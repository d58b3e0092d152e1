"""Refunds and reversals: the mirror of an earlier transaction, with the mix of lots restored."""

from datetime import timedelta
from typing import assert_never

from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.lots import NewLot, Parcel, joined, split, undone
from wallet.ledger.model import Details, Direction, OnRefundToExpired, Original, Posted, Slice, WalletId, WalletState
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.requests import Refund
from wallet.ledger.rules.refunds import is_forcible, mirror


def move_refund(request: Refund, book: Book) -> Posted:
    original = book.originals[request.original_id]
    made = mirror(request, original, book)
    draft = Draft(book, request.id, request.type)
    # In order of the original's legs, and before any credit: a refund's own credit must not pay for its debit.
    takings = {
        side[0].id: _taken(side[0], side[2], original, book) for side in made.sides if side[1] is Direction.DEBIT
    }
    for side, entry in zip(made.sides, made.legs, strict=True):
        state, direction, amount = side
        if direction is Direction.DEBIT:
            draft.debit(state.id, amount, takings[state.id], forced=request.force and is_forcible(side))
        else:
            draft.credit(state.id, amount, _given_back(state, amount, entry.wallet_id, original, book))
    # A lot that an increased hold reserved may come back in several parcels.
    forfeited = sum(book.lots[lot_id].free for lot_id in dict.fromkeys(draft.lapsed))
    now = original._replace(refunded=original.refunded + made.amount, refunds=original.refunds + 1)
    book.originals[request.original_id] = now
    book.refunded[request.original_id] = (now.refunded, now.refunds)
    posted = draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        effective_at=request.options.effective_at,
        details=Details(forfeited=forfeited or None),
        refund_of=request.original_id,
    )
    expire_lots(book, draft.lapsed, instant=draft.instant)
    return posted


def _taken(state: WalletState, amount: int, original: Original, book: Book) -> tuple[Slice, ...]:
    """The slices that a refund takes from a wallet that the original credited. First come the lots that the original
    put credit into, from its end, continuing where the last refund stopped; then the draw order. Held credit is never
    taken.
    """
    details = original.posted.details
    if details is None:
        return book.slices_for(state, amount)
    opened = [Slice(lot_id, book.lots[lot_id].amount) for lot_id in details.opened]
    _, rest = split([*reversed(details.joined), *reversed(opened)], original.refunded)
    return book.slices_for(state, amount, first=rest)


def _given_back(
    state: WalletState, amount: int, wallet_then: WalletId, original: Original, book: Book
) -> list[Parcel] | None:
    """The parcels that undo the draw of the original from its end, back into the lots that it came from."""
    details = original.posted.details
    drawn = [] if details is None else [each for each in details.drawn if each.wallet_id == wallet_then]
    if not drawn:
        return None
    return [_parcel(each, book) for each in joined(undone(drawn, already=original.refunded, amount=amount))]


def _parcel(slice_: Slice, book: Book) -> Parcel:
    if slice_.lot_id is None:
        return Parcel(slice_.amount)
    lot = book.lots[slice_.lot_id]
    if lot.expires_at is None or lot.expires_at > book.decided_at:
        return Parcel(slice_.amount, lot=lot)
    policy = book.policy(lot.asset_id)
    match policy.on_refund_to_expired:
        case OnRefundToExpired.TO_MAIN:
            return Parcel(slice_.amount)
        case OnRefundToExpired.FORFEIT:
            # The credit comes back into the lot, and goes on to breakage with everything else in it that is free.
            return Parcel(slice_.amount, lot=lot)
        case OnRefundToExpired.GRACE:
            expires_at = book.decided_at + timedelta(seconds=policy.grace_seconds)
            return Parcel(slice_.amount, new=NewLot(lot.category, lot.priority, expires_at, lot.programme_id))
        case never:
            assert_never(never)
