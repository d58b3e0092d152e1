"""Sealing: stable batches are linked in order, once, by whoever leads; and what is not linked yet is measured."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.storage.mixed_traffic import MixedTraffic
from tests.storage.posting import commit_all, make_asset, make_wallets, topup, writer_of
from tests.storage.sealing import make_all_stable, seal_all
from tests.storage.verify.test_verify import make_ledger
from wallet.errors import StorageUnavailable
from wallet.ledger.audit import NO_LINK, Salts, leaf_of, link_hash, merkle_root
from wallet.ledger.model import LotCategory
from wallet.ledger.requests import LotTerms, Options
from wallet.storage.batch.write_by_copy import ENTRIES_LEAST
from wallet.storage.chain import leaves
from wallet.storage.chain import seal as chain
from wallet.storage.chain.leaves import read_records, read_salts
from wallet.storage.chain.seal import Lag, find_checkpoints, link_of, measure_lag, seal
from wallet.storage.connections.shard import Shard
from wallet.storage.verify.chain import verify_with_chain

SEALS = "SELECT height, seq FROM seals ORDER BY height"
FORGET_ROOTS = "UPDATE batches SET root = NULL, marks = NULL"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


@pytest.fixture
async def ledger(database_url: str, connection: asyncpg.Connection) -> asyncpg.Connection:
    """Five batches, of which four are stable."""
    await make_ledger(database_url, connection)
    return connection


@pytest.fixture
async def salts(connection: asyncpg.Connection) -> Salts:
    return await read_salts(connection)


async def sealed(connection: asyncpg.Connection) -> list[tuple[int, int]]:
    return [tuple(row) for row in await connection.fetch(SEALS)]


async def is_sound(dsn: str) -> bool:
    report, _ = await verify_with_chain(dsn, on_progress=lambda progress: None)
    return report.is_sound


# Roots


async def test_a_batch_has_the_root_and_the_marks_of_what_it_wrote(ledger: asyncpg.Connection, salts: Salts) -> None:
    for row in await ledger.fetch("SELECT seq, root, marks FROM batches"):
        records = await read_records(Shard(ledger), first_seq=row["seq"], last_seq=row["seq"])
        leaves = [leaf_of(record, salts) for record in records[row["seq"]]]
        assert row["root"] == merkle_root(leaves)
        assert row["marks"] == b"".join(leaf[:8] for leaf in leaves)


async def test_a_large_batch_has_the_same_leaves_whichever_way_its_rows_are_written(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    wallets = await make_wallets(connection, "GOLD", 3)
    writer = writer_of(database_url)
    await commit_all(writer, [topup(wallets[n % 3], n + 1) for n in range(ENTRIES_LEAST)])
    # Rows are not copied where one of them has more than a row and entries.
    with_a_lot = topup(wallets[0], 5)._replace(options=Options(lot=LotTerms(LotCategory.PAID)))
    await commit_all(writer, [*(topup(wallets[n % 3], n + 1) for n in range(ENTRIES_LEAST)), with_a_lot])
    await writer.close()
    await seal_all(connection)
    assert await is_sound(database_url)


async def test_records_are_read_in_order_of_their_leaves(database_url: str, connection: asyncpg.Connection) -> None:
    traffic = MixedTraffic(database_url, connection, seed=3)
    await traffic.begin()
    await traffic.run(30, items_max=20)
    records = await read_records(Shard(connection), first_seq=0, last_seq=10**6)
    assert sum(map(len, records.values())) > 100
    for each in records.values():
        assert list(each) == sorted(each, key=lambda record: record.key)


async def test_the_salts_are_those_of_the_database(connection: asyncpg.Connection) -> None:
    secret = await connection.fetchval("SELECT secret FROM service_secrets WHERE name = 'audit_salt'")
    assert len(secret) == 32
    assert (await read_salts(connection)).four(b"x") == Salts(secret).four(b"x")


async def test_a_database_without_a_salt_is_not_set_up(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM service_secrets WHERE name = 'audit_salt'")
    with pytest.raises(StorageUnavailable):
        await read_salts(connection)


# Links


async def test_stable_batches_are_linked_in_order_and_no_others(ledger: asyncpg.Connection, salts: Salts) -> None:
    assert not await seal(Shard(ledger), salts=salts)
    assert await sealed(ledger) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    await make_all_stable(ledger)
    assert not await seal(Shard(ledger), salts=salts)
    assert (await sealed(ledger))[4:] == [(5, 5)]
    assert not await seal(Shard(ledger), salts=salts)
    assert len(await sealed(ledger)) == 5


async def test_each_link_is_made_of_the_one_before(ledger: asyncpg.Connection) -> None:
    await seal_all(ledger)
    previous = NO_LINK
    for row in await ledger.fetch("SELECT * FROM seals JOIN batches USING (shard, seq) ORDER BY height"):
        previous = link_hash(previous, link_of(row, 0, row["height"], row["root"]))
        assert row["hash"] == previous


async def test_a_step_seals_so_many_and_says_that_there_are_more(ledger: asyncpg.Connection, salts: Salts) -> None:
    await make_all_stable(ledger)
    assert await seal(Shard(ledger), salts=salts, batches_max=2)
    assert await seal(Shard(ledger), salts=salts, batches_max=2)
    assert not await seal(Shard(ledger), salts=salts, batches_max=2)
    assert await sealed(ledger) == [(n, n) for n in range(1, 6)]


async def test_seqs_that_no_batch_has_leave_no_gap_in_heights(database_url: str, ledger: asyncpg.Connection) -> None:
    await ledger.execute("SELECT nextval('batch_seq'), nextval('batch_seq')")
    writer = writer_of(database_url)
    await commit_all(writer, [topup((await make_wallets(ledger, "GOLD", 1))[0], 1)])
    await writer.close()
    await seal_all(ledger)
    assert (await sealed(ledger))[-2:] == [(5, 5), (6, 8)]


async def test_links_are_append_only(ledger: asyncpg.Connection) -> None:
    await seal_all(ledger)
    for sql in ("UPDATE seals SET hash = hash", "DELETE FROM seals", "TRUNCATE seals"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await ledger.execute(sql)


# Leaders


async def test_of_two_leaders_at_once_each_link_is_written_once(database_url: str, ledger: asyncpg.Connection) -> None:
    await make_all_stable(ledger)
    salts = await read_salts(ledger)

    async def lead(batches_max: int) -> None:
        async with connected(database_url) as leader:
            while await seal(Shard(leader), salts=salts, batches_max=batches_max):
                pass

    await asyncio.gather(lead(1), lead(2), lead(3))
    assert await sealed(ledger) == [(n, n) for n in range(1, 6)]
    assert await is_sound(database_url)


async def test_a_leader_that_wakes_up_late_changes_nothing(
    database_url: str, ledger: asyncpg.Connection, salts: Salts
) -> None:
    await make_all_stable(ledger)

    class Stopped:
        """Its connection stands still before links are written, while another leader seals all there is."""

        async def execute(self, sql: str, *arguments: object) -> str:
            async with connected(database_url) as other:
                await seal_all(other)
            return await ledger.execute(sql, *arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(ledger, name)

    assert await seal(Shard(Stopped()), salts=salts, batches_max=2)
    assert await sealed(ledger) == [(n, n) for n in range(1, 6)]
    assert not await seal(Shard(ledger), salts=salts)
    assert await is_sound(database_url)


async def test_what_a_leader_left_when_it_was_killed_the_next_one_goes_on_with(
    database_url: str, ledger: asyncpg.Connection, salts: Salts
) -> None:
    await make_all_stable(ledger)
    async with connected(database_url) as killed:
        await seal(Shard(killed), salts=salts, batches_max=2)
        await killed.execute("BEGIN")
        await seal(Shard(killed), salts=salts, batches_max=2)  # and never commits
    async with asyncio.timeout(60):
        await seal_all(ledger)
    assert await sealed(ledger) == [(n, n) for n in range(1, 6)]
    assert await is_sound(database_url)


# Before the chain


async def test_batches_that_came_without_a_root_are_sealed_by_their_rows(
    database_url: str, connection: asyncpg.Connection
) -> None:
    traffic = MixedTraffic(database_url, connection, seed=2)
    await traffic.begin()
    await traffic.run(40)
    await connection.execute("ALTER TABLE batches DISABLE TRIGGER ALL")
    await connection.execute(f"{FORGET_ROOTS} WHERE seq <= 20 OR seq % 3 = 0")
    await connection.execute("ALTER TABLE batches ENABLE TRIGGER ALL")
    await seal_all(connection)
    assert await is_sound(database_url)
    await connection.execute("ALTER TABLE ledger_entries DISABLE TRIGGER ALL")
    await connection.execute(
        "UPDATE ledger_entries SET leg = leg + 5"
        " WHERE transaction_id = (SELECT id FROM transactions WHERE seq = 3 LIMIT 1)"
    )
    report, _ = await verify_with_chain(database_url, on_progress=lambda progress: None)
    assert ("link_fits_its_batch", "batches (shard 0, seq 3)") in {(each.check, each.where) for each in report.findings}


async def test_few_rows_are_read_in_one_step(
    ledger: asyncpg.Connection, salts: Salts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_all_stable(ledger)
    await ledger.execute("ALTER TABLE batches DISABLE TRIGGER ALL")
    await ledger.execute(FORGET_ROOTS)
    monkeypatch.setattr(chain, "READ_MAX", 5)
    # Of 3, 3, 2, 3 and 1 transactions.
    steps = []
    while await seal(Shard(ledger), salts=salts):
        steps.append(len(await sealed(ledger)))
    assert steps == [1, 3]
    assert len(await sealed(ledger)) == 5


@pytest.mark.parametrize("work", [(leaves, "_records_of"), (chain, "_roots_of")], ids=["records", "roots"])
async def test_rows_are_hashed_beside_the_event_loop(
    ledger: asyncpg.Connection, salts: Salts, monkeypatch: pytest.MonkeyPatch, work: tuple[Any, str]
) -> None:
    await make_all_stable(ledger)
    await ledger.execute("ALTER TABLE batches DISABLE TRIGGER ALL")
    await ledger.execute(FORGET_ROOTS)
    loop, do = asyncio.get_running_loop(), getattr(*work)
    had_its_turn = []

    def do_while_another_has_its_turn(*arguments: Any) -> Any:
        another = threading.Event()
        loop.call_soon_threadsafe(another.set)
        had_its_turn.append(another.wait(5))
        return do(*arguments)

    monkeypatch.setattr(*work, do_while_another_has_its_turn)
    await seal(Shard(ledger), salts=salts)
    assert had_its_turn == [True]


async def test_a_batch_of_nothing_is_sealed_as_such(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO batches (seq, created_at, transactions, shard, id)"
        " VALUES (nextval('batch_seq'), now(), 0, 0, gen_random_uuid())"
    )
    await seal_all(connection)
    assert await is_sound(database_url)


# Lag and head


async def test_the_lag_is_what_is_not_sealed_whether_it_is_stable_or_not(ledger: asyncpg.Connection) -> None:
    await ledger.execute("UPDATE sandbox_clock SET advanced = '10 minutes'")
    lag = await measure_lag(Shard(ledger))
    assert lag.batches == 5
    assert 600 <= lag.seconds < 3600
    await seal(Shard(ledger), salts=await read_salts(ledger))
    assert (await measure_lag(Shard(ledger))).batches == 1
    await seal_all(ledger)
    assert await measure_lag(Shard(ledger)) == Lag(batches=0, seconds=0.0)


async def test_a_chain_that_has_not_begun_has_no_head(connection: asyncpg.Connection) -> None:
    assert await find_checkpoints(connection) == []


async def plan_of(connection: asyncpg.Connection, name: str, arguments: str) -> str:
    await connection.execute(f"PREPARE {name} AS {chain._SQL[name]}")
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS off) EXECUTE {name}({arguments})"))


async def test_sealing_reads_no_table_as_a_whole(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO batches (seq, created_at, transactions, shard, id, root)"
        " SELECT nextval('batch_seq'), now(), 0, 0, gen_random_uuid(), sha256('') FROM generate_series(1, 10000)"
    )
    await seal_all(connection)
    await connection.execute("VACUUM ANALYZE batches, seals")
    for name, arguments in (("find_head", "0"), ("find_unsealed", "0, 9990, 5"), ("measure_lag", "0, 100")):
        plan = await plan_of(connection, name, arguments)
        assert "Seq Scan on batches" not in plan, plan
        assert "Seq Scan on seals" not in plan, plan


async def test_leaves_are_found_by_where_they_are_and_by_ids(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint)"
        " SELECT n / 10, now(), now(), 0, gen_random_uuid(), 'api', n::text, 'topup', ''"
        "   FROM generate_series(1, 50000) AS n"
    )
    await connection.execute(
        "INSERT INTO hold_steps SELECT n, 0, 0, 0, 0, now(), NULL, 0, gen_random_uuid(), gen_random_uuid(),"
        " gen_random_uuid(), 'void' FROM generate_series(1, 50000) AS n"
    )
    await connection.execute("VACUUM ANALYZE transactions, hold_steps")
    await connection.execute("SET enable_nestloop = off; BEGIN")  # as verification has it
    await connection.execute(chain._SQL["find_by_place"])
    assert "transactions_seq_ix" in await plan_of(connection, "find_transactions", "0, 100, 200")
    ids = "'{01234567-89ab-cdef-0123-456789abcdef}'"
    assert "hold_steps_transaction_ix" in await plan_of(connection, "find_steps", f"0, {ids}")
