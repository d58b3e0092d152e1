"""Large batches go by other statements: wallets are read as they are locked, and rows are copied."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    again,
    assert_books_balance,
    insert_ledger,
    make_ledger,
    new_writer,
    post,
    references,
    soon,
    spend,
    topup,
    transfer,
    until_waiting,
)
from wallet.errors import BadData
from wallet.ledger.outcomes import Applied, RefusalCode, Refused, Replayed
from wallet.ledger.requests import Post, Request
from wallet.service.writes.ordered_committer import OrderedCommitter
from wallet.storage.batch.commit import WALLETS_READ_LEAST
from wallet.storage.batch.wallets_to_lock import wallets_locked
from wallet.storage.batch.write_by_copy import ENTRIES_LEAST
from wallet.storage.rows.asset_cache import AssetCache

WALLETS = WALLETS_READ_LEAST + 44


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(WALLETS))


def topups(ledger: Ledger, amount: int, name: str) -> list[Post]:
    """One for every wallet: enough for both of the other ways."""
    made = [topup(wallet, amount, f"{name} {number:03}") for number, wallet in enumerate(ledger.wallets)]
    assert 2 * len(made) >= ENTRIES_LEAST
    return made


def random_transfers(ledger: Ledger, chance: random.Random, count: int) -> list[Post]:
    pairs = (chance.sample(ledger.wallets, 2) for _ in range(count))
    return [
        transfer(source, target, chance.randrange(1, 30), f"t {number}")
        for number, (source, target) in enumerate(pairs)
    ]


def kinds(answers: Sequence[object]) -> list[type]:
    return [type(answer) for answer in answers]


async def test_what_is_stored_of_a_large_batch_is_what_was_answered(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    first = topup(ledger.wallets[0], 5, 'quoted \\ "\\N" ü 你')._replace(metadata='{"a":"\\\\b\\t ü","n":1}')
    chance = random.Random(1)
    batch = [first, *topups(ledger, 40, "m"), *random_transfers(ledger, chance, 600), again(first)]
    async with new_writer(database_url) as writer:
        outcomes = await soon(writer.commit(batch))
    assert Counter(kinds(outcomes)).keys() == {Applied, Refused, Replayed}
    posted = [outcome.posted for outcome in outcomes if isinstance(outcome, Applied)]
    rows = await connection.fetch(
        "SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at FROM transactions"
    )
    assert {tuple(row) for row in rows} == {each[:8] for each in posted}
    rows = await connection.fetch(
        "SELECT transaction_id, leg, wallet_id, asset_id, direction, amount,"
        " CASE WHEN balance_after IS NOT NULL THEN position END, balance_after FROM ledger_entries"
    )
    assert {tuple(row) for row in rows} == {entry for each in posted for entry in each.entries}
    places = "SELECT count(*), count(DISTINCT position), min(position) >> 20 FROM ledger_entries WHERE wallet_id = $1"
    count, distinct, seq = await connection.fetchrow(places, ledger.asset.treasury)
    assert (count, distinct) == (WALLETS + 1, WALLETS + 1)
    assert seq == await connection.fetchval("SELECT seq FROM batches")
    assert await connection.fetchval("SELECT count(*) FROM metadata_members") == 2
    await assert_books_balance(connection)


async def test_a_large_batch_that_waited_for_a_wallet_sees_what_it_waited_for(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    held = ledger.wallets[7]
    async with new_writer(database_url) as here, new_writer(database_url) as there:
        await post(here, topup(held, 5, "before"))
        stranger = connection.transaction()
        await stranger.start()
        await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", held)
        theirs = asyncio.create_task(there.commit([spend(held, 3, "theirs")]))
        await until_waiting(connection, "Lock")
        ours = asyncio.create_task(here.commit([*topups(ledger, 1, "m"), spend(held, 4, "ours")]))
        await until_waiting(connection, "Lock", sessions=2)
        await stranger.rollback()
        await soon(theirs)
        *_, last = await soon(ours)
    # 5 - 3 + 1 is what there is.
    assert isinstance(last, Refused)
    assert (last.code, last.available) == (RefusalCode.INSUFFICIENT_FUNDS, 3)
    await assert_books_balance(connection)


async def test_large_batches_with_the_same_references_wait_for_each_other_and_never_deadlock(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    half = ENTRIES_LEAST // 2
    wallets = random.Random(1).sample(ledger.wallets, 2)
    names = [f"r {number:03}" for number in range(half)]
    async with new_writer(database_url) as here, new_writer(database_url) as there:
        answers = await soon(
            asyncio.gather(
                here.commit([topup(wallets[0], 1, name) for name in names]),
                there.commit([topup(wallets[1], 1, name) for name in reversed(names)]),
            )
        )
    assert sorted(Counter(kinds(each)).keys() == {Applied} for each in answers) == [False, True]
    assert sorted(await references(connection)) == names
    assert await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


@pytest.mark.parametrize(
    "poison",
    [
        lambda ledger: topup(ledger.wallets[0], 1, "with\0nul"),
        lambda ledger: topup(ledger.wallets[0], 1, "with \ud800 alone"),
        lambda ledger: topup(ledger.asset.revenue, 2**64, "65 bits"),
    ],
    ids=["nul", "surrogate", "65 bits"],
)
async def test_one_poisonous_request_of_a_large_batch_fails_alone(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, poison: Callable[[Ledger], Post]
) -> None:
    batch = topups(ledger, 1, "m")
    batch.insert(200, poison(ledger))
    async with new_writer(database_url) as writer:
        answers = kinds(await soon(writer.commit(batch)))
    assert answers == [Applied] * 200 + [BadData] + [Applied] * (WALLETS - 200)
    await assert_books_balance(connection)


@pytest.mark.parametrize("seed", range(3))
async def test_batches_whose_connections_are_killed_keep_the_order_and_lose_nothing(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    # A chain through every wallet: each transfer moves on what the one before it brought.
    chain = [topup(ledger.wallets[0], 1, "first")]
    chain += [
        transfer(source, target, 1, f"c {number}")
        for number, (source, target) in enumerate(zip(ledger.wallets, ledger.wallets[1:], strict=False))
    ]
    # Between its links stands what is free to overtake them.
    requests: list[Request] = []
    for link in chain:
        requests.append(link)
        requests += (topup(chance.choice(ledger.wallets), 7, f"f {len(requests)} {n}") for n in range(4))
    assets = AssetCache()
    async with new_writer(database_url) as first, new_writer(database_url) as second:
        committer = OrderedCommitter(
            [first, second],
            queue_depth_max=10_000,
            batch_items_max=150,
            wallets_of=lambda request: wallets_locked(request, assets),
        )
        committer.start()
        assets.add(ledger.asset)
        tasks = [asyncio.create_task(committer.submit(request)) for request in requests]
        await kill_writers(connection, times=8)
        outcomes = await soon(asyncio.gather(*tasks, return_exceptions=True))
        await soon(committer.drain(10))
    applied = {each.posted.reference_id for each in outcomes if isinstance(each, Applied)}
    assert applied <= set(await references(connection))
    # Per wallet, what was applied was applied in the order in which it came.
    sent = {request.reference_id: place for place, request in enumerate(requests)}
    rows = await connection.fetch(
        "SELECT wallet_id, reference_id FROM ledger_entries JOIN transactions ON transaction_id = id"
        " WHERE balance_after IS NOT NULL ORDER BY wallet_id, position"
    )
    last: dict[object, int] = {}
    for wallet_id, reference_id in rows:
        assert last.get(wallet_id, -1) < sent[reference_id]
        last[wallet_id] = sent[reference_id]
    assert committer.fault is None
    # A batch is tried twice: so many it takes at most, and what is left of the chain.
    assert len(applied) >= len(requests) - 8 // 2 * 150 - len(chain)
    await assert_books_balance(connection)


async def kill_writers(connection: asyncpg.Connection, *, times: int) -> None:
    """End one writer's session after another, each with a batch under way."""
    for _ in range(times):
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
            " ORDER BY random() LIMIT 1) AS one"
        )
        await asyncio.sleep(0.05)


async def test_references_go_in_in_the_order_of_their_key(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    """So disjoint batches with the same references wait for each other and never deadlock, large or small."""
    batch = topups(ledger, 5, "m")[::-1]
    async with new_writer(database_url) as writer:
        await soon(writer.commit(batch))
    rows = await connection.fetch("SELECT reference_id FROM transactions ORDER BY ctid")
    assert [row["reference_id"] for row in rows] == sorted(each.reference_id for each in batch)
