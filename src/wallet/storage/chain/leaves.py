"""The leaves of the audit chain: of a decision when it is written, of rows when they are read again.

Both use ledger.audit, which has the formats of the hashed bytes.
"""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from wallet.errors import BadData
from wallet.ledger.audit import (
    Record,
    Salts,
    change_part,
    entry_part,
    event_head,
    leaf_of,
    lot_part,
    microseconds,
    move_part,
    pair_leaf,
    sorted_lots,
    sorted_steps,
    step_part,
    terms_part,
    transaction_head,
)
from wallet.ledger.batch import Changes, Decision
from wallet.ledger.model import Entry, HoldStep, Lot, LotCategory, LotMove, Posted, TransactionId, WalletEvent
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.details import changes_text
from wallet.storage.rows.secrets import find_secret

_SQL: Final = load_statements("chain/chain.sql")
_OF_TRANSACTIONS: Final = ("find_entries", "find_steps", "find_lots", "find_moves")
UNREADABLE: Final = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error, asyncpg.DataError,
)  # fmt: skip
"""The errors that are raised for rows into which somebody has put values that no ledger has."""

_CATEGORY_BY_NAME: Final = {category.value: category for category in LotCategory}


async def read_salts(connection: asyncpg.Connection) -> Salts:
    """The salts of the leaves of this database. They never change. Raises StorageUnavailable if they are missing."""
    return Salts(await find_secret(connection, "audit_salt"))


def leaves_of(decision: Decision, details: Mapping[TransactionId, str], at: datetime, salts: Salts) -> list[bytes]:
    """The leaves of transactions and wallet events that are about to be written, in order. details: the texts of those
    transactions that have any.

    Raises BadData for a number of more than 64 bits, which could not be stored either.
    """
    try:
        return _leaves_of(decision, details, at, salts)
    except struct.error as error:
        raise BadData("a value cannot be stored") from error


def _leaves_of(decision: Decision, details: Mapping[TransactionId, str], at: datetime, salts: Salts) -> list[bytes]:
    created_at, changes = microseconds(at), decision.changes
    steps, lots, moves = _by_transaction(changes)
    special = {*details, *steps, *lots, *moves}
    leaves = []
    ordinal = 1
    for posted in decision.posted:
        id_, entries = posted.id, posted.entries
        if (
            len(entries) == 2
            and posted.effective_at == at
            and posted.hold_id is None
            and posted.refund_of is None
            and not (special and id_ in special)
        ):
            leaf = pair_leaf(posted, ordinal, created_at, salts)
        else:
            parts = [terms_part(posted.fingerprint, details.get(id_))]
            parts += [entry_part(entry, place, created_at) for place, entry in enumerate(entries, ordinal)]
            parts += [step_part(step, created_at) for step in sorted_steps(steps.get(id_, ()))]
            parts += map(lot_part, sorted_lots(lots.get(id_, ())))
            parts += [move_part(move, created_at) for move in moves.get(id_, ())]
            head = transaction_head(posted, created_at, microseconds(posted.effective_at))
            leaf = leaf_of(Record(id_, None, head, parts), salts)
        leaves.append((id_.bytes, leaf))
        ordinal += len(entries)
    leaves.sort()
    events = sorted((_event_record(event, created_at) for event in changes.events), key=lambda record: record.key)
    return [leaf for _, leaf in leaves] + [leaf_of(record, salts) for record in events]


def _by_transaction(
    changes: Changes,
) -> tuple[Mapping[UUID, list[HoldStep]], Mapping[UUID, list[Lot]], Mapping[UUID, list[LotMove]]]:
    steps: dict[UUID, list[HoldStep]] = {}
    lots: dict[UUID, list[Lot]] = {}
    moves: dict[UUID, list[LotMove]] = {}
    for step in changes.steps:
        steps.setdefault(step.transaction_id, []).append(step)
    for lot in changes.lots.values():
        lots.setdefault(lot.opened_by, []).append(lot)
    for move in changes.lot_moves:
        moves.setdefault(move.transaction_id, []).append(move)
    return steps, lots, moves


