"""Finds a claim by its code. The database has only hashes of codes."""

from typing import Final

from wallet.ledger.model import HoldId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("reads/claim_codes.sql")


class ClaimCodeStore(Store):
    """Claims by the hashes of their codes."""

    async def claim_with(self, code_hash: bytes) -> HoldId | None:
        """The claim whose code has this hash. That never changes."""
        rows = await self._pool.fetch(_SQL["find_claim_by_code"], code_hash)
        return rows[0]["id"] if rows else None
