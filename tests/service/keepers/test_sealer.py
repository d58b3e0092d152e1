"""The keeper of the audit chain among the others: what the leader seals, tells, and does when it cannot."""

import asyncio
import logging

import asyncpg
import pytest

from tests.service.keepers.test_keepers import keepers_of, take_seq, until_leader, until_moved
from tests.storage.verify.test_verify import make_ledger
from wallet.service.keepers.leader import Keepers
from wallet.storage.verify.chain import verify_with_chain

BATCHES = 5
EMPTY_BATCH = """
INSERT INTO batches (seq, created_at, transactions, shard, id)
VALUES (nextval('batch_seq'), now(), 0, 0, gen_random_uuid());
"""


async def until_sealed(keepers: Keepers, connection: asyncpg.Connection, count: int) -> None:
    async with asyncio.timeout(60):
        while await connection.fetchval("SELECT count(*) FROM seals") < count or keepers.report.seal_lag_batches:
            await keepers.run_round()
            await asyncio.sleep(0.01)


async def test_the_leader_seals_what_is_stable(database_url: str, connection: asyncpg.Connection) -> None:
    await make_ledger(database_url, connection)
    keepers = keepers_of(database_url)
    await until_sealed(keepers, connection, BATCHES)
    assert (keepers.report.seal_lag_batches, keepers.report.seal_lag_seconds) == (0, 0)
    await keepers.close()
    report, chain = await verify_with_chain(database_url, on_progress=lambda progress: None)
    assert report.is_sound
    assert chain.sealed == BATCHES


async def test_what_the_fence_holds_back_is_not_sealed_and_its_age_is_told(
    database_url: str, connection: asyncpg.Connection
) -> None:
    keepers = keepers_of(database_url)
    await until_leader(keepers)
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("BEGIN; SELECT pg_current_xact_id()")
    await connection.execute(3 * EMPTY_BATCH)
    await connection.execute("UPDATE sandbox_clock SET advanced = '5 minutes'")
    await keepers.run_round()
    report = keepers.report
    assert report.seal_lag_batches == 3
    assert report.seal_lag_seconds >= 300
    await blocker.close()
    await until_sealed(keepers, connection, 3)
    await keepers.close()
    assert keepers.report.seal_lag_batches == 0


async def test_an_idle_chain_is_not_even_looked_at(database_url: str, connection: asyncpg.Connection) -> None:
    await make_ledger(database_url, connection)
    keepers = keepers_of(database_url)
    await until_sealed(keepers, connection, BATCHES)
    await keepers.run_round()
    await connection.execute("ALTER TABLE seals RENAME TO away")
    await keepers.run_round()
    assert keepers.report.is_leader
    await connection.execute("ALTER TABLE away RENAME TO seals")
    await keepers.close()


async def test_a_chain_that_cannot_be_sealed_stops_no_other_keeper_and_is_logged_once(
    database_url: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await make_ledger(database_url, connection)
    for table in ("batches", "ledger_entries"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    await connection.execute("UPDATE batches SET root = NULL WHERE seq = 3")
    await connection.execute("ALTER TABLE ledger_entries ALTER COLUMN leg DROP NOT NULL")
    await connection.execute("UPDATE ledger_entries SET leg = NULL")
    keepers = keepers_of(database_url)
    with caplog.at_level(logging.WARNING):
        await until_moved(keepers, BATCHES)
        for _ in range(3):
            await keepers.run_round()
    assert keepers.report.is_leader
    assert keepers.report.seal_lag_batches == BATCHES
    assert len([record for record in caplog.records if "not sealed" in record.message]) == 1
    # A batch that becomes stable later moves the watermark as well.
    await until_moved(keepers, await take_seq(connection))
    await keepers.close()
