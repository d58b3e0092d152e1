"""Lots that go along with what is moved, so that credit does not become another kind of credit by being moved."""

from collections.abc import Iterable

from wallet.ledger.book import Book
from wallet.ledger.lots import NewLot, Parcel
from wallet.ledger.model import Slice, WalletKind, WalletState


def carried(slices: Iterable[Slice], target: WalletState, book: Book) -> list[Parcel] | None:
    """What a wallet is credited with by these slices of others' credit: slice by slice, as what it was there.

    None for a system wallet, which has no lots.
    """
    if target.kind is not WalletKind.USER:
        return None
    parcels = []
    for lot_id, amount in slices:
        lot = None if lot_id is None else book.lots[lot_id]
        new = None if lot is None else NewLot(lot.category, lot.priority, lot.expires_at)
        parcels.append(Parcel(amount, new=new))
    return parcels
