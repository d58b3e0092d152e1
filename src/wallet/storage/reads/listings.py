"""What happened, by the page: transactions, entries and declines, and what lists of transactions are filtered by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from wallet.ledger.model import Direction, Posted, TransactionId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.ids import first_id_at
from wallet.storage.rows.posted import load_posted

_SQL: Final = load_statements("reads/listings.sql")
_LOAD_ENTRIES: Final = load_statements("batch/commit.sql")["load_entries"]

WALK_ROWS_MAX: Final = 200_000
"""Rows that one question looks at along an index of transactions, at most: about a tenth of a second."""

WALK_LOOK_UPS_MAX: Final = 20_000
"""The same along another table's index, where each of them is looked up by its key."""

TYPES_MOST_HAVE: Final = frozenset({"topup", "bonus", "spend", "transfer"})
"""Types that no index has, which a movement would have to maintain: they are found along the primary key."""

CLOCKS_APART_MAX: Final = timedelta(minutes=5)
"""How far an application's clock, which makes ids, may be from the database's before a time range misses rows."""

REFUNDS_SHOWN_MAX: Final = 200

Place: TypeAlias = TransactionId | int
"""Where a walk is: an id, or a position of a wallet."""

Row = TypeVar("Row")

_STEPS_PER_ROW: Final = 10

_POSITION_MAX: Final = 2**63 - 1
_ID_MIN: Final = UUID(int=0)
_ID_MAX: Final = UUID(int=2**128 - 1)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """Which transactions. None: any. At most one of wallet_id and member; created_at in [since, until)."""

    wallet_id: WalletId | None = None
    member: tuple[str, str] | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Walk(NamedTuple, Generic[Row]):
    """Rows, each with its place, and the place of the last one looked at; None: nothing follows.

    Where rows are as many as were asked for, `end` says nothing.
    """

    rows: Sequence[tuple[Place, Row]]
    end: Place | None


class RefundSummary(NamedTuple):
    """One refund of a transaction; of a general transaction, the sum of its debits."""

    id: TransactionId
    reference_id: str
    amount: int
    created_at: datetime


class Refunded(NamedTuple):
    """What was refunded of a transaction: in amount (0 for general transactions), in times, and the newest refunds."""

    amount: int = 0
    times: int = 0
    refunds: Sequence[RefundSummary] = ()


