"""Writes the rows of large batches by COPY, which is cheaper than arrays on both sides and takes two round trips more.

The rows are packed here, in COPY's binary format: a field is its length, then its bytes; null is the length -1.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

import asyncpg

from wallet.errors import BadData, ensure
from wallet.ledger.model import Posted
from wallet.storage.connections.shard import Shard

ENTRIES_LEAST: Final = 256
"""The least entries of a large batch: with fewer, a round trip costs more than arrays do."""

_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_length = struct.Struct(">i").pack

# The columns that are the same in all rows come first, and are packed once.
_TRANSACTION_COLUMNS: Final = (
    "seq", "created_at", "effective_at", "shard",
    "id", "origin", "reference_id", "type", "fingerprint", "metadata",
)  # fmt: skip
_ENTRY_COLUMNS: Final = (
    "created_at", "shard",
    "transaction_id", "leg", "wallet_id", "asset_id", "direction", "amount", "position", "balance_after",
)  # fmt: skip
_pack_transaction_head = struct.Struct(">h iq iq iq ih").pack
_pack_entry_head = struct.Struct(">h iq ih").pack
_pack_entry = struct.Struct(">i16s ih i16s ii ih iq iq").pack
_pack_balance = struct.Struct(">iq").pack


async def copy_posted(shard: Shard, posted: Sequence[Posted], *, seq: int, at: datetime) -> None:
    """Write transactions that have only their row and entries. Rows are in the order of the unique key, and positions
    without versions are numbered in the batch, as write_batch does it.

    Raises BadData if a value does not fit, InvariantViolated if fewer rows were written than given.
    """
    instant = (at - _EPOCH) // _MICROSECOND
    try:
        transactions = list(_transactions(posted, seq, shard.number, instant))
        entries = list(_entries(posted, seq, shard.number, instant))
    except (UnicodeEncodeError, struct.error) as error:  # half of a surrogate pair, a number of more than 64 bits
        raise BadData("a value cannot be stored") from error
    await _copy(shard.connection, "transactions", _TRANSACTION_COLUMNS, transactions)
    await _copy(shard.connection, "ledger_entries", _ENTRY_COLUMNS, entries)


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
    content = bytearray().join((_BEGIN, *rows, _END))  # bytes would be taken for a path
    tag = await connection.copy_to_table(table, source=content, columns=columns, format="binary")
    ensure(tag == f"COPY {len(rows)}", f"asked to write {len(rows)} rows of {table}: {tag}")


def _transactions(posted: Sequence[Posted], seq: int, shard: int, at: int) -> Iterable[bytes]:
    head = _pack_transaction_head(len(_TRANSACTION_COLUMNS), 8, seq, 8, at, 8, at, 2, shard) + _length(16)
    text = cache(_text)  # origins and types are few
    # Python sorts text by code points, which is the order of its bytes in PostgreSQL.
    for each in sorted(posted, key=lambda each: (each.reference_id, each.origin)):
        fingerprint = each.fingerprint
        yield b"".join(
            (
                head,
                each.id.bytes,
                text(each.origin),
                _text(each.reference_id),
                text(each.type),
                _length(len(fingerprint)),
                fingerprint,
                _NULL if each.metadata is None else _text(each.metadata),
            )
        )


def _entries(posted: Sequence[Posted], seq: int, shard: int, at: int) -> Iterable[bytes]:
    head = _pack_entry_head(len(_ENTRY_COLUMNS), 8, at, 2, shard)
    ordinal = seq << 20
    for transaction in posted:
        id_ = transaction.id.bytes
        for _, leg, wallet_id, asset_id, direction, amount, version, balance in transaction.entries:
            ordinal += 1
            position = ordinal if version is None else version
            row = head + _pack_entry(
                16, id_, 2, leg, 16, wallet_id.bytes, 4, asset_id, 2, direction, 8, amount, 8, position
            )
            yield row + (_NULL if balance is None else _pack_balance(8, balance))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded
