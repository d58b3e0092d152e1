"""Top-up, bonus, spend, transfer and general transactions."""

from collections.abc import Sequence

from wallet.ledger.book import Book
from wallet.ledger.footprint import asset_of, wallet_of
from wallet.ledger.model import ORDINARY, Direction, WalletId, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import NO_OPTIONS, Leg, Post
from wallet.ledger.rules import shared
from wallet.ledger.rules.bounds import too_many_lots
from wallet.ledger.rules.shared import Side
from wallet.ledger.transaction_types import UNCOUNTED_TYPES


def first_refusal_post(post: Post, book: Book) -> Refused | None:
    """The first reason why this movement cannot be made on these states, or None."""
    asset = asset_of(post.asset_code, book.assets)
    ids = [wallet_of(leg, asset) for leg in post.legs]
    if len(set(ids)) < len(ids) and _has_one_twice(post.legs, ids):
        return shared.same_wallet()
    states: list[WalletState] = []
    is_special = post.options is not NO_OPTIONS
    for wallet_id in ids:
        if wallet_id is None:
            return shared.asset_not_found(post.asset_code)
        state = book.wallets.get(wallet_id)
        if state is None:
            return shared.wallet_not_found(wallet_id)
        is_special = is_special or state.standing is not ORDINARY
        states.append(state)
    if asset is None and post.asset_code is not None:
        return shared.asset_not_found(post.asset_code)
    if asset is not None:
        for state in states:
            if state.asset_id != asset.id:
                return shared.asset_mismatch(state, asset.code)
    sides = amounts_of(post, states)
    unbalanced = _first_unbalanced(sides, book) if asset is None else None
    if is_special:
        return (
            shared.first_unlocked_condition(post.options.conditions, states)
            or _first_asked_too_much(post, sides)
            or unbalanced
            or _first_special(post, sides, book)
        )
    return unbalanced or shared.first_beyond_funds(sides)


def amounts_of(post: Post, states: Sequence[WalletState]) -> list[Side]:
    """The sides of a movement, with the amounts that would move now: an up-to amount is limited to the funds."""
    amounts = [leg.amount for leg in post.legs]
    if post.options.up_to:
        source = next(state for state, leg in zip(states, post.legs, strict=True) if leg.direction is Direction.DEBIT)
        amounts = [max(0, min(amount, source.balance - source.held)) for amount in amounts]
    return [(state, leg.direction, amount) for state, leg, amount in zip(states, post.legs, amounts, strict=True)]


def _first_special(post: Post, sides: Sequence[Side], book: Book) -> Refused | None:
    """The rest of the order of checks, for a wallet or a request that is not ordinary."""
    debited = [(state, amount) for state, direction, amount in sides if direction is Direction.DEBIT]
    credited = [state for state, direction, _ in sides if direction is Direction.CREDIT]
    options = post.options
    return (
        shared.first_ended(state for state, _, _ in sides)
        or shared.first_frozen(debited=[state for state, _ in debited], credited=credited)
        or shared.effective_out_of_range(options.effective_at, book)
        or _lot_expiry_out_of_range(post, book)
        or shared.version_conflict(options.conditions, [state for state, _, _ in sides])
        or _first_beyond_a_limit(post, debited, book)
        or _too_little(post, debited)
        or shared.first_beyond_funds(sides)
        or too_many_lots(post, sides, book)
        or shared.condition_failed(options.conditions, sides, book)
    )


def _first_beyond_a_limit(post: Post, debited: Sequence[tuple[WalletState, int]], book: Book) -> Refused | None:
    if post.type in UNCOUNTED_TYPES:
        return None
    for state, amount in debited:
        if refused := shared.limit_exceeded(state, amount, book):
            return refused
    return None


def _too_little(post: Post, debited: Sequence[tuple[WalletState, int]]) -> Refused | None:
    if not post.options.up_to:
        return None
    ((state, amount),) = debited
    if amount >= post.options.min_amount:
        return None
    least = post.options.min_amount
    detail = f"At least {least} is asked for, {amount} is there without overdraft."
    return Refused(RefusalCode.INSUFFICIENT_FUNDS, detail, state.id, available=amount, required=least)


def _lot_expiry_out_of_range(post: Post, book: Book) -> Refused | None:
    lot = post.options.lot
    if lot is None or lot.expires_at is None or lot.expires_at > book.decided_at:
        return None
    return Refused(RefusalCode.EXPIRY_OUT_OF_RANGE, "The lot would have expired before it was opened.")


def _first_asked_too_much(post: Post, sides: Sequence[Side]) -> Refused | None:
    """The refusal of a lot for a system wallet, and of an up-to amount of a wallet that nobody locks."""
    options = post.options
    return shared.first_system(
        state
        for state, direction, _ in sides
        if (direction is Direction.CREDIT and options.lot is not None)
        or (direction is Direction.DEBIT and options.up_to and not state.locked)
    )


def _first_unbalanced(sides: Sequence[Side], book: Book) -> Refused | None:
    net: dict[int, int] = {}
    for state, direction, amount in sides:
        net[state.asset_id] = net.get(state.asset_id, 0) + direction * amount
    for asset_id, amount in net.items():
        if amount:
            side = "credits" if amount > 0 else "debits"
            code = book.assets_by_id[asset_id].code
            detail = f"In asset {code} the {side} are {abs(amount)} too high; each asset must cancel out."
            return Refused(RefusalCode.LEGS_UNBALANCED, detail)
    return None


def _has_one_twice(legs: Sequence[Leg], ids: Sequence[WalletId | None]) -> bool:
    # System wallets of an asset that does not exist have no ids, so they are told apart by their kinds.
    seen = [leg.wallet if wallet_id is None else wallet_id for leg, wallet_id in zip(legs, ids, strict=True)]
    return len(set(seen)) < len(seen)
