"""Statements as they are answered: JSON by the page, or CSV whole."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import Struct

from wallet.http.operations.answers import direction_name
from wallet.ledger.instants import rfc3339
from wallet.service.reads.statements import Statement, WholeStatement
from wallet.storage.reads.statement_lines import StatementLine

_COLUMNS: Final = (
    "transaction_id", "reference_id", "type", "direction", "amount", "balance_after", "created_at", "effective_at",
    "counterparty_wallet_id",
)  # fmt: skip
_ROWS_PER_PIECE: Final = 100  # encoding more at once would keep movements waiting
# A spreadsheet takes these characters for the beginning of a formula, in either width.
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class StatementLineAnswer(Struct, kw_only=True):
    """An entry of the wallet. balance_after is on the statement's axis; null on a system wallet without a cap.

    counterparty_wallet_id: whose the other entry of the transaction is, if it has only one.
    """

    transaction_id: str
    reference_id: str
    type: str
    direction: str
    amount: int
    balance_after: int | None
    created_at: str
    effective_at: str
    counterparty_wallet_id: str | None


class StatementAnswer(Struct, kw_only=True, rename={"from_": "from"}):
    """The balance just before `from`, a page of the entries from there to before `to`, and the balance then.

    from: null: the beginning. credits and debits: sums over the whole statement; null where it has more than 100,000
    lines. final: false while what is still to be posted could be in it.
    """

    wallet_id: str
    asset_code: str
    scale: int
    axis: str
    from_: str | None
    to: str
    final: bool
    opening_balance: int
    closing_balance: int
    credits: int | None
    debits: int | None
    data: list[StatementLineAnswer]
    next: str | None
    has_more: bool


def statement_answer(statement: Statement) -> StatementAnswer:
    summary, page = statement.summary, statement.page
    since = summary.period.since
    return StatementAnswer(
        wallet_id=str(summary.wallet_id),
        asset_code=summary.asset_code,
        scale=summary.scale,
        axis=summary.period.axis.value,
        from_=None if since is None else rfc3339(since),
        to=rfc3339(summary.period.until),
        final=summary.is_final,
        opening_balance=summary.opening_balance,
        closing_balance=summary.closing_balance,
        credits=summary.credits,
        debits=summary.debits,
        data=[_line_answer(line) for line in page.data],
        next=page.next,
        has_more=page.has_more,
    )


async def statement_csv(statement: WholeStatement) -> AsyncIterator[bytes]:
    """The statement as CSV (RFC 4180), in pieces: a row that names the columns, the opening balance, the lines, the
    closing balance. Without the last row it is not whole. Amounts are integers in minor units.
    """
    summary = statement.summary
    since = summary.period.since
    opening = _balance_row("opening", summary.opening_balance, "" if since is None else rfc3339(since))
    rows: list[Sequence[object]] = [_COLUMNS, opening]
    async for line in statement.lines:
        rows.append(_row(line))
        if len(rows) >= _ROWS_PER_PIECE:
            yield _encoded(rows)
            rows = []
    rows.append(_balance_row("closing", summary.closing_balance, rfc3339(summary.period.until)))
    yield _encoded(rows)


def _line_answer(line: StatementLine) -> StatementLineAnswer:
    return StatementLineAnswer(
        transaction_id=str(line.transaction_id),
        reference_id=line.reference_id,
        type=line.type,
        direction=direction_name(line.direction),
        amount=line.amount,
        balance_after=line.balance_after,
        created_at=rfc3339(line.created_at),
        effective_at=rfc3339(line.effective_at),
        counterparty_wallet_id=None if line.counterparty_wallet_id is None else str(line.counterparty_wallet_id),
    )


def _row(line: StatementLine) -> Sequence[object]:
    return (
        line.transaction_id,
        _cell(line.reference_id),
        _cell(line.type),
        direction_name(line.direction),
        line.amount,
        line.balance_after,  # None is written as an empty cell
        rfc3339(line.created_at),
        rfc3339(line.effective_at),
        line.counterparty_wallet_id,
    )


def _balance_row(name: str, balance: int, at: str) -> Sequence[object]:
    # No transaction has an empty id, so no type that a caller thinks of can be taken for these.
    return ("", "", name, "", "", balance, at, at, "")


def _cell(text: str) -> str:
    """A caller's text that no spreadsheet takes for a formula: with an apostrophe before it, if it looks like one."""
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(_FORMULA) else text


def _encoded(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
