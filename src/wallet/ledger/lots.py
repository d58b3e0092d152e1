"""Draw order and restore order: pure functions over lots. The book knows the lots of a wallet and changes them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from wallet.ledger.model import Drawn, Lot, LotCategory, LotId, ProgrammeId, Slice

NEVER = datetime.max.replace(tzinfo=UTC)


class NewLot(NamedTuple):
    """A lot that is to be opened: its terms. Credit of two lots of equal terms is worth the same."""

    category: LotCategory
    priority: int
    expires_at: datetime | None
    programme_id: ProgrammeId | None = None


class Parcel(NamedTuple):
    """A part of a credit: for an existing lot, for a new lot, or (both None) for main credit.

    joins: the parcel goes into a live lot of the same terms if the wallet has one, and opens a new lot otherwise.
    """

    amount: int
    lot: Lot | None = None
    new: NewLot | None = None
    joins: bool = False


def terms_of(lot: Lot) -> NewLot:
    return NewLot(lot.category, lot.priority, lot.expires_at, lot.programme_id)


def place_of(lot: Lot) -> tuple[datetime, int, datetime, LotId]:
    """The place in the draw order: earliest expiry, then priority (lower first), then oldest. It never changes."""
    return lot.expires_at or NEVER, lot.priority, lot.opened_at, lot.id


def draw_order(lots: Iterable[Lot]) -> list[Lot]:
    return sorted(lots, key=place_of)


def draw(amount: int, lots: Iterable[Lot], *, main_free: int, main_first: bool) -> tuple[Slice, ...]:
    """The slices that make up an amount: of lots in the given order, and of main credit last, without a bound.

    With `main_first`, main credit down to zero comes before the lots.
    """
    slices: list[Slice] = []
    left = amount
    if main_first and main_free > 0:
        taken = min(left, main_free)
        slices.append(Slice(None, taken))
        left -= taken
    for lot in lots:
        if left == 0:
            break
        taken = min(left, lot.free)
        slices.append(Slice(lot.id, taken))
        left -= taken
    if left:
        slices.append(Slice(None, left))
    return joined(slices)


def joined(slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """The same slices without empty ones, and with neighbours of one lot as one slice."""
    result: list[Slice] = []
    for each in slices:
        if each.amount and result and result[-1].lot_id == each.lot_id:
            result[-1] = Slice(each.lot_id, result[-1].amount + each.amount)
        elif each.amount:
            result.append(each)
    return tuple(result)


def split(slices: Sequence[Slice], amount: int) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """The first `amount` of them, and the rest."""
    first: list[Slice] = []
    rest: list[Slice] = []
    left = amount
    for lot_id, size in slices:
        taken = min(left, size)
        first.append(Slice(lot_id, taken))
        rest.append(Slice(lot_id, size - taken))
        left -= taken
    return joined(first), joined(rest)


def dealt(slices: Iterable[Slice], amounts: Iterable[int]) -> list[tuple[Slice, ...]]:
    """The slices of each amount, dealt out from the front of slices that add up to all amounts."""
    rest = iter(slices)
    lot_id, left = None, 0
    parts = []
    for amount in amounts:
        part = []
        while amount:
            if not left:
                lot_id, left = next(rest)
            taken = min(amount, left)
            part.append(Slice(lot_id, taken))
            amount -= taken
            left -= taken
        parts.append(joined(part))
    return parts


def undone(drawn: Sequence[Drawn], *, already: int, amount: int) -> tuple[Slice, ...]:
    """The slices of a draw that a refund of `amount` gives back, after refunds of `already`: from the draw's end."""
    backwards = [Slice(each.lot_id, each.amount) for each in reversed(drawn)]
    return split(split(backwards, already)[1], amount)[0]


def after_repaying(parcels: Iterable[Parcel], debt: int) -> list[Parcel]:
    """The parcels of a credit after it has repaid a negative main balance, which any parcel does."""
    result: list[Parcel] = []
    left = debt
    for parcel in parcels:
        repaid = min(left, parcel.amount)
        left -= repaid
        if repaid:
            result.append(Parcel(repaid))
        if parcel.amount > repaid:
            result.append(parcel._replace(amount=parcel.amount - repaid))
    return result


def together(parcels: Iterable[Parcel]) -> list[Parcel]:
    """The same parcels, with one parcel for all new lots of equal terms, in the place of the first of them."""
    result: list[Parcel] = []
    places: dict[NewLot, int] = {}
    for parcel in parcels:
        if parcel.new is None or parcel.new not in places:
            if parcel.new is not None:
                places[parcel.new] = len(result)
            result.append(parcel)
        else:
            earlier = result[places[parcel.new]]
            result[places[parcel.new]] = earlier._replace(amount=earlier.amount + parcel.amount)
    return result