class ListingReads(Store):
    """Reads what happened."""

    async def transaction(self, transaction_id: TransactionId) -> Posted | None:
        found = await self._posted("list_transactions", transaction_id, None, None, 1, 0)
        return found[0] if found else None

    async def transactions(
        self, *, reference_id: str | None, before: TransactionId | None, limit: int, offset: int
    ) -> Sequence[Posted]:
        """With their entries, newest first; with exactly this reference, of whatever origin, if one is given."""
        return await self._posted("list_transactions", None, reference_id, before, limit, offset)

    async def transactions_by_prefix(
        self, prefix: str, *, after: tuple[str, str] | None, limit: int
    ) -> Sequence[Posted]:
        """Those whose reference begins so, by reference and origin. `after`: the last (reference, origin) seen."""
        seen = after or (None, None)
        return await self._posted("list_transactions_by_prefix", prefix, beyond(prefix), *seen, limit)

    async def walk_transactions(
        self, wanted: TransactionFilter, *, before: Place | None, limit: int, rows_max: int | None = None
    ) -> Walk[Posted]:
        """Newest first: by position where a wallet is given, else by id. `before`: the last place seen."""
        is_looked_up = wanted.wallet_id is not None or wanted.member is not None
        steps_max = rows_max or (WALK_LOOK_UPS_MAX if is_looked_up else WALK_ROWS_MAX)

        async def walk(shard: Shard) -> Walk[Posted]:
            lowest, highest = await self._bounds(shard, wanted)
            # Places of one list are of one kind.
            begin: Any = highest if before is None else min(highest, before)
            rows: list[Any] = []
            # A few steps first, which are enough most often: for those the planner goes along the index whatever the
            # statistics say, for many it may find a better way to look at as many rows.
            for steps in (min(_STEPS_PER_ROW * limit, steps_max), steps_max):
                found, end = await self._walk(shard, wanted, lowest, begin, limit - len(rows), steps)
                rows += found
                if end is None:
                    break
                begin = end
            posted = await load_posted(shard, _LOAD_ENTRIES, rows) if rows else ()
            key = "id" if wanted.wallet_id is None else "position"
            return Walk([(row[key], each) for row, each in zip(rows, posted, strict=True)], end)

        return await self._pool.ask(walk)

    async def _walk(
        self,
        shard: Shard,
        wanted: TransactionFilter,
        lowest: Place,
        begin: Place,
        limit: int,
        steps: int,
    ) -> tuple[Sequence[Any], Place | None]:
        """Up to `limit` rows, and, if they are fewer, the place where so many steps end; None: nothing follows."""
        name, along = _walk_along(wanted)
        filters = (wanted.type, wanted.since, wanted.until)
        rows = await shard.fetch(_SQL[f"walk_transactions{name}"], lowest, begin, *filters, limit, steps, *along)
        if len(rows) >= limit:
            return rows, None
        along = (wanted.type,) if name == "_of_type" else along
        end: Place | None = await shard.fetchval(_SQL[f"find_end_of_walk{name}"], lowest, begin, steps, *along)
        return rows, end

    async def refunds_of(self, transaction_id: TransactionId) -> Refunded:
        """Of the refunds, the newest REFUNDS_SHOWN_MAX."""
        rows = await self._pool.fetch(_SQL["list_refunds"], transaction_id, REFUNDS_SHOWN_MAX)
        if not rows:
            return Refunded()
        refunds = [RefundSummary(row["id"], row["reference_id"], int(row["amount"]), row["created_at"]) for row in rows]
        return Refunded(rows[0]["refunded"], rows[0]["refunds"], refunds)

    async def entries(
        self, *, before: tuple[TransactionId, int] | None, limit: int, offset: int
    ) -> Sequence[LedgerEntry]:
        """Of all wallets, newest transaction first, in order of leg. `before`: the last (transaction, leg) seen."""
        rows = await self._pool.fetch(_SQL["list_entries"], *(before or (None, None)), limit, offset)
        return [ledger_entry(row) for row in rows]

    async def entries_of_wallet(self, wallet_id: WalletId, *, before: int | None, limit: int) -> Sequence[LedgerEntry]:
        """Newest first. `before`: the last position seen."""
        return [
            ledger_entry(row)
            for row in await self._pool.fetch(_SQL["list_entries_of_wallet"], wallet_id, before, limit)
        ]

    async def declines(
        self, reference_id: str, *, before: int | None, limit: int, origin: str | None = None
    ) -> Sequence[Decline]:
        """Newest first; of all origins, or of one. `before`: the last id seen."""
        rows = await self._pool.fetch(_SQL["list_declines"], reference_id, before, limit, origin)
        return [_decline(row) for row in rows]

    async def _posted(self, statement: str, *parameters: object) -> Sequence[Posted]:
        async def read(shard: Shard) -> Sequence[Posted]:
            rows = await shard.fetch(_SQL[statement], *parameters)
            # What is posted never changes, so a second statement may read the rest.
            return await load_posted(shard, _LOAD_ENTRIES, rows) if rows else ()

        return await self._pool.ask(read)

    async def _bounds(self, shard: Shard, wanted: TransactionFilter) -> tuple[Place, Place]:
        """The place from which, and the one before which, all is that was created in the time wanted."""
        since = None if wanted.since is None else _moved(wanted.since, -CLOCKS_APART_MAX)
        until = None if wanted.until is None else _moved(wanted.until, CLOCKS_APART_MAX)
        if wanted.wallet_id is not None:
            lowest, highest = [
                None if at is None else await shard.fetchval(_SQL["find_position_after"], wanted.wallet_id, at)
                for at in (since, until)
            ]
            if highest is not None:
                # Hold steps stand between entries: those up to the instant end before the next entry at the latest.
                highest = await shard.fetchval(_SQL["find_next_entry"], wanted.wallet_id, highest)
            return lowest or 0, _POSITION_MAX if highest is None else highest
        if since is not None:
            # Ids are made by clocks that no sandbox advances; only those of what fell due are by the ledger's.
            since = _moved(since, -await shard.connection.fetchval(_SQL["find_clock_offset"]))
        return _ID_MIN if since is None else first_id_at(since), _ID_MAX if until is None else first_id_at(until)


def _walk_along(wanted: TransactionFilter) -> tuple[str, tuple[object, ...]]:
    """Which walk (the rest of its name), and what it goes along, where that is no parameter of every walk."""
    if wanted.wallet_id is not None:
        return "_of_wallet", (wanted.wallet_id,)
    if wanted.member is not None:
        return "_by_metadata", wanted.member
    if wanted.type is not None and wanted.type not in TYPES_MOST_HAVE:
        return "_of_type", ()
    return "", ()


def beyond(prefix: str) -> str | None:
    """The least text that is beyond all that begin with `prefix`, in order of code points; None: there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # no text has surrogates


def _moved(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:  # the end of the calendar is far enough
        return at


def ledger_entry(row: Any) -> LedgerEntry:
    """An entry, from a row of a list of them."""
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
