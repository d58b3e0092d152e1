"""Receipts: proofs that a transaction is in the audit chain, which anybody can check without the service.

A receipt is a JSON object (docs/receipts.md). This module reads one, and checks everything but its signature, which
needs more than the standard library. examples/verify_receipt.py does all of that once more, in a file of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as struct_error
from typing import Any, Final, NamedTuple
from uuid import UUID

from wallet.ledger.audit import (
    ENTRY,
    ENTRY_PART,
    HASH_BYTES,
    LOT,
    LOT_PART,
    MOVE,
    MOVE_PART,
    SALT_BYTES,
    STEP,
    STEP_PART,
    TERMS,
    TRANSACTION_HEAD,
    Link,
    leaf_hash,
    link_hash,
    part_hash,
    root_from_path,
)
from wallet.ledger.instants import rfc3339
from wallet.ledger.model import WalletId

FORMAT: Final = 1

_signed = Struct(">15siq32sq32sq")
_SIGNED: Final = b"wallet receipt\x01"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ReceiptInvalid(Exception):
    """A receipt that proves nothing. The message says at which step."""


class Signed(NamedTuple):
    """The statement that the service signs: its chain had this link and this end. Times: microseconds since 1970."""

    shard: int
    height: int
    hash: bytes
    chain_height: int
    chain_hash: bytes
    signed_at: int

    def message(self) -> bytes:
        return _signed.pack(_SIGNED, *self)


class Proved(NamedTuple):
    """The content that a receipt with a right signature proves: a transaction, with those of its lines that are
    shown.
    """

    signed: Signed
    transaction: Mapping[str, Any]
    hidden_parts: int


def wallet_of(part: bytes) -> WalletId | None:
    """The wallet that a part belongs to; None if it belongs to none, or to all."""
    kind = part[0]
    if kind == ENTRY:
        return UUID(bytes=ENTRY_PART.unpack_from(part)[2])
    if kind == STEP:
        return UUID(bytes=STEP_PART.unpack_from(part)[2])
    if kind == MOVE:
        return UUID(bytes=MOVE_PART.unpack_from(part)[3])
    return None


def lots_of(parts: Sequence[bytes], own: frozenset[WalletId]) -> set[bytes]:
    """The ids of the lots that the parts of these wallets move."""
    return {MOVE_PART.unpack_from(part)[2] for part in parts if part[0] == MOVE and wallet_of(part) in own}


def is_own(part: bytes, own: frozenset[WalletId], own_lots: set[bytes]) -> bool:
    """Whether the owner of these wallets may see a part."""
    if part[0] == LOT:
        return LOT_PART.unpack_from(part)[1] in own_lots
    return part[0] != TERMS and wallet_of(part) in own


def readable(head: bytes, shown: Sequence[bytes]) -> dict[str, Any]:
    """The readable part of a receipt, which is read from the hashed bytes alone. metadata: the text of its JSON."""
    return {
        **_read_head(head),
        "entries": [_read_entry(part) for part in shown if part[0] == ENTRY],
        "hold_steps": [_read_step(part) for part in shown if part[0] == STEP],
    }


def check(receipt: Mapping[str, Any]) -> Proved:
    """Check everything of a receipt but its signature. Raises ReceiptInvalid."""
    try:
        return _checked(receipt)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, struct_error) as error:
        raise ReceiptInvalid(f"it is no receipt of format {FORMAT} ({type(error).__name__}: {error})") from None


def _checked(receipt: Mapping[str, Any]) -> Proved:
    _ensure(receipt["format"] == FORMAT, f"it is of format {receipt['format']!r}, not {FORMAT}")
    head, parts = bytes.fromhex(receipt["head"]), receipt["parts"]
    shown = [_content(each) for each in parts if "content" in each]
    leaf = leaf_hash(head, [_hash_of(each) for each in parts])
    path = [_hash(each) for each in receipt["path"]]
    link, previous = _link(receipt["link"]), _hash(receipt["link"]["previous"])
    _ensure(
        root_from_path(leaf, receipt["index"], receipt["size"], path) == link.root,
        "the transaction does not lead to the root of its batch",
    )
    hash_ = link_hash(previous, link)
    _ensure(hash_ == _hash(receipt["link"]["hash"]), "the batch does not lead to its link")
    transaction = readable(head, shown)
    _ensure(receipt["transaction"] == transaction, "what it says in words is not what was hashed")
    chain = receipt["chain"]
    signed = Signed(link.shard, link.height, hash_, chain["height"], _hash(chain["hash"]), receipt["signed_at"])
    return Proved(signed, transaction, len(parts) - len(shown))


def _ensure(truth: bool, otherwise: str) -> None:
    if not truth:
        raise ReceiptInvalid(otherwise)


def _hash(text: str) -> bytes:
    found = bytes.fromhex(text)
    _ensure(len(found) == HASH_BYTES, "a hash is not of 32 bytes")
    return found


def _content(part: Mapping[str, str]) -> bytes:
    return bytes.fromhex(part["content"])


def _hash_of(part: Mapping[str, str]) -> bytes:
    if "content" not in part:
        return _hash(part["hash"])
    salt = bytes.fromhex(part["salt"])
    _ensure(len(salt) == SALT_BYTES, "a salt is not of 16 bytes")
    return part_hash(salt, _content(part))


def _link(of: Mapping[str, Any]) -> Link:
    return Link(
        of["shard"], of["height"], of["seq"], UUID(of["batch_id"]), of["created_at"], of["transactions"],
        of["is_given"], _hash(of["root"]),
    )  # fmt: skip


def _read_head(head: bytes) -> dict[str, Any]:
    _, kind, id_, created_at, effective_at, has_hold, hold, is_refund, original, *lengths = (
        TRANSACTION_HEAD.unpack_from(head)
    )
    _ensure(kind == b"T", "it is of no transaction")
    type_, origin, reference_id, metadata = _texts(head[TRANSACTION_HEAD.size :], lengths)
    return {
        "id": str(UUID(bytes=id_)),
        "type": type_,
        "origin": origin,
        "reference_id": reference_id,
        "metadata": metadata,
        "created_at": _instant(created_at),
        "effective_at": _instant(effective_at),
        "hold_id": str(UUID(bytes=hold)) if has_hold else None,
        "refund_of": str(UUID(bytes=original)) if is_refund else None,
    }


def _texts(rest: bytes, lengths: Sequence[int]) -> Iterator[str | None]:
    _ensure(len(rest) == sum(max(length, 0) for length in lengths), "the texts of the head are not as long as it says")
    for length in lengths:
        yield None if length < 0 else rest[:length].decode()
        rest = rest[max(length, 0) :]


def _read_entry(part: bytes) -> dict[str, Any]:
    _, leg, wallet_id, asset_id, sign, amount, _, is_locked, version, balance = ENTRY_PART.unpack(part)
    return {
        "leg": leg,
        "wallet_id": str(UUID(bytes=wallet_id)),
        "asset_id": asset_id,
        "direction": "credit" if sign > 0 else "debit",
        "amount": amount,
        "balance_after": balance if is_locked else None,
        "version": version if is_locked else None,
    }


def _read_step(part: bytes) -> dict[str, Any]:
    _, hold, wallet, version, change, held, captured, released, _, expires, expires_at, _ = STEP_PART.unpack_from(part)
    return {
        "hold_id": str(UUID(bytes=hold)),
        "wallet_id": str(UUID(bytes=wallet)),
        "kind": part[STEP_PART.size :].decode(),
        "held_change": change,
        "held_after": held,
        "captured": captured,
        "released": released,
        "expires_at": _instant(expires_at) if expires else None,
        "version": version,
    }


def _instant(microseconds: int) -> str:
    return rfc3339(_EPOCH + timedelta(microseconds=microseconds))
