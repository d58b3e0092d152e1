"""Lists over some wallets only: what a bound caller sees of what happened, and of what there is.

Transactions and entries are in the order of their lines: created_at, then wallet, then position, all descending.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from wallet.ledger.model import Posted, TransactionId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.listings import LedgerEntry, beyond, ledger_entry
from wallet.storage.reads.resources import Wallet, WalletFilter, find_wallets
from wallet.storage.reads.wallet_at import just_before
from wallet.storage.rows.posted import load_posted

_SQL: Final = load_statements("reads/own_lists.sql")
_LOAD_ENTRIES: Final = load_statements("batch/commit.sql")["load_entries"]

LINES_MAX: Final = 20_000
"""Lines that one question looks at, at most, of all wallets together."""

WITH_REFERENCE_MAX: Final = 200
"""Transactions with one reference, in all origins, that are looked at one by one rather than walked to."""

_LINES_PER_ROW: Final = 5
_POSITION_MAX: Final = 2**63 - 1


class LinePlace(NamedTuple):
    """Where a line is in the order of lists."""

    at: datetime
    wallet_id: WalletId
    position: int


class OwnFilter(NamedTuple):
    """Which transactions. None: any. created_at in [since, until)."""

    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reference_id: str | None = None
    reference_prefix: str | None = None
    member: tuple[str, str] | None = None


class OwnWalk(NamedTuple):
    """Transactions with the places of their last lines, and the place of the last line looked at; None: nothing
    follows. Where transactions are as many as were asked for, `end` says nothing.
    """

    rows: Sequence[tuple[LinePlace, Posted]]
    end: LinePlace | None


class OwnLists(Store):
    """`own`: the wallets whose lines are listed, all of them locked. Raises StorageUnavailable."""

    async def walk_transactions(
        self,
        own: Sequence[WalletId],
        wanted: OwnFilter,
        *,
        before: LinePlace | None,
        limit: int,
        skip: int = 0,
        lines_max: int = LINES_MAX,
    ) -> OwnWalk:
        """`before`: the place of the last line seen."""

        async def walk(shard: Shard) -> OwnWalk:
            rows: list[Any] = []
            place, end = before, before
            most = max(1, lines_max // max(1, len(own)))
            # A few lines first, which are enough most often.
            lines, is_last = min(_LINES_PER_ROW * (skip + limit), most), False
            while True:
                found, end = await self._walk(shard, own, wanted, place, skip + limit - len(rows), lines)
                rows += found
                # What is to be skipped is gone through to its end: no cursor says how much of it is left.
                if end is None or (is_last and len(rows) >= skip):
                    break
                place, lines, is_last = end, most, True
            shown = rows[skip:]
            posted = await load_posted(shard, _LOAD_ENTRIES, shown) if shown else ()
            return OwnWalk([(_place(row), each) for row, each in zip(shown, posted, strict=True)], end)

        return await self._pool.ask(walk)

    async def transactions_with_reference(self, own: Sequence[WalletId], reference_id: str) -> Sequence[Posted] | None:
        """All of them, newest first; None: too many others have this reference, so that a walk is shorter."""

        async def read(shard: Shard) -> Sequence[Posted] | None:
            rows = await shard.fetch(
                _SQL["list_transactions_of_wallets_by_reference"], own, reference_id, WITH_REFERENCE_MAX
            )
            if len(rows) >= WITH_REFERENCE_MAX:
                return None
            seen = sorted((row for row in rows if row["seen"]), key=lambda row: (row["created_at"], row["id"]))
            return await load_posted(shard, _LOAD_ENTRIES, seen[::-1]) if seen else ()

        return await self._pool.ask(read)

    async def entries(
        self, own: Sequence[WalletId], *, before: LinePlace | None, limit: int, skip: int
    ) -> Sequence[LedgerEntry]:
        """`before`: the place of the last entry seen."""

        async def read(shard: Shard) -> Sequence[LedgerEntry]:
            _, begins = await self._reach(shard, own, None, None, before)
            rows = await shard.fetch(
                _SQL["list_entries_of_wallets"], own, begins, *(before or (None,) * 3), limit, skip
            )
            return [ledger_entry(row) for row in rows]

        return await self._pool.ask(read)

    async def touching(
        self, own: Sequence[WalletId], transactions: Sequence[TransactionId]
    ) -> frozenset[TransactionId]:
        """Those of the transactions that have an entry or a hold step on one of these wallets."""
        rows = await self._pool.fetch(_SQL["find_transactions_touching"], transactions, own)
        return frozenset(row["id"] for row in rows)

    async def wallets(
        self,
        own: Sequence[WalletId],
        wanted: WalletFilter,
        *,
        before: WalletId | None,
        limit: int,
    ) -> Sequence[Wallet]:
        """By descending id."""

        async def read(shard: Shard) -> Sequence[Wallet]:
            filters = (wanted.user_id, wanted.label, *(wanted.member or (None, None)))
            rows = await shard.fetch(_SQL["list_wallets_among"], own, before, limit, *filters)
            return await find_wallets(shard, [row["id"] for row in rows])

        return await self._pool.ask(read)

    async def _walk(
        self,
        shard: Shard,
        own: Sequence[WalletId],
        wanted: OwnFilter,
        before: LinePlace | None,
        limit: int,
        lines: int,
    ) -> tuple[Sequence[Any], LinePlace | None]:
        """Up to `limit` rows, and, if they are fewer, the place where so many lines end; None: nothing follows."""
        firsts, begins = await self._reach(shard, own, wanted.since, wanted.until, before)
        prefix = wanted.reference_prefix
        along = (
            own, firsts, begins, *(before or (None,) * 3), wanted.since, wanted.until, lines,
        )  # fmt: skip
        rows = await shard.fetch(
            _SQL["walk_transactions_of_wallets"],
            *along,
            limit,
            wanted.type,
            wanted.reference_id,
            prefix,
            None if prefix is None else beyond(prefix),
            *(wanted.member or (None, None)),
        )
        if len(rows) >= limit:
            return rows, None
        end = await shard.fetchrow(_SQL["find_end_of_walk_of_wallets"], *along)
        return rows, None if end is None else LinePlace(*end)

    async def _reach(
        self,
        shard: Shard,
        own: Sequence[WalletId],
        since: datetime | None,
        until: datetime | None,
        before: LinePlace | None,
    ) -> tuple[list[int], list[int]]:
        """Per wallet, the position from which on, and the one before which, all lines are that may be wanted."""
        firsts = dict.fromkeys(own, 0)
        begins = dict.fromkeys(own, _POSITION_MAX)
        if (earlier := just_before(since)) is not None:
            for row in await self._reached(shard, own, [earlier] * len(own)):
                firsts[row["id"]] = row["first"]
        latest = [at for at in (until, None if before is None else before.at) if at is not None]
        if latest:
            for row in await self._reached(shard, own, [min(latest)] * len(own)):
                if row["before"] is not None:
                    begins[row["id"]] = row["before"]
        return [firsts[each] for each in own], [begins[each] for each in own]

    async def _reached(self, shard: Shard, own: Sequence[WalletId], instants: Sequence[datetime]) -> Sequence[Any]:
        rows: Sequence[Any] = await shard.fetch(_SQL["find_reach"], own, instants)
        return rows


def _place(row: Any) -> LinePlace:
    return LinePlace(row["line_at"], row["wallet_id"], row["position"])
