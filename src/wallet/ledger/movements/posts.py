"""Top-up, bonus, spend, transfer and general transactions."""

from datetime import datetime, timedelta

from wallet.errors import ensure
from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.legs import asset_of, wallet_of
from wallet.ledger.lots import NewLot, Parcel
from wallet.ledger.model import (
    Details,
    Direction,
    Posted,
    Slice,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.requests import LotTerms, Post
from wallet.ledger.rules.posts import amounts_of


def move_post(post: Post, book: Book) -> Posted:
    """Debit and credit what the legs say."""
    asset = asset_of(post.asset_code, book.assets)
    states = []
    for leg in post.legs:
        wallet_id = wallet_of(leg, asset)
        ensure(wallet_id is not None, "a leg without a wallet was let through")
        states.append(book.wallets[wallet_id])  # type: ignore[index]  # ensured above
    sides = amounts_of(post, states)
    draws: dict[WalletId, tuple[Slice, ...]] = {
        state.id: book.slices_for(state, amount) for state, direction, amount in sides if direction is Direction.DEBIT
    }
    carried = [slice_ for slices in draws.values() for slice_ in slices] if post.type == "transfer" else None
    draft = Draft(book, post.id, post.type)
    for state, direction, amount in sides:
        if direction is Direction.DEBIT:
            draft.debit(state.id, amount, draws[state.id])
        elif carried is not None:
            draft.credit(state.id, amount, _carried_over(carried, state, book))
        else:
            draft.credit(state.id, amount, _parcels(post.options.lot, amount, book))
    posted = draft.post(
        origin=post.origin,
        reference_id=post.reference_id,
        fingerprint=post.fingerprint,
        metadata=post.metadata,
        effective_at=post.options.effective_at,
        details=Details(requested_amount=post.legs[0].amount) if post.options.up_to else None,
    )
    expire_lots(book, draft.lapsed, instant=draft.instant)
    return posted


def _parcels(lot: LotTerms | None, amount: int, book: Book) -> list[Parcel] | None:
    if lot is None:
        return None
    return [Parcel(amount, new=NewLot(lot.category, lot.priority, _expiry(lot, book.decided_at)))]


def _expiry(lot: LotTerms, decided_at: datetime) -> datetime | None:
    if lot.expires_in_seconds is not None:
        return decided_at + timedelta(seconds=lot.expires_in_seconds)
    return lot.expires_at


def _carried_over(slices: list[Slice], target: WalletState, book: Book) -> list[Parcel] | None:
    """Lots that go along with a transfer, slice by slice, so that promotional credit does not become main credit."""
    if target.kind is not WalletKind.USER:
        return None
    parcels = []
    for lot_id, amount in slices:
        lot = None if lot_id is None else book.lots[lot_id]
        new = None if lot is None else NewLot(lot.category, lot.priority, lot.expires_at)
        parcels.append(Parcel(amount, new=new))
    return parcels
