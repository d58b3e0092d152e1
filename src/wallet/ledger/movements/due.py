"""Due steps, which are posted before anything is judged at their wallet. This is the one mechanism for the expiry of
holds and lots, for requests and keepers alike.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from wallet.ledger.book import Book
from wallet.ledger.draft import Draft
from wallet.ledger.model import ORIGIN_SERVICE, Details, DueKey, Hold, HoldStatus, Lot, LotId, WalletId
from wallet.ledger.movements.expiry import expire_lots
from wallet.ledger.movements.holds import capture, release, target_of
from wallet.ledger.requests import Capture
from wallet.ledger.rules.holds import first_refusal_capture
from wallet.ledger.transaction_types import CAPTURE, EXPIRY

_BY_KEY: Final[Callable[[Any], DueKey]] = itemgetter(0)


def settle(book: Book, wallets: Iterable[WalletId]) -> None:
    """Post the due steps of these wallets, and of those that share a due hold with them, in order of instant and holds
    before lots. If they are settled by portions, post the steps of this portion.
    """
    known = {wallet_id: None for wallet_id in wallets if _is_due(book, wallet_id)}
    if not known:
        return
    if book.due_until is not None:
        known |= dict.fromkeys(_places_in_portion(book))
    reached = list(known)
    steps: dict[DueKey, Hold | Lot] = {}
    for wallet_id in reached:  # grows while it is gone through
        for hold in book.holds_at(wallet_id):
            if (key := _key_if_due(hold, book)) is not None:
                steps[key] = hold
                for each in book.ends_of(hold):
                    if each not in known:
                        known[each] = None
                        reached.append(each)
        for lot in book.lots_of(wallet_id):
            if lot.remaining and (key := _key_if_due(lot, book)) is not None:
                steps[key] = lot
    _post(steps, book)
    for wallet_id in reached:
        state = book.wallet(wallet_id)
        if state is not None and state.locked:
            book.settled(wallet_id)


def _post(steps: Mapping[DueKey, Hold | Lot], book: Book) -> None:
    """Post steps in order. A capture may add steps between them, because its lots may have expired since."""
    in_order = sorted(steps.items(), key=_BY_KEY)
    for _, step in in_order:  # grows while it is gone through
        if isinstance(step, Lot):
            # The part of an expiring lot that a hold reserves stays until the hold ends.
            expire_lots(book, (step.id,))
            continue
        for lot_id in _expire_hold(book, step):
            lot = book.lots[lot_id]
            # A lot that was over by then has lapsed already, so a remaining one expires later than this step.
            if lot.free and (key := _key_if_due(lot, book)) is not None:
                insort(in_order, (key, lot), key=_BY_KEY)


def _places_in_portion(book: Book) -> Iterator[WalletId]:
    """The wallets at which the steps of this portion are due. The holds that link them may come after it."""
    for hold in book.holds.values():
        if _key_if_due(hold, book) is not None:
            yield from book.ends_of(hold)
    for lot in book.lots.values():
        if _key_if_due(lot, book) is not None:
            yield lot.wallet_id


def _is_due(book: Book, wallet_id: WalletId) -> bool:
    state = book.wallet(wallet_id)
    return state is not None and _has_passed(state.standing.next_due_at, book)


def _has_passed(at: datetime | None, book: Book) -> bool:
    # At the very instant of its expiry, a hold or a lot has expired.
    return at is not None and at <= book.decided_at


def _key_if_due(step: Hold | Lot, book: Book) -> DueKey | None:
    """The place of a step among others; None if this batch does not post it."""
    if step.expires_at is None or not _has_passed(step.expires_at, book):
        return None
    key = (step.expires_at, 0 if isinstance(step, Hold) else 1, step.id)
    return key if book.due_until is None or key <= book.due_until else None


def _expire_hold(book: Book, hold: Hold) -> Sequence[LotId]:
    """Post the expiry of a hold. Answers the lots that it opened."""
    reference_id = f"hold:{hold.id}:expiry"
    transaction_id = book.derived_id(reference_id)
    type_ = EXPIRY
    if hold.capture_at_expiry:
        request = Capture(transaction_id, ORIGIN_SERVICE, reference_id, b"", hold.id)
        refused = first_refusal_capture(request, book)
        if refused is None:
            type_ = CAPTURE
        else:
            book.declines.append((request, refused))
    draft = Draft(book, transaction_id, type_.name, instant=hold.expires_at)
    if type_ is CAPTURE:
        hold = capture(draft, hold, target_of(hold, book), hold.remaining, final=True, carries_lots=hold.carries_lots)
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
    return draft.opened
