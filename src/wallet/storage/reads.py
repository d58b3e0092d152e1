"""Rows -> what edges show: small values, read on connections that are not the writers'.

Lists are keyset-paged: a method takes the key of the last row seen and answers up to `limit` rows after it. What a
page is to a client, and what it may ask for, is service.reads' business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from wallet.errors import StorageUnavailable, ensure
from wallet.ledger.model import AssetId, Direction, Posted, TransactionId, WalletId, WalletKind
from wallet.storage.database import CONNECTION_LOST, Database, close, driver_errors, is_fatal
from wallet.storage.postings import load_posted
from wallet.storage.statements import load_statements

_SQL: Final = load_statements("reads.sql")
_LOAD_ENTRIES: Final = load_statements("commit.sql")["load_entries"]

ACQUIRE_SECONDS_MAX: Final = 3.0
"""How long a read waits for a connection of the pool; then the database cannot serve it."""

_LOST: Final = (ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may own wallets."""

    id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """What a wallet is. What is in it is a Balance."""

    id: WalletId
    kind: WalletKind
    asset_id: AssetId
    asset_code: str
    user_id: UUID | None
    label: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSummary:
    """An asset and where its units are, at one instant: issued = revenue + breakage + circulating."""

    id: AssetId
    code: str
    scale: int
    max_supply: int | None
    treasury_wallet_id: WalletId
    revenue_wallet_id: WalletId
    breakage_wallet_id: WalletId
    created_at: datetime
    issued: int
    revenue: int
    breakage: int
    circulating: int


class Balance(NamedTuple):
    """A wallet's numbers. All that was committed before `as_of` is in them. `version` is None on unlocked wallets.

    A tuple, because it is made more often than anything else that is read (docs/adr/0004).
    """

    wallet_id: WalletId
    asset_code: str
    scale: int
    balance: int
    held: int
    available: int
    version: int | None
    as_of: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of a transaction. `version` and `balance_after` are None on unlocked wallets."""

    transaction_id: TransactionId
    leg: int
    position: int
    wallet_id: WalletId
    asset_code: str
    direction: Direction
    amount: int
    version: int | None
    balance_after: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """A refusal, as it was answered. `id` gives the order and is nobody's business otherwise."""

    id: int
    created_at: datetime
    wallet_id: WalletId | None
    origin: str
    reference_id: str
    type: str
    code: str
    required: int | None
    available: int | None


