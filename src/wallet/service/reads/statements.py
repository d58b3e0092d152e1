"""A wallet in time: its balance at an instant, and statements of a period by the page or line by line."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from wallet.errors import FieldError, Malformed, NotFound
from wallet.ledger.instants import rfc3339
from wallet.ledger.model import WalletId
from wallet.service.due.settler import Settler
from wallet.service.reads.cursors import Cursors, KeyPart
from wallet.service.reads.pages import FIRST_PAGE, LIMIT_DEFAULT, LIMIT_MAX, Page, PageRequest
from wallet.storage.reads.statement_lines import (
    LastLine,
    Opened,
    Period,
    PositionBounds,
    StatementLine,
    StatementStore,
    Summary,
    last_line_after,
)
from wallet.storage.reads.wallet_at import Axis, BalanceAt, HistoryStore

LINES_PER_FETCH: Final = 200
"""The lines that are in memory at once while a whole statement is read."""

_LIST: Final = "statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The balance before a period, a page of its lines, and the balance after it."""

    summary: Summary
    page: Page[StatementLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeStatement:
    """A statement whose lines come as they are asked for, LINES_PER_FETCH at a time."""

    summary: Summary
    lines: AsyncIterator[StatementLine]


class Statements:
    """Raises NotFound, Malformed (naming at, from, limit or cursor), Overloaded and StorageUnavailable."""

    def __init__(self, history: HistoryStore, store: StatementStore, cursors: Cursors, settler: Settler) -> None:
        self._history = history
        self._store = store
        self._cursors = cursors
        self._settler = settler
        # Only one of the whole statements of this process is read at a time. So, however many there are, other reads
        # find a connection, and the event loop has the lines of one statement between two other turns.
        self._turn = asyncio.Lock()

    async def balance_at(self, wallet_id: WalletId, at: datetime, axis: Axis) -> BalanceAt:
        """The balance by everything at or before `at`."""
        await self._settler.settle_if_due(wallet_id)
        found = await self._history.balance_at(wallet_id, at, axis)
        if found is None:
            raise _not_found(wallet_id)
        if at > found.now:
            raise Malformed([FieldError("at", f"is in the future: it is {rfc3339(found.now)} now")])
        return found

    async def statement(
        self,
        wallet_id: WalletId,
        *,
        since: datetime | None,
        until: datetime | None,
        axis: Axis,
        page: PageRequest = FIRST_PAGE,
    ) -> Statement:
        """A statement from `since` (None: the beginning) to before `until` (None: now). All pages show the state of the
        first one.
        """
        limit = LIMIT_DEFAULT if page.limit is None else page.limit
        if not 1 <= limit <= LIMIT_MAX:
            raise Malformed([FieldError("limit", f"must be between 1 and {LIMIT_MAX}")])
        filters = _filters(wallet_id, since, until, axis)
        if page.cursor is None:
            opened = await self._open(wallet_id, since, until, axis)
        else:
            opened = _opened(self._cursors.read(page.cursor, _LIST, filters), wallet_id, since, axis)
        lines = await self._lines(opened, limit + 1)
        has_more = len(lines) > limit
        lines = lines[:limit]
        cursor = None
        if has_more:
            cursor = self._cursors.sign(_LIST, filters, _key(_after(opened, lines)))
        return Statement(summary=opened.summary, page=Page(data=lines, next=cursor, has_more=has_more))

    async def whole_statement(
        self, wallet_id: WalletId, *, since: datetime | None, until: datetime | None, axis: Axis
    ) -> WholeStatement:
        """The same with all its lines, however many. The first of them have been read when this returns."""
        opened = await self._open(wallet_id, since, until, axis)
        first = await self._lines(opened, LINES_PER_FETCH)
        return WholeStatement(summary=opened.summary, lines=self._all_lines(opened, first))

    async def _open(self, wallet_id: WalletId, since: datetime | None, until: datetime | None, axis: Axis) -> Opened:
        if since is not None and until is not None and since > until:
            raise Malformed([FieldError("from", "must not be after to")])
        await self._settler.settle_if_due(wallet_id)
        opened = await self._store.open(wallet_id, since=since, until=until, axis=axis)
        if opened is None:
            raise _not_found(wallet_id)
        if since is not None and since > opened.summary.period.until:
            raise Malformed([FieldError("from", "is in the future, and there is no to")])
        return opened

    async def _lines(self, opened: Opened, limit: int) -> Sequence[StatementLine]:
        summary, bounds, last_line = opened
        return await self._store.lines(summary.wallet_id, summary.period, bounds, last_line, limit=limit)

    async def _all_lines(self, opened: Opened, lines: Sequence[StatementLine]) -> AsyncIterator[StatementLine]:
        while lines:
            for line in lines:
                yield line
            if len(lines) < LINES_PER_FETCH:
                return
            opened = _after(opened, lines)
            async with self._turn:
                lines = await self._lines(opened, LINES_PER_FETCH)


def _after(opened: Opened, lines: Sequence[StatementLine]) -> Opened:
    """The statement as it goes on after these lines."""
    last_line = opened.last_line
    for line in lines:
        last_line = last_line_after(last_line, line, opened.summary.period.axis)
    return opened._replace(last_line=last_line)


def _filters(wallet_id: WalletId, since: datetime | None, until: datetime | None, axis: Axis) -> dict[str, str]:
    filters = {"wallet_id": str(wallet_id), "axis": axis.value}
    if since is not None:
        filters["from"] = since.isoformat()
    if until is not None:
        filters["to"] = until.isoformat()
    return filters


def _key(opened: Opened) -> Sequence[KeyPart]:
    """Everything that a later page needs. Balances and sums are text, since they may be beyond 64 bits."""
    summary, bounds, last_line = opened
    return (
        summary.asset_code,
        summary.scale,
        summary.period.until.isoformat(),
        str(summary.opening_balance),
        str(summary.closing_balance),
        _text(summary.credits),
        _text(summary.debits),
        int(summary.is_final),
        bounds.posted_upto,
        bounds.known_upto,
        last_line.position,
        "" if last_line.backdated_at is None else last_line.backdated_at.isoformat(),
        last_line.backdated_position,
        _text(last_line.balance),
    )


def _opened(key: Sequence[KeyPart], wallet_id: WalletId, since: datetime | None, axis: Axis) -> Opened:
    """The inverse of _key, on texts and numbers that were signed here."""
    code, scale, until, opening, closing, credits, debits, is_final, upto, known, *last_line = key
    position, backdated_at, backdated_position, balance = last_line
    summary = Summary(
        wallet_id=wallet_id,
        asset_code=str(code),
        scale=int(scale),
        period=Period(since, datetime.fromisoformat(str(until)), axis),
        opening_balance=int(opening),
        closing_balance=int(closing),
        credits=_number(credits),
        debits=_number(debits),
        is_final=bool(is_final),
    )
    at = datetime.fromisoformat(str(backdated_at)) if backdated_at else None
    return Opened(
        summary,
        PositionBounds(int(upto), int(known)),
        LastLine(int(position), at, int(backdated_position), _number(balance)),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(text: KeyPart) -> int | None:
    return None if text == "" else int(text)


def _not_found(wallet_id: WalletId) -> NotFound:
    return NotFound("wallet_not_found", f"there is no wallet {wallet_id}")