def _event_record(event: WalletEvent, created_at: int) -> Record:
    part = change_part(event.wallet_id, event.version, event.kind, changes_text(event.changes), created_at)
    return Record(event.id, event.wallet_id, event_head(event.id), (part,))


async def read_records(shard: Shard, *, first_seq: int, last_seq: int) -> Mapping[int, Sequence[Record]]:
    """The records that these batches have written, by seq and in order of leaves, also of a seq that no batch has.

    Raises what the driver raises, and UNREADABLE.
    """
    transactions = await shard.fetch(_SQL["find_transactions"], first_seq, last_seq)
    ids = [row["id"] for row in transactions]
    found = [await shard.fetch(_SQL[name], ids) if ids else () for name in _OF_TRANSACTIONS]
    events = await shard.fetch(_SQL["find_events"], first_seq, last_seq)
    # A batch may have ten thousand transactions, and one from before the chain a hundred thousand, so this runs in a
    # thread.
    return await asyncio.to_thread(_records_of, transactions, found, events)


def _records_of(
    transactions: Sequence[Any], found: Sequence[Sequence[Any]], events: Sequence[Any]
) -> Mapping[int, Sequence[Record]]:
    records: defaultdict[int, list[Record]] = defaultdict(list)
    by_transaction = [_rows_by_transaction(rows) for rows in found]
    for row in transactions:
        parts = _parts(row, *(rows.get(row["id"], ()) for rows in by_transaction))
        records[row["seq"]].append(Record(row["id"], None, _head(row), parts))
    for row in events:
        part = change_part(
            row["wallet_id"], row["position"], row["kind"], row["changes"], microseconds(row["created_at"])
        )
        records[row["seq"]].append(Record(row["id"], row["wallet_id"], event_head(row["id"]), (part,)))
    for each in records.values():
        each.sort(key=lambda record: record.key)
    return records


def _rows_by_transaction(found: Sequence[Any]) -> Mapping[UUID, Sequence[Any]]:
    rows: dict[UUID, list[Any]] = {}
    for row in found:
        rows.setdefault(row[0], []).append(row)
    return rows


def _head(row: Any) -> bytes:
    posted = Posted(
        row["id"], row["origin"], row["reference_id"], row["fingerprint"], row["type"], row["metadata"],
        row["created_at"], row["effective_at"], (), row["hold_id"], row["refund_of"],
    )  # fmt: skip
    return transaction_head(posted, microseconds(posted.created_at), microseconds(posted.effective_at))


def _parts(row: Any, entries: Iterable[Any], steps: Iterable[Any], lots: Iterable[Any], moves: Iterable[Any]) -> Any:
    parts = [terms_part(row["fingerprint"], row["details"])]
    for each in sorted(entries, key=lambda each: (each["leg"], each["position"], each["wallet_id"].bytes)):
        _, leg, wallet_id, asset_id, direction, amount, position, balance, created_at = each
        version = None if balance is None else position
        entry = Entry(row["id"], leg, wallet_id, asset_id, direction, amount, version, balance)
        # The same numbers as write_batch gives.
        parts.append(entry_part(entry, position - (row["seq"] << 20), microseconds(created_at)))
    times = {}
    for *fields, created_at in steps:
        step = HoldStep(*fields)
        times[step] = microseconds(created_at)
    parts += [step_part(step, times[step]) for step in sorted_steps(times)]
    parts += map(lot_part, sorted_lots(map(_lot, lots)))
    parts += [
        move_part(LotMove(*fields), microseconds(created_at))
        for *fields, created_at in sorted(moves, key=lambda move: move["ordinal"])
    ]
    return parts


def _lot(row: Any) -> Lot:
    opened_by, id_, asset_id, category, priority, expires_at, opened_at, amount, programme_id = row
    return Lot(
        # The present wallet of a lot, and its remainder, are not hashed.
        id_, opened_by, asset_id, _CATEGORY_BY_NAME[category], priority, expires_at, opened_at, opened_by, amount, 0,
        programme_id=programme_id,
    )  # fmt: skip
