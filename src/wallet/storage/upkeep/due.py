"""Finds work that is due by the ledger's clock: wallets whose holds or lots expire, and periods of programmes.

Nothing is posted here: batches do that, and decide again what is due. So a look may be late, and two processes may look
at once. All functions raise StorageUnavailable if the connection cannot be used any more.
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
    """The ledger's clock, the earliest instant at which anything is or will be due, and the earliest future one."""

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
    """Due wallets without those left out, the longest due first."""
    with driver_errors():
        rows = await shard.fetch(_SQL["find_due_wallets"], list(without), limit)
    return [DueWallet(**row) for row in rows]


async def find_due_grants(shard: Shard, *, without: Collection[WalletId], limit: int) -> Sequence[DueGrant]:
    """Due periods, at most one of each attachment and none of the wallets left out, the longest due first."""
    with driver_errors():
        rows = await shard.fetch(_SQL["find_due_grants"], list(without), limit)
    return [_due_grant(row) for row in rows]


async def find_first_grant(shard: Shard, *, programme_id: ProgrammeId, wallet_id: WalletId) -> DueGrant | None:
    """The first period of one attachment, unless it has been granted."""
    with driver_errors():
        row = await shard.fetchrow(_SQL["find_due_grant"], programme_id, wallet_id)
    return None if row is None else _due_grant(row)


async def stop_attachments(shard: Shard, grants: Sequence[DueGrant]) -> None:
    """Note that no period is due any more for these attachments, whose programmes have ended."""
    with driver_errors():
        await shard.execute(
            _SQL["stop_attachments"],
            [grant.programme_id for grant in grants],
            [grant.wallet_id for grant in grants],
        )


def _due_grant(row: Any) -> DueGrant:
    return DueGrant(**{**row, "category": LotCategory(row["category"])})
