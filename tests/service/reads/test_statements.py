"""Statements that are read whole, beside each other and beside everything else."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from wallet.ledger.model import Direction
from wallet.service.reads.statements import LINES_PER_FETCH, Statements
from wallet.storage.reads.statement_lines import LastLine, Opened, Period, PositionBounds, StatementLine, Summary
from wallet.storage.reads.wallet_at import Axis

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LINES = 5 * LINES_PER_FETCH + 1


class Store:
    """A wallet of LINES lines, and how many questions were under way at once once the first lines were there."""

    def __init__(self) -> None:
        self.asked = self.asking = self.asking_most = 0

    async def open(self, wallet_id: UUID, **_: Any) -> Opened:
        summary = Summary(
            wallet_id=wallet_id, asset_code="GOLD", scale=0, period=Period(None, NOW, Axis.POSTED), opening_balance=0,
            closing_balance=LINES, credits=LINES, debits=0, is_final=True,
        )  # fmt: skip
        return Opened(summary, PositionBounds(LINES, LINES), LastLine(0, None, 0, 0))

    async def lines(
        self, wallet_id: UUID, _period: Period, _bounds: PositionBounds, last_line: LastLine, *, limit: int
    ) -> Sequence[StatementLine]:
        self.asked += 1
        self.asking += last_line.position > 0
        self.asking_most = max(self.asking_most, self.asking)
        await asyncio.sleep(0)
        self.asking -= last_line.position > 0
        return [_line(at) for at in range(last_line.position + 1, min(last_line.position + limit, LINES) + 1)]


def _line(position: int) -> StatementLine:
    return StatementLine(
        transaction_id=UUID(int=position), reference_id=str(position), type="topup", direction=Direction.CREDIT,
        amount=1, balance_after=position, created_at=NOW, effective_at=NOW, counterparty_wallet_id=None,
        position=position,
    )  # fmt: skip


class Settled:
    async def settle_if_due(self, _: UUID) -> None: ...


async def positions(statements: Statements) -> list[int]:
    whole = await statements.whole_statement(UUID(int=1), since=None, until=NOW, axis=Axis.POSTED)
    return [line.position async for line in whole.lines]


async def test_of_many_whole_statements_one_is_read_on_at_a_time() -> None:
    store: Any = Store()
    nothing: Any = None
    settled: Any = Settled()
    statements = Statements(nothing, store, nothing, settled)
    read = await asyncio.gather(*(positions(statements) for _ in range(8)))
    assert read == [list(range(1, LINES + 1))] * 8
    assert (store.asked, store.asking_most) == (8 * 6, 1)


async def test_a_whole_statement_that_nobody_reads_on_keeps_no_other_waiting() -> None:
    store: Any = Store()
    nothing: Any = None
    settled: Any = Settled()
    statements = Statements(nothing, store, nothing, settled)
    left = await statements.whole_statement(UUID(int=1), since=None, until=NOW, axis=Axis.POSTED)
    seen = 0
    async for _ in left.lines:
        seen += 1
        if seen > LINES_PER_FETCH:
            break
    async with asyncio.timeout(10):
        assert len(await positions(statements)) == LINES
