"""A refund of what moved between system wallets, tried twice at once: only the refund's own mutex makes one wait."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    again,
    assert_books_balance,
    insert_ledger,
    make_ledger,
    new_writer,
    post,
    refund,
    soon,
    topup,
    until_waiting,
)
from wallet.ledger.outcomes import Applied, Replayed
from wallet.storage.batch import commit as commit_module


async def test_a_second_try_that_waited_for_the_first_ones_mutex_is_answered_its_replay(
    connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await insert_ledger(connection, make_ledger(1))
    original = topup(ledger.asset.revenue, 100, "original")
    first = refund(original.id, "refund")
    commit, others = commit_module.commit, []
    async with new_writer(database_url) as here, new_writer(database_url) as there:
        await post(here, original)

        async def commit_once_the_other_waits(*arguments: Any) -> None:
            if not others:
                others.append(asyncio.create_task(there.commit([again(first)])))
                await until_waiting(connection, "Lock")
            await commit(*arguments)

        monkeypatch.setattr(commit_module, "commit", commit_once_the_other_waits)
        [answer] = await soon(here.commit([first]))
        [second] = await soon(others[0])
    assert isinstance(answer, Applied)
    assert second == Replayed(answer.posted)
    await assert_books_balance(connection)
