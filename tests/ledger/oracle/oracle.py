"""A second ledger, slow and obvious, to compare the real one with.

Written from the specification and not from the code: it keeps nothing but facts (books), adds all of them up again
for every decision, lists every refusal that applies (refusals), and answers the first in order of precedence. It is
its own keeper, and never late: whatever falls due is posted at its very instant. It shares only the types of requests
and states with what it checks.
"""

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from uuid import UUID

from tests.ledger.oracle.books import Books
from tests.ledger.oracle.effects import Answer, Effects
from tests.ledger.oracle.refusals import PRECEDENCE, Refusals
from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds
from wallet.ledger.model import Asset, Policy, WalletId, WalletKind, WalletState
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Group,
    Increase,
    Merge,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Single,
    Void,
)


class Oracle(Effects):
    """`alias`: what the ids that the real ledger made itself stand for here, as (origin, reference)."""

    def __init__(
        self,
        openings: Mapping[WalletId, WalletState],
        assets: Mapping[str, Asset],
        policies: Mapping[int, Policy] | None = None,
        bounds: Bounds = DEFAULT_BOUNDS,
        users: Mapping[WalletId, UUID] | None = None,
    ) -> None:
        books = Books(dict(openings), dict(assets), dict(policies or {}), bounds=bounds, users=dict(users or {}))
        super().__init__(books)
        self.accepted: dict[tuple[str, str], tuple[Single, Answer]] = {}
        self.alias: dict[UUID, tuple[str, str]] = {}

    # Answers

    def decide(self, request: Request, now: datetime) -> Answer:
        self.advance(now)
        if isinstance(request, Group):
            return self.decide_group(request, now)
        if isinstance(request, Settle):
            return {"outcome": "settled"}
        key = (request.origin, request.reference_id)
        if key in self.accepted:
            first, answer = self.accepted[key]
            if first.fingerprint != request.fingerprint:
                return {"refused": "reference_reused", "wallet": None, "available": None, "required": None}
            return answer if first.id == request.id else {**answer, "outcome": "replayed"}
        request = self.resolved(request)
        refusals = self.all_refusals(request, now)
        if refusals and not (isinstance(request, Grant) and not self.is_malformed(refusals)):
            # The first of equals is the one that was found first, which is the one of the first leg.
            refusal = min(refusals, key=lambda refusal: PRECEDENCE.index(refusal["rank"]))
            return {name: refusal[name] for name in ("refused", "wallet", "available", "required")}
        if request.options.dry_run:
            before = deepcopy(self.books)
            answer = {"outcome": "predicted", **self.apply(request, now, is_refused=bool(refusals))}
            self.books = before
            return answer
        answer = {"outcome": "applied", **self.apply(request, now, is_refused=bool(refusals))}
        self.accepted[key] = request, answer
        return answer

    def is_malformed(self, refusals: list[Answer]) -> bool:
        return any(refusal["rank"] == "not_found" for refusal in refusals)

    def decide_group(self, group: Group, now: datetime) -> Answer:
        before = deepcopy((self.books, self.accepted))
        answers = []
        for item in group.items:
            answers.append(self.decide(self.really(item), now))
            if "refused" in answers[-1]:
                break
        if "refused" in answers[-1] or group.options.dry_run:
            self.books, self.accepted = before
        if "refused" in answers[-1]:
            answers = [self.or_group_refused(item, now) for item in group.items[: len(answers) - 1]] + answers[-1:]
            answers += [self.or_group_refused(item, now) for item in group.items[len(answers) :]]
        elif group.options.dry_run:
            answers = [
                {**answer, "outcome": "predicted"} if answer["outcome"] == "applied" else answer for answer in answers
            ]
        return {"items": answers}

    def really(self, item: Single) -> Single:
        return item._replace(options=item.options._replace(dry_run=False))

    def or_group_refused(self, item: Single, now: datetime) -> Answer:
        """A replayed item answers its replay all the same."""
        if (item.origin, item.reference_id) in self.accepted:
            answer = self.decide(item, now)
            if "refused" not in answer:
                return answer
        return {"refused": "group_refused", "wallet": None, "available": None, "required": None}

    def resolved(self, request: Single) -> Single:
        if isinstance(request, Refund) and request.original_id in self.alias:
            key = self.alias[request.original_id]
            for each in self.books.transactions:
                if (each.origin, each.reference) == key:
                    return request._replace(original_id=each.id)
        if isinstance(request, Post) and request.options.up_to:
            source, target = request.legs
            moved = self.shrunk(request, source.amount)
            self.asked[request.id] = source.amount
            return request._replace(legs=(source._replace(amount=moved), target._replace(amount=moved)))
        return request

    def shrunk(self, request: Post, asked: int) -> int:
        source = self.wallet_of(request, request.legs[0].wallet)
        if isinstance(source, WalletKind) or source not in self.books.openings or not self.books.is_locked(source):
            return asked
        return max(0, min(asked, self.books.balance(source) - self.books.held(source)))

    def all_refusals(self, request: Single, now: datetime) -> list[Answer]:
        refusals = Refusals(self.books, now)
        match request:
            case Post():
                refusals.post(request, [self.wallet_of(request, leg.wallet) for leg in request.legs])
            case PlaceHold():
                refusals.place(request)
            case Capture() | Void() | Increase() | Extend():
                refusals.step(request, self.books.holds.get(request.hold_id))
            case PlaceClaim():
                refusals.place(self.hold_of(request))
            case RedeemClaim():
                refusals.redeem(request, self.books.holds.get(request.claim_id))
            case CancelClaim():
                refusals.cancel(request, self.books.holds.get(request.claim_id))
            case Refund():
                refusals.refund(request, request.original_id)
            case Merge():
                refusals.merge(request)
            case ChangeWallet():
                refusals.change(request)
            case Grant():
                refusals.grant(request, self.grant_amount(request))
        return refusals.found
