"""The refusals that several kinds of requests have in common. Each function is one step of the order of checks."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from wallet.ledger.book import Book
from wallet.ledger.instants import SKEW_MAX, month_after, rfc3339
from wallet.ledger.model import AMOUNT_MAX, Direction, WalletId, WalletKind, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import Condition

Side = tuple[WalletState, Direction, int]
"""A wallet that takes part, the direction of its entry, and the amount."""


def wallet_not_found(wallet_id: WalletId) -> Refused:
    return Refused(RefusalCode.WALLET_NOT_FOUND, f"There is no wallet {wallet_id}.", wallet_id)


def asset_not_found(asset_code: str | None) -> Refused:
    return Refused(RefusalCode.ASSET_NOT_FOUND, f"There is no asset {asset_code}.")


def same_wallet() -> Refused:
    return Refused(RefusalCode.SAME_WALLET, "A wallet may appear only once in a movement.")


def asset_mismatch(state: WalletState, code: str) -> Refused:
    return Refused(RefusalCode.ASSET_MISMATCH, f"Wallet {state.id} does not hold {code}.", state.id)


def first_ended(states: Iterable[WalletState]) -> Refused | None:
    """The refusal by the first of these wallets that is closed or merged."""
    for state in states:
        if state.standing.merged_into is not None:
            merged_into = str(state.standing.merged_into)
            detail = f"Wallet {state.id} was merged into {merged_into}."
            return Refused(RefusalCode.WALLET_MERGED, detail, state.id, members=(("merged_into", merged_into),))
        if state.standing.closed:
            return Refused(RefusalCode.WALLET_CLOSED, f"Wallet {state.id} is closed.", state.id)
    return None


def first_frozen(*, debited: Iterable[WalletState], credited: Iterable[WalletState]) -> Refused | None:
    """The refusal by the first wallet that is frozen in the direction of the movement, debited ones first."""
    for state in debited:
        if state.standing.freeze_outgoing:
            return _frozen(state, "outgoing")
    for state in credited:
        if state.standing.freeze_incoming:
            return _frozen(state, "incoming")
    return None


def _frozen(state: WalletState, direction: str) -> Refused:
    detail = f"Wallet {state.id} is frozen: {direction} movements are stopped."
    return Refused(RefusalCode.WALLET_FROZEN, detail, state.id, members=(("direction", direction),))


def first_system(states: Iterable[WalletState]) -> Refused | None:
    """The refusal by the first system wallet, where only a user's wallet can take part."""
    for state in states:
        if state.kind is not WalletKind.USER:
            detail = f"Wallet {state.id} is a system wallet ({state.kind.value})."
            return Refused(RefusalCode.SYSTEM_WALLET, detail, state.id)
    return None


def first_unlocked_condition(conditions: Sequence[Condition], states: Iterable[WalletState]) -> Refused | None:
    """The refusal of a condition on a system wallet that nobody locks: its numbers are unknown while others move it.

    Here and below, only wallets that take part are checked, because others may be loaded or not.
    """
    if not conditions:
        return None
    unlocked = {state.id: state for state in states if not state.locked}
    for condition in conditions:
        if (state := unlocked.get(condition.wallet_id)) is not None:
            return first_system((state,))
    return None


def version_conflict(conditions: Sequence[Condition], states: Iterable[WalletState]) -> Refused | None:
    if not conditions:
        return None
    part = {state.id: state for state in states}
    for condition in conditions:
        state = part.get(condition.wallet_id)
        if state is None or condition.expected_version is None:
            continue
        if refused := conflicting_version(state, condition.expected_version):
            return refused
    return None


def conflicting_version(state: WalletState, expected: int) -> Refused | None:
    if state.version == expected:
        return None
    detail = f"Wallet {state.id} is at version {state.version}, not {expected}."
    return Refused(RefusalCode.VERSION_CONFLICT, detail, state.id, members=(("version", state.version),))


