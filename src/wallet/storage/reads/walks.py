"""Walks through lists of transactions: along an index that has their order, a bounded number of lines at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from wallet.ledger.model import WalletId
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements, over
from wallet.storage.reads.entries import find_reach
from wallet.storage.reads.places import IdPlace, LinePlace, Place, PositionPlace, ReferencePlace
from wallet.storage.rows.ids import first_id_at

_SQL: Final = load_statements("reads/walks.sql")

LINES_MAX: Final = 200_000
"""The most lines that one query looks at along an index of transactions: about a tenth of a second of work."""

LOOK_UPS_MAX: Final = 20_000
"""The same along the index of another table, for which the transaction of each line is looked up by its key."""

TYPES_MOST_HAVE: Final = frozenset({"topup", "bonus", "spend", "transfer"})
"""Types that no index has, which a movement would have to maintain: they are found along the primary key."""

CLOCKS_APART_MAX: Final = timedelta(minutes=5)
"""How far an application's clock, which makes ids, may be from the database's before a time range misses rows."""

WITH_REFERENCE_MAX: Final = 200
"""The transactions with one reference, in all origins, that are looked at one by one. If there are more, the list is
walked.
"""

_ID_MIN: Final = UUID(int=0)
_ID_MAX: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFilter:
    """A filter of transactions. None: any. created_at in [since, until)."""

    wallet_id: WalletId | None = None
    reference_id: str | None = None
    reference_prefix: str | None = None
    member: tuple[str, str] | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Track(NamedTuple):
    """The lines that a walk goes along.

    place: the kind of their places. skips: every line is a wanted transaction, so PostgreSQL can skip rows. A walk
    first looks at lines_per_row lines for each row of the page, which is mostly enough, and then at up to lines_max.
    For few lines the planner uses the index whatever the statistics say; for many lines it may find a better plan.
    """

    walk: str
    place: type[Place]
    lines_max: int
    lines_per_row: int = 10
    skips: bool = False


def _along(name: str) -> str:
    return over(_SQL["walk_transactions"], walked=_SQL[name])


_IDS: Final = Track(_along("along_ids"), IdPlace, LINES_MAX)
_ALL: Final = _IDS._replace(skips=True)
_TYPE: Final = Track(_along("along_type"), IdPlace, LINES_MAX)
_REFERENCE: Final = Track(_along("along_reference"), IdPlace, LINES_MAX, skips=True)
_PREFIX: Final = Track(_along("along_prefix"), ReferencePlace, LINES_MAX)
_MEMBER: Final = Track(_along("along_member"), IdPlace, LOOK_UPS_MAX)
_WALLET: Final = Track(_along("along_wallet"), PositionPlace, LOOK_UPS_MAX)
_WALLETS: Final = Track(_along("along_wallets"), LinePlace, LOOK_UPS_MAX, lines_per_row=5)


def track_of(wanted: TransactionFilter, own: Sequence[WalletId] | None) -> Track:
    """The track of a list: the index of one of its filters, or the histories of `own`."""
    if wanted.wallet_id is not None:
        return _WALLET
    if own is not None:
        return _WALLETS
    if wanted.reference_id is not None:
        return _REFERENCE
    if wanted.reference_prefix is not None:
        return _PREFIX
    if wanted.member is not None:
        return _MEMBER
    if wanted.type is not None and wanted.type not in TYPES_MOST_HAVE:
        return _TYPE
    return _ALL if wanted == TransactionFilter() else _IDS


class Walk:
    """The walk of one page. `own`: the wallets whose transactions are listed, all of them locked; None: all wallets."""

    def __init__(
        self,
        shard: Shard,
        wanted: TransactionFilter,
        own: Sequence[WalletId] | None,
        lines_max: int | None,
    ) -> None:
        self._shard = shard
        self._wanted = wanted
        self._own = own
        self._track = track_of(wanted, own)
        # For several wallets, this number of lines is read of each.
        self._lines_max = max(1, (lines_max or self._track.lines_max) // max(1, len(own or ())))

    async def page(self, before: Place | None, limit: int, skip: int) -> tuple[Sequence[Any], Place | None]:
        """Up to `limit` rows of transactions, and the place where the page ends; None: nothing follows."""
        if before is None and (found := await self._with_reference()) is not None and len(found) <= skip + limit:
            return found[skip:], None
        skipped_there, skipped_here = (skip, 0) if self._track.skips else (0, skip)
        rows: list[Any] = []
        rows_max = skipped_here + limit + 1
        place, lines, is_last = before, min(self._track.lines_per_row * rows_max, self._lines_max), False
        while True:
            found, end = await self._portion(place, lines, rows_max - len(rows), skipped_there)
            rows += found
            # A cursor cannot say how many rows are still to be skipped, so one question skips them all.
            if end is None or (is_last and len(rows) >= skipped_here):
                break
            place, lines, is_last, skipped_there = end, self._lines_max, True, 0
        shown = rows[skipped_here : skipped_here + limit]
        return shown, self._place(shown[-1]) if len(rows) == rows_max else end

    async def _portion(
        self, before: Place | None, lines: int, rows_max: int, skip: int
    ) -> tuple[Sequence[Any], Place | None]:
        """The rows among that many lines; if they are too few, also the place of the last line. None: nothing
        follows.
        """
        wanted, prefix = self._wanted, self._wanted.reference_prefix
        rows = await self._shard.fetch(
            self._track.walk,
            lines,
            rows_max,
            wanted.type,
            wanted.since,
            wanted.until,
            wanted.reference_id,
            prefix,
            None if prefix is None else beyond(prefix),
            *((None, None) if wanted.member is None or self._track is _MEMBER else wanted.member),
            *await self._along(before, skip),
        )
        found = [row for row in rows if row["is_wanted"]]
        is_cut = len(found) < rows_max and bool(rows) and rows[-1]["is_last"]
        return found, self._place(rows[-1]) if is_cut else None

    async def _along(self, before: Place | None, skip: int) -> Sequence[Any]:
        """The parameters of the track."""
        wanted = self._wanted
        if self._track is _PREFIX:
            return before or (None, None)
        if self._own is not None:
            seen_until = before.by_created_at if isinstance(before, LinePlace) else None
            latest = [at for at in (wanted.until, seen_until) if at is not None]
            firsts, ends = await find_reach(self._shard, self._own, since=wanted.since, until=min(latest, default=None))
            return self._own, firsts, ends, *(before or (None, None, None))
        lowest, highest = await self._bounds()
        begin = highest if before is None else min(highest, before[0])
        if self._track is _MEMBER:
            return lowest, begin, *(wanted.member or ())
        return lowest, begin, wanted.wallet_id if self._track is _WALLET else skip

    async def _bounds(self) -> tuple[Any, Any]:
        """The bounds, as ids or positions, of everything that was created in the wanted time."""
        since, until = self._wanted.since, self._wanted.until
        since = None if since is None else _moved(since, -CLOCKS_APART_MAX)
        until = None if until is None else _moved(until, CLOCKS_APART_MAX)
        if self._wanted.wallet_id is not None:
            (first,), (end,) = await find_reach(self._shard, [self._wanted.wallet_id], since=since, until=until)
            return first, end
        if since is not None:
            # Ids are made by clocks that no sandbox advances; only the ids of due steps follow the ledger's clock.
            since = _moved(since, -await self._shard.connection.fetchval(_SQL["find_clock_offset"]))
        return _ID_MIN if since is None else first_id_at(since), _ID_MAX if until is None else first_id_at(until)

    async def _with_reference(self) -> Sequence[Any] | None:
        """All transactions of some wallets with the wanted reference, newest first. None: the list has another filter,
        or too many transactions have the reference, so that a walk is shorter.
        """
        reference_id, own = self._wanted.reference_id, self._own
        if reference_id is None or own is None:
            return None
        rows = await self._shard.fetch(_SQL["list_transactions_with_reference"], reference_id, own, WITH_REFERENCE_MAX)
        if len(rows) >= WITH_REFERENCE_MAX:
            return None
        found = [row for row in rows if row["is_theirs"]]
        return sorted(found, key=lambda row: (row["created_at"], row["id"]), reverse=True)

    def _place(self, row: Any) -> Place:
        place = self._track.place
        return place._make(row[name] for name in place._fields)


def beyond(prefix: str) -> str | None:
    """The least text after all texts that begin with `prefix`, in order of code points; None: there is none."""
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
