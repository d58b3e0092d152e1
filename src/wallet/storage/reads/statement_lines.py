"""Statements: the balance of a wallet before a period, every entry in the period, and the balance afterwards.

The place of the whole period is read once, with the first lines. Later pages only continue, up to the end of the first
snapshot, so that later postings cannot move them.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from wallet.ledger.model import Direction, TransactionId, WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.wallet_at import (
    Axis,
    View,
    find_balance,
    find_place,
    just_before,
    view_of,
)

_SQL: Final = load_statements("reads/statement_lines.sql")

SUMMED_MAX: Final = 100_000
"""Statements of more lines have no sums of credits and debits."""

_AFTER_ALL: Final = 2**63 - 1
"""A position after all positions of one instant."""


class Period(NamedTuple):
    """A period from `since` (None: the beginning) to before `until`, on an axis."""

    since: datetime | None
    until: datetime
    axis: Axis


class PositionBounds(NamedTuple):
    """The place of a period's lines among the wallet's positions, as the first snapshot had them.

    posted_upto: no entry posted in the period is after it. known_upto: the last position in the snapshot.
    """

    posted_upto: int
    known_upto: int


class LastLine(NamedTuple):
    """The line that a page ended with, as far as the next one needs it.

    position: of the last line; on the effective axis, of the last one that took effect when posted. backdated_at,
    backdated_position: of the last one there that had before. balance: after it; None on unlocked wallets.
    """

    position: int
    backdated_at: datetime | None
    backdated_position: int
    balance: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A statement without its lines. `credits` and `debits` are None beyond SUMMED_MAX lines.

    is_final: no later posting can be in it.
    """

    wallet_id: WalletId
    asset_code: str
    scale: int
    period: Period
    opening_balance: int
    closing_balance: int
    credits: int | None
    debits: int | None
    is_final: bool


class Opened(NamedTuple):
    """A statement, the place of its lines, and the place to begin at."""

    summary: Summary
    bounds: PositionBounds
    last_line: LastLine


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """An entry. `balance_after` is on the axis of the statement, and None on unlocked wallets.

    counterparty_wallet_id: the wallet of the transaction's other entry, if there is exactly one.
    """

    transaction_id: TransactionId
    reference_id: str
    type: str
    direction: Direction
    amount: int
    balance_after: int | None
    created_at: datetime
    effective_at: datetime
    counterparty_wallet_id: WalletId | None
    position: int


class StatementStore(Store):
    """Raises StorageUnavailable when the database cannot answer in time."""

    summed_max = SUMMED_MAX

    async def open(
        self, wallet_id: WalletId, *, since: datetime | None, until: datetime | None, axis: Axis
    ) -> Opened | None:
        """A statement up to `until`, or to the ledger's clock; None: there is no such wallet."""

        async def read(shard: Shard) -> Opened | None:
            end = until or await shard.connection.fetchval(_SQL["read_now"])
            async with view_of(shard, wallet_id, just_before(end) or end) as view:
                return None if view is None else await self._open(shard, view, Period(since, end, axis))

        return await self._pool.ask(read)

    async def lines(
        self, wallet_id: WalletId, period: Period, bounds: PositionBounds, last_line: LastLine, *, limit: int
    ) -> Sequence[StatementLine]:
        """The lines after `last_line`: by position on the posted axis, by effective time and position on the other."""

        async def read(shard: Shard) -> Sequence[StatementLine]:
            posted = await shard.fetch(_SQL["list_lines"], *self._posted(wallet_id, period, bounds, last_line), limit)
            if period.axis is Axis.POSTED:
                return [_line(row, row["balance_after"]) for row in posted]
            backdated = await shard.fetch(
                _SQL["list_backdated_lines"], *self._backdated(wallet_id, period, bounds, last_line), limit
            )
            return _merged(posted, backdated, last_line.balance)[:limit]

        return await self._pool.ask(read)

    async def _open(self, shard: Shard, view: View, period: Period) -> Opened:
        subject, axis = view.subject, period.axis
        before = just_before(period.since)
        start = await find_place(shard, subject, before)
        end = await find_place(shard, subject, just_before(period.until))
        opening, _, _ = await find_balance(shard, subject, start, axis)
        closing, _, _ = await find_balance(shard, subject, end, axis)
        bounds = PositionBounds(end.last, subject.position_max)
        last_line = LastLine(start.whole, before, _AFTER_ALL, opening if subject.locked else None)
        sums = await self._sums(shard, subject.id, period, bounds, last_line)
        summary = Summary(
            wallet_id=subject.id,
            asset_code=subject.asset_code,
            scale=subject.scale,
            period=period,
            opening_balance=opening,
            closing_balance=closing,
            credits=None if sums is None else sums[0],
            debits=None if sums is None else sums[1],
            is_final=view.is_final and axis is Axis.POSTED,
        )
        return Opened(summary, bounds, last_line)

    async def _sums(
        self, shard: Shard, wallet_id: WalletId, period: Period, bounds: PositionBounds, last_line: LastLine
    ) -> tuple[int, int] | None:
        limit = self.summed_max + 1
        rows = [await shard.fetchrow(_SQL["sum_lines"], *self._posted(wallet_id, period, bounds, last_line), limit)]
        if period.axis is Axis.EFFECTIVE:
            parameters = self._backdated(wallet_id, period, bounds, last_line)
            rows.append(await shard.fetchrow(_SQL["sum_backdated_lines"], *parameters, limit))
        if any(row["seen"] > self.summed_max for row in rows):
            return None
        return sum(int(row["credits"]) for row in rows), sum(int(row["debits"]) for row in rows)

    def _posted(
        self, wallet_id: WalletId, period: Period, bounds: PositionBounds, last_line: LastLine
    ) -> Sequence[Any]:
        is_effective = period.axis is Axis.EFFECTIVE
        return (
            wallet_id, last_line.position, bounds.posted_upto, period.since, period.until, is_effective,
        )  # fmt: skip

    def _backdated(
        self, wallet_id: WalletId, period: Period, bounds: PositionBounds, last_line: LastLine
    ) -> Sequence[Any]:
        return (
            wallet_id, last_line.backdated_at, last_line.backdated_position, period.until, bounds.known_upto,
        )  # fmt: skip


def last_line_after(last_line: LastLine, line: StatementLine, axis: Axis) -> LastLine:
    """`last_line` after one more line."""
    if axis is Axis.POSTED or line.effective_at == line.created_at:
        return last_line._replace(position=line.position, balance=line.balance_after)
    return LastLine(last_line.position, line.effective_at, line.position, line.balance_after)


def _merged(posted: Sequence[Any], backdated: Sequence[Any], balance: int | None) -> list[StatementLine]:
    # Only the heads of both lists are compared, so that each list keeps its own order, also on an unlocked wallet.
    lines = []
    for row in heapq.merge(posted, backdated, key=lambda row: (row["effective_at"], row["position"])):
        if balance is not None:
            balance += row["direction"] * row["amount"]
        lines.append(_line(row, balance))
    return lines


def _line(row: Any, balance_after: int | None) -> StatementLine:
    return StatementLine(**{**row, "direction": Direction(row["direction"]), "balance_after": balance_after})
