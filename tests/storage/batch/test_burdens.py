"""The limits on lots and holds, in rows: lots that are joined, and counts of what is there."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    advance,
    assert_books_balance,
    hold,
    insert_ledger,
    make_database,
    make_ledger,
    merge,
    promotional,
    refund,
    settle,
    soon,
    spend,
    topup,
    transfer,
    void,
)
from wallet.ledger.batch import Bounds
from wallet.ledger.outcomes import Applied, Grouped, Refused, Settled
from wallet.ledger.requests import Group, Request
from wallet.storage.batch.sized_writer import SizedWriter, ThreadWriter
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.asset_cache import AssetCache

VERIFYING = load_statements("verify/transactions.sql")
SHARD = 0


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(5))


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[BatchWriter]:
    writer = BatchWriter(
        make_database(database_url), AssetCache(), observe=lambda _items, _steps: None, bounds=Bounds(4, 4)
    )
    yield writer
    await writer.close()


async def told(writer: BatchWriter, *batch: Request) -> list[str]:
    """The outcome of each request."""
    answers = await soon(writer.commit(batch))
    return [each.code.value if isinstance(each, Refused) else type(each).__name__.lower() for each in answers]


async def lots_of(connection: asyncpg.Connection, wallet: UUID) -> list[tuple[int, int, int]]:
    rows = await connection.fetch("SELECT amount, remaining, held FROM lots WHERE wallet_id = $1 ORDER BY id", wallet)
    return [tuple(row) for row in rows]


def aimed(wallet: UUID, target: UUID, reference_id: str) -> Request:
    more: dict[str, Any] = {"target": target, "capture_at_expiry": True, "expires_in_seconds": 60}
    return hold(wallet, 1, reference_id, **more)


async def test_thousands_of_transfers_of_one_lot_leave_one_lot(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    assert await told(writer, promotional(alice, 2_000, "lot", expires_in_seconds=60)) == ["applied"]
    for batch in range(4):
        answers = await told(writer, *(transfer(alice, bob, 1, f"t{batch}-{n}") for n in range(500)))
        assert set(answers) == {"applied"}
    assert await lots_of(connection, bob) == [(1, 2_000, 0)]
    await advance(connection, seconds=61)
    assert await soon(writer.commit([settle(bob)])) == [Settled()]
    assert await lots_of(connection, bob) == [(1, 0, 0)]
    await assert_books_balance(connection)


async def test_what_joined_a_lot_is_held_spent_and_reversed(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    last = transfer(alice, bob, 4, "t2")
    batch = [promotional(alice, 9, "lot"), transfer(alice, bob, 2, "t1"), last]
    assert await told(writer, *batch) == ["applied"] * 3
    assert await told(writer, hold(bob, 5, "h"), refund(last.id, "r", amount=1)) == ["applied", "applied"]
    assert await lots_of(connection, bob) == [(2, 5, 5)]
    assert await told(writer, refund(last.id, "r2", amount=1)) == ["insufficient_funds"]
    assert await lots_of(connection, alice) == [(9, 4, 0)]
    await assert_books_balance(connection)


async def test_holds_are_counted_as_far_as_it_matters_and_merged_wallets_with_them(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, dora, emil = ledger.wallets
    await told(writer, *(topup(wallet, 100, f"topup {wallet}") for wallet in ledger.wallets))
    first = hold(alice, 1, "h1")
    assert await told(writer, first, hold(alice, 1, "h2")) == ["applied"] * 2
    assert await told(writer, hold(alice, 1, "h3")) == ["applied"]
    assert await told(writer, hold(alice, 1, "h4"), hold(alice, 1, "h5")) == ["applied", "too_many_holds"]
    assert await told(writer, hold(alice, 1, "h6")) == ["too_many_holds"]
    assert await told(writer, void(first.id, "v"), hold(alice, 1, "h7")) == ["applied", "applied"]
    # Of the target only those count that are captured into it at their expiry, wherever they were aimed at first.
    assert await told(writer, *(hold(emil, 1, f"e{n}", target=bob) for n in range(2))) == ["applied"] * 2
    assert await told(writer, aimed(dora, bob, "a1"), aimed(dora, carol, "a2"), aimed(dora, carol, "a3")) == (
        ["applied"] * 3
    )
    assert await told(writer, merge(carol, bob, "m"), aimed(emil, bob, "a4"), aimed(emil, bob, "a5")) == (
        ["applied", "applied", "too_many_holds"]
    )
    assert await told(writer, aimed(dora, bob, "a6")) == ["too_many_holds"]
    await advance(connection, seconds=61)
    assert await told(writer, aimed(dora, bob, "a7")) == ["applied"]
    await assert_books_balance(connection)


async def test_a_lot_that_is_spent_makes_room_for_another(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, *_ = ledger.wallets
    lots = [promotional(alice, 1, f"lot {n}") for n in range(5)]
    assert await told(writer, *lots) == ["applied"] * 4 + ["too_many_lots"]
    assert await told(writer, promotional(alice, 1, "one more")) == ["too_many_lots"]
    assert await told(writer, spend(alice, 1, "s"), promotional(alice, 1, "now")) == ["applied", "applied"]
    assert isinstance((await soon(writer.commit([topup(alice, 1, "main")])))[0], Applied)
    await assert_books_balance(connection)


async def test_a_batch_that_moves_many_lots_to_and_fro_is_decided_in_parts(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, *_ = ledger.wallets
    sizes: list[int] = []
    writer = BatchWriter(make_database(database_url), AssetCache(), observe=lambda items, _steps: sizes.append(items))
    monkeypatch.setattr("wallet.ledger.apply.LINES_OF_SEVERAL_MAX", 50)
    await told(writer, *(promotional(alice, 1, f"lot {n}", expires_in_seconds=600 + n) for n in range(12)))
    sizes.clear()
    ends = [(alice, bob), (bob, alice)] * 4
    answers = await told(writer, *(transfer(one, other, 12, f"t{n}") for n, (one, other) in enumerate(ends)))
    assert answers == ["applied"] * 8
    assert sum(sizes) == 8
    assert max(sizes) < 8
    assert sum(remaining for _, remaining, _ in await lots_of(connection, alice)) == 12
    await assert_books_balance(connection)
    await writer.close()


@pytest.mark.parametrize(("most", "is_in_thread"), [(40, True), (1_000, False)])
async def test_a_group_that_moves_many_lots_to_and_fro_is_decided_aside(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, most: int, is_in_thread: bool
) -> None:
    alice, bob, *_ = ledger.wallets
    thread_sizes: list[int] = []
    database, assets = make_database(database_url), AssetCache()
    at_once = BatchWriter(database, assets, observe=lambda _items, _steps: None, group_lines_at_once=most)
    in_thread = BatchWriter(
        database, assets, observe=lambda items, _steps: thread_sizes.append(items), is_in_thread=True
    )
    writer = SizedWriter(at_once, ThreadWriter(in_thread))
    await soon(writer.commit([promotional(alice, 1, f"lot {n}", expires_in_seconds=600 + n) for n in range(12)]))
    ends = [(alice, bob), (bob, alice)] * 2
    items = tuple(transfer(one, other, 12, f"t{n}") for n, (one, other) in enumerate(ends))
    batch = [topup(bob, 1, "before"), Group(uuid4(), "api", "group", items), topup(bob, 1, "after")]
    first, grouped, last = await soon(writer.commit(batch))
    assert isinstance(grouped, Grouped)
    assert [type(each) for each in (first, *grouped.outcomes, last)] == [Applied] * 6
    assert thread_sizes == [1] * is_in_thread
    assert sum(remaining for _, remaining, _ in await lots_of(connection, alice)) == 12
    await assert_books_balance(connection)
    await writer.close()


async def test_what_was_told_of_many_lots_is_verified_by_lot_without_all_that_was_told(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    writer = BatchWriter(make_database(database_url), AssetCache(), observe=lambda _items, _steps: None)
    await told(writer, *(promotional(alice, 1, f"lot {n}", expires_in_seconds=600 + n) for n in range(200)))
    ends = [(alice, bob), (bob, alice)] * 2
    await told(writer, *(transfer(one, other, 200, f"t{n}") for n, (one, other) in enumerate(ends)))
    await writer.close()
    explained = await connection.fetchval(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + VERIFYING["check_details"], SHARD, None, None
    )
    # In blocks of 8 KiB. With the details in the row of each lot there were 16,000.
    assert json.loads(explained)[0]["Plan"]["Temp Written Blocks"] < 1_000
