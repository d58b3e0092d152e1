"""Finds the parts of a receipt: a transaction's record, the leaves of its batch, and its link of the audit chain."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from wallet.errors import InvariantViolated, NotSealed
from wallet.ledger.audit import NO_LINK, Link, Record, inclusion_path, leaf_of, link_hash, merkle_root
from wallet.ledger.model import TransactionId
from wallet.storage.chain.leaves import UNREADABLE, read_records, read_salts
from wallet.storage.chain.seal import link_of
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.secrets import find_secret

_SQL: Final = load_statements("chain/evidence.sql")


class Evidence(NamedTuple):
    """The proof that a transaction is in the chain. salts: those of the record's parts. leaf: its place among `size`
    leaves. chain: height and hash of the last link.
    """

    record: Record
    salts: Sequence[bytes]
    leaf: int
    size: int
    path: Sequence[bytes]
    link: Link
    previous: bytes
    hash: bytes
    chain_height: int
    chain_hash: bytes


class ReceiptStore(Store):
    """The parts of receipts, and the secret that signs them."""

    async def signing_seed(self) -> bytes:
        """The secret of 32 bytes from which the key that signs receipts is made."""
        return await self._pool.ask(lambda shard: find_secret(shard.connection, "receipts"))

    async def evidence(self, transaction_id: TransactionId) -> Evidence | None:
        """The evidence; None if there is no such transaction. Raises NotSealed if its batch has no link yet, and
        InvariantViolated if history does not fit the chain: then nothing may be signed.
        """
        return await self._pool.ask(lambda shard: _evidence(shard, transaction_id))


async def _evidence(shard: Shard, transaction_id: TransactionId) -> Evidence | None:
    row = await shard.fetchrow(_SQL["find_link"], transaction_id)
    if row is None:
        return None
    if row["height"] is None:
        raise NotSealed("The transaction is not sealed into the audit chain yet; ask again in a moment")
    salts = await read_salts(shard.connection)
    try:
        found = await read_records(shard, first_seq=row["seq"], last_seq=row["seq"])
        records = found.get(row["seq"], ())
        # A batch may have ten thousand leaves.
        leaves = await asyncio.to_thread(lambda: [leaf_of(record, salts) for record in records])
    except UNREADABLE as error:
        raise InvariantViolated(f"batch {row['seq']} has values that no ledger has written") from error
    root, previous = merkle_root(leaves), row["previous"] or NO_LINK
    link = link_of(row, shard.number, row["height"], root)
    if row["root"] not in (None, root) or link_hash(previous, link) != row["hash"]:
        raise InvariantViolated(f"batch {row['seq']} does not fit the audit chain: run `wallet verify --chain`")
    index = next(at for at, record in enumerate(records) if record.id == transaction_id and not record.wallet_id)
    record = records[index]
    return Evidence(
        record, salts.of(record), index, len(leaves), inclusion_path(leaves, index), link, previous, row["hash"],
        row["chain_height"], row["chain_hash"],
    )  # fmt: skip
