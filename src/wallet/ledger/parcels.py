"""The parcels of a credit, and the lots that it would open. Rules ask for these, and movements make them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from wallet.ledger.book import Book
from wallet.ledger.lots import NewLot, Parcel, after_repaying, dealt, together
from wallet.ledger.model import AssetId, Direction, Lot, Slice, WalletId, WalletKind, WalletState
from wallet.ledger.requests import LotTerms
from wallet.ledger.rules.shared import Side


def of_terms(lot: LotTerms | None, amount: int, book: Book) -> list[Parcel] | None:
    """The parcel for the lot that a request asks for. That is always a new lot, also beside one of the same terms."""
    if lot is None:
        return None
    return [Parcel(amount, new=NewLot(lot.category, lot.priority, _expiry(lot, book.decided_at)))]


def carried_over(slices: Iterable[Slice], target: WalletState, book: Book) -> list[Parcel] | None:
    """The parcels of slices that are carried to a wallet: each keeps its terms, so that a movement does not turn
    promotional credit into main credit. None for a system wallet, which has no lots.

    The parcels join lots of the target. Otherwise a caller that may credit a wallet could fill it with lots of one
    unit.
    """
    if target.kind is not WalletKind.USER:
        return None
    parcels = []
    for lot_id, amount in slices:
        lot = None if lot_id is None else book.lots[lot_id]
        new = None if lot is None else NewLot(lot.category, lot.priority, lot.expires_at)
        parcels.append(Parcel(amount, new=new, joins=new is not None))
    return parcels


def dealt_out(sides: Sequence[Side], draws: Mapping[WalletId, tuple[Slice, ...]]) -> dict[WalletId, tuple[Slice, ...]]:
    """The slices that each credited wallet gets. In each asset, the draws of all debits are laid end to end in the
    order of legs, and dealt out from the front to the credits in the order of legs.
    """
    drawn: dict[AssetId, list[Slice]] = {}
    credits_: dict[AssetId, list[tuple[WalletId, int]]] = {}
    for state, direction, amount in sides:
        if direction is Direction.DEBIT:
            drawn.setdefault(state.asset_id, []).extend(draws[state.id])
        else:
            credits_.setdefault(state.asset_id, []).append((state.id, amount))
    return {
        wallet_id: slices
        for asset_id, credited in credits_.items()
        for (wallet_id, _), slices in zip(
            credited, dealt(drawn[asset_id], [amount for _, amount in credited]), strict=True
        )
    }


def arriving(parcels: Iterable[Parcel], state: WalletState, *, repays: bool = True) -> list[Parcel]:
    """The parcels as they arrive in a wallet whose state is that before the credit: equal terms are one lot.

    repays: the parcels first repay a negative main balance.
    """
    debt = max(0, state.standing.lot_balance - state.balance) if repays else 0
    return together(after_repaying(parcels, debt))


def joined_lot(parcel: Parcel, state: WalletState, book: Book) -> Lot | None:
    """The existing lot that a parcel joins; None if it opens a new one."""
    return book.live_lot(state.id, parcel.new) if parcel.joins and parcel.new is not None else None


def lots_opened(parcels: Sequence[Parcel], state: WalletState, book: Book, *, repays: bool) -> int:
    """How many lots a credit would open in a wallet."""
    arrived = arriving(parcels, state, repays=repays)
    return sum(each.new is not None and joined_lot(each, state, book) is None for each in arrived)


def _expiry(lot: LotTerms, decided_at: datetime) -> datetime | None:
    if lot.expires_in_seconds is not None:
        return decided_at + timedelta(seconds=lot.expires_in_seconds)
    return lot.expires_at
