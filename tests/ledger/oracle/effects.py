"""The effects of accepted requests and of due steps on the oracle's books."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.ledger.oracle.books import Books, ClaimFact, HoldFact, LotFact, Transaction, merged
from tests.ledger.oracle.refusals import PRECEDENCE, Refusals, counts_for_limits
from wallet.ledger.model import ORIGIN_SERVICE, OnRefundToExpired, WalletId, WalletKind
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Increase,
    Merge,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Single,
    Void,
)

Answer = dict[str, Any]


class Effects:
    """Writes facts. Whether a request may be accepted was asked before.

    asked: the amounts of up-to movements, which arrive here shrunk to what they move.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.asked: dict[UUID, int] = {}

    def wallet_of(self, request: Post, wallet: WalletId | WalletKind) -> WalletId | WalletKind:
        """The id of the wallet meant; the kind itself where there is no asset to have such a wallet."""
        asset = self.books.assets.get(request.asset_code or "")
        if not isinstance(wallet, WalletKind) or asset is None:
            return wallet
        return {
            "treasury": asset.treasury, "revenue": asset.revenue, "breakage": asset.breakage,
        }[wallet.value]  # fmt: skip

    def apply(self, request: Single, now: datetime, *, is_refused: bool = False) -> Answer:
        if isinstance(request, ChangeWallet):
            return self.change(request)
        effective = min(request.options.effective_at or now, now)
        tx = Transaction(request.id, request.origin, request.reference_id, request.type, now, effective)
        self.books.transactions.append(tx)
        match request:
            case Post():
                self.post(tx, request)
            case PlaceHold():
                self.place(tx, request)
            case Capture():
                hold = self.books.holds[request.hold_id]
                asked = hold.remaining if request.amount is None else request.amount
                is_carried = hold.is_carrying or request.carries_lots
                self.capture(tx, hold, min(asked, hold.remaining), is_final=request.final, is_carried=is_carried)
                tx.requested = request.amount if request.options.up_to else None
            case Void():
                hold = self.books.holds[request.hold_id]
                self.release(tx, hold, "voided")
                self.snapshot(tx, hold)
            case Increase():
                hold = self.books.holds[request.hold_id]
                hold.reserved += self.books.draw(hold.homes[-1], request.amount, [])
                hold.is_carrying = hold.is_carrying or request.carries_lots
                self.line(hold.homes[-1], 0)
                self.snapshot(tx, hold)
            case Extend():
                hold = self.books.holds[request.hold_id]
                last = hold.expiries[-1]
                until = now + timedelta(seconds=request.expires_in_seconds)
                hold.expiries.append(None if last is None else max(last, until))
                self.line(hold.homes[-1], 0)
                self.snapshot(tx, hold)
            case PlaceClaim():
                self.place(tx, self.hold_of(request))
                self.books.holds[request.id].claim = ClaimFact(request.amount, request.uses, request.once_per_user)
                self.snapshot(tx, self.books.holds[request.id])
            case RedeemClaim():
                self.redeem(tx, self.books.holds[request.claim_id], request.wallet_id)
            case CancelClaim():
                hold = self.books.holds[request.claim_id]
                self.release(tx, hold, "voided")
                self.snapshot(tx, hold)
            case Refund():
                self.refund(tx, request)
            case Merge():
                self.merge(tx, request)
            case Grant():
                self.grant(tx, request, is_refused=is_refused)
        return self.view(tx)

    def line(self, wallet: WalletId, change: int) -> None:
        """One version of a locked wallet."""
        if self.books.is_locked(wallet):
            self.books.lines.append((wallet, change))

    def entry(self, tx: Transaction, wallet: WalletId, sign: int, amount: int) -> None:
        if not self.books.is_locked(wallet):
            tx.entries.append((wallet, sign, amount, None, None))
            return
        self.line(wallet, sign * amount)
        tx.entries.append((wallet, sign, amount, self.books.version(wallet), self.books.balance(wallet)))

    def debit_lots(self, tx: Transaction, wallet: WalletId, slices: list[tuple[str | None, int]]) -> None:
        """The amounts that a debit takes from each lot."""
        if not self.books.is_user(wallet):
            return
        for lot, amount in slices:
            tx.drawn.append((wallet, lot, amount))
            if lot is not None:
                self.books.lots[lot].changes.append(-amount)

    def open_lot(
        self, tx: Transaction, wallet: WalletId, amount: int, category: str, priority: int, expires_at: datetime | None,
        programme: UUID | None = None,
    ) -> None:  # fmt: skip
        """A credit first repays a negative main balance; the lot opens with the rest."""
        rest = amount - min(amount, self.books.debt(wallet))
        self.new_lot(tx, wallet, rest, category, priority, expires_at, programme)

    def new_lot(
        self, tx: Transaction, wallet: WalletId, rest: int, category: str, priority: int, expires_at: datetime | None,
        programme: UUID | None = None,
    ) -> None:  # fmt: skip
        if rest:
            name = f"{tx.reference}/{len(tx.opened)}"
            self.books.lots[name] = LotFact(
                name, [wallet], category, priority, expires_at, tx.at, programme, changes=[rest]
            )
            tx.opened.append(name)

    def post(self, tx: Transaction, request: Post) -> None:
        sides = [(self.wallet_of(request, leg.wallet), leg.direction, leg.amount) for leg in request.legs]
        for wallet, sign, amount in sides:
            if sign < 0 and self.books.is_user(wallet):
                self.debit_lots(tx, wallet, self.books.draw(wallet, amount, []))
                if counts_for_limits(request.type):
                    self.books.counted.append((wallet, amount, tx.at))
        terms = request.options.lot
        for wallet, sign, amount in sides:
            if sign > 0 and self.books.is_user(wallet):
                if terms is not None:
                    expires_at = terms.expires_at
                    if terms.expires_in_seconds is not None:
                        expires_at = tx.at + timedelta(seconds=terms.expires_in_seconds)
                    self.open_lot(tx, wallet, amount, terms.category.value, terms.priority, expires_at)
                elif request.carries_lots or request.type == "transfer":
                    share = self.books.share(tx.drawn, sides, wallet)
                    self.carry(tx, wallet, share, repays=not request.carries_lots)
        for wallet, sign, amount in sides:
            self.entry(tx, wallet, int(sign), amount)
        if request.options.up_to:
            tx.requested = self.asked[request.id]

    def carry(self, tx: Transaction, target: WalletId, slices: list[tuple[str | None, int]], *, repays: bool) -> None:
        """Lots go along, with category, expiry and priority; debts are repaid on the way, or not.

        All of the same kind go to one lot: the oldest of that kind that is there and belongs to no programme.
        """
        for kind, amount in self.books.kinds_carried(target, slices, repays=repays).items():
            lot = self.books.lot_to_join(target, kind)
            if lot is not None:
                lot.changes.append(amount)
                tx.joined.append((lot.name, amount))
            else:
                self.new_lot(tx, target, amount, *kind)

    # Holds

    def place(self, tx: Transaction, request: PlaceHold) -> None:
        expires_at = None
        if request.expires_in_seconds is not None:
            expires_at = tx.at + timedelta(seconds=request.expires_in_seconds)
        hold = HoldFact(
            request.id,
            [request.wallet_id],
            request.target,
            request.capture_at_expiry,
            tx.at,
            [expires_at],
            self.books.draw(request.wallet_id, request.amount, []),
            request.carries_lots,
        )
        self.books.holds[request.id] = hold
        self.line(request.wallet_id, 0)
        self.snapshot(tx, hold)

    def hold_of(self, claim: PlaceClaim) -> PlaceHold:
        """All uses of a claim, reserved at once: a hold that carries its lots, whoever redeems it."""
        return PlaceHold(
            claim.id, claim.origin, claim.reference_id, claim.fingerprint, claim.wallet_id, claim.asset_code,
            sum(claim.amount for _ in range(claim.uses)), None, claim.expires_in_seconds, False, claim.metadata,
            claim.options, claim.type, True,
        )  # fmt: skip

    def redeem(self, tx: Transaction, hold: HoldFact, wallet: WalletId) -> None:
        """One use goes over, as the credit that was reserved first."""
        assert hold.claim is not None
        hold.claim.redeemers.append(wallet)
        self.capture(tx, hold, hold.claim.amount, is_final=False, is_carried=True, target=wallet)

    def snapshot(self, tx: Transaction, hold: HoldFact) -> None:
        tx.hold = {
            "id": hold.id, "wallet": hold.homes[-1], "amount": hold.amount, "captured": hold.captured,
            "released": hold.released, "status": hold.status, "expires_at": hold.expiries[-1],
            "slices": merged(hold.slices),
            "claim": hold.claim and (hold.claim.amount, hold.claim.uses, hold.claim.is_once_per_user),
        }  # fmt: skip

    def capture(
        self, tx: Transaction, hold: HoldFact, amount: int, *, is_final: bool, is_carried: bool,
        target: WalletId | None = None,
    ) -> None:  # fmt: skip
        home = hold.homes[-1]
        target = target or Refusals(self.books, tx.at).target_of(hold)
        taken: list[tuple[str | None, int]] = []
        for name, size in hold.slices:
            part = min(size, amount - sum(each for _, each in taken))
            if part:
                taken.append((name, part))
        taken = merged(taken)
        hold.ends.append(("captured", amount))
        self.line(home, 0)
        self.debit_lots(tx, home, taken)
        self.books.counted.append((home, amount, tx.at))
        self.entry(tx, home, -1, amount)
        self.entry(tx, target, 1, amount)
        if is_carried and self.books.is_user(target):
            self.carry(tx, target, taken, repays=False)
        for lot in [self.books.lots[name] for name in tx.opened]:
            if lot.expires_at is not None and lot.expires_at <= tx.at:
                self.expire_lot(lot, tx.at)
        if is_final and hold.remaining:
            self.release(tx, hold, "rest", takes_line=False)
        self.snapshot(tx, hold)

    def release(self, tx: Transaction, hold: HoldFact, kind: str, *, takes_line: bool = True) -> None:
        """Credit that comes back to an expired lot goes on to breakage at once."""
        slices = hold.slices
        hold.ends.append((kind, hold.remaining))
        if takes_line:
            self.line(hold.homes[-1], 0)
        for name in dict.fromkeys(name for name, _ in slices if name is not None):
            lot = self.books.lots[name]
            if lot.expires_at is not None and lot.expires_at <= tx.at:
                self.expire_lot(lot, tx.at)

    # Refunds

    def refund(self, tx: Transaction, request: Refund) -> None:
        books, original = self.books, self.books.transaction(request.original_id)
        assert original is not None
        before = books.refunded(original.id)
        moved = original.entries[0][2]
        total = moved - before if request.amount is None else request.amount
        tx.refund_of = original.id
        books.refunds.append((original.id, total))
        sides = []
        for wallet, sign, size, _, _ in original.entries:
            amount = total if len(original.entries) == 2 else size
            sides.append((wallet, books.followed(wallet), -sign, amount))
        for _, wallet, sign, amount in sides:
            if sign < 0 and books.is_user(wallet):
                self.debit_lots(tx, wallet, books.draw(wallet, amount, self.put_in(original, wallet, before)))
        back = [
            (old, wallet, self.undone(original, old, before, amount))
            for old, wallet, sign, amount in sides
            if sign > 0 and books.is_user(wallet)
        ]
        for _, wallet, slices in back:
            self.restore(tx, wallet, slices)
        for _, wallet, sign, amount in sides:
            self.entry(tx, wallet, sign, amount)
        for name in tx.forfeits:
            self.expire_lot(self.books.lots[name], tx.at)

    def put_in(self, original: Transaction, wallet: WalletId, before: int) -> list[tuple[LotFact, int]]:
        """The credit that the original has put into lots of a wallet, from its end, without the part that refunds have
        passed.
        """
        lots = self.books.lots
        parts = [(lots[name], lots[name].changes[0]) for name in original.opened]
        parts += [(lots[name], amount) for name, amount in original.joined]
        left = []
        for lot, amount in reversed(parts):
            passed = min(before, amount)
            before -= passed
            if lot.homes[-1] == wallet and lot.remaining:
                left.append((lot, amount - passed))
        return left

    def undone(self, original: Transaction, wallet: WalletId, before: int, amount: int) -> list[tuple[str | None, int]]:
        """The part of a draw that a refund undoes: from its end, on from where the last refund stopped."""
        drawn = [(lot, size) for each, lot, size in original.drawn if each == wallet] or [(None, before + amount)]
        slices: list[tuple[str | None, int]] = []
        passed = 0
        for lot, size in reversed(drawn):
            start, end = max(before, passed), min(before + amount, passed + size)
            if start < end:
                slices.append((lot, end - start))
            passed += size
        return slices

    def restore(self, tx: Transaction, wallet: WalletId, slices: list[tuple[str | None, int]]) -> None:
        """Debts first; then back into the lots, and where they have expired, as the policy says."""
        policy = self.books.policy(wallet)
        debt = self.books.debt(wallet)
        graces: dict[tuple[str, int, datetime | None, UUID | None], int] = {}
        for name, amount in slices:
            rest = amount - min(debt, amount)
            debt -= amount - rest
            if name is None or not rest:
                continue
            lot = self.books.lots[name]
            if lot.expires_at is None or lot.expires_at > tx.at:
                lot.changes.append(rest)
            elif policy.on_refund_to_expired is OnRefundToExpired.GRACE:
                until = tx.at + timedelta(seconds=policy.grace_seconds)
                grace = (lot.category, lot.priority, until, lot.programme)
                graces[grace] = graces.get(grace, 0) + rest
            elif policy.on_refund_to_expired is OnRefundToExpired.FORFEIT:
                lot.changes.append(rest)
                tx.forfeits.append(name)
                tx.forfeited = (tx.forfeited or 0) + rest
        for grace, amount in graces.items():
            self.new_lot(tx, wallet, amount, *grace)

    # Wallets

    def change(self, request: ChangeWallet) -> Answer:
        for name, value in request.changes:
            if name not in ("label", "metadata"):
                self.books.settings.append((request.wallet_id, name, value))
        is_closed = bool(self.books.setting(request.wallet_id, "closed"))
        if request.type == "change" or is_closed != (request.type == "close"):
            self.books.settings.append((request.wallet_id, "closed", request.type == "close"))
            self.line(request.wallet_id, 0)
        return {"type": request.type, "id": request.id, "entries": []}

    def merge(self, tx: Transaction, request: Merge) -> None:
        books, source, target = self.books, request.source, request.target
        balance = books.balance(source)
        moving = books.holds_of(source)
        for _ in moving:
            self.line(source, 0)
        if balance:
            self.entry(tx, source, -1, balance)
            self.entry(tx, target, 1, balance)
        for hold in moving:
            self.line(target, 0)
            hold.homes.append(target)
        for hold in books.holds.values():
            if hold.homes[-1] == source:
                hold.homes.append(target)
        for lot in books.lots.values():
            if lot.homes[-1] == source:
                lot.homes.append(target)
        for (programme, wallet), period in list(books.attached.items()):
            if wallet == source:
                del books.attached[programme, source]
                books.attached.setdefault((programme, target), period)
        books.settings += [(source, "closed", True), (source, "merged_into", target)]
        self.line(source, 0)

    def grant_amount(self, request: Grant) -> int:
        if request.rollover_max is None:
            return request.amount
        unspent = self.books.unspent(request.programme_id, request.wallet_id)
        return min(request.amount, max(0, request.rollover_max + request.amount - unspent))

    def grant(self, tx: Transaction, request: Grant, *, is_refused: bool) -> None:
        amount, wallet = self.grant_amount(request), request.wallet_id
        self.books.attached[request.programme_id, wallet] += 1
        tx.effective = request.starts_at
        if is_refused or not amount:
            tx.is_skipped = True
            return
        self.open_lot(
            tx, wallet, amount, request.category.value, request.priority, request.expires_at, request.programme_id
        )
        self.entry(tx, self.books.assets[request.asset_code].treasury, -1, amount)
        self.entry(tx, wallet, 1, amount)

    # Due steps

    def advance(self, now: datetime) -> None:
        """Everything due is posted at its instant: the earliest first, holds before lots."""
        while (first := min(self.due(now), key=lambda due: due[:3], default=None)) is not None:
            instant, _, _, due = first
            if isinstance(due, HoldFact):
                self.expire_hold(due, instant)
            else:
                self.expire_lot(due, instant)

    def due(self, now: datetime) -> list[tuple[datetime, int, Any, Any]]:
        holds = [
            (hold.expiries[-1], 0, hold.id, hold)
            for hold in self.books.holds.values()
            if hold.remaining and hold.expiries[-1] is not None and hold.expiries[-1] <= now
        ]
        lots = [
            (lot.expires_at, 1, self.books.tie(lot), lot)
            for lot in self.books.lots.values()
            if lot.expires_at is not None and lot.expires_at <= now and self.books.free_in(lot)
        ]
        return [*holds, *lots]

    def expire_hold(self, hold: HoldFact, instant: datetime) -> None:
        tx = self.own_transaction(f"hold:{hold.id}:expiry", "expiry", instant)
        if hold.is_captured_at_expiry:
            refusals = Refusals(self.books, instant)
            request = Capture(tx.id, tx.origin, tx.reference, b"", hold.id)
            refusals.capture(request, hold)
            if not refusals.found:
                tx.type = "capture"
                self.capture(tx, hold, hold.remaining, is_final=False, is_carried=hold.is_carrying)
                return
            refusal = min(refusals.found, key=lambda refusal: PRECEDENCE.index(refusal["rank"]))
            self.books.declined.append((tx.reference, refusal["refused"]))
        self.release(tx, hold, "expired")
        self.snapshot(tx, hold)

    def expire_lot(self, lot: LotFact, instant: datetime) -> None:
        free, wallet = self.books.free_in(lot), lot.homes[-1]
        lot.expiries += 1
        tx = self.own_transaction(f"lot:{lot.name}:expiry:{lot.expiries}", "expiry", instant)
        self.debit_lots(tx, wallet, [(lot.name, free)])
        self.entry(tx, wallet, -1, free)
        self.entry(tx, self.books.asset_of(wallet).breakage, 1, free)

    def own_transaction(self, reference: str, type_: str, instant: datetime) -> Transaction:
        id_ = UUID(int=len(self.books.transactions) + 2**100)
        tx = Transaction(id_, ORIGIN_SERVICE, reference, type_, instant, instant)
        self.books.transactions.append(tx)
        return tx

    # Views

    def view(self, tx: Transaction) -> Answer:
        """A transaction as an answer shows it, lots by the names they have here."""
        return {
            "type": tx.type,
            "id": tx.id,
            "at": tx.at,
            "effective": tx.effective,
            "entries": list(tx.entries),
            "drawn": merged_drawn(tx.drawn),
            "opened": [self.lot_view(name) for name in tx.opened],
            "joined": list(tx.joined),
            "hold": tx.hold,
            "refund_of": tx.refund_of,
            "requested": tx.requested,
            "forfeited": tx.forfeited,
            "is_skipped": tx.is_skipped,
        }

    def lot_view(self, name: str) -> Answer:
        lot = self.books.lots[name]
        return {
            "category": lot.category, "priority": lot.priority, "expires_at": lot.expires_at,
            "amount": lot.changes[0], "programme": lot.programme,
        }  # fmt: skip

    def wallet_view(self, id_: WalletId) -> Answer:
        """All there is to know of a wallet now."""
        books = self.books
        return {
            "balance": books.balance(id_),
            "held": books.held(id_),
            "version": books.version(id_),
            "lots": {lot.name: (lot.remaining, books.held_in(lot)) for lot in books.lots_of(id_)},
            "closed": bool(books.setting(id_, "closed")),
            "merged_into": books.setting(id_, "merged_into"),
        }


def merged_drawn(drawn: list[tuple[WalletId, str | None, int]]) -> list[tuple[WalletId, str | None, int]]:
    """The drawn amounts, if lots took part."""
    with_lots = {wallet for wallet, lot, _ in drawn if lot is not None}
    return [each for each in drawn if each[0] in with_lots]
