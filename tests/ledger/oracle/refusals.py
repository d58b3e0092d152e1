"""Every refusal that applies to a request, in whatever order they are found. The oracle answers the first by rank."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.ledger.oracle.books import MOST, Books, HoldFact, cut
from wallet.ledger.model import WalletId, WalletKind
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Increase,
    Merge,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Single,
    Void,
)

PRECEDENCE = [
    "reference_reused",
    "same_wallet",
    "not_found",
    "hold_is_claim",
    "asset_mismatch",
    "system_wallet",
    "legs_unbalanced",
    "ended",
    "wallet_frozen",
    "hold_closed",
    "claim_closed",
    "wallet_without_user",
    "already_redeemed",
    "not_refundable",
    "effective_in_future",
    "effective_before_original",
    "expiry_out_of_range",
    "version_conflict",
    "capture_exceeds_hold",
    "refund_exceeds_original",
    "limit_exceeded",
    "insufficient_funds",
    "supply_exceeded",
    "max_balance_exceeded",
    "too_many_lots",
    "too_many_holds",
    "wallet_not_empty",
    "condition_failed",
    "group_refused",
]
BY_AMOUNT = {"topup", "bonus", "grant", "spend", "transfer", "capture", "claim_redeem"}
NEVER_REFUNDED = {"refund", "hold", "void", "increase", "extend", "expiry", "merge", "claim_place", "claim_cancel"}
COUNTED = {"spend", "transfer", "capture", "claim_redeem"}
UNCOUNTED = {"topup", "bonus", "grant", "refund", "expiry", "merge"}
HOLD_AT_MOST = timedelta(days=400)
SKEW = timedelta(seconds=5)

Refusal = dict[str, Any]
Side = tuple[WalletId, int]
"""A wallet and the change of its balance."""


def counts_for_limits(type_: str) -> bool:
    """Spends, transfers out, captures, and debits by general transactions, whose types are nobody's names."""
    return type_ in COUNTED or type_ not in UNCOUNTED


