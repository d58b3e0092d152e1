"""Holds: placing, capturing, voiding, increasing and extending them."""

from datetime import timedelta

from wallet.ledger.book import Book
from wallet.ledger.instants import HOLD_SPAN_MAX
from wallet.ledger.model import AMOUNT_MAX, Direction, Hold, HoldId, HoldStatus, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import Capture, Extend, Increase, PlaceHold, Void
from wallet.ledger.rules import shared
from wallet.ledger.rules.bounds import too_many_holds


def first_refusal_place_hold(request: PlaceHold, book: Book) -> Refused | None:
    if request.target == request.wallet_id:
        return shared.same_wallet()
    states: list[WalletState] = []
    for wallet_id in (request.wallet_id, request.target):
        if wallet_id is None:
            continue
        state = book.wallet(wallet_id)
        if state is None:
            return shared.wallet_not_found(wallet_id)
        states.append(state)
    asset = book.assets.get(request.asset_code)
    if asset is None:
        return shared.asset_not_found(request.asset_code)
    for state in states:
        if state.asset_id != asset.id:
            return shared.asset_mismatch(state, asset.code)
    source, conditions = states[0], request.options.conditions
    return (
        shared.first_system((source,))
        or shared.first_unlocked_condition(conditions, states)
        or shared.first_ended(states)
        or shared.first_frozen(debited=(source,), credited=())
        or shared.version_conflict(conditions, states)
        or _unaffordable(source, request.amount, book)
        or too_many_holds(request, book)
        # A hold moves nothing, so conditions see the present balances.
        or shared.condition_failed(conditions, [(state, Direction.DEBIT, 0) for state in states], book)
    )


def first_refusal_capture(request: Capture, book: Book) -> Refused | None:
    hold = book.holds.get(request.hold_id)
    if hold is None:
        return hold_not_found(request.hold_id)
    if refused := _of_claim(hold):
        return refused
    source, target = book.wallets[book.at_home(hold.wallet_id)], book.target_of(hold)
    if target is None:
        return shared.wallet_not_found(hold.target or hold.wallet_id)
    if source.id == target.id:
        return shared.same_wallet()
    amount = amount_of_capture(request, hold)
    conditions = request.options.conditions
    return (
        shared.first_unlocked_condition(conditions, (source, target))
        or shared.first_ended((source, target))
        or shared.first_frozen(debited=(source,), credited=(target,))
        or closed(hold)
        or shared.effective_out_of_range(request.options.effective_at, book)
        or shared.version_conflict(conditions, (source, target))
        or _beyond_hold(request, hold, amount)
        or shared.overfull(target, amount)
        or shared.condition_failed(
            conditions, [(source, Direction.DEBIT, amount), (target, Direction.CREDIT, amount)], book
        )
    )


def amount_of_capture(request: Capture, hold: Hold) -> int:
    """The amount that a capture moves: all that remains if it names no amount, and at most that for an up-to amount."""
    if request.amount is None:
        return hold.remaining
    return min(request.amount, hold.remaining) if request.options.up_to else request.amount


def first_refusal_void(request: Void, book: Book) -> Refused | None:
    return _first_on_hold(request, book) or _failed_on_hold(request, book)


def first_refusal_increase(request: Increase, book: Book) -> Refused | None:
    if refused := _first_not_found(request, book):
        return refused
    hold = book.holds[request.hold_id]
    source, target = book.wallets[book.at_home(hold.wallet_id)], book.target_of(hold)
    return (
        shared.first_ended((source,) if target is None else (source, target))
        or shared.first_frozen(debited=(source,), credited=())
        or closed(hold)
        or shared.version_conflict(request.options.conditions, (source,))
        or _unaffordable(source, request.amount, book, reserved=hold.amount)
        or _failed_on_hold(request, book)
    )


def first_refusal_extend(request: Extend, book: Book) -> Refused | None:
    if refused := _first_on_hold(request, book):
        return refused
    hold = book.holds[request.hold_id]
    until = book.decided_at + timedelta(seconds=request.expires_in_seconds)
    if until > hold.created_at + HOLD_SPAN_MAX:
        detail = f"A hold may stay open for {HOLD_SPAN_MAX.days} days in all."
        return Refused(RefusalCode.EXPIRY_OUT_OF_RANGE, detail)
    return _failed_on_hold(request, book)


def hold_not_found(hold_id: HoldId) -> Refused:
    return Refused(RefusalCode.HOLD_NOT_FOUND, f"There is no hold {hold_id}.")


def _of_claim(hold: Hold) -> Refused | None:
    """The refusal of another hold's step on a claim, which is redeemed or cancelled instead."""
    if hold.claim is None:
        return None
    return Refused(RefusalCode.HOLD_IS_CLAIM, f"Hold {hold.id} is a claim, which is redeemed or cancelled.")


def closed(hold: Hold) -> Refused | None:
    if hold.status is HoldStatus.OPEN:
        return None
    status = hold.status.value
    return Refused(RefusalCode.HOLD_CLOSED, f"The hold is {status}.", members=(("hold_status", status),))


def _first_not_found(request: Void | Increase | Extend, book: Book) -> Refused | None:
    hold = book.holds.get(request.hold_id)
    return hold_not_found(request.hold_id) if hold is None else _of_claim(hold)


def _first_on_hold(request: Void | Extend, book: Book) -> Refused | None:
    # Neither step moves money or reserves more, so both ignore freezes.
    if refused := _first_not_found(request, book):
        return refused
    hold = book.holds[request.hold_id]
    return closed(hold) or shared.version_conflict(
        request.options.conditions, (book.wallets[book.at_home(hold.wallet_id)],)
    )


def _failed_on_hold(request: Void | Increase | Extend, book: Book) -> Refused | None:
    source = book.wallets[book.at_home(book.holds[request.hold_id].wallet_id)]
    return shared.condition_failed(request.options.conditions, [(source, Direction.DEBIT, 0)], book)


def _unaffordable(source: WalletState, amount: int, book: Book, *, reserved: int = 0) -> Refused | None:
    """The refusal of an amount beyond a wallet's limits or funds, or beyond 63 bits together with what is
    `reserved`.
    """
    if refused := shared.limit_exceeded(source, amount, book):
        return refused
    if source.available < amount:
        return shared.uncovered(source, amount)
    room = AMOUNT_MAX - max(source.held, reserved)
    if room >= amount:
        return None
    detail = f"{amount} is asked for, {room} more can be held."
    return Refused(RefusalCode.INSUFFICIENT_FUNDS, detail, source.id, available=room, required=amount)


def _beyond_hold(request: Capture, hold: Hold, amount: int) -> Refused | None:
    least = request.options.min_amount if request.options.up_to else 1
    if least <= amount <= hold.remaining:
        return None
    asked = max(amount, least)
    detail = f"{asked} is asked for, {hold.remaining} of the hold remains."
    return Refused(RefusalCode.CAPTURE_EXCEEDS_HOLD, detail, hold.wallet_id, available=hold.remaining, required=asked)
