"""The audit chain as docs/audit-chain.md tells it, written a second time: slow, obvious, with nothing of the service's.
The audit chain as another verifier would implement it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Any
from uuid import UUID

from wallet.ledger.model import Entry, HoldStep, Lot, LotMove, Posted


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)


def time(at: datetime) -> bytes:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return number((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, 8)


def flag(is_set: bool) -> bytes:
    return bytes([is_set])


def optional_id(id_: UUID | None) -> bytes:
    return flag(id_ is not None) + (bytes(16) if id_ is None else id_.bytes)


def optional_time(at: datetime | None) -> bytes:
    return flag(at is not None) + (bytes(8) if at is None else time(at))


def texts(*values: Any) -> bytes:
    encoded = [value if isinstance(value, bytes | None) else value.encode() for value in values]
    lengths = b"".join(number(-1 if each is None else len(each), 4) for each in encoded)
    return lengths + b"".join(each or b"" for each in encoded)


def head(posted: Posted) -> bytes:
    return (
        b"\x01T" + posted.id.bytes + time(posted.created_at) + time(posted.effective_at)
        + optional_id(posted.hold_id) + optional_id(posted.refund_of)
        + texts(posted.type, posted.origin, posted.reference_id, posted.metadata)
    )  # fmt: skip


def terms(fingerprint: bytes, details: str | None) -> bytes:
    return b"\x01" + texts(fingerprint, details)


def entry(each: Entry, ordinal: int, at: datetime) -> bytes:
    place = ordinal if each.version is None else each.version
    return (
        b"\x02" + number(each.leg, 2) + each.wallet_id.bytes + number(each.asset_id, 4) + number(each.direction, 2)
        + number(each.amount, 8) + time(at) + flag(each.version is not None) + number(place, 8)
        + number(each.balance_after or 0, 8)
    )  # fmt: skip


def step(each: HoldStep, at: datetime) -> bytes:
    return (
        b"\x03" + each.hold_id.bytes + each.wallet_id.bytes + number(each.version, 8) + number(each.held_change, 8)
        + number(each.held_after, 8) + number(each.captured, 8) + number(each.released, 8) + time(at)
        + optional_time(each.expires_at) + texts(each.kind)
    )  # fmt: skip


def lot(each: Lot) -> bytes:
    return (
        b"\x04" + each.id.bytes + number(each.asset_id, 4) + number(each.amount, 8) + time(each.opened_at)
        + number(each.priority, 4) + optional_time(each.expires_at) + optional_id(each.programme_id)
        + texts(each.category.value)
    )  # fmt: skip


def move(each: LotMove, at: datetime) -> bytes:
    return (
        b"\x05" + number(each.ordinal, 4) + each.lot_id.bytes + each.wallet_id.bytes + number(each.change, 8)
        + number(each.held_change, 8) + time(at)
    )  # fmt: skip


def change(wallet_id: UUID, version: int, kind: str, changes: str, at: datetime) -> bytes:
    return b"\x06" + wallet_id.bytes + number(version, 8) + time(at) + texts(kind, changes)


def salt(secret: bytes, named: bytes, place: int) -> bytes:
    block, rest = divmod(place, 4)
    return blake2b(named + number(block, 4), key=secret).digest()[16 * rest : 16 * rest + 16]


def transaction_leaf(posted: Posted, parts: Sequence[bytes], secret: bytes) -> bytes:
    return leaf(head(posted), b"T" + posted.id.bytes, parts, secret)


def event_leaf(id_: UUID, wallet_id: UUID, part: bytes, secret: bytes) -> bytes:
    return leaf(b"\x01E" + id_.bytes, b"E" + id_.bytes + wallet_id.bytes, [part], secret)


def leaf(its_head: bytes, named: bytes, parts: Sequence[bytes], secret: bytes) -> bytes:
    hashed = b"".join(sha256(b"\x03" + salt(secret, named, place) + part).digest() for place, part in enumerate(parts))
    return sha256(b"\x00" + its_head + number(len(parts), 4) + hashed).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, of leaves that are hashed already."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def link(
    previous: bytes, shard: int, height: int, seq: int, batch_id: UUID, at: datetime, transactions: int,
    is_given: bool, its_root: bytes,
) -> bytes:  # fmt: skip
    return sha256(
        b"\x02\x01" + previous + number(shard, 4) + number(height, 8) + number(seq, 8) + batch_id.bytes + time(at)
        + number(transactions, 4) + flag(is_given) + its_root
    ).digest()  # fmt: skip