class Refusals:
    """Collects what speaks against one request."""

    def __init__(self, books: Books, now: datetime) -> None:
        self.books = books
        self.now = now
        self.found: list[Refusal] = []

    def refuse(self, code: str, wallet: WalletId | None = None, rank: str = "", **amounts: int) -> None:
        self.found.append(
            {"refused": code, "rank": rank or code, "wallet": wallet, "available": None, "required": None} | amounts
        )

    def missing(self, *wallets: WalletId | WalletKind) -> bool:
        for wallet in wallets:
            if isinstance(wallet, WalletKind):
                self.refuse("asset_not_found", rank="not_found")
            elif wallet not in self.books.openings:
                self.refuse("wallet_not_found", wallet, rank="not_found")
        return any(refusal["rank"] == "not_found" for refusal in self.found)

    # Refusals that many requests have in common

    def end_and_freezes(self, sides: Iterable[Side], *, freezes: bool = True) -> None:
        sides = list(sides)
        for wallet, _ in sides:
            if self.books.setting(wallet, "merged_into") is not None:
                self.refuse("wallet_merged", wallet, rank="ended")
            elif self.books.setting(wallet, "closed"):
                self.refuse("wallet_closed", wallet, rank="ended")
        if freezes:
            for wallet, change in sorted(sides, key=lambda side: side[1] > 0):
                if self.books.setting(wallet, "freeze_outgoing" if change < 0 else "freeze_incoming"):
                    self.refuse("wallet_frozen", wallet)

    def effective(self, request: Single, *, not_before: datetime | None = None) -> None:
        effective_at = request.options.effective_at
        if effective_at is not None and effective_at > self.now + SKEW:
            self.refuse("effective_in_future")
        if effective_at is not None and not_before is not None and effective_at < not_before:
            self.refuse("effective_before_original")

    def conditions(self, request: Single, sides: Iterable[Side]) -> None:
        changes = dict(sides)
        for condition in request.options.conditions:
            wallet = condition.wallet_id
            if wallet not in changes:
                self.refuse("condition_failed", wallet)
                continue
            if not self.books.is_locked(wallet):
                self.refuse("system_wallet", wallet)
                continue
            version, after = self.books.version(wallet), self.books.balance(wallet) + changes[wallet]
            if condition.expected_version is not None and condition.expected_version != version:
                self.refuse("version_conflict", wallet)
            is_below = condition.min_balance is not None and after < condition.min_balance
            is_above = condition.max_balance is not None and after > condition.max_balance
            if is_below or is_above:
                self.refuse("condition_failed", wallet)

    def limits(self, wallet: WalletId, amount: int) -> None:
        if self.books.is_user(wallet):
            for limit, used in self.books.limits(wallet, self.now):
                if used + amount > limit:
                    self.refuse("limit_exceeded", wallet)

    def funds(self, wallet: WalletId, amount: int) -> None:
        if not self.books.is_locked(wallet):
            return
        available = self.books.available(wallet)
        if amount > available:
            is_treasury = self.books.openings[wallet].kind is WalletKind.TREASURY
            self.refuse(
                "supply_exceeded" if is_treasury else "insufficient_funds", wallet,
                available=available, required=amount,
            )  # fmt: skip

    def room(self, wallet: WalletId, amount: int, *, ignoring_maximum: bool = False) -> None:
        if self.books.is_locked(wallet):
            maximum = self.books.setting(wallet, "max_balance")
            most = MOST if maximum is None or ignoring_maximum else maximum
            if self.books.balance(wallet) + amount > most:
                self.refuse("max_balance_exceeded", wallet)

    # Posts

    def post(self, request: Post, meant: list[WalletId | WalletKind]) -> None:
        books = self.books
        if any(times > 1 for times in Counter(meant).values()):
            self.refuse("same_wallet")
        is_missing = self.missing(*meant)
        if request.asset_code is not None and request.asset_code not in books.assets:
            self.refuse("asset_not_found", rank="not_found")
            return
        if is_missing:
            return
        sides = [(wallet, leg.direction * leg.amount) for wallet, leg in zip(meant, request.legs, strict=True)]
        if request.asset_code is not None:
            for wallet, _ in sides:
                if books.openings[wallet].asset_id != books.assets[request.asset_code].id:
                    self.refuse("asset_mismatch", wallet)
        sums: Counter[int] = Counter()
        for wallet, change in sides:
            sums[books.openings[wallet].asset_id] += change
        if any(sums.values()):
            self.refuse("legs_unbalanced")
        self.end_and_freezes([(wallet, leg.direction) for wallet, leg in zip(meant, request.legs, strict=True)])
        self.effective(request)
        terms = request.options.lot
        if terms is not None and terms.expires_at is not None and terms.expires_at <= self.now:
            self.refuse("expiry_out_of_range")
        if request.options.up_to:
            source = sides[0][0]
            if not books.is_locked(source):
                self.refuse("system_wallet", source)
            if -sides[0][1] < request.options.min_amount:
                available = max(0, books.balance(source) - books.held(source))
                self.refuse("insufficient_funds", source, available=available, required=request.options.min_amount)
        for (wallet, change), leg in zip(sides, request.legs, strict=True):
            if leg.direction > 0:
                self.room(wallet, change)
            else:
                if counts_for_limits(request.type):
                    self.limits(wallet, -change)
                self.funds(wallet, -change)
        self.lots(request, sides)
        self.conditions(request, sides)

    def most(self, bound: int, request: Post | PlaceHold | RedeemClaim) -> int:
        """The back end may fill all there is room for, any other caller half of it."""
        return bound if request.origin == "api" else bound // 2

    def lots(self, request: Post, sides: Iterable[Side]) -> None:
        books = self.books
        debits = [(wallet, -change) for wallet, change in sides if change < 0]
        for wallet, change in sides:
            if change <= 0 or not books.is_user(wallet):
                continue
            opened = 0
            if request.options.lot is not None:
                opened = int(change > books.debt(wallet))
            elif request.carries_lots or request.type == "transfer":
                drawn = [(debited, lot, size) for debited, amount in debits if books.is_user(debited)
                         for lot, size in books.draw(debited, amount, [])]  # fmt: skip
                credits_ = [(credited, 1 if amount > 0 else -1, abs(amount)) for credited, amount in sides]
                share = books.share(drawn, credits_, wallet)
                kinds = books.kinds_carried(wallet, share, repays=not request.carries_lots)
                opened = sum(books.lot_to_join(wallet, kind) is None for kind in kinds)
            if opened and len(books.lots_of(wallet)) + opened > self.most(books.bounds.lots_max, request):
                self.refuse("too_many_lots", wallet)

    # Holds

    def place(self, request: PlaceHold) -> None:
        books, target = self.books, request.target
        if target == request.wallet_id:
            self.refuse("same_wallet")
        is_missing = self.missing(request.wallet_id, *([target] if target is not None else []))
        if request.asset_code not in books.assets:
            self.refuse("asset_not_found", rank="not_found")
            return
        if is_missing:
            return
        for wallet in (request.wallet_id, target):
            if wallet is not None and books.openings[wallet].asset_id != books.assets[request.asset_code].id:
                self.refuse("asset_mismatch", wallet)
        if not books.is_user(request.wallet_id):
            self.refuse("system_wallet", request.wallet_id)
        self.end_and_freezes([(request.wallet_id, -request.amount)])
        if target is not None:
            self.end_and_freezes([(target, request.amount)], freezes=False)
        self.effective(request)
        if request.expires_in_seconds is not None and timedelta(seconds=request.expires_in_seconds) > HOLD_AT_MOST:
            self.refuse("expiry_out_of_range")
        self.limits(request.wallet_id, request.amount)
        self.funds(request.wallet_id, request.amount)
        most = self.most(books.bounds.holds_max, request)
        if len(books.holds_of(request.wallet_id)) >= most:
            self.refuse("too_many_holds", request.wallet_id)
        is_due_there = request.capture_at_expiry and request.expires_in_seconds is not None
        if target is not None and is_due_there and len(books.holds_into(target)) >= most:
            self.refuse("too_many_holds", target)
        self.conditions(request, [(request.wallet_id, 0), *([(target, 0)] if target is not None else [])])

    def step(self, request: Capture | Void | Increase | Extend, hold: HoldFact | None) -> None:
        if hold is None:
            self.refuse("hold_not_found", rank="not_found")
            return
        if hold.claim is not None:
            self.refuse("hold_is_claim")
            return
        home = hold.homes[-1]
        sides: list[Side] = [(home, 0)]
        if isinstance(request, Capture):
            sides = self.capture(request, hold)
        elif isinstance(request, Increase):
            self.end_and_freezes([(home, -request.amount)])
            self.end_and_freezes([(self.target_of(hold), 0)], freezes=False)
            self.limits(home, request.amount)
            self.funds(home, request.amount)
        elif isinstance(request, Extend):
            until = self.now + timedelta(seconds=request.expires_in_seconds)
            if until > hold.created_at + HOLD_AT_MOST:
                self.refuse("expiry_out_of_range")
        if not hold.remaining:
            self.refuse("hold_closed")
        self.effective(request)
        self.conditions(request, sides)

    def capture(self, request: Capture, hold: HoldFact) -> list[Side]:
        asked = hold.remaining if request.amount is None else request.amount
        amount = asked
        if request.options.up_to:
            amount = min(asked, hold.remaining)
        least = request.options.min_amount if request.options.up_to else 1
        if not least <= amount <= hold.remaining:
            self.refuse("capture_exceeds_hold", hold.homes[-1], available=hold.remaining, required=max(amount, least))
        home, target = hold.homes[-1], self.target_of(hold)
        if home == target:
            self.refuse("same_wallet")
            return [(home, 0)]
        sides = [(home, -amount), (target, amount)]
        self.end_and_freezes([(home, -1), (target, 1)])
        self.room(target, amount)
        return sides

    def target_of(self, hold: HoldFact) -> WalletId:
        if hold.target is None:
            return self.books.asset_of(hold.homes[-1]).revenue
        return self.books.followed(hold.target)

    # Claims

    def redeem(self, request: RedeemClaim, hold: HoldFact | None) -> None:
        books, wallet = self.books, request.wallet_id
        if hold is None or hold.claim is None:
            self.refuse("claim_not_found", rank="not_found")
            return
        home, amount = hold.homes[-1], hold.claim.amount
        is_paying = not books.setting(home, "closed") and not books.setting(home, "freeze_outgoing")
        if request.origin != "api" and not (hold.remaining and is_paying):
            self.refuse("claim_not_found", rank="not_found")
            return
        if self.missing(wallet):
            return
        if home == wallet:
            self.refuse("same_wallet")
            return
        if books.openings[wallet].asset_id != books.openings[home].asset_id:
            self.refuse("asset_mismatch", wallet)
            return
        if not books.is_user(wallet):
            self.refuse("system_wallet", wallet)
            return
        self.end_and_freezes([(home, -amount), (wallet, amount)])
        if not hold.remaining:
            self.refuse("claim_closed")
            return
        if hold.claim.is_once_per_user:
            user = books.users.get(wallet)
            if user is None:
                self.refuse("wallet_without_user", wallet)
            elif any(books.users.get(earlier) == user for earlier in hold.claim.redeemers):
                self.refuse("already_redeemed", wallet)
        self.room(wallet, amount)
        kinds = books.kinds_carried(wallet, cut(hold.slices, 0, amount), repays=False)
        opened = sum(books.lot_to_join(wallet, kind) is None for kind in kinds)
        if opened and len(books.lots_of(wallet)) + opened > self.most(books.bounds.lots_max, request):
            self.refuse("too_many_lots", wallet)
        self.conditions(request, [(home, -amount), (wallet, amount)])

    def cancel(self, request: CancelClaim, hold: HoldFact | None) -> None:
        if hold is None or hold.claim is None:
            self.refuse("claim_not_found", rank="not_found")
            return
        if not hold.remaining:
            self.refuse("claim_closed")
        self.conditions(request, [(hold.homes[-1], 0)])

    # Refunds

    def refund(self, request: Refund, original_id: UUID) -> None:
        books, original = self.books, self.books.transaction(original_id)
        if original is None:
            self.refuse("transaction_not_found", rank="not_found")
            return
        if original.type in NEVER_REFUNDED or not original.entries:
            self.refuse("not_refundable")
        if not original.entries:
            return
        is_whole = original.type not in BY_AMOUNT
        moved = original.entries[0][2]
        left = moved - books.refunded(original_id)
        amount = left if request.amount is None else request.amount
        if is_whole and request.amount is not None:
            self.refuse("not_refundable")
        if is_whole and not left:
            self.refuse("refund_exceeds_original")
        elif amount > left or not left:
            self.refuse("refund_exceeds_original", available=left, required=amount or 1)
        sides = [
            (books.followed(wallet), -sign * (size if is_whole else amount))
            for wallet, sign, size, _, _ in original.entries
        ]
        if len({wallet for wallet, _ in sides}) < len(sides):
            self.refuse("same_wallet")
        self.end_and_freezes(sides)
        self.effective(request, not_before=original.effective)
        for wallet, change in sides:
            if change > 0:
                self.room(wallet, change, ignoring_maximum=True)
            elif not (request.force and books.is_user(wallet)):
                self.funds(wallet, -change)
        self.conditions(request, sides)

    # Wallets

    def merge(self, request: Merge) -> None:
        books = self.books
        pair = (request.source, request.target)
        if request.source == request.target:
            self.refuse("same_wallet")
        if self.missing(*pair):
            return
        for wallet in pair:
            if not books.is_user(wallet):
                self.refuse("system_wallet", wallet)
        if books.openings[request.source].asset_id != books.openings[request.target].asset_id:
            self.refuse("asset_mismatch", request.target)
        self.end_and_freezes([(request.source, -1), (request.target, 1)])
        self.end_and_freezes([(request.source, 1), (request.target, -1)])
        balance = books.balance(request.source)
        if balance < 0:
            self.refuse("insufficient_funds", request.source, available=balance, required=0)
        # The other wallet must cover what holds reserve on the overdraft of this one.
        before = books.available(request.target)
        after = before + balance - books.held(request.source)
        if after < min(0, before):
            self.refuse("insufficient_funds", request.source, available=after, required=0)
        self.effective(request)
        self.room(request.target, max(balance, 0))
        self.conditions(request, [(request.source, -balance), (request.target, balance)])

    def change(self, request: ChangeWallet) -> None:
        books, wallet = self.books, request.wallet_id
        if self.missing(wallet):
            return
        if not books.is_user(wallet):
            self.refuse("system_wallet", wallet)
            return
        if books.setting(wallet, "merged_into") is not None:
            self.refuse("wallet_merged", wallet, rank="ended")
        elif books.setting(wallet, "closed") and request.type == "change":
            self.refuse("wallet_closed", wallet, rank="ended")
        if request.expected_version is not None and request.expected_version != books.version(wallet):
            self.refuse("version_conflict", wallet)
        if request.type == "close":
            is_target = any(
                hold.remaining and hold.target is not None and books.followed(hold.target) == wallet
                for hold in books.holds.values()
            )
            if books.balance(wallet) or books.held(wallet) or books.lots_of(wallet) or is_target:
                self.refuse("wallet_not_empty", wallet)

    def grant(self, request: Grant, amount: int) -> None:
        books, wallet = self.books, request.wallet_id
        if books.attached.get((request.programme_id, wallet)) != request.period:
            self.refuse("programme_not_found", wallet, rank="not_found")
            return
        if self.missing(wallet):
            return
        if request.expires_at is not None and request.expires_at <= self.now:
            self.refuse("expiry_out_of_range")
        treasury = books.assets[request.asset_code].treasury
        self.end_and_freezes([(treasury, -amount), (wallet, amount)])
        self.funds(treasury, amount)
        self.room(wallet, amount)
