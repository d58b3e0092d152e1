"""Holds: placing, capturing, voiding, increasing and extending them."""

from datetime import datetime, timedelta

from wallet.errors import InvariantViolated
from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.lots import joined, split
from wallet.ledger.model import Claim, Details, Hold, HoldStatus, Posted, WalletState
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.parcels import carried_over
from wallet.ledger.requests import Capture, Extend, Increase, PlaceHold, Void
from wallet.ledger.rules.holds import amount_of_capture


def move_place_hold(request: PlaceHold, book: Book) -> Posted:
    return place(request, book)


def place(request: PlaceHold, book: Book, claim: Claim | None = None) -> Posted:
    """Reserve the amount of a hold; with a claim, for the holders of a code."""
    state = book.wallets[request.wallet_id]
    expires_at = _in_seconds(request.expires_in_seconds, book)
    slices = book.slices_for(state, request.amount)
    hold = Hold(
        request.id,
        state.id,
        state.asset_id,
        request.target,
        request.amount,
        0,
        0,
        expires_at,
        request.capture_at_expiry,
        HoldStatus.OPEN,
        book.decided_at,
        slices,
        request.carries_lots,
        claim,
    )
    draft = Draft(book, request.id, request.type)
    draft.hold(slices, sign=1)
    draft.step(hold, "place", request.amount)
    _falls_due(hold, book)
    return _posted(draft, request, hold)


def move_increase(request: Increase, book: Book) -> Posted:
    hold = book.holds[request.hold_id]
    slices = book.slices_for(book.wallets[hold.wallet_id], request.amount)
    hold = hold._replace(
        amount=hold.amount + request.amount,
        slices=joined((*hold.slices, *slices)),
        carries_lots=hold.carries_lots or request.carries_lots,
    )
    draft = Draft(book, request.id, request.type)
    draft.hold(slices, sign=1)
    draft.step(hold, "increase", request.amount)
    return _posted(draft, request, hold)


def move_extend(request: Extend, book: Book) -> Posted:
    hold = book.holds[request.hold_id]
    until = _in_seconds(request.expires_in_seconds, book)
    # An expiry is never made earlier, and no expiry is the latest of all.
    if hold.expires_at is not None and until is not None:
        hold = hold._replace(expires_at=max(hold.expires_at, until))
    draft = Draft(book, request.id, request.type)
    draft.step(hold, "extend", 0)
    _falls_due(hold, book)
    return _posted(draft, request, hold)


def move_void(request: Void, book: Book) -> Posted:
    hold = book.holds[request.hold_id]
    draft = Draft(book, request.id, request.type)
    hold = release(draft, hold, "void", HoldStatus.VOIDED)
    posted = _posted(draft, request, hold)
    expire_lots(book, draft.lapsed, instant=draft.instant)
    return posted


def move_capture(request: Capture, book: Book) -> Posted:
    hold = book.holds[request.hold_id]
    draft = Draft(book, request.id, request.type)
    hold = capture(
        draft,
        hold,
        target_of(hold, book),
        amount_of_capture(request, hold),
        final=request.final,
        carries_lots=hold.carries_lots or request.carries_lots,
    )
    posted = draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        effective_at=request.options.effective_at,
        details=Details(requested_amount=request.amount if request.options.up_to else None, hold=hold),
        hold=hold,
    )
    expire_lots(book, draft.lapsed, instant=draft.instant)
    return posted


def target_of(hold: Hold, book: Book) -> WalletState:
    """The wallet that an accepted capture credits."""
    target = book.target_of(hold)
    if target is None:
        raise InvariantViolated("a hold without a target was let through")
    return target


def capture(draft: Draft, hold: Hold, target: WalletState, amount: int, *, final: bool, carries_lots: bool) -> Hold:
    """Move an amount of a hold to a wallet, by its slices from the front. `final` releases the rest.

    carries_lots: an expired lot is carried, too, and lapses where it arrives.
    """
    book = draft.book
    taken, rest = split(hold.slices, amount)
    released = hold.remaining - amount if final else 0
    hold = hold._replace(
        captured=hold.captured + amount, released=hold.released + released, slices=() if final else rest
    )
    if hold.remaining == 0:
        hold = hold._replace(status=HoldStatus.CAPTURED)
    # The step comes first, so that the reserved amount is available for the entry that takes it.
    draft.step(hold, "capture", -amount - released, captured=amount, released=released)
    draft.debit(hold.wallet_id, amount, taken, of_hold=True)
    parcels = carried_over(taken, target, book) if carries_lots else None
    draft.credit(target.id, amount, parcels, repays=not carries_lots)
    if released:
        draft.hold(rest, sign=-1)
    return hold


def release(draft: Draft, hold: Hold, kind: str, status: HoldStatus) -> Hold:
    """Give back all that remains of a hold."""
    remaining, slices = hold.remaining, hold.slices
    hold = hold._replace(released=hold.released + remaining, status=status, slices=())
    draft.step(hold, kind, -remaining, released=remaining)
    draft.hold(slices, sign=-1)
    return hold


def _posted(draft: Draft, request: PlaceHold | Increase | Extend | Void, hold: Hold) -> Posted:
    return draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        details=Details(hold=hold),
        hold=hold,
    )


def _falls_due(hold: Hold, book: Book) -> None:
    for wallet_id in book.ends_of(hold):
        book.falls_due(wallet_id, hold.expires_at)


def _in_seconds(seconds: int | None, book: Book) -> datetime | None:
    return None if seconds is None else book.decided_at + timedelta(seconds=seconds)
