"""Large batches are decided in a thread, however long that takes, and what is larger still is refused or halved."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    assert_books_balance,
    commands,
    group,
    insert_ledger,
    make_database,
    make_ledger,
    new_writer,
    refund,
    soon,
    topup,
    until,
)
from wallet.errors import GroupTooLarge, WalletError
from wallet.ledger.model import Direction
from wallet.ledger.outcomes import Applied, Grouped, Outcome
from wallet.ledger.requests import Leg, Post, Request
from wallet.storage.batch.long_work import at_once, in_a_thread
from wallet.storage.batch.sized_writer import AT_ONCE_LEGS_MAX, LEGS_MAX, SizedWriter, ThreadWriter
from wallet.storage.batch.wallets_to_lock import POINTED_MAX
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.rows.asset_cache import AssetCache

IDLE_SECONDS = 1.0


@dataclass
class NotingWriter:
    """Notes in which threads it committed, and whether it was cancelled. `answers`: whether it comes to an end."""

    answers: bool = True
    threads: list[int] = field(default_factory=list)
    is_cancelled: bool = False
    is_closed: bool = False

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]:
        self.threads.append(threading.get_ident())
        try:
            if not self.answers:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        return [WalletError()] * len(batch)

    async def close(self) -> None:
        self.is_closed = True

    async def is_committing(self) -> bool:
        return bool(self.threads)

    async def was_cancelled(self) -> bool:
        return self.is_cancelled


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(LEGS_MAX))


def payout(ledger: Ledger, name: str) -> Post:
    legs = [
        Leg(wallet, (Direction.DEBIT, Direction.CREDIT)[place % 2], 1) for place, wallet in enumerate(ledger.wallets)
    ]
    return commands().transaction("payout", legs=legs, reference_id=name, metadata=None)


def aside_writer(database_url: str, **settings: Any) -> ThreadWriter:
    database = make_database(database_url, **settings)
    return ThreadWriter(BatchWriter(database, AssetCache(), observe=lambda _items, _steps: None, is_in_thread=True))


async def test_only_a_large_batch_goes_aside() -> None:
    here, in_thread = NotingWriter(), NotingWriter()
    writer = SizedWriter(here, ThreadWriter(in_thread))
    wallet = make_ledger(1).wallets[0]
    few = [topup(wallet, 1, str(number)) for number in range(AT_ONCE_LEGS_MAX // 2)]
    await soon(writer.commit(few))
    assert (len(here.threads), len(in_thread.threads)) == (1, 0)
    await soon(writer.commit([group(*few, topup(wallet, 1, "one more"))]))
    await soon(writer.commit([refund(wallet, str(number)) for number in range(AT_ONCE_LEGS_MAX // LEGS_MAX + 1)]))
    assert (len(here.threads), len(in_thread.threads)) == (1, 2)
    await soon(writer.close())
    assert (here.is_closed, in_thread.is_closed) == (True, True)
    assert threading.get_ident() not in in_thread.threads


async def test_what_is_cancelled_here_is_cancelled_there() -> None:
    inner = NotingWriter(answers=False)
    writer = ThreadWriter(inner)
    committing = asyncio.create_task(writer.commit([topup(make_ledger(1).wallets[0], 1, "a")]))
    await until(inner.is_committing)
    committing.cancel()
    await until(inner.was_cancelled)
    await soon(writer.close())
    assert inner.is_closed


async def test_what_is_stored_aside_is_what_was_answered(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    writer = aside_writer(database_url)
    items = [topup(wallet, 5, f"t {place} {n}") for place, wallet in enumerate(ledger.wallets) for n in range(12)]
    (answer,) = await soon(writer.commit([group(*items, payout(ledger, "p"))]))
    await soon(writer.close())
    assert isinstance(answer, Grouped)
    assert all(type(each) is Applied for each in answer.outcomes)
    assert await connection.fetchval("SELECT count(*) FROM transactions") == len(items) + 1
    await assert_books_balance(connection)


async def test_work_that_outlasts_the_idle_limit_keeps_its_session(database_url: str) -> None:
    connection = await make_database(database_url, idle_transaction_ms_max=int(IDLE_SECONDS * 1000)).connect("test")
    try:
        await connection.execute("BEGIN")
        await in_a_thread(IDLE_SECONDS)(connection, time.sleep, 1.5 * IDLE_SECONDS)
        assert await connection.fetchval("SELECT 1") == 1
        await at_once(connection, time.sleep, 1.5 * IDLE_SECONDS)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.fetchval("SELECT 1")
    finally:
        connection.terminate()


async def test_of_what_points_at_too_much_a_group_is_refused_and_several_are_halved(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    count = POINTED_MAX // LEGS_MAX + 1
    payouts = [payout(ledger, f"p {number}") for number in range(count)]
    writer = aside_writer(database_url)
    async with new_writer(database_url) as plain:
        funded = await soon(plain.commit([topup(wallet, count, f"t {wallet}") for wallet in ledger.wallets]))
        assert all(type(each) is Applied for each in funded)
    assert all(type(each) is Applied for each in await soon(writer.commit(payouts)))
    refunds = [refund(each.id, f"r {number}") for number, each in enumerate(payouts)]
    (refused,) = await soon(writer.commit([group(*refunds)]))
    assert isinstance(refused, GroupTooLarge)
    assert await connection.fetchval("SELECT count(*) FROM transactions WHERE type = 'refund'") == 0
    assert all(type(each) is Applied for each in await soon(writer.commit(refunds)))
    await soon(writer.close())
    await assert_books_balance(connection)
