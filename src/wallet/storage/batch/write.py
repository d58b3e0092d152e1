"""Writes a decision as rows: one statement for plain rows, a second one only for batches that have others.

Every row is written once, in its final state. Counts are compared, and a row that was not written is a fault.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from wallet.errors import ensure
from wallet.ledger.audit import Salts, marks_of, merkle_root
from wallet.ledger.batch import Changes, Decision
from wallet.ledger.footprint import singles
from wallet.ledger.model import Entry, Hold, Lot, Posted, TransactionId, WalletEvent, WalletId, WalletState
from wallet.ledger.outcomes import Grouped, Outcome, RefusalCode, Refused
from wallet.ledger.requests import Group, Refund, Request, Single
from wallet.storage.batch.load import Loaded
from wallet.storage.batch.long_work import Work, at_once
from wallet.storage.batch.write_attachments import write_attachments
from wallet.storage.batch.write_by_copy import ENTRIES_LEAST, copy_posted
from wallet.storage.batch.write_claims import write_claims
from wallet.storage.chain.leaves import leaves_of
from wallet.storage.connections.database import SequenceBehind
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.details import changes_text, details_text

_SQL: Final = {**load_statements("batch/commit.sql"), **load_statements("batch/write_special.sql")}
_STORED: Final = slice(8)
"""The fields of a Standing that are columns; the others are added up from history."""


async def write_decision(
    shard: Shard,
    batch: Sequence[Request],
    loaded: Loaded,
    decision: Decision,
    *,
    batch_id: UUID,
    salts: Salts,
    work: Work = at_once,
) -> None:
    """Store a decision, refusals included. `work`: runs the hashing.

    Raises InvariantViolated if fewer rows were written than given, SequenceBehind for a seq that is out of order.
    """
    posted, changes = decision.posted, decision.changes
    moved, changed = _moved_and_changed(batch, loaded, decision)
    # One statement writes all references: with two, two batches could wait for each other's references.
    is_plain = all(map(_is_row_and_entries, posted))
    details = {each.id: details_text(each.details) for each in posted if each.details is not None}
    seq = None
    if posted or changes.events:
        leaves = await work(shard.connection, leaves_of, decision, details, loaded.decided_at, salts)
        plain = posted if is_plain else ()
        seq = await _write_batch(shard, decision, leaves, plain, moved, batch_id, loaded)
    else:
        changed += moved
    if changed or not is_plain or any(changes):
        rows = () if is_plain else [_transaction_row(each, details) for each in posted]
        await _write_special(shard, decision, rows, changed, seq, loaded)
    await write_claims(shard, changes, loaded.decided_at)
    await _name_wallets(shard, changes.events)
    if changes.granted or changes.moved:
        await write_attachments(shard, changes, loaded.decided_at)
    if not loaded.is_plain or len(posted) < len(batch):
        await _write_declines(shard, batch, decision, loaded)


def _is_row_and_entries(posted: Posted) -> bool:
    return (
        posted.details is None
        and posted.hold_id is None
        and posted.refund_of is None
        and posted.effective_at == posted.created_at
    )


def _moved_and_changed(
    batch: Sequence[Request], loaded: Loaded, decision: Decision
) -> tuple[list[WalletState], list[WalletState]]:
    """The wallets of which only the balance changed, and the others."""
    # Only a forced refund may take a wallet below its limit, which the first statement checks.
    if not loaded.is_plain and any(type(request) is Refund and request.force for request in singles(batch)):
        return [], list(decision.states.values())
    with_events = {event.wallet_id for event in decision.changes.events}
    moved: list[WalletState] = []
    changed: list[WalletState] = []
    for state in decision.states.values():
        before = loaded.context.wallets[state.id]
        is_moved = (
            state.held == before.held
            and (state.standing is before.standing or state.standing[_STORED] == before.standing[_STORED])
            and state.overdraft_limit == before.overdraft_limit
            and state.max_balance == before.max_balance
            and state.id not in with_events
        )
        (moved if is_moved else changed).append(state)
    return moved, changed


async def _write_batch(
    shard: Shard,
    decision: Decision,
    leaves: Sequence[bytes],
    plain: Sequence[Posted],
    moved: Sequence[WalletState],
    batch_id: UUID,
    loaded: Loaded,
) -> int:
    deltas = decision.deltas
    is_copied = bool(plain) and sum(len(each.entries) for each in plain) >= ENTRIES_LEAST
    rows, entries = ((), ()) if is_copied else (plain, _entries(decision))
    transaction_ids, legs, wallet_ids, asset_ids, directions, amounts, versions, balances = _columns(entries, 8)
    row = await shard.fetchrow(
        _SQL["write_batch"],
        batch_id,
        loaded.decided_at,
        [transaction.id for transaction in rows],
        [transaction.origin for transaction in rows],
        [transaction.reference_id for transaction in rows],
        [transaction.type for transaction in rows],
        [transaction.fingerprint for transaction in rows],
        [transaction.metadata for transaction in rows],
        transaction_ids,
        legs,
        wallet_ids,
        asset_ids,
        [direction * amount for direction, amount in zip(directions, amounts, strict=True)],
        versions,
        balances,
        [state.id for state in moved],
        [state.balance for state in moved],
        [state.version for state in moved],
        list(deltas),
        list(deltas.values()),
        len(decision.posted),
        merkle_root(leaves),
        marks_of(leaves),
    )
    if row["seq"] is None:
        raise SequenceBehind("batch_seq")
    asked = (len(rows), len(entries), len(moved), len(deltas))
    written = (row["transactions"], row["entries"], row["wallets"], row["deltas"])
    ensure(written == asked, f"asked to write {asked} rows, wrote {written}")
    seq: int = row["seq"]
    if is_copied:
        await copy_posted(shard, plain, seq=seq, at=loaded.decided_at)
    return seq


async def _write_special(
    shard: Shard,
    decision: Decision,
    transactions: Sequence[Sequence[Any]],
    changed: Sequence[WalletState],
    seq: int | None,
    loaded: Loaded,
) -> None:
    changes = decision.changes
    tables: tuple[tuple[int, Sequence[Sequence[Any]]], ...] = (
        (10, transactions),
        (15, [_wallet_row(state) for state in changed]),
        (5, [] if seq is None else _backdated_rows(decision, seq)),
        (14, [_hold_row(hold) for hold in changes.holds.values()]),
        (10, changes.steps),
        (13, [_lot_row(lot) for lot in changes.lots.values()]),
        (6, changes.lot_moves),
        (5, [(*event[:4], changes_text(event.changes)) for event in changes.events]),
        (3, [(original_id, *refunded) for original_id, refunded in changes.refunded.items()]),
    )
    columns = [column for width, rows in tables for column in _columns(rows, width)]
    written = tuple(await shard.fetchrow(_SQL["write_special"], seq, loaded.decided_at, *columns))
    asked = tuple(len(rows) for _, rows in tables)
    ensure(written == asked, f"asked to write {asked} more rows, wrote {written}")


def _entries(decision: Decision) -> list[Entry]:
    return [entry for transaction in decision.posted for entry in transaction.entries]


def _columns(rows: Sequence[Sequence[Any]], width: int) -> Iterable[Sequence[Any]]:
    return zip(*rows, strict=True) if rows else [()] * width


def _transaction_row(posted: Posted, details: Mapping[TransactionId, str]) -> Sequence[Any]:
    return (
        posted.id,
        posted.origin,
        posted.reference_id,
        posted.type,
        posted.fingerprint,
        posted.metadata,
        posted.effective_at,
        posted.hold_id,
        posted.refund_of,
        details.get(posted.id),
    )


def _wallet_row(state: WalletState) -> Sequence[Any]:
    standing = state.standing
    return (
        state.id,
        state.balance,
        state.version,
        state.held,
        state.overdraft_limit,
        state.max_balance,
        state.last_entry_at,
        standing.closed,
        standing.merged_into,
        standing.freeze_outgoing,
        standing.freeze_incoming,
        standing.limit_day,
        standing.limit_month,
        standing.next_due_at,
        standing.lot_balance,
    )


def _backdated_rows(decision: Decision, seq: int) -> list[Sequence[Any]]:
    effective = {each.id: each.effective_at for each in decision.posted if each.effective_at != each.created_at}
    return [
        (
            # The same numbers as write_batch gives.
            entry.version if entry.version is not None else seq << 20 | ordinal,
            entry.direction * entry.amount,
            effective[entry.transaction_id],
            entry.wallet_id,
            entry.transaction_id,
        )
        for ordinal, entry in enumerate(_entries(decision), 1)
        if entry.transaction_id in effective
    ]


def _hold_row(hold: Hold) -> Sequence[Any]:
    return (
        hold.id,
        hold.wallet_id,
        hold.asset_id,
        hold.target,
        hold.amount,
        hold.captured,
        hold.released,
        hold.expires_at,
        hold.capture_at_expiry,
        hold.status.value,
        hold.created_at,
        # An array of arrays of different lengths cannot be sent; ids and numbers need no quotes.
        "{" + ",".join("NULL" if each.lot_id is None else str(each.lot_id) for each in hold.slices) + "}",
        "{" + ",".join(str(each.amount) for each in hold.slices) + "}",
        hold.carries_lots,
    )


def _lot_row(lot: Lot) -> Sequence[Any]:
    return (*lot[:3], lot.category.value, *lot[4:])


async def _name_wallets(shard: Shard, events: Sequence[WalletEvent]) -> None:
    """Labels and metadata: the last change of each counts."""
    named: dict[WalletId, dict[str, Any]] = {}
    for event in events:
        for name, value in event.changes:
            if name in ("label", "metadata"):
                named.setdefault(event.wallet_id, {})[name] = value
    if named:
        rows = [
            (wallet_id, "label" in names, names.get("label"), "metadata" in names, names.get("metadata"))
            for wallet_id, names in named.items()
        ]
        written = await shard.fetchval(_SQL["name_wallets"], *_columns(rows, 5))
        ensure(written == len(rows), f"asked to name {len(rows)} wallets, named {written}")


async def _write_declines(shard: Shard, batch: Sequence[Request], decision: Decision, loaded: Loaded) -> None:
    declined = [
        (
            request.origin,
            request.reference_id,
            request.type,
            refused.code.value,
            refused.wallet_id,
            refused.required,
            refused.available,
        )
        for request, refused in _declines(batch, decision.outcomes, decision.changes)
    ]
    if declined:
        await shard.execute(_SQL["write_declines"], loaded.decided_at, *_columns(declined, 7))


def _declines(
    batch: Sequence[Request], outcomes: Sequence[Outcome], changes: Changes
) -> Iterable[tuple[Single, Refused]]:
    """The refusals to record: those of dry runs are not recorded, and of a group only the first."""
    yield from changes.declines
    for request, outcome in zip(batch, outcomes, strict=True):
        if request.options.dry_run:
            continue
        if type(request) is Group:
            if isinstance(outcome, Grouped):
                yield from _first_refusal(request.items, outcome)
        elif isinstance(outcome, Refused):
            yield request, outcome


def _first_refusal(items: Sequence[Single], outcome: Grouped) -> Iterable[tuple[Single, Refused]]:
    for item, each in zip(items, outcome.outcomes, strict=True):
        if isinstance(each, Refused) and each.code is not RefusalCode.GROUP_REFUSED:
            return ((item, each),)
    return ()
