"""Issues receipts for sealed transactions, and checks their signatures. Ed25519 (RFC 8032)."""

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wallet.errors import NotFound
from wallet.ledger.audit import part_hash
from wallet.ledger.model import TransactionId, WalletId
from wallet.ledger.receipt import Proved, ReceiptInvalid, Signed, check, is_own, lots_of, readable
from wallet.storage.chain.evidence import Evidence, ReceiptStore

ALGORITHM: Final = "Ed25519"


class Receipt(NamedTuple):
    """A receipt in parts, as http writes it. Hashes, salts, contents and keys are bytes; times microseconds.

    parts: of each its salt and content, or None and its hash.
    """

    transaction: Mapping[str, Any]
    head: bytes
    parts: list[tuple[bytes | None, bytes]]
    evidence: Evidence
    signed: Signed
    public_key: bytes
    signature: bytes


class Receipts:
    """Issues receipts. The key that signs them is made of a secret of the database's, so all processes have the same.

    Raises StorageUnavailable.
    """

    def __init__(self, store: ReceiptStore) -> None:
        self._store = store
        self._key: Ed25519PrivateKey | None = None

    async def public_key(self) -> bytes:
        """The key that receipts are checked with: 32 bytes."""
        return (await self._signing_key()).public_key().public_bytes_raw()

    async def receipt(self, transaction_id: TransactionId, *, own: frozenset[WalletId] | None = None) -> Receipt:
        """A receipt. `own`: the caller sees the parts of these wallets; None: all parts.

        Raises NotFound, NotSealed, and InvariantViolated if history does not fit the chain.
        """
        evidence = await self._store.evidence(transaction_id)
        if evidence is None:
            raise NotFound("transaction_not_found", f"there is no transaction {transaction_id}")
        record, link = evidence.record, evidence.link
        is_shown = [True] * len(record.parts)
        if own is not None:
            lots = lots_of(record.parts, own)
            is_shown = [is_own(part, own, lots) for part in record.parts]
        shown = [part for part, is_it in zip(record.parts, is_shown, strict=True) if is_it]
        signed = Signed(
            link.shard, link.height, evidence.hash, evidence.chain_height, evidence.chain_hash, time.time_ns() // 1000
        )
        key = await self._signing_key()
        return Receipt(
            readable(record.head, shown),
            record.head,
            [
                (salt, part) if is_it else (None, part_hash(salt, part))
                for salt, part, is_it in zip(evidence.salts, record.parts, is_shown, strict=True)
            ],
            evidence,
            signed,
            key.public_key().public_bytes_raw(),
            key.sign(signed.message()),
        )

    async def _signing_key(self) -> Ed25519PrivateKey:
        if self._key is None:
            self._key = Ed25519PrivateKey.from_private_bytes(await self._store.signing_seed())
        return self._key


def verify(receipt: Mapping[str, Any], public_key: bytes | None = None) -> Proved:
    """Check a whole receipt, by this key or, without one, by the key that it names, which the caller then has to trust.

    Raises ReceiptInvalid.
    """
    proved = check(receipt)
    try:
        named = bytes.fromhex(receipt["public_key"])
        signature = bytes.fromhex(receipt["signature"])
        if public_key is not None and public_key != named:
            raise ReceiptInvalid("it is signed by another key than the one that is trusted")
        Ed25519PublicKey.from_public_bytes(named).verify(signature, proved.signed.message())
    except InvalidSignature:
        raise ReceiptInvalid("the signature is not that of its key") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ReceiptInvalid(f"its signature cannot be read ({type(error).__name__})") from None
    return proved
