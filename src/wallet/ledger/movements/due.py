"""Due steps: what falls due at a wallet is posted before anything is judged there. The one mechanism behind the expiry
of holds and lots, for requests and keepers alike.
"""

from collections.abc import Iterable
from datetime import datetime

from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.model import ORIGIN_SERVICE, Details, Hold, HoldId, HoldStatus, Lot, LotId, WalletId
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.movements.holds import capture, release
from wallet.ledger.requests import Capture
from wallet.ledger.rules.holds import first_refusal_capture


def settle(book: Book, wallets: Iterable[WalletId]) -> None:
    """Post all that is due at these wallets, and at those that share a due hold with them: in order of instant, holds
    before lots.
    """
    known = {wallet_id: None for wallet_id in wallets if _is_due(book, wallet_id)}
    if not known:
        return
    reached = list(known)
    steps: dict[tuple[datetime, int, HoldId | LotId], Hold | Lot] = {}
    for wallet_id in reached:  # grows while it is gone through
        for hold in book.holds_at(wallet_id):
            if _has_passed(hold.expires_at, book):
                steps[hold.expires_at, 0, hold.id] = hold  # type: ignore[index]  # it has passed, so there is one
                for each in book.ends_of(hold):
                    if each not in known:
                        known[each] = None
                        reached.append(each)
        for lot in book.lots_of(wallet_id):
            if lot.remaining and _has_passed(lot.expires_at, book):
                steps[lot.expires_at, 1, lot.id] = lot  # type: ignore[index]
    for _, step in sorted(steps.items(), key=lambda item: item[0]):
        if isinstance(step, Hold):
            _expire_hold(book, step)
        else:
            # What a hold still reserves of it outlives it.
            expire_lots(book, (step.id,))
    for wallet_id in reached:
        state = book.wallet(wallet_id)
        if state is not None and state.locked:
            book.settled(wallet_id)


def _is_due(book: Book, wallet_id: WalletId) -> bool:
    state = book.wallet(wallet_id)
    return state is not None and _has_passed(state.standing.next_due_at, book)


def _has_passed(at: datetime | None, book: Book) -> bool:
    # To the instant: at its expiry a thing has expired.
    return at is not None and at <= book.decided_at


def _expire_hold(book: Book, hold: Hold) -> None:
    reference_id = f"hold:{hold.id}:expiry"
    transaction_id = book.derived_id(reference_id)
    type_ = "expiry"
    if hold.capture_at_expiry:
        request = Capture(transaction_id, ORIGIN_SERVICE, reference_id, b"", hold.id)
        refused = first_refusal_capture(request, book)
        if refused is None:
            type_ = "capture"
        else:
            book.declines.append((request, refused))
    draft = Draft(book, transaction_id, type_, instant=hold.expires_at)
    if type_ == "capture":
        hold = capture(draft, hold, hold.remaining, final=True)
    else:
        hold = release(draft, hold, "expire", HoldStatus.EXPIRED)
    draft.post(
        origin=ORIGIN_SERVICE,
        reference_id=reference_id,
        effective_at=hold.expires_at,
        details=Details(hold=hold),
        hold=hold,
    )
    expire_lots(book, draft.lapsed, instant=draft.instant)
