"""Finds work that is due by the ledger's clock: wallets whose holds or lots expire, and periods of programmes.

Nothing is posted here: that is for batches, which decide again whether it is due. So a look may be late, and two
processes may look at once. All functions raise StorageUnavailable when the connection given is of no more use.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from wallet.ledger.model import LotCategory, ProgrammeId, WalletId
from wallet.storage.connections.database import driver_errors
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("upkeep/due.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The ledger's clock, the earliest instant at which anything is or will be due, and the earliest to come."""

    now: datetime
    oldest_at: datetime | None
    next_at: datetime | None

    @property
    def is_anything_due(self) -> bool:
        return self.oldest_at is not None and self.oldest_at <= self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWallet:
    """A wallet where a hold or a lot may be due since then."""

    id: WalletId
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGrant:
    """A period of a programme that has started for a wallet. `is_over`: the programme had ended by then."""

    programme_id: ProgrammeId
    wallet_id: WalletId
    period: int
    starts_at: datetime
    asset_code: str
    amount: int
    rollover_max: int | None
    category: LotCategory
    priority: int
    expires_in_seconds: int | None
    is_over: bool


async def look_ahead(shard: Shard) -> Outlook:
    with driver_errors():
        return Outlook(**await shard.fetchrow(_SQL["look_ahead"]))


async def find_due_wallets(shard: Shard, *, without: Collection[WalletId], limit: int) -> Sequence[DueWallet]:
    """The longest due first, but for those left out."""
    with driver_errors():
        rows = await shard.fetch(_SQL["find_due_wallets"], list(without), limit)
    return [DueWallet(**row) for row in rows]


async def find_due_grants(shard: Shard, *, without: Collection[WalletId], limit: int) -> Sequence[DueGrant]:
    """The longest due first, at most one period of each attachment, but for those of the wallets left out."""
    with driver_errors():
        rows = await shard.fetch(_SQL["find_due_grants"], list(without), limit)
    return [_due_grant(row) for row in rows]


async def find_first_grant(shard: Shard, *, programme_id: ProgrammeId, wallet_id: WalletId) -> DueGrant | None:
    """The first period of one attachment, unless it has been granted."""
    with driver_errors():
        row = await shard.fetchrow(_SQL["find_due_grant"], programme_id, wallet_id)
    return None if row is None else _due_grant(row)


async def stop_attachments(shard: Shard, grants: Sequence[DueGrant]) -> None:
    """Let nothing be due any more at these attachments, whose programmes have ended."""
    with driver_errors():
        await shard.execute(
            _SQL["stop_attachments"],
            [grant.programme_id for grant in grants],
            [grant.wallet_id for grant in grants],
        )


def _due_grant(row: Any) -> DueGrant:
    return DueGrant(**{**row, "category": LotCategory(row["category"])})
