"""What a credit arrives as: the parcels it is made of, and the lots that it would open. Rules ask, movements do it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from wallet.ledger.book import Book
from wallet.ledger.lots import NewLot, Parcel, after_repaying, together
from wallet.ledger.model import Lot, Slice, WalletKind, WalletState
from wallet.ledger.requests import LotTerms


def of_terms(lot: LotTerms | None, amount: int, book: Book) -> list[Parcel] | None:
    """The lot that a request asks for. It is the transaction's own, whatever else the wallet has."""
    if lot is None:
        return None
    return [Parcel(amount, new=NewLot(lot.category, lot.priority, _expiry(lot, book.decided_at)))]


def carried_over(slices: Iterable[Slice], target: WalletState, book: Book) -> list[Parcel] | None:
    """Lots that go along with a transfer, slice by slice, so that promotional credit does not become main credit.

    They join what the target has: else whoever may pay a wallet could fill it with lots of one unit.
    """
    if target.kind is not WalletKind.USER:
        return None
    parcels = []
    for lot_id, amount in slices:
        lot = None if lot_id is None else book.lots[lot_id]
        new = None if lot is None else NewLot(lot.category, lot.priority, lot.expires_at)
        parcels.append(Parcel(amount, new=new, joins=new is not None))
    return parcels


def arriving(parcels: Iterable[Parcel], state: WalletState) -> list[Parcel]:
    """What a wallet, as it is before the credit, makes of parcels: debt is repaid first, equal terms are one lot."""
    return together(after_repaying(parcels, max(0, state.standing.lot_balance - state.balance)))


def joined_lot(parcel: Parcel, state: WalletState, book: Book) -> Lot | None:
    """The lot that a parcel goes into although it would do for a new one."""
    return book.live_lot(state.id, parcel.new) if parcel.joins and parcel.new is not None else None


def lots_opened(parcels: Sequence[Parcel] | None, state: WalletState, book: Book) -> int:
    """How many lots a credit would open in a wallet."""
    if parcels is None:
        return 0
    return sum(each.new is not None and joined_lot(each, state, book) is None for each in arriving(parcels, state))


def _expiry(lot: LotTerms, decided_at: datetime) -> datetime | None:
    if lot.expires_in_seconds is not None:
        return decided_at + timedelta(seconds=lot.expires_in_seconds)
    return lot.expires_at
