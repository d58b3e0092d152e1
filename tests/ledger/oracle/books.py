"""The oracle's books: lists of facts, and sums over them. Nothing is kept that can be added up again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds
from wallet.ledger.model import Asset, Policy, WalletId, WalletKind, WalletState

MOST = 9_223_372_036_854_775_807
Kind = tuple[str, int, datetime | None]
FOR_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class LotFact:
    """A parcel of credit. homes: the wallets it was in, the last one now. changes: of what remains of it."""

    name: str
    homes: list[WalletId]
    category: str
    priority: int
    expires_at: datetime | None
    opened_at: datetime
    programme: UUID | None = None
    changes: list[int] = field(default_factory=list)
    expiries: int = 0

    @property
    def remaining(self) -> int:
        return sum(self.changes)

    @property
    def kind(self) -> Kind:
        """The terms by which credit of one lot is worth the same as credit of another."""
        return self.category, self.priority, self.expires_at


@dataclass
class ClaimFact:
    """The claim that a code stands for. redeemers: the wallets that uses went to, in order."""

    amount: int
    uses: int
    is_once_per_user: bool
    redeemers: list[WalletId] = field(default_factory=list)


@dataclass
class HoldFact:
    """A reservation, slice by slice, and its end, amount by amount."""

    id: UUID
    homes: list[WalletId]
    target: WalletId | None
    is_captured_at_expiry: bool
    created_at: datetime
    expiries: list[datetime | None]
    reserved: list[tuple[str | None, int]]
    is_carrying: bool = False
    claim: "ClaimFact | None" = None
    ends: list[tuple[str, int]] = field(default_factory=list)

    @property
    def amount(self) -> int:
        return sum(amount for _, amount in self.reserved)

    def ended_by(self, *kinds: str) -> int:
        return sum(amount for kind, amount in self.ends if kind in kinds)

    @property
    def captured(self) -> int:
        return self.ended_by("captured")

    @property
    def released(self) -> int:
        return self.ended_by("voided", "expired", "rest")

    @property
    def remaining(self) -> int:
        return self.amount - self.captured - self.released

    @property
    def status(self) -> str:
        if self.remaining:
            return "open"
        kinds = [kind for kind, _ in self.ends]
        return next((kind for kind in ("voided", "expired") if kind in kinds), "captured")

    @property
    def slices(self) -> list[tuple[str | None, int]]:
        """The rest: captures took from the front."""
        if not self.remaining:
            return []
        gone, left = self.captured, []
        for lot, amount in self.reserved:
            taken = min(gone, amount)
            gone -= taken
            if amount > taken:
                left.append((lot, amount - taken))
        return left


@dataclass
class Transaction:
    """An accepted request, or something that fell due, as its answer shows it."""

    id: UUID
    origin: str
    reference: str
    type: str
    at: datetime
    effective: datetime
    entries: list[tuple[WalletId, int, int, int | None, int | None]] = field(default_factory=list)
    drawn: list[tuple[WalletId, str | None, int]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    joined: list[tuple[str, int]] = field(default_factory=list)
    hold: dict[str, Any] | None = None
    refund_of: UUID | None = None
    requested: int | None = None
    forfeited: int | None = None
    is_skipped: bool = False
    forfeits: list[str] = field(default_factory=list)


@dataclass
class Books:
    """All facts there are.

    lines: one per version of a locked wallet: the change of its balance. settings: changes of what it may do.
    counted: debits that count for spending limits. attached: the next period of each programme and wallet. lot_ids:
    what the real ledger calls the lots.
    """

    openings: Mapping[WalletId, WalletState]
    assets: Mapping[str, Asset]
    policies: Mapping[int, Policy]
    lines: list[tuple[WalletId, int]] = field(default_factory=list)
    settings: list[tuple[WalletId, str, Any]] = field(default_factory=list)
    counted: list[tuple[WalletId, int, datetime]] = field(default_factory=list)
    lots: dict[str, LotFact] = field(default_factory=dict)
    holds: dict[UUID, HoldFact] = field(default_factory=dict)
    transactions: list[Transaction] = field(default_factory=list)
    refunds: list[tuple[UUID, int]] = field(default_factory=list)
    attached: dict[tuple[UUID, WalletId], int] = field(default_factory=dict)
    declined: list[tuple[str, str]] = field(default_factory=list)
    lot_ids: dict[str, UUID] = field(default_factory=dict)
    users: Mapping[WalletId, UUID] = field(default_factory=dict)
    bounds: Bounds = DEFAULT_BOUNDS

    # Wallets

    def balance(self, id_: WalletId) -> int:
        return self.openings[id_].balance + sum(change for wallet, change in self.lines if wallet == id_)

    def version(self, id_: WalletId) -> int:
        return self.openings[id_].version + sum(1 for wallet, _ in self.lines if wallet == id_)

    def held(self, id_: WalletId) -> int:
        return self.openings[id_].held + sum(hold.remaining for hold in self.holds_of(id_))

    def setting(self, id_: WalletId, name: str) -> Any:
        """The last value given; what the wallet opened with, if there is none."""
        for wallet, changed, value in reversed(self.settings):
            if (wallet, changed) == (id_, name):
                return value
        opening = self.openings[id_]
        return getattr(opening, name) if hasattr(opening, name) else getattr(opening.standing, name)

    def overdraft_limit(self, id_: WalletId) -> int:
        return self.setting(id_, "overdraft_limit") or 0

    def available(self, id_: WalletId) -> int:
        return self.balance(id_) - self.held(id_) + self.overdraft_limit(id_)

    def is_user(self, id_: WalletId) -> bool:
        return self.openings[id_].kind is WalletKind.USER

    def is_locked(self, id_: WalletId) -> bool:
        return self.openings[id_].locked

    def policy(self, id_: WalletId) -> Policy:
        return self.policies.get(self.openings[id_].asset_id, Policy())

    def asset_of(self, id_: WalletId) -> Asset:
        return next(asset for asset in self.assets.values() if asset.id == self.openings[id_].asset_id)

    def followed(self, id_: WalletId) -> WalletId:
        """The wallet that a wallet's money is in now: the end of its merges."""
        while id_ in self.openings and (target := self.setting(id_, "merged_into")) is not None:
            id_ = target
        return id_

    # Holds and lots

    def holds_of(self, id_: WalletId) -> list[HoldFact]:
        return [hold for hold in self.holds.values() if hold.homes[-1] == id_ and hold.remaining]

    def holds_into(self, id_: WalletId) -> list[HoldFact]:
        """Open holds that are captured into a wallet at their expiry."""
        return [
            hold
            for hold in self.holds.values()
            if hold.remaining and hold.is_captured_at_expiry and hold.expiries[-1] is not None
            and hold.target is not None and self.followed(hold.target) == id_
        ]  # fmt: skip

    def held_in(self, lot: LotFact) -> int:
        return sum(
            amount for hold in self.holds.values() for name, amount in hold.slices if name == lot.name
        )  # fmt: skip

    def free_in(self, lot: LotFact) -> int:
        return lot.remaining - self.held_in(lot)

    def lots_of(self, id_: WalletId) -> list[LotFact]:
        """Those with a remainder, in the order they are drawn in."""
        mine = [lot for lot in self.lots.values() if lot.homes[-1] == id_ and lot.remaining]
        return sorted(mine, key=lambda lot: (lot.expires_at or FOR_EVER, lot.priority, lot.opened_at, self.tie(lot)))

    def tie(self, lot: LotFact) -> Any:
        """Of two lots of one instant, the one with the lower id is older."""
        return self.lot_ids.get(lot.name, UUID(int=0)), list(self.lots).index(lot.name)

    def free_main(self, id_: WalletId) -> int:
        return self.balance(id_) - self.held(id_) - sum(self.free_in(lot) for lot in self.lots_of(id_))

    def debt(self, id_: WalletId) -> int:
        """How far main credit, the balance without lots, is below zero."""
        return max(0, sum(lot.remaining for lot in self.lots_of(id_)) - self.balance(id_))

    def draw(self, id_: WalletId, amount: int, first: list[tuple[LotFact, int]]) -> list[tuple[str | None, int]]:
        """The slices that a debit or a hold of this amount takes, in order; so much of some lots before all others."""
        slices: list[tuple[str | None, int]] = []
        taken_of: dict[str, int] = {}

        def take(name: str | None, free: int) -> None:
            taken = min(max(free, 0), amount - sum(size for _, size in slices))
            if taken:
                slices.append((name, taken))
                if name is not None:
                    taken_of[name] = taken_of.get(name, 0) + taken

        for lot, most in first:
            take(lot.name, min(most, self.free_in(lot) - taken_of.get(lot.name, 0)))
        if self.policy(id_).main_first:
            take(None, self.free_main(id_))
        for lot in self.lots_of(id_):
            take(lot.name, self.free_in(lot) - taken_of.get(lot.name, 0))
        take(None, MOST * 4)
        return merged(slices)

    def share(
        self, drawn: Iterable[tuple[WalletId, str | None, int]], sides: Iterable[tuple[WalletId, int, int]],
        target: WalletId,
    ) -> list[tuple[str | None, int]]:  # fmt: skip
        """The units that one credit gets of everything drawn in its asset: what those before it have left."""
        asset = self.openings[target].asset_id
        drawn = [each for each in drawn if self.openings[each[0]].asset_id == asset]
        before = 0
        for wallet, sign, size in sides:
            if sign > 0 and self.openings[wallet].asset_id == asset:
                if wallet == target:
                    return cut([(lot, amount) for _, lot, amount in drawn], before, before + size)
                before += size
        raise AssertionError("it is no credit")

    def kinds_carried(
        self, target: WalletId, drawn: Iterable[tuple[str | None, int]], *, repays: bool
    ) -> dict[Kind, int]:
        """How much of which kind of credit arrives in lots."""
        debt = self.debt(target) if repays else 0
        kinds: dict[Kind, int] = {}
        for name, amount in drawn:
            rest = amount - min(debt, amount)
            debt -= amount - rest
            if name is not None and rest:
                kind = self.lots[name].kind
                kinds[kind] = kinds.get(kind, 0) + rest
        return kinds

    def lot_to_join(self, target: WalletId, kind: Kind) -> LotFact | None:
        """The oldest lot of a kind, if there is one that belongs to no programme."""
        return next((lot for lot in self.lots_of(target) if lot.kind == kind and lot.programme is None), None)

    # Limits

    def spent(self, id_: WalletId, *, since: datetime) -> int:
        return sum(amount for wallet, amount, at in self.counted if wallet == id_ and at > since)

    def limits(self, id_: WalletId, now: datetime) -> Iterator[tuple[int, int]]:
        """Each limit of a wallet, and what counts for it now, open holds included."""
        day, month = self.setting(id_, "limit_day"), self.setting(id_, "limit_month")
        if day is not None:
            yield day, self.spent(id_, since=now - timedelta(hours=24)) + self.held(id_)
        if month is not None:
            start = datetime(now.year, now.month, 1, tzinfo=UTC)
            yield month, self.spent(id_, since=start - timedelta(microseconds=1)) + self.held(id_)

    # Transactions

    def transaction(self, id_: UUID) -> Transaction | None:
        return next((each for each in self.transactions if each.id == id_), None)

    def refunded(self, id_: UUID) -> int:
        return sum(amount for original, amount in self.refunds if original == id_)

    def unspent(self, programme: UUID, id_: WalletId) -> int:
        return sum(lot.remaining for lot in self.lots_of(id_) if lot.programme == programme)


def cut(slices: list[tuple[str | None, int]], start: int, end: int) -> list[tuple[str | None, int]]:
    """From one unit to before another."""
    parts, at = [], 0
    for lot, amount in slices:
        part = min(end, at + amount) - max(start, at)
        if part > 0:
            parts.append((lot, part))
        at += amount
    return merged(parts)


def merged(slices: list[tuple[str | None, int]]) -> list[tuple[str | None, int]]:
    """Neighbours that belong to the same lot as one."""
    joined: list[tuple[str | None, int]] = []
    for lot, amount in slices:
        if joined and joined[-1][0] == lot:
            joined[-1] = (lot, joined[-1][1] + amount)
        else:
            joined.append((lot, amount))
    return joined
