"""The audit chain: the bytes of history that are hashed. docs/audit-chain.md describes them for other verifiers.

A transaction is one leaf: a hash over its head and the hashes of its parts (terms, entries, hold steps, opened lots,
lot moves), which only some may see and each of which has a salt that nobody guesses. So one party's side can be shown
and proved with nothing of another's. A wallet event is a leaf, too. The leaves of a batch make a Merkle tree; its root
and the link before make a link. Hashes are SHA-256; leaf, node, link and part have prefixes of their own, and trees are
those of RFC 6962.

Links are kept for ever: formats are added, never changed. The hashed bytes of a row are the same when it is written and
when it is read again, also if somebody has put values into it that the ledger never would.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

from wallet.ledger.model import Entry, HoldStep, Lot, LotMove, Posted

FORMAT: Final = 1
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16
MARK_BYTES: Final = 8
NO_LINK: Final = bytes(HASH_BYTES)
"""The first link has this in the place of the link before it."""

LEAF, NODE, LINK, PART = b"\x00", b"\x01", b"\x02", b"\x03"
TRANSACTION, EVENT = b"T", b"E"
TERMS, ENTRY, STEP, LOT, MOVE, CHANGE = 1, 2, 3, 4, 5, 6
"""Kinds of parts, in the order in which a leaf has them; CHANGE is the only part of a wallet event."""

_NONE: Final = -1
_NO_ID: Final = bytes(16)
_WORD: Final = 2**64 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

TRANSACTION_HEAD: Final = Struct(">Bc16sqq?16s?16siiii")
TERMS_PART: Final = Struct(">Bii")
ENTRY_PART: Final = Struct(">Bh16sihqq?Qq")
STEP_PART: Final = Struct(">B16s16sqqqqqq?qi")
LOT_PART: Final = Struct(">B16siqqi?q?16si")
MOVE_PART: Final = Struct(">Bi16s16sqqq")
"""The formats of a head and of parts, before their texts. ledger.receipt unpacks them again."""


def _salted(part: Struct) -> Struct:
    """The format of a part as it is hashed: after PART and its salt."""
    return Struct(">c16s" + part.format.removeprefix(">"))


_pack_transaction = TRANSACTION_HEAD.pack
_pack_event_head = Struct(">Bc16s").pack
_pack_count = Struct(">I").pack
_pack_terms = TERMS_PART.pack
_pack_entry = ENTRY_PART.pack
_pack_salted_terms = _salted(TERMS_PART).pack
_pack_salted_entry = _salted(ENTRY_PART).pack
_pack_step = STEP_PART.pack
_pack_lot = LOT_PART.pack
_pack_move = MOVE_PART.pack
_pack_change = Struct(">B16sqqii").pack
_pack_link = Struct(">cB32siqq16sqi?32s").pack
_FIRST_BLOCK: Final = _pack_count(0)
_THREE_PARTS: Final = _pack_count(3)


class Link(NamedTuple):
    """The fields that a link covers, beside the link before it. created_at: microseconds since 1970 (UTC), as all times
    here.

    is_given: the batch was written with its root. False: the root was made from its rows when it was sealed.
    """

    shard: int
    height: int
    seq: int
    batch_id: UUID
    created_at: int
    transactions: int
    is_given: bool
    root: bytes


class Record(NamedTuple):
    """The content of a leaf. `wallet_id` is None for a transaction; parts are in order."""

    id: UUID
    wallet_id: UUID | None
    head: bytes
    parts: Sequence[bytes]

    @property
    def key(self) -> tuple[bool, bytes, bytes]:
        """The place among the leaves of a batch: transactions by id, then wallet events by id and wallet."""
        return self.wallet_id is not None, self.id.bytes, b"" if self.wallet_id is None else self.wallet_id.bytes


class Salts:
    """Makes the salts of parts from a secret. A part has the same salt for ever, and no salt discloses another."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = blake2b(key=secret)

    def four(self, named: bytes) -> bytes:
        """Four salts, one after another."""
        keyed = self._keyed.copy()
        keyed.update(named)
        return keyed.digest()

    def of(self, record: Record) -> list[bytes]:
        """The salts of its parts, in order."""
        count = len(record.parts)
        if record.wallet_id is None:
            named = TRANSACTION + record.id.bytes
        else:
            named = EVENT + record.id.bytes + record.wallet_id.bytes
        salts = b""
        for block in range(-(-count // 4)):
            salts += self.four(named + _pack_count(block))
        return [salts[at : at + SALT_BYTES] for at in range(0, count * SALT_BYTES, SALT_BYTES)]


# The hashed bytes of rows


def transaction_head(posted: Posted, created_at: int, effective_at: int) -> bytes:
    """The head of a transaction, which all its parties may see."""
    hold_id, refund_of, metadata = posted.hold_id, posted.refund_of, posted.metadata
    type_, origin, reference = _text(posted.type), _text(posted.origin), _text(posted.reference_id)
    text = b"" if metadata is None else _text(metadata)
    head = _pack_transaction(
        FORMAT,
        TRANSACTION,
        posted.id.bytes,
        created_at,
        effective_at,
        hold_id is not None,
        _NO_ID if hold_id is None else hold_id.bytes,
        refund_of is not None,
        _NO_ID if refund_of is None else refund_of.bytes,
        len(type_),
        len(origin),
        len(reference),
        _NONE if metadata is None else len(text),
    )
    return head + type_ + origin + reference + text


def event_head(id_: UUID) -> bytes:
    return _pack_event_head(FORMAT, EVENT, id_.bytes)


def terms_part(fingerprint: bytes, details: str | None) -> bytes:
    """The first part of every transaction: the request's fingerprint and the details, which concern all parties."""
    if details is None:
        return _pack_terms(TERMS, len(fingerprint), _NONE) + fingerprint
    text = _text(details)
    return _pack_terms(TERMS, len(fingerprint), len(text)) + fingerprint + text


def entry_part(entry: Entry, ordinal: int, created_at: int) -> bytes:
    """The part of an entry. ordinal: its place among the entries of its batch, from 1, used if it has no version."""
    _, leg, wallet_id, asset_id, direction, amount, version, balance = entry
    if version is None or balance is None:
        place, balance, is_locked = ordinal, 0, False
    else:
        place, is_locked = version, True
    return _pack_entry(
        ENTRY, leg, wallet_id.bytes, asset_id, direction, amount, created_at, is_locked, place & _WORD, balance
    )


def step_part(step: HoldStep, created_at: int) -> bytes:
    kind = _text(step.kind)
    return (
        _pack_step(
            STEP,
            step.hold_id.bytes,
            step.wallet_id.bytes,
            step.version,
            step.held_change,
            step.held_after,
            step.captured,
            step.released,
            created_at,
            *_optional_time(step.expires_at),
            len(kind),
        )
        + kind
    )


def lot_part(lot: Lot) -> bytes:
    """The part of a lot, as it was opened. Its wallet and remainder change later, by moves."""
    programme_id, category = lot.programme_id, _text(lot.category.value)
    return (
        _pack_lot(
            LOT,
            lot.id.bytes,
            lot.asset_id,
            lot.amount,
            microseconds(lot.opened_at),
            lot.priority,
            *_optional_time(lot.expires_at),
            programme_id is not None,
            _NO_ID if programme_id is None else programme_id.bytes,
            len(category),
        )
        + category
    )


def move_part(move: LotMove, created_at: int) -> bytes:
    _, ordinal, lot_id, wallet_id, change, held_change = move
    return _pack_move(MOVE, ordinal, lot_id.bytes, wallet_id.bytes, change, held_change, created_at)


def change_part(wallet_id: UUID, version: int, kind: str, changes: str, created_at: int) -> bytes:
    """The part of a wallet event: its changes, as stored text."""
    name, text = _text(kind), _text(changes)
    return _pack_change(CHANGE, wallet_id.bytes, version, created_at, len(name), len(text)) + name + text


def sorted_steps(steps: Iterable[HoldStep]) -> list[HoldStep]:
    """The hold steps of a transaction in the order of their parts: by wallet id and version."""
    return sorted(steps, key=lambda step: (step.wallet_id.bytes, step.version))


def sorted_lots(lots: Iterable[Lot]) -> list[Lot]:
    """The lots that a transaction opened in the order of their parts: by id."""
    return sorted(lots, key=lambda lot: lot.id.bytes)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 (UTC)."""
    return (at - _EPOCH) // _MICROSECOND


# Hashes


def part_hash(salt: bytes, part: bytes) -> bytes:
    return sha256(PART + salt + part).digest()


def leaf_hash(head: bytes, hashes: Sequence[bytes]) -> bytes:
    """The leaf of a head and the hashes of its parts, in order."""
    return sha256(b"".join((LEAF, head, _pack_count(len(hashes)), *hashes))).digest()


def leaf_of(record: Record, salts: Salts) -> bytes:
    own = salts.of(record)
    return leaf_hash(record.head, [part_hash(*each) for each in zip(own, record.parts, strict=True)])


def pair_leaf(posted: Posted, ordinal: int, created_at: int, salts: Salts) -> bytes:
    """The leaf of a transaction that has only its row and two entries, and took effect when it was posted. It is the
    leaf that leaf_of makes, in one pass. ordinal: that of its first entry.
    """
    id_, metadata, fingerprint = posted.id.bytes, posted.metadata, posted.fingerprint
    type_, origin, reference = _text(posted.type), _text(posted.origin), _text(posted.reference_id)
    text, length = (b"", _NONE) if metadata is None else (encoded := _text(metadata), len(encoded))
    four = salts.four(TRANSACTION + id_ + _FIRST_BLOCK)
    (_, leg, wallet, asset, sign, amount, version, balance), other = posted.entries
    place, balance, is_locked = (ordinal, 0, False) if version is None else (version, balance, True)
    _, leg_2, wallet_2, asset_2, sign_2, amount_2, version_2, balance_2 = other
    place_2, balance_2, is_locked_2 = (ordinal + 1, 0, False) if version_2 is None else (version_2, balance_2, True)
    head = _pack_transaction(
        FORMAT, TRANSACTION, id_, created_at, created_at, False, _NO_ID, False, _NO_ID,
        len(type_), len(origin), len(reference), length,
    )  # fmt: skip
    terms = _pack_salted_terms(PART, four[:16], TERMS, len(fingerprint), _NONE)
    first = _pack_salted_entry(
        PART, four[16:32], ENTRY, leg, wallet.bytes, asset, sign, amount, created_at, is_locked, place, balance
    )
    second = _pack_salted_entry(
        PART, four[32:48], ENTRY, leg_2, wallet_2.bytes, asset_2, sign_2, amount_2, created_at, is_locked_2, place_2,
        balance_2,
    )  # fmt: skip
    return sha256(
        LEAF + head + type_ + origin + reference + text + _THREE_PARTS
        + sha256(terms + fingerprint).digest() + sha256(first).digest() + sha256(second).digest()
    ).digest()  # fmt: skip


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves in order. A node without a neighbour goes up as it is."""
    if not leaves:
        return sha256(b"").digest()
    level = leaves
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The neighbours from a leaf up to the root. Raises IndexError if there is no such leaf."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    path = []
    level = leaves
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level = _level_above(level)
        index >>= 1
    return tuple(path)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that this path leads to from a leaf; None if no tree of `size` leaves has such a path."""
    if not 0 <= index < size:
        return None
    found, last, rest = leaf, size - 1, iter(path)
    for neighbour in rest:
        if not last:
            return None
        # The last node of a level has a neighbour only if it is a right node: otherwise it goes up until it is one.
        while index == last and not index & 1:
            index, last = index >> 1, last >> 1
        found = sha256(NODE + neighbour + found if index & 1 else NODE + found + neighbour).digest()
        index, last = index >> 1, last >> 1
    return found if last == 0 else None


def link_hash(previous: bytes, link: Link) -> bytes:
    """The hash of a link. Since it covers `previous`, it covers all history up to this batch."""
    return sha256(
        _pack_link(
            LINK,
            FORMAT,
            previous,
            link.shard,
            link.height,
            link.seq,
            link.batch_id.bytes,
            link.created_at,
            link.transactions,
            link.is_given,
            link.root,
        )
    ).digest()


def marks_of(leaves: Iterable[bytes]) -> bytes:
    """The first bytes of each leaf, which tell which one has changed. Only the root proves that one has."""
    return b"".join([leaf[:MARK_BYTES] for leaf in leaves])


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    above = [sha256(NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def _optional_time(at: datetime | None) -> tuple[bool, int]:
    return (False, 0) if at is None else (True, microseconds(at))


def _text(value: str) -> bytes:
    # The database refuses half of a surrogate pair; encoding it must not fail in another way before.
    return value.encode("utf-8", "surrogatepass")
