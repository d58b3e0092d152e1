"""The book: the states that each request of a batch sees after the ones before it, and the batch's changes so far.

Rules read it, movements write it, nothing else does. A copy is cheap and independent: a group or a dry run is decided
on one, which is then adopted or thrown away.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from wallet.ledger.batch import Changes, Context
from wallet.ledger.lots import NewLot, draw, draw_order, joined, place_of, terms_of
from wallet.ledger.model import (
    ORDINARY,
    Asset,
    Attachment,
    Hold,
    HoldId,
    HoldStatus,
    HoldStep,
    Lot,
    LotId,
    LotMove,
    Original,
    Policy,
    Posted,
    RedemptionKey,
    Slice,
    TransactionId,
    UserId,
    WalletEvent,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.outcomes import Refused
from wallet.ledger.requests import Single

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MILLISECOND = timedelta(milliseconds=1)
_DEFAULT_POLICY = Policy()


class Book:
    """State of a batch under decision. Mappings are copied, never shared; their values are immutable."""

    def __init__(self, context: Context, decided_at: datetime) -> None:
        self.decided_at = decided_at
        self.shard = context.shard
        self.assets = context.assets
        self.assets_by_id: Mapping[int, Asset] = context.assets_by_id
        self.policies = context.policies
        self.targeted = context.targeted
        self.due_until = context.due_until
        self.group_lines_max = context.group_lines_max
        self.group_lines_at_once = context.group_lines_at_once
        self.bounds = context.bounds
        # If the holds of a wallet were not counted, its number here is only the change, and no rule reads it.
        self.holds_placed = dict(context.holds_placed)
        self.holds_aimed = dict(context.holds_aimed)
        self.loaded = context.wallets
        self.wallets = dict(context.wallets)
        self.known = dict(context.known)
        self.holds = dict(context.holds)
        self.lots = dict(context.lots)
        self.originals = dict(context.originals)
        self.attachments = dict(context.attachments)
        self.next_due = dict(context.next_due)
        self.users: Mapping[WalletId, UserId] = context.users
        self.redeemed = dict(context.redeemed)
        # Ids in order, without values: a wallet may have tens of thousands, and each is found at once. Lots with
        # nothing left are not among them: a batch may fill and empty a wallet many times.
        self._holds_at: dict[WalletId, dict[HoldId, None]] = {}
        self._lots_of: dict[WalletId, dict[LotId, None]] = {}
        # Of wallets that were drawn from. Lots are entered and removed in place: one movement may have a thousand.
        self._draw_orders: dict[WalletId, list[LotId]] = {}
        # The same lots by their terms, of wallets that lots were carried to.
        self._alike: dict[WalletId, dict[NewLot, list[LotId]]] = {}
        for hold in context.holds.values():
            self._index_hold(hold)
        for lot in context.lots.values():
            # Nothing is derived from them yet, and a wallet may have a thousand.
            if lot.remaining:
                if lot.wallet_id not in self._lots_of:
                    self._lots_of[lot.wallet_id] = {}
                self._lots_of[lot.wallet_id][lot.id] = None
        # The result of the batch so far.
        self.posted: list[Posted] = []
        self._posted_seen = 0
        self._lines_of_posted, self._posted_counted = 0, 0
        # The cost of dry runs and refusals, in lines: they cost as much as applied requests.
        self.lines_in_vain = 0
        self.states: dict[WalletId, WalletState] = {}
        self.deltas: dict[WalletId, int] = {}
        self.holds_changed: dict[HoldId, Hold] = {}
        self.lots_changed: dict[LotId, Lot] = {}
        self.steps: list[HoldStep] = []
        self.lot_moves: list[LotMove] = []
        self.events: list[WalletEvent] = []
        self.refunded: dict[TransactionId, tuple[int, int]] = {}
        self.granted: list[Attachment] = []
        self.moved: list[tuple[Attachment, WalletId | None]] = []
        self.declines: list[tuple[Single, Refused]] = []
        self.redemptions: dict[RedemptionKey, TransactionId] = {}

    def copy(self) -> "Book":
        """A book whose changes do not reach this one, nor the other way round."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list):
                setattr(other, name, value.copy())
        other._holds_at = {wallet_id: ids.copy() for wallet_id, ids in self._holds_at.items()}
        other._lots_of = {wallet_id: ids.copy() for wallet_id, ids in self._lots_of.items()}
        other._draw_orders = {wallet_id: order.copy() for wallet_id, order in self._draw_orders.items()}
        other._alike = {
            wallet_id: {terms: ids.copy() for terms, ids in alike.items()} for wallet_id, alike in self._alike.items()
        }
        return other

    def adopt(self, other: "Book") -> None:
        """Take over all changes of a copy."""
        vars(self).update(vars(other))

    def changes(self) -> Changes:
        return Changes(
            self.holds_changed,
            self.steps,
            self.lots_changed,
            self.lot_moves,
            self.events,
            self.refunded,
            self.granted,
            self.moved,
            self.declines,
            self.redemptions,
        )

    def lines(self) -> int:
        """About how many lines the batch has so far, which is what it costs to hash, write and answer it.

        Entries, steps of holds, moves of lots, and the parts of amounts that answers name: lots drawn or opened, and
        the slices of holds.
        """
        for posted in self.posted[self._posted_counted :]:
            self._lines_of_posted += len(posted.entries)
            if (details := posted.details) is not None:
                self._lines_of_posted += len(details.drawn) + len(details.opened)
                self._lines_of_posted += 0 if details.hold is None else len(details.hold.slices)
        self._posted_counted = len(self.posted)
        return self._lines_of_posted + len(self.steps) + len(self.lot_moves)

    def lots_at(self, wallets: Iterable[WalletId]) -> int:
        """How many lots these wallets have."""
        return sum(len(self._lots_of.get(wallet_id, ())) for wallet_id in wallets)

    # Reading.

    def wallet(self, wallet_id: WalletId) -> WalletState | None:
        return self.wallets.get(wallet_id)

    def system_wallet(self, asset_id: int, kind: WalletKind) -> WalletState:
        """The revenue or breakage wallet of an asset. It is never locked, so only its id is known."""
        wallet_id = self.assets_by_id[asset_id].system_wallet(kind)
        return self.wallets.setdefault(wallet_id, WalletState(wallet_id, asset_id, kind, locked=False))

    def at_home(self, wallet_id: WalletId) -> WalletId:
        """The wallet that a wallet has become by merges; itself if by none."""
        while (state := self.wallets.get(wallet_id)) is not None and state.standing.merged_into is not None:
            wallet_id = state.standing.merged_into
        return wallet_id

    def policy(self, asset_id: int) -> Policy:
        return self.policies.get(asset_id, _DEFAULT_POLICY)

    def lots_of(self, wallet_id: WalletId) -> list[Lot]:
        """The lots of a wallet that have something left, in no order."""
        return [self.lots[lot_id] for lot_id in self._lots_of.get(wallet_id, ())]

    def holds_at(self, wallet_id: WalletId) -> list[Hold]:
        """The open holds of a wallet, and those that are captured into it at their expiry."""
        return [
            hold
            for hold_id in self._holds_at.get(wallet_id, ())
            if (hold := self.holds[hold_id]).status is HoldStatus.OPEN and wallet_id in self.ends_of(hold)
        ]

    def ends_of(self, hold: Hold) -> tuple[WalletId, ...]:
        """The wallets at which the expiry of a hold falls due."""
        if hold.target is None or not hold.capture_at_expiry:
            return (hold.wallet_id,)
        return hold.wallet_id, self.at_home(hold.target)

    def original(self, transaction_id: TransactionId) -> Original | None:
        """A transaction that is to be refunded: loaded, or posted by this very batch."""
        for posted in self.posted[self._posted_seen :]:
            self.originals[posted.id] = Original(posted)
        self._posted_seen = len(self.posted)
        return self.originals.get(transaction_id)

    def target_of(self, hold: Hold) -> WalletState | None:
        """The wallet that a capture of the hold credits."""
        if hold.target is None:
            return self.system_wallet(hold.asset_id, WalletKind.REVENUE)
        return self.wallets.get(self.at_home(hold.target))

    def main_free(self, state: WalletState) -> int:
        """The main credit of a wallet that no hold reserves; below zero if the wallet is overdrawn."""
        held_in_lots = sum(lot.held for lot in self.lots_of(state.id))
        return state.balance - state.standing.lot_balance - (state.held - held_in_lots)

    def slices_for(self, state: WalletState, amount: int, *, first: Iterable[Slice] = ()) -> tuple[Slice, ...]:
        """The slices that make up an amount in a wallet: first what is free of `first`, then by the draw order."""
        if state.standing.lot_balance == 0:
            return (Slice(None, amount),)
        taken: list[Slice] = []
        reserved: dict[LotId, int] = {}
        left = amount
        for lot_id, most in first:
            lot = None if lot_id is None else self.lots.get(lot_id)
            if lot is not None and lot.wallet_id == state.id:
                part = min(left, most, lot.free - reserved.get(lot.id, 0))
                taken.append(Slice(lot.id, part))
                reserved[lot.id] = reserved.get(lot.id, 0) + part
                left -= part
        if left:
            main_first = self.policy(state.asset_id).main_first
            main_free = self.main_free(state) if main_first else 0
            others = (self.lots[lot_id] for lot_id in self._draw_order(state.id))
            free = (lot._replace(held=lot.held + reserved[lot.id]) if lot.id in reserved else lot for lot in others)
            taken += draw(left, (lot for lot in free if lot.free > 0), main_free=main_free, main_first=main_first)
        return joined(taken)

    def live_lot(self, wallet_id: WalletId, terms: NewLot) -> Lot | None:
        """The oldest lot of these terms in a wallet that has something left."""
        alike = self._alike.get(wallet_id)
        if alike is None:
            alike = self._alike[wallet_id] = {}
            for lot_id in self._draw_order(wallet_id):
                alike.setdefault(terms_of(self.lots[lot_id]), []).append(lot_id)
        ids = alike.get(terms)
        return self.lots[ids[0]] if ids else None

    def live_lots(self, wallet_id: WalletId) -> int:
        """How many lots of a wallet have something left."""
        return len(self._lots_of.get(wallet_id, ()))

    def _draw_order(self, wallet_id: WalletId) -> list[LotId]:
        order = self._draw_orders.get(wallet_id)
        if order is None:
            order = self._draw_orders[wallet_id] = [lot.id for lot in draw_order(self.lots_of(wallet_id))]
        return order

    def derived_id(self, key: str, *, order: int | None = None) -> UUID:
        """An id for a row that the ledger makes itself, like those of the service, with bits of the key as random bits.

        order: of two ids of one millisecond the one with the lower order is lower, unless they are 4096 apart.
        """
        digest = int.from_bytes(blake2b(key.encode(), digest_size=8, usedforsecurity=False).digest(), "big")
        tick = (self.decided_at - _EPOCH) // _MILLISECOND
        high = tick << 16 | 0x7000 | (digest >> 52 if order is None else order & 0xFFF)
        low = 0b10 << 62 | (digest & (1 << 50) - 1) << 12 | self.shard
        return UUID(int=high << 64 | low)

    # Writing.

    def merged(self, source: WalletId, target: WalletId) -> None:
        """After a merge, everything due at `source` is due at `target`, which is also captured into instead of it."""
        self._holds_at.setdefault(target, {}).update(self._holds_at.pop(source, {}))
        aimed = self.targeted.get(target, frozenset()) | self.targeted.get(source, frozenset())
        self.targeted = {**self.targeted, target: aimed}
        self.holds_aimed[target] = self.holds_aimed.get(target, 0) + self.holds_aimed.pop(source, 0)

    def put(self, state: WalletState) -> None:
        self.wallets[state.id] = self.states[state.id] = state

    def put_hold(self, hold: Hold) -> None:
        self._index_hold(hold)
        if (before := self.holds.get(hold.id)) is not None:
            self._count_hold(before, -1)
        self._count_hold(hold, 1)
        self.holds[hold.id] = self.holds_changed[hold.id] = hold

    def put_lot(self, lot: Lot) -> None:
        self._index_lot(lot)
        self.lots[lot.id] = self.lots_changed[lot.id] = lot

    def falls_due(self, wallet_id: WalletId, at: datetime | None) -> None:
        """Note that something at a wallet falls due at this instant."""
        state = self.wallets.get(wallet_id)
        if at is None or state is None or not state.locked:
            return
        known = self.next_due.get(wallet_id)
        self.next_due[wallet_id] = at if known is None else min(known, at)
        due = state.standing.next_due_at
        if due is None or at < due:
            self.put(state._replace(standing=state.standing._replace(next_due_at=at)))

    def settled(self, wallet_id: WalletId) -> None:
        """Note that all due steps of a wallet are posted, or a portion: then more may be due after its last step."""
        state = self.wallets[wallet_id]
        next_due_at = self.next_due.get(wallet_id) if self.due_until is None else self.due_until[0]
        standing = state.standing._replace(next_due_at=next_due_at)
        self.put(state._replace(standing=ORDINARY if standing == ORDINARY else standing))

    def _count_hold(self, hold: Hold, change: int) -> None:
        if hold.status is HoldStatus.OPEN:
            self.holds_placed[hold.wallet_id] = self.holds_placed.get(hold.wallet_id, 0) + change
            if hold.target is not None and is_due_at_target(hold):
                target = self.at_home(hold.target)
                self.holds_aimed[target] = self.holds_aimed.get(target, 0) + change

    def _index_hold(self, hold: Hold) -> None:
        for wallet_id in self.ends_of(hold):
            self._holds_at.setdefault(wallet_id, {})[hold.id] = None

    def _index_lot(self, lot: Lot) -> None:
        """Update the orders of lots for a changed lot. To be called before self.lots has the new state."""
        before = self.lots.get(lot.id)
        was_at = before.wallet_id if before is not None and before.remaining else None
        is_at = lot.wallet_id if lot.remaining else None
        if was_at == is_at:
            return
        if was_at is not None:
            del self._lots_of[was_at][lot.id]
            self._index_terms(was_at, lot, _leave)
        if is_at is not None:
            self._lots_of.setdefault(is_at, {})[lot.id] = None
            self._index_terms(is_at, lot, _enter)

    def _index_terms(self, wallet_id: WalletId, lot: Lot, change: Callable[[list[LotId], Lot, Any], None]) -> None:
        """Update the lots by terms of a wallet, if they have been derived."""

        def place(lot_id: LotId) -> Any:
            return place_of(lot if lot_id == lot.id else self.lots[lot_id])

        if (order := self._draw_orders.get(wallet_id)) is not None:
            change(order, lot, place)
        if (alike := self._alike.get(wallet_id)) is not None:
            change(alike.setdefault(terms_of(lot), []), lot, place)


def _enter(order: list[LotId], lot: Lot, place: Callable[[LotId], Any]) -> None:
    insort(order, lot.id, key=place)


def _leave(order: list[LotId], lot: Lot, place: Callable[[LotId], Any]) -> None:
    del order[bisect_left(order, place(lot.id), key=place)]


def is_due_at_target(hold: Hold) -> bool:
    """Whether the expiry of a hold that has a target is a due step of that wallet, too."""
    return hold.capture_at_expiry and hold.expires_at is not None