class ReadStore:
    """Reads one shard. Every method raises StorageUnavailable when the database cannot answer in time."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        seconds_max: float,
        acquire_seconds_max: float = ACQUIRE_SECONDS_MAX,
        shard: int = 0,
    ) -> None:
        self._pool = pool
        self._seconds_max = seconds_max
        self._acquire_seconds_max = acquire_seconds_max
        self._shard = shard

    async def user(self, user_id: UUID) -> User | None:
        return await self._ask(lambda connection: find_user(connection, self._shard, user_id))

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        return await self._ask(lambda connection: find_wallet(connection, self._shard, wallet_id))

    async def wallets_of_user(self, user_id: UUID, *, after: WalletId | None, limit: int) -> Sequence[Wallet]:
        """By ascending id."""
        rows = await self._fetch("list_wallets_of_user", user_id, after, limit)
        return [_wallet(row) for row in rows]

    async def asset(self, asset_id: AssetId) -> AssetSummary | None:
        return await self._ask(lambda connection: find_asset(connection, self._shard, asset_id))

    async def assets(self, *, after: AssetId | None, limit: int) -> Sequence[AssetSummary]:
        """By ascending id."""
        return [_asset(row) for row in await self._fetch("list_assets", None, after, limit)]

    async def transaction(self, transaction_id: TransactionId) -> Posted | None:
        found = await self._posted(transaction_id, None, None, 1, 0)
        return found[0] if found else None

    async def transactions(
        self, *, reference_id: str | None, before: TransactionId | None, limit: int, offset: int
    ) -> Sequence[Posted]:
        """With their entries, newest first; with exactly this reference, of whatever origin, if one is given."""
        return await self._posted(None, reference_id, before, limit, offset)

    async def entries(
        self, *, before: tuple[TransactionId, int] | None, limit: int, offset: int
    ) -> Sequence[LedgerEntry]:
        """Of all wallets, newest transaction first, in order of leg. `before`: the last (transaction, leg) seen."""
        rows = await self._fetch("list_entries", *(before or (None, None)), limit, offset)
        return [_entry(row) for row in rows]

    async def entries_of_wallet(self, wallet_id: WalletId, *, before: int | None, limit: int) -> Sequence[LedgerEntry]:
        """Newest first. `before`: the last position seen."""
        return [_entry(row) for row in await self._fetch("list_entries_of_wallet", wallet_id, before, limit)]

    async def declines(self, reference_id: str, *, before: int | None, limit: int) -> Sequence[Decline]:
        """Newest first. `before`: the last id seen."""
        return [_decline(row) for row in await self._fetch("list_declines", reference_id, before, limit)]

    async def cursor_key(self) -> bytes:
        """The key that all processes sign cursors with."""
        rows = await self._ask(lambda connection: connection.fetch(_SQL["find_secret"], "cursors"))
        ensure(len(rows) == 1, "the database has no secret for cursors")
        key: bytes = rows[0]["secret"]
        return key

    async def _posted(
        self,
        transaction_id: TransactionId | None,
        reference_id: str | None,
        before: TransactionId | None,
        limit: int,
        offset: int,
    ) -> Sequence[Posted]:
        async def read(connection: asyncpg.Connection) -> Sequence[Posted]:
            rows = await connection.fetch(
                _SQL["list_transactions"], self._shard, transaction_id, reference_id, before, limit, offset
            )
            # What is posted never changes, so a second statement may read the rest.
            return await load_posted(connection, _LOAD_ENTRIES, self._shard, rows) if rows else ()

        return await self._ask(read)

    async def _fetch(self, statement: str, *parameters: object) -> Sequence[Any]:
        rows: Sequence[Any] = await self._ask(
            lambda connection: connection.fetch(_SQL[statement], self._shard, *parameters)
        )
        return rows

    async def _ask(self, question: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        async def ask_in_time(connection: asyncpg.Connection) -> Answer:
            async with asyncio.timeout(self._seconds_max):
                return await question(connection)

        return await ask(self._pool, ask_in_time, acquire_seconds_max=self._acquire_seconds_max)


class BalanceConnection:
    """Balances of many wallets by one query, on a connection of its own, which is replaced when it breaks.

    For one caller at a time: service.balances.
    """

    def __init__(self, database: Database, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard
        self._connection: asyncpg.Connection | None = None

    async def balances(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        """Those that exist. Raises StorageUnavailable."""
        with driver_errors():
            try:
                return await self._query(wallet_ids)
            except (asyncpg.PostgresError, *_LOST) as error:
                if not is_lost(error):
                    raise
            # It had died while it was idle; a new one tells whether the database is there.
            return await self._query(wallet_ids)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        await close(connection)

    async def _query(self, wallet_ids: Sequence[WalletId]) -> dict[WalletId, Balance]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.reconnect("balances", finds_by_key=True)
        connection = self._connection
        try:
            async with asyncio.timeout(self._database.settings.statement_timeout_ms / 1000):
                rows = await connection.fetch(_SQL["find_balances"], self._shard, wallet_ids)
        except BaseException:
            # Nobody knows how long this session would take to be usable again.
            self._connection = None
            connection.terminate()
            raise
        return {
            wallet_id: Balance(
                wallet_id,
                code,
                scale,
                balance if unlocked is None else int(unlocked),
                held,
                (balance if unlocked is None else int(unlocked)) - held + overdraft_limit,
                version,
                as_of,
            )
            for wallet_id, code, scale, balance, held, overdraft_limit, version, as_of, unlocked in rows
        }


def is_lost(error: BaseException) -> bool:
    """Whether the connection ended with this error of the driver, so that another one may do better."""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return is_fatal(error)
    return isinstance(error, _LOST) and not isinstance(error, asyncpg.DataError)


async def ask(
    pool: asyncpg.Pool,
    question: Callable[[asyncpg.Connection], Awaitable[Answer]],
    *,
    acquire_seconds_max: float = ACQUIRE_SECONDS_MAX,
) -> Answer:
    """Ask on a connection of the pool, and once more on a new one if the first is lost.

    The question must bear that, and sets its own time limit. Raises what it raises, errors of the driver as ours, and
    StorageUnavailable if no connection is free in time.
    """
    with driver_errors():
        try:
            return await _ask_once(pool, question, acquire_seconds_max)
        except (asyncpg.PostgresError, *_LOST) as error:
            if not is_lost(error):
                raise
        # Whatever ended that one, a restart most likely, ended the others of its age.
        await pool.expire_connections()
        return await _ask_once(pool, question, acquire_seconds_max)


async def _ask_once(
    pool: asyncpg.Pool, question: Callable[[asyncpg.Connection], Awaitable[Answer]], acquire_seconds_max: float
) -> Answer:
    try:
        connection = await pool.acquire(timeout=acquire_seconds_max)
    except TimeoutError:
        raise StorageUnavailable("no connection to the database is free") from None
    try:
        return await question(connection)
    finally:
        # The answer stands, whatever becomes of the connection; the pool replaces a broken one.
        with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
            await pool.release(connection, timeout=acquire_seconds_max)


async def find_user(connection: asyncpg.Connection, shard: int, user_id: UUID) -> User | None:
    row = await connection.fetchrow(_SQL["find_user"], shard, user_id)
    return None if row is None else User(**row)


async def find_wallet(connection: asyncpg.Connection, shard: int, wallet_id: WalletId) -> Wallet | None:
    row = await connection.fetchrow(_SQL["find_wallet"], shard, wallet_id)
    return None if row is None else _wallet(row)


async def find_asset(connection: asyncpg.Connection, shard: int, asset_id: AssetId) -> AssetSummary | None:
    row = await connection.fetchrow(_SQL["list_assets"], shard, asset_id, None, 1)
    return None if row is None else _asset(row)


def _wallet(row: Any) -> Wallet:
    return Wallet(**{**row, "kind": WalletKind(row["kind"])})


def _asset(row: Any) -> AssetSummary:
    columns = dict(row)
    # Integers at once: Decimals round what they add up.
    issued, revenue, breakage = -int(columns.pop("treasury")), int(row["revenue"]), int(row["breakage"])
    # All wallets of an asset add up to zero, so nobody has to add up the users'.
    circulating = issued - revenue - breakage
    return AssetSummary(
        **{**columns, "issued": issued, "revenue": revenue, "breakage": breakage, "circulating": circulating}
    )


def _entry(row: Any) -> LedgerEntry:
    return LedgerEntry(
        **{
            **row,
            "direction": Direction(row["direction"]),
            # On an unlocked wallet the position is no version.
            "version": None if row["balance_after"] is None else row["position"],
        }
    )


def _decline(row: Any) -> Decline:
    required, available = row["required"], row["available"]
    return Decline(
        **{
            **row,
            "required": None if required is None else int(required),
            "available": None if available is None else int(available),
        }
    )
