"""One clock: the database's, read once the locks are there, and the time of all that a batch posts."""

import asyncio
from datetime import timedelta

import asyncpg

from tests.storage.ledgers import (
    advance,
    assert_books_balance,
    hold,
    insert_ledger,
    make_ledger,
    new_writer,
    post,
    promotional,
    references,
    soon,
    spend,
    topup,
    until_waiting,
)
from wallet.ledger.outcomes import Applied, RefusalCode, Refused


async def test_the_time_is_read_after_the_locks_and_decides_what_has_expired(
    connection: asyncpg.Connection, database_url: str
) -> None:
    ledger = await insert_ledger(connection, make_ledger(2))
    alice = ledger.wallets[0]
    async with new_writer(database_url) as writer:
        await post(writer, promotional(alice, 5, "lot", expires_in_seconds=60))
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            waiting = asyncio.create_task(writer.commit([spend(alice, 5, "s"), topup(alice, 1, "t")]))
            await until_waiting(connection, "Lock")
            # It came in time, and the lot expires while it waits.
            await advance(connection, seconds=60)
            released_at = await connection.fetchval("SELECT ledger_now()")
        refused, applied = await soon(waiting)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.INSUFFICIENT_FUNDS
    assert isinstance(applied, Applied)
    assert applied.posted.created_at >= released_at
    await assert_books_balance(connection)


async def test_all_that_a_batch_posts_has_one_time_due_steps_included(
    connection: asyncpg.Connection, database_url: str
) -> None:
    ledger = await insert_ledger(connection, make_ledger(2))
    alice, bob = ledger.wallets
    async with new_writer(database_url) as writer:
        await post(writer, topup(alice, 9, "money"), hold(alice, 5, "h", expires_in_seconds=60))
        await advance(connection, seconds=90)
        before = await connection.fetchval("SELECT ledger_now()")
        one, other = await soon(writer.commit([spend(alice, 9, "s"), topup(bob, 1, "t")]))
    assert isinstance(one, Applied)
    assert isinstance(other, Applied)
    assert one.posted.created_at == other.posted.created_at >= before
    rows = await connection.fetch("SELECT * FROM transactions WHERE created_at = $1", one.posted.created_at)
    assert {row["reference_id"] for row in rows} == set((await references(connection))[2:])
    assert len(rows) == 3
    [expiry] = [row for row in rows if row["origin"] == "service"]
    placed = await connection.fetchrow("SELECT created_at FROM transactions WHERE reference_id = 'h'")
    assert expiry["effective_at"] == placed["created_at"] + timedelta(seconds=60)
