"""Claims: placing, redeeming and cancelling them, as the steps of the holds that they are."""

from wallet.errors import InvariantViolated
from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.model import Claim, Details, Hold, HoldStatus, Posted
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.movements.holds import capture, place, release
from wallet.ledger.requests import CancelClaim, PlaceClaim, RedeemClaim
from wallet.ledger.rules.claims import as_hold, claim_of


def move_place_claim(request: PlaceClaim, book: Book) -> Posted:
    claim = Claim(request.amount, request.uses, request.once_per_user, request.code_hash)
    return place(as_hold(request), book, claim)


def move_redeem(request: RedeemClaim, book: Book) -> Posted:
    hold, claim = claim_of(request.claim_id, book)
    if hold is None or claim is None:
        raise InvariantViolated("a redemption without a claim was let through")
    draft = Draft(book, request.id, request.type)
    hold = capture(draft, hold, book.wallets[request.wallet_id], claim.amount, final=False, carries_lots=True)
    if claim.once_per_user:
        redemption = (hold.id, book.users[request.wallet_id])
        book.redeemed[redemption] = book.redemptions[redemption] = request.id
    return _posted(draft, request, hold)


def move_cancel(request: CancelClaim, book: Book) -> Posted:
    draft = Draft(book, request.id, request.type)
    return _posted(draft, request, release(draft, book.holds[request.claim_id], "void", HoldStatus.VOIDED))


def _posted(draft: Draft, request: RedeemClaim | CancelClaim, hold: Hold) -> Posted:
    posted = draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        details=Details(hold=hold),
        hold=hold,
    )
    expire_lots(draft.book, draft.lapsed, instant=draft.instant)
    return posted
