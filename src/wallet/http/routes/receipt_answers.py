"""Receipts as they are written. docs/receipts.md explains each member to authors of other verifiers."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from wallet.ledger.receipt import FORMAT
from wallet.service.reads.receipts import ALGORITHM, Receipt


class PartAnswer(Struct, kw_only=True, omit_defaults=True):
    """A part of a transaction: its salt and content, or, if it is another party's, nothing but the hash of these."""

    salt: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    hash: str | UnsetType = UNSET


class LinkAnswer(Struct, kw_only=True):
    """The link of the audit chain that the transaction's batch has."""

    shard: int
    height: int
    seq: int
    batch_id: str
    created_at: int
    transactions: int
    is_given: bool
    root: str
    previous: str
    hash: str


class ChainAnswer(Struct, kw_only=True):
    """The end of the chain when the receipt was signed."""

    height: int
    hash: str


class ReceiptAnswer(Struct, kw_only=True):
    """Proof that a transaction is in the audit chain. Bytes are hexadecimal, times microseconds since 1970 (UTC)."""

    format: int
    transaction: dict[str, Any]
    head: str
    parts: list[PartAnswer]
    index: int
    size: int
    path: list[str]
    link: LinkAnswer
    chain: ChainAnswer
    signed_at: int
    public_key: str
    signature: str


class ReceiptKeyAnswer(Struct, kw_only=True):
    """The key that receipts are checked with."""

    algorithm: str
    public_key: str


def receipt_answer(receipt: Receipt) -> ReceiptAnswer:
    evidence, signed = receipt.evidence, receipt.signed
    link = evidence.link
    return ReceiptAnswer(
        format=FORMAT,
        transaction=dict(receipt.transaction),
        head=receipt.head.hex(),
        parts=[
            PartAnswer(hash=content.hex()) if salt is None else PartAnswer(salt=salt.hex(), content=content.hex())
            for salt, content in receipt.parts
        ],
        index=evidence.leaf,
        size=evidence.size,
        path=[each.hex() for each in evidence.path],
        link=LinkAnswer(
            shard=link.shard,
            height=link.height,
            seq=link.seq,
            batch_id=str(link.batch_id),
            created_at=link.created_at,
            transactions=link.transactions,
            is_given=link.is_given,
            root=link.root.hex(),
            previous=evidence.previous.hex(),
            hash=evidence.hash.hex(),
        ),
        chain=ChainAnswer(height=signed.chain_height, hash=signed.chain_hash.hex()),
        signed_at=signed.signed_at,
        public_key=receipt.public_key.hex(),
        signature=receipt.signature.hex(),
    )


def receipt_key_answer(public_key: bytes) -> ReceiptKeyAnswer:
    return ReceiptKeyAnswer(algorithm=ALGORITHM, public_key=public_key.hex())


def encoded(answer: Struct) -> bytes:
    """As bytes. Amounts stay numbers, also with ?amounts=string: they are what was hashed."""
    return msgspec.json.encode(answer)
