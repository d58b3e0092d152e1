"""The life of a wallet: changes, closing, reopening and merging; and the grants of programmes to it."""

from collections.abc import Iterator

from wallet.ledger.book import Book
from wallet.ledger.model import AMOUNT_MAX, Direction, HoldStatus, WalletId, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.requests import ChangeWallet, Grant, Merge, Settle
from wallet.ledger.rules import shared


def first_refusal_change(request: ChangeWallet, book: Book) -> Refused | None:
    state = book.wallet(request.wallet_id)
    if state is None:
        return shared.wallet_not_found(request.wallet_id)
    if refused := shared.first_system((state,)):
        return refused
    # Closing a closed wallet, or reopening an open one, changes nothing and is accepted.
    is_ended = state.standing.merged_into is not None or request.type == "change"
    if is_ended and (refused := shared.first_ended((state,))):
        return refused
    expected = request.expected_version
    if expected is not None and (refused := shared.conflicting_version(state, expected)):
        return refused
    return _not_empty(state, book) if request.type == "close" else None


def _not_empty(state: WalletState, book: Book) -> Refused | None:
    for left in _left_in(state, book):
        return Refused(RefusalCode.WALLET_NOT_EMPTY, f"Wallet {state.id} still has {left}.", state.id)
    return None


def _left_in(state: WalletState, book: Book) -> Iterator[str]:
    if state.balance:
        yield f"a balance of {state.balance}"
    if state.held:
        yield f"{state.held} held"
    if state.standing.lot_balance:
        yield f"{state.standing.lot_balance} in lots"
    if is_target(state.id, book):
        yield "an open hold that would be captured into it"


def is_target(wallet_id: WalletId, book: Book) -> bool:
    """Whether the wallet is the target of an open hold, which is in the book or only in the database."""
    for hold in book.holds.values():
        if hold.status is HoldStatus.OPEN and hold.target is not None and book.at_home(hold.target) == wallet_id:
            return True
    return any(hold_id not in book.holds for hold_id in book.targeted.get(wallet_id, ()))


def first_refusal_merge(request: Merge, book: Book) -> Refused | None:
    if request.source == request.target:
        return shared.same_wallet()
    states = []
    for wallet_id in (request.source, request.target):
        state = book.wallet(wallet_id)
        if state is None:
            return shared.wallet_not_found(wallet_id)
        states.append(state)
    source, target = states
    if source.asset_id != target.asset_id:
        return shared.asset_mismatch(target, book.assets_by_id[source.asset_id].code)
    conditions = request.options.conditions
    sides = [(source, Direction.DEBIT, source.balance), (target, Direction.CREDIT, source.balance)]
    return (
        shared.first_system(states)
        or shared.first_ended(states)
        # A freeze in either direction refuses the merge, which would move frozen credit.
        or shared.first_frozen(debited=states, credited=states)
        or shared.effective_out_of_range(request.options.effective_at, book)
        or shared.version_conflict(conditions, states)
        or _overdrawn(source, target)
        or shared.overfull(target, source.balance)
        or _beyond_bits(source, target)
        or shared.condition_failed(conditions, sides, book)
    )


def _beyond_bits(source: WalletState, target: WalletState) -> Refused | None:
    """The refusal of a merge beyond 63 bits. On large overdrafts more can be held, or in lots, than the balance, so
    that each wallet is within 63 bits and both together are not. The same is true for the rest of the balance after all
    held amounts were captured and all lots have expired.
    """
    held = source.held + target.held
    in_lots = source.standing.lot_balance + target.standing.lot_balance
    if max(held, in_lots, held + in_lots - source.balance - target.balance) <= AMOUNT_MAX:
        return None
    detail = f"Wallet {target.id} would have {held} held and {in_lots} in lots, which is beyond what it may hold."
    return Refused(RefusalCode.MAX_BALANCE_EXCEEDED, detail, target.id)


def _overdrawn(source: WalletState, target: WalletState) -> Refused | None:
    if source.balance < 0:
        detail = f"Wallet {source.id} is overdrawn by {-source.balance}."
        return Refused(RefusalCode.INSUFFICIENT_FUNDS, detail, source.id, available=source.balance, required=0)
    after = target.available + source.balance - source.held
    if after < min(0, target.available):
        detail = f"Wallet {source.id} holds {source.held} on overdraft, which wallet {target.id} cannot cover."
        return Refused(RefusalCode.INSUFFICIENT_FUNDS, detail, source.id, available=after, required=0)
    return None


def first_refusal_grant(request: Grant, book: Book) -> Refused | None:
    """The refusal of a grant that cannot even be skipped: the wallet is detached, or the period was granted."""
    attachment = book.attachments.get((request.programme_id, request.wallet_id))
    if attachment is None or attachment.period != request.period:
        detail = f"Period {request.period} of programme {request.programme_id} is not due at this wallet."
        return Refused(RefusalCode.PROGRAMME_NOT_FOUND, detail, request.wallet_id)
    if book.wallet(request.wallet_id) is None:
        return shared.wallet_not_found(request.wallet_id)
    return None


def why_skipped(request: Grant, amount: int, book: Book) -> str | None:
    """The reason why a period is skipped, as a refusal's code or a word of its own; None if it is granted."""
    asset = book.assets.get(request.asset_code)
    if asset is None:
        return RefusalCode.ASSET_NOT_FOUND.value
    wallet, treasury = book.wallets[request.wallet_id], book.wallets[asset.treasury]
    if amount == 0:
        return "rollover_max"
    if request.expires_at is not None and request.expires_at <= book.decided_at:
        return "expired"
    refused = (
        shared.first_ended((wallet,))
        or shared.first_frozen(debited=(treasury,), credited=(wallet,))
        or shared.first_beyond_funds([(treasury, Direction.DEBIT, amount), (wallet, Direction.CREDIT, amount)])
    )
    return None if refused is None else refused.code.value


def first_refusal_settle(request: Settle, book: Book) -> Refused | None:
    return None if book.wallet(request.wallet_id) else shared.wallet_not_found(request.wallet_id)
