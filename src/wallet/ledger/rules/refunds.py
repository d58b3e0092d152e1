"""Refunds and reversals: mirroring an earlier transaction."""

from typing import NamedTuple

from wallet.ledger.book import Book
from wallet.ledger.model import AMOUNT_MAX, Direction, Entry, Original
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import Refund
from wallet.ledger.rules import shared
from wallet.ledger.rules.shared import Side
from wallet.ledger.transaction_types import Refunds, refunds_of


class Mirror(NamedTuple):
    """A refund as it would be made: its sides, in the order of the original's legs, and the amount that it counts."""

    sides: list[Side]
    legs: list[Entry]
    amount: int


def refundable(original: Original) -> int | None:
    """The amount that is left to refund; None if the original is refunded as a whole or not at all."""
    if refunds_of(original.posted) is not Refunds.BY_AMOUNT or not original.posted.entries:
        return None
    return original.posted.entries[0].amount - original.refunded


def mirror(request: Refund, original: Original, book: Book) -> Mirror:
    """The effect that a refund would have. All wallets of the original must be there."""
    left = refundable(original)
    amount = left if request.amount is None else request.amount
    sides: list[Side] = []
    for entry in original.posted.entries:
        state = book.wallets[book.at_home(entry.wallet_id)]
        sides.append((state, Direction(-entry.direction), entry.amount if left is None or amount is None else amount))
    return Mirror(sides, list(original.posted.entries), amount or 0)


def first_refusal_refund(request: Refund, book: Book) -> Refused | None:
    original = book.original(request.original_id)
    if original is None:
        return Refused(RefusalCode.TRANSACTION_NOT_FOUND, f"There is no transaction {request.original_id}.")
    sides = mirror(request, original, book).sides
    if len({state.id for state, _, _ in sides}) < len(sides):
        return shared.same_wallet()
    debited = [state for state, direction, _ in sides if direction is Direction.DEBIT]
    credited = [state for state, direction, _ in sides if direction is Direction.CREDIT]
    options = request.options
    return (
        shared.first_unlocked_condition(options.conditions, [state for state, _, _ in sides])
        or shared.first_ended(state for state, _, _ in sides)
        or shared.first_frozen(debited=debited, credited=credited)
        or _not_refundable(request, original)
        or shared.effective_out_of_range(options.effective_at, book, not_before=original.posted.effective_at)
        or shared.version_conflict(options.conditions, [state for state, _, _ in sides])
        or _beyond_original(request, original)
        or shared.first_beyond_funds(
            [side for side in sides if not (request.force and is_forcible(side))], ignore_maximum=True
        )
        or _beyond_bottom(sides)
        or shared.condition_failed(options.conditions, sides, book)
    )


def _beyond_bottom(sides: list[Side]) -> Refused | None:
    """The refusal of a forced refund that would take a wallet, with its holds, further below zero than 63 bits."""
    for state, direction, amount in sides:
        deepest = state.balance - state.held - amount
        if direction is Direction.DEBIT and state.locked and deepest < -AMOUNT_MAX:
            return shared.uncovered(state, amount)
    return None


def is_forcible(side: Side) -> bool:
    """Whether force may overdraw this side: it is a debited user's wallet. Force never breaks a cap on supply."""
    state, direction, _ = side
    return direction is Direction.DEBIT and state.locked and not shared.first_system((state,))


def _not_refundable(request: Refund, original: Original) -> Refused | None:
    type_ = original.posted.type
    refunds = refunds_of(original.posted)
    if refunds is Refunds.NEVER or not original.posted.entries:
        return Refused(RefusalCode.NOT_REFUNDABLE, f"A transaction of type {type_} cannot be refunded.")
    if refunds is Refunds.BY_LEGS and request.amount is not None:
        return Refused(RefusalCode.NOT_REFUNDABLE, "A general transaction is refunded whole, without an amount.")
    return None


def _beyond_original(request: Refund, original: Original) -> Refused | None:
    left = refundable(original)
    if left is None:
        if original.refunds == 0:
            return None
        return Refused(RefusalCode.REFUND_EXCEEDS_ORIGINAL, "The transaction was refunded already.")
    asked = max(1, left) if request.amount is None else request.amount
    if asked <= left:
        return None
    detail = f"{asked} is asked for, {left} is left to refund." if left else "Nothing is left to refund."
    return Refused(RefusalCode.REFUND_EXCEEDS_ORIGINAL, detail, available=left, required=asked)
