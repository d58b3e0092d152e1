"""A wallet that appears while a batch begins: seen by the statement that loads, not by the one that locked."""

from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    assert_books_balance,
    balances,
    insert_ledger,
    make_ledger,
    new_writer,
    post,
    soon,
    topup,
)
from wallet.ledger.outcomes import Applied
from wallet.storage.batch import commit as commit_module


async def test_a_wallet_made_between_lock_and_load_is_locked_before_it_is_decided_on(
    connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await insert_ledger(connection, make_ledger(1))
    wallet = make_ledger(1).wallets[0]
    load, calls = commit_module.load, 0
    async with new_writer(database_url) as here, new_writer(database_url) as there:

        async def load_late(*arguments: Any) -> Any:
            """Another process makes the wallet once the locks are held, and moves it once it is loaded."""
            nonlocal calls
            calls += 1
            if calls > 1:
                return await load(*arguments)
            await connection.execute(
                "INSERT INTO wallets (created_at, asset_id, shard, locked, id, kind)"
                " VALUES (clock_timestamp(), $1, 0, true, $2, 'user')",
                old.asset.id,
                wallet,
            )
            loaded = await load(*arguments)
            await post(there, topup(wallet, 5, "theirs"))
            return loaded

        monkeypatch.setattr(commit_module, "load", load_late)
        [first, second] = await soon(here.commit([topup(old.wallets[0], 1, "old"), topup(wallet, 2, "ours")]))
    assert (type(first), type(second)) == (Applied, Applied)
    assert await connection.fetchval("SELECT balance FROM wallets WHERE id = $1", wallet) == 7
    assert await balances(connection, old) == [1]
    await assert_books_balance(connection)
