"""The life of a wallet: changes, closing, reopening and merging; and the grants of programmes to it."""

from typing import Any

from wallet.ledger.book import Book
from wallet.ledger.draft import Draft, counted
from wallet.ledger.lots import NewLot, Parcel
from wallet.ledger.model import (
    ORIGIN_SERVICE,
    Attachment,
    Details,
    HoldStatus,
    Posted,
    Standing,
    TransactionId,
    WalletEvent,
    WalletId,
    WalletState,
)
from wallet.ledger.requests import ChangeWallet, Grant, Merge, Settle
from wallet.ledger.rules.wallets import why_skipped
from wallet.ledger.transaction_types import UNCOUNTED_TYPES

_OF_STANDING = frozenset({"freeze_outgoing", "freeze_incoming", "limit_day", "limit_month"})
_OF_STATE = frozenset({"overdraft_limit", "max_balance"})
_LIMITS = frozenset({"limit_day", "limit_month"})


def move_change(request: ChangeWallet, book: Book) -> Posted:
    """Make a wallet event, which is no transaction."""
    state = book.wallets[request.wallet_id]
    standing = state.standing
    if request.type == "change":
        changes: dict[str, Any] = dict(request.changes)
        standing = standing._replace(**{field: changes[field] for field in _OF_STANDING & changes.keys()})
        state = state._replace(**{field: changes[field] for field in _OF_STATE & changes.keys()})
        # Null clears a field; a cleared overdraft limit is zero.
        state = state._replace(overdraft_limit=state.overdraft_limit or 0)
        if _LIMITS & changes.keys():
            standing = _counted_anew(standing, state.id, book)
    else:
        standing = standing._replace(closed=request.type == "close")
    # Closing what is closed changes nothing, and is no event.
    if request.type == "change" or standing != book.wallets[state.id].standing:
        _put_event(request.id, state._replace(standing=standing), request.type, request.changes, book)
    made = Posted(
        request.id, request.origin, request.reference_id, request.fingerprint, request.type, request.metadata,
        book.decided_at, book.decided_at, (),
    )  # fmt: skip
    book.known[request.origin, request.reference_id] = made
    return made


def _counted_anew(standing: Standing, wallet_id: WalletId, book: Book) -> Standing:
    """The standing with the amounts that count for new limits: those loaded, and those that this batch moved before."""
    loaded = book.loaded[wallet_id].standing
    standing = standing._replace(
        spent_day=loaded.spent_day,
        spent_month=loaded.spent_month,
        day_resets_at=loaded.day_resets_at,
        month_resets_at=loaded.month_resets_at,
    )
    for posted in book.posted:
        if posted.type in UNCOUNTED_TYPES:
            continue
        at = posted.effective_at if posted.origin == ORIGIN_SERVICE else posted.created_at
        for entry in posted.entries:
            if entry.wallet_id == wallet_id and entry.direction < 0:
                standing = counted(standing, entry.amount, at, book.decided_at)
    return standing


def _put_event(
    id_: TransactionId,
    state: WalletState,
    kind: str,
    changes: tuple[tuple[str, str | int | bool | None], ...],
    book: Book,
) -> None:
    state = state._replace(version=state.version + 1, last_entry_at=book.decided_at)
    book.put(state)
    book.events.append(WalletEvent(id_, state.id, state.version, kind, changes))


def move_merge(request: Merge, book: Book) -> Posted:
    """Move everything in `source` to `target`: open holds, lots, balance, programmes."""
    source, target = book.wallets[request.source], book.wallets[request.target]
    draft = Draft(book, request.id, request.type)
    holds = sorted(
        (hold for hold in book.holds.values() if hold.wallet_id == source.id and hold.status is HoldStatus.OPEN),
        key=lambda hold: hold.id,
    )
    for hold in holds:
        draft.step(hold, "move_out", -hold.remaining)
    # Lots with nothing left stay behind: a refund takes them over when it fills them again.
    for lot in sorted((lot for lot in book.lots_of(source.id) if lot.remaining), key=lambda lot: lot.id):
        draft.take_over_lot(lot, target.id)
    if source.balance:
        draft.debit(source.id, source.balance)
        draft.credit(target.id, source.balance)
    for hold in holds:
        draft.step(hold._replace(wallet_id=target.id), "move_in", hold.remaining)
    emptied = book.wallets[source.id]
    standing = emptied.standing._replace(closed=True, merged_into=target.id, next_due_at=None)
    changes = (("merged_into", str(target.id)),)
    _put_event(request.id, emptied._replace(standing=standing), "merge_out", changes, book)
    book.merged(source.id, target.id)
    book.falls_due(target.id, source.standing.next_due_at)
    _move_attachments(request, book)
    return draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        effective_at=request.options.effective_at,
    )


def _move_attachments(request: Merge, book: Book) -> None:
    for (programme_id, wallet_id), attachment in list(book.attachments.items()):
        if wallet_id != request.source:
            continue
        del book.attachments[programme_id, wallet_id]
        # A target that has the programme already does not get it twice.
        if (programme_id, request.target) in book.attachments:
            book.moved.append((attachment, None))
        else:
            book.attachments[programme_id, request.target] = attachment._replace(wallet_id=request.target)
            book.moved.append((attachment, request.target))


def move_grant(request: Grant, book: Book) -> Posted:
    """Post a period, or record that it is skipped; in both cases the attachment moves on to the next."""
    lots = book.lots_of(request.wallet_id)
    unspent = sum(lot.remaining for lot in lots if lot.programme_id == request.programme_id)
    amount = request.amount
    if request.rollover_max is not None:
        amount = min(amount, max(0, request.rollover_max + request.amount - unspent))
    skipped = why_skipped(request, amount, book)
    draft = Draft(book, request.id, request.type)
    if skipped is None:
        new = NewLot(request.category, request.priority, request.expires_at, request.programme_id)
        draft.debit(book.assets[request.asset_code].treasury, amount)
        draft.credit(request.wallet_id, amount, (Parcel(amount, new=new),))
    attachment = Attachment(request.programme_id, request.wallet_id, request.period)
    book.granted.append(attachment)
    book.attachments[request.programme_id, request.wallet_id] = attachment._replace(period=request.period + 1)
    return draft.post(
        origin=request.origin,
        reference_id=request.reference_id,
        fingerprint=request.fingerprint,
        metadata=request.metadata,
        effective_at=request.starts_at,
        details=Details(skipped=skipped),
    )


def move_settle(request: Settle, book: Book) -> None:
    """Do nothing: the due steps of the wallet are posted by now."""