def condition_failed(conditions: Sequence[Condition], sides: Sequence[Side], book: Book) -> Refused | None:
    """The refusal of a condition whose wallet takes no part, or whose balance would be out of bounds afterwards."""
    for condition in conditions:
        wallet_id = condition.wallet_id
        changes = [direction * amount for state, direction, amount in sides if state.id == wallet_id]
        if not changes:
            detail = f"Wallet {wallet_id} takes no part in this movement."
            return Refused(RefusalCode.CONDITION_FAILED, detail, wallet_id)
        after = book.wallets[wallet_id].balance + sum(changes)
        least, most = condition.min_balance, condition.max_balance
        if (least is not None and after < least) or (most is not None and after > most):
            detail = f"The balance of wallet {wallet_id} would be {after}."
            return Refused(RefusalCode.CONDITION_FAILED, detail, wallet_id)
    return None


def effective_out_of_range(
    effective_at: datetime | None, book: Book, *, not_before: datetime | None = None
) -> Refused | None:
    """The refusal of a time further in the future than clocks may differ, or, for a refund, before its original."""
    if effective_at is None:
        return None
    if effective_at > book.decided_at + SKEW_MAX:
        detail = f"effective_at is after the ledger's time, {rfc3339(book.decided_at)}."
        return Refused(RefusalCode.EFFECTIVE_IN_FUTURE, detail)
    if not_before is not None and effective_at < not_before:
        detail = f"effective_at is before the original's, {rfc3339(not_before)}."
        return Refused(RefusalCode.EFFECTIVE_BEFORE_ORIGINAL, detail)
    return None


def limit_exceeded(state: WalletState, amount: int, book: Book) -> Refused | None:
    """The refusal of an amount that, with everything that counts already, open holds included, exceeds a limit."""
    standing = state.standing
    for per, limit, spent, resets_at in (
        ("day", standing.limit_day, standing.spent_day, standing.day_resets_at),
        ("month", standing.limit_month, standing.spent_month, month_after(book.decided_at)),
    ):
        if limit is None or spent + state.held + amount <= limit:
            continue
        used = spent + state.held
        detail = f"{amount} is asked for; {used} of {limit} per {per} are used."
        members: list[tuple[str, str | int]] = [("per", per), ("limit", limit), ("used", used)]
        if resets_at is not None:
            members.append(("resets_at", rfc3339(resets_at)))
        return Refused(RefusalCode.LIMIT_EXCEEDED, detail, state.id, members=tuple(members))
    return None


def uncovered(state: WalletState, amount: int) -> Refused:
    """The refusal of an amount beyond the available one. A capped treasury has no funds, so there the asset's supply
    runs out instead.
    """
    code, what = RefusalCode.INSUFFICIENT_FUNDS, "is available"
    if state.kind is WalletKind.TREASURY:
        code, what = RefusalCode.SUPPLY_EXCEEDED, "may still be issued"
    detail = f"{amount} is asked for, {state.available} {what}."
    return Refused(code, detail, state.id, available=state.available, required=amount)


def overfull(state: WalletState, amount: int, *, ignore_maximum: bool = False) -> Refused | None:
    """The refusal of a credit beyond the wallet's maximum balance or, in any case, beyond 63 bits."""
    if not state.locked:
        return None
    most = AMOUNT_MAX if state.max_balance is None or ignore_maximum else state.max_balance
    if state.balance + amount <= most:
        return None
    return Refused(RefusalCode.MAX_BALANCE_EXCEEDED, f"Wallet {state.id} may hold {most} at most.", state.id)


def first_beyond_funds(sides: Iterable[Side], *, ignore_maximum: bool = False) -> Refused | None:
    """The first refusal by funds, then by supply, then by maximum balance; of each, that of the first leg."""
    supply = full = None
    for state, direction, amount in sides:
        if not state.locked:
            continue
        if direction is Direction.DEBIT:
            if state.available < amount:
                refused = uncovered(state, amount)
                if refused.code is RefusalCode.INSUFFICIENT_FUNDS:
                    return refused
                supply = supply or refused
        else:
            full = full or overfull(state, amount, ignore_maximum=ignore_maximum)
    return supply or full
