"""Users, wallets and assets, and all other reads of edges in one class: small values, read on connections that are not
the writers'.

Lists are keyset-paged: a method takes the key of the last row seen and answers up to `limit` rows after it.
service/reads/pages makes pages for clients of them, and refuses those that a client may not ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from wallet.ledger.model import AssetId, WalletId, WalletKind
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.entries import EntryReads
from wallet.storage.reads.holdings import HoldingReads
from wallet.storage.reads.listings import ListingReads
from wallet.storage.rows.secrets import find_secret

_SQL: Final = load_statements("reads/resources.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user, who may own wallets. `metadata`: canonical JSON text."""

    id: UUID
    name: str
    metadata: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A wallet and its rules, without its balance. `version` is None on unlocked wallets.

    metadata: canonical JSON text. limit_*: the amounts that may be spent per rolling 24 hours and per calendar month
    (UTC). is_due: the wallet may have a due step that is not posted yet.
    """

    id: WalletId
    kind: WalletKind
    asset_id: AssetId
    asset_code: str
    user_id: UUID | None
    label: str | None
    metadata: str | None
    overdraft_limit: int
    max_balance: int | None
    freeze_outgoing: bool
    freeze_incoming: bool
    limit_day: int | None
    limit_month: int | None
    merged_into: WalletId | None
    version: int | None
    created_at: datetime
    closed_at: datetime | None
    is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSummary:
    """An asset, its policy, and its totals at one instant: issued = revenue + breakage + circulating.

    The totals are None if the caller may not know them.
    """

    id: AssetId
    code: str
    scale: int
    max_supply: int | None
    draw_order: str
    on_refund_to_expired: str
    grace_seconds: int
    treasury_wallet_id: WalletId
    revenue_wallet_id: WalletId
    breakage_wallet_id: WalletId
    created_at: datetime
    issued: int | None
    revenue: int | None
    breakage: int | None
    circulating: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """A filter of users. At most one field is given; none: all users."""

    name: str | None = None
    member: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletFilter:
    """A filter of wallets. At most one field is given; none: all wallets."""

    user_id: UUID | None = None
    label: str | None = None
    member: tuple[str, str] | None = None


class ReadStore(ListingReads, EntryReads, HoldingReads):
    """All reads of edges by id and by the page, in one class."""

    async def user(self, user_id: UUID) -> User | None:
        return await self._pool.ask(lambda shard: find_user(shard, user_id))

    async def users(self, wanted: UserFilter, *, before: UUID | None, limit: int) -> Sequence[User]:
        """By descending id: newest first, but for ids that were not made by the service."""
        if wanted.member is not None:
            rows = await self._pool.fetch(_SQL["list_users_by_metadata"], *wanted.member, before, limit)
        elif wanted.name is not None:
            rows = await self._pool.fetch(_SQL["list_users_by_name"], wanted.name, before, limit)
        else:
            rows = await self._pool.fetch(_SQL["list_users"], before, limit)
        return [User(**row) for row in rows]

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        return await self._pool.ask(lambda shard: find_wallet(shard, wallet_id))

    async def wallets(
        self,
        wanted: WalletFilter,
        *,
        own: Sequence[WalletId] | None = None,
        before: WalletId | None,
        limit: int,
    ) -> Sequence[Wallet]:
        """By descending id: newest first, but for ids that were not made by the service. `own`: only of these."""
        name, along = _wallets_along(wanted, own)

        async def read(shard: Shard) -> Sequence[Wallet]:
            ids = await shard.fetch(_SQL[f"list_wallet_ids{name}"], *along, before, limit)
            # Wallets are not deleted, so a second statement finds them all.
            return await find_wallets(shard, [row["id"] for row in ids])

        return await self._pool.ask(read)

    async def wallets_of_user(self, user_id: UUID, *, after: WalletId | None, limit: int) -> Sequence[Wallet]:
        """By ascending id."""

        async def read(shard: Shard) -> Sequence[Wallet]:
            ids = await shard.fetch(_SQL["list_wallet_ids_of_user"], user_id, after, limit)
            return (await find_wallets(shard, [row["id"] for row in ids]))[::-1]

        return await self._pool.ask(read)

    async def asset(self, asset_id: AssetId) -> AssetSummary | None:
        return await self._pool.ask(lambda shard: find_asset(shard, asset_id))

    async def assets(self, *, after: AssetId | None, limit: int) -> Sequence[AssetSummary]:
        """By ascending id."""
        return [_asset(row) for row in await self._pool.fetch(_SQL["list_assets"], None, after, limit)]

    async def cursor_key(self) -> bytes:
        """The key that all processes sign cursors with."""
        return await self._pool.ask(lambda shard: find_secret(shard.connection, "cursors"))


async def find_user(shard: Shard, user_id: UUID) -> User | None:
    row = await shard.fetchrow(_SQL["find_user"], user_id)
    return None if row is None else User(**row)


async def find_wallet(shard: Shard, wallet_id: WalletId) -> Wallet | None:
    found = await find_wallets(shard, [wallet_id])
    return found[0] if found else None


async def find_wallets(shard: Shard, ids: Sequence[WalletId]) -> Sequence[Wallet]:
    """Those that exist, by descending id."""
    return [_wallet(row) for row in await shard.fetch(_SQL["find_wallets"], ids)]


async def find_asset(shard: Shard, asset_id: AssetId) -> AssetSummary | None:
    row = await shard.fetchrow(_SQL["list_assets"], asset_id, None, 1)
    return None if row is None else _asset(row)


def _wallets_along(wanted: WalletFilter, own: Sequence[WalletId] | None) -> tuple[str, tuple[object, ...]]:
    """The statement that lists the ids (the rest of its name), and its values."""
    if own is not None:
        return "_among", (own, wanted.user_id, wanted.label, *(wanted.member or (None, None)))
    if wanted.member is not None:
        return "_by_metadata", wanted.member
    if wanted.label is not None:
        return "_by_label", (wanted.label,)
    if wanted.user_id is not None:
        return "_by_user", (wanted.user_id,)
    return "", ()


def _wallet(row: Any) -> Wallet:
    return Wallet(**{**row, "kind": WalletKind(row["kind"])})


def _asset(row: Any) -> AssetSummary:
    columns = dict(row)
    # These become integers first, because sums of Decimals are rounded.
    issued, revenue, breakage = -int(columns.pop("treasury")), int(row["revenue"]), int(row["breakage"])
    # The balances of all wallets of an asset add up to zero, so those of users need not be added up.
    circulating = issued - revenue - breakage
    return AssetSummary(
        **{**columns, "issued": issued, "revenue": revenue, "breakage": breakage, "circulating": circulating}
    )
