"""One transaction in the making. Entries, lot moves and hold steps go into the book at once, its row at the end.

Rules have judged everything that is written here: a draft refuses nothing, it raises InvariantViolated.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from wallet.errors import ensure
from wallet.ledger.book import Book
from wallet.ledger.instants import DAY, month_after
from wallet.ledger.lots import NewLot, Parcel
from wallet.ledger.model import (
    AMOUNT_MAX,
    Details,
    Direction,
    Drawn,
    Entry,
    Hold,
    HoldStep,
    Lot,
    LotId,
    LotMove,
    Posted,
    Slice,
    Standing,
    TransactionId,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.parcels import arriving, joined_lot
from wallet.ledger.transaction_types import BUILT_IN, EXPIRY, UNCOUNTED_TYPES

NO_DETAILS = Details()


class Draft:
    """Collects one transaction. `type_` is the transaction's. `instant`: when it was due, if that is in the past.

    lapsed: expired lots in which something has become free. The movement that posts the draft then lets these expire.
    """

    def __init__(
        self, book: Book, transaction_id: TransactionId, type_: str, *, instant: datetime | None = None
    ) -> None:
        self.book = book
        self.id = transaction_id
        self.type = type_
        self.entries: list[Entry] = []
        self.drawn: list[Drawn] = []
        self.opened: list[LotId] = []
        self.joined: list[Slice] = []
        self.lapsed: list[LotId] = []
        self.instant = book.decided_at if instant is None else instant
        self._moves = 0

    def debit(
        self,
        wallet_id: WalletId,
        amount: int,
        slices: Sequence[Slice] = (),
        *,
        of_hold: bool = False,
        forced: bool = False,
    ) -> None:
        """Debit a wallet by slices of its lots and main credit; with `of_hold`, of credit that a hold had reserved."""
        state = self.book.wallets[wallet_id]
        lots = [(self.book.lots[each.lot_id], each.amount) for each in slices if each.lot_id is not None]
        state = self._enter(state, Direction.DEBIT, amount)
        if not state.locked:
            return
        if lots:
            ensure(sum(each.amount for each in slices) == amount, "slices do not add up to a debit")
            self.drawn += [
                Drawn(
                    wallet_id, each.lot_id, self.book.lots[each.lot_id].category if each.lot_id else None, each.amount
                )
                for each in slices
            ]
        for lot, taken in lots:
            # The lot as it is now, since an increased hold may have one lot in several slices.
            self.move_lot(self.book.lots[lot.id], -taken, -taken if of_hold else 0)
        standing = state.standing
        if self.type not in UNCOUNTED_TYPES and (standing.limit_day is not None or standing.limit_month is not None):
            state = self.book.wallets[wallet_id]
            self.book.put(state._replace(standing=counted(state.standing, amount, self.instant, self.book.decided_at)))
        # An expiry takes what lots have, even if a lowered limit or a forced refund has left the rest below zero. So
        # neither reserved nor expiring credit is compared with the available amount.
        ensure(forced or of_hold or self.type == EXPIRY.name or state.available >= 0, "an overdraft was let through")

    def credit(
        self, wallet_id: WalletId, amount: int, parcels: Iterable[Parcel] | None = None, *, repays: bool = True
    ) -> None:
        """Credit a wallet: to its main credit, or by parcels that add up to the amount.

        repays: the parcels first repay a negative main balance.
        """
        state = self.book.wallets[wallet_id]
        self._enter(state, Direction.CREDIT, amount)
        if parcels is None or not state.locked:
            return
        for parcel in arriving(parcels, state, repays=repays):
            if parcel.lot is not None:
                # The lot as it is now, since several parcels may be of one lot.
                if self.book.lots[parcel.lot.id].wallet_id != wallet_id:
                    # The lot was empty when its wallet was merged into this one.
                    self.take_over_lot(self.book.lots[parcel.lot.id], wallet_id)
                self.move_lot(self.book.lots[parcel.lot.id], parcel.amount, 0)
            elif (lot := joined_lot(parcel, state, self.book)) is not None:
                self.joined.append(Slice(lot.id, parcel.amount))
                self.move_lot(lot, parcel.amount, 0)
            elif parcel.new is not None:
                self._open_lot(state, parcel.amount, parcel.new)

    def move_lot(self, lot: Lot, change: int, held_change: int) -> None:
        """Change the remainder of a lot, and its held part."""
        self.book.lot_moves.append(LotMove(self.id, self._moves, lot.id, lot.wallet_id, change, held_change))
        self._moves += 1
        lot = lot._replace(remaining=lot.remaining + change, held=lot.held + held_change)
        ensure(0 <= lot.held <= lot.remaining, "a lot was overdrawn")
        self.book.put_lot(lot)
        self._add_to_lots(lot.wallet_id, change)
        self._note_expiry(lot)

    def take_over_lot(self, lot: Lot, target: WalletId) -> None:
        """Move a lot to another wallet, with all its remaining and held credit."""
        book = self.book
        book.lot_moves += [
            LotMove(self.id, self._moves, lot.id, lot.wallet_id, -lot.remaining, -lot.held),
            LotMove(self.id, self._moves + 1, lot.id, target, lot.remaining, lot.held),
        ]
        self._moves += 2
        self._add_to_lots(lot.wallet_id, -lot.remaining)
        lot = lot._replace(wallet_id=target)
        book.put_lot(lot)
        self._add_to_lots(target, lot.remaining)
        self._note_expiry(lot)

    def hold(self, slices: Iterable[Slice], *, sign: int) -> None:
        """Reserve slices of lots (sign 1), or release them (-1)."""
        for each in slices:
            if each.lot_id is not None:
                self.move_lot(self.book.lots[each.lot_id], 0, sign * each.amount)

    def step(self, hold: Hold, kind: str, held_change: int, *, captured: int = 0, released: int = 0) -> None:
        """Add a line to the history of a hold's wallet. `hold` is as the step leaves it."""
        book = self.book
        state = book.wallets[hold.wallet_id]
        moved = state._replace(held=state.held + held_change, version=state.version + 1, last_entry_at=book.decided_at)
        ensure(moved.held >= 0, "more was released than was held")
        ensure(kind in BUILT_IN[self.type].steps, "a step of another type of transaction")
        book.put(moved)
        book.put_hold(hold)
        book.steps.append(
            HoldStep(
                self.id, hold.id, hold.wallet_id, moved.version, kind, held_change, moved.held, captured, released,
                hold.expires_at,
            )
        )  # fmt: skip

    def post(
        self,
        *,
        origin: str,
        reference_id: str,
        fingerprint: bytes = b"",
        metadata: str | None = None,
        effective_at: datetime | None = None,
        details: Details | None = None,
        hold: Hold | None = None,
        refund_of: TransactionId | None = None,
    ) -> Posted:
        """Finish the transaction with its row, which its reference finds from now on."""
        book = self.book
        ensure_cancels_out(self.entries)
        if hold is not None and self.entries:
            ensure(BUILT_IN[self.type].has_entries, "a step that moves nothing has entries")
        more = (details or Details())._replace(
            drawn=tuple(self.drawn), opened=tuple(self.opened), joined=tuple(self.joined)
        )
        posted = Posted(
            self.id,
            origin,
            reference_id,
            fingerprint,
            self.type,
            metadata,
            book.decided_at,
            book.decided_at if effective_at is None else min(effective_at, book.decided_at),
            tuple(self.entries),
            None if hold is None else hold.id,
            refund_of,
            None if more == NO_DETAILS else more,
        )
        book.known[origin, reference_id] = posted
        book.posted.append(posted)
        return posted

    def _enter(self, state: WalletState, direction: Direction, amount: int) -> WalletState:
        book = self.book
        change = direction * amount
        version = balance = None
        if state.locked:
            version, balance = state.version + 1, state.balance + change
            ensure(balance <= AMOUNT_MAX, "a balance beyond 63 bits was let through")
            state = state._replace(balance=balance, version=version, last_entry_at=book.decided_at)
            book.put(state)
        else:
            book.deltas[state.id] = book.deltas.get(state.id, 0) + change
        leg = len(self.entries)
        self.entries.append(Entry(self.id, leg, state.id, state.asset_id, direction.value, amount, version, balance))
        return state

    def _open_lot(self, state: WalletState, amount: int, new: NewLot) -> None:
        book = self.book
        ensure(state.kind is WalletKind.USER, "a system wallet was given a lot")
        # Lots of one instant are in the order of the entries that opened them, however these were batched.
        order = book.wallets[state.id].version << 4 | min(len(self.opened), 15)
        lot = Lot(
            book.derived_id(f"lot:{self.id}:{len(self.opened)}", order=order), state.id, state.asset_id,
            new.category, new.priority, new.expires_at, self.instant, self.id, amount, 0,
            programme_id=new.programme_id,
        )  # fmt: skip
        self.opened.append(lot.id)
        self.move_lot(lot, amount, 0)

    def _note_expiry(self, lot: Lot) -> None:
        if lot.free > 0 and lot.expires_at is not None:
            if lot.expires_at > self.book.decided_at:
                self.book.falls_due(lot.wallet_id, lot.expires_at)
            elif lot.expires_at <= self.instant:
                self.lapsed.append(lot.id)

    def _add_to_lots(self, wallet_id: WalletId, change: int) -> None:
        if change:
            state = self.book.wallets[wallet_id]
            standing = state.standing._replace(lot_balance=state.standing.lot_balance + change)
            self.book.put(state._replace(standing=standing))


def counted(standing: Standing, amount: int, at: datetime, now: datetime) -> Standing:
    """The standing with one more debit that counts for spending limits, made at an instant at or before now.

    The debit of a due step counts from the instant of the step, so that the time of its posting makes no difference.
    """
    if at > now - DAY:
        resets_at = min(standing.day_resets_at or at + DAY, at + DAY)
        standing = standing._replace(spent_day=standing.spent_day + amount, day_resets_at=resets_at)
    if month_after(at) > now:
        standing = standing._replace(spent_month=standing.spent_month + amount, month_resets_at=month_after(at))
    return standing


def ensure_cancels_out(entries: Sequence[Entry]) -> None:
    """Raise InvariantViolated unless credits equal debits in each asset."""
    net: dict[int, int] = {}
    for entry in entries:
        net[entry.asset_id] = net.get(entry.asset_id, 0) + entry.direction * entry.amount
    ensure(not any(net.values()), "entries of a movement do not cancel out")
