"""`wallet verify` against a ledger made by real batches: sound as it is, and each wrong row named."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from tests.storage.posting import commit_all, make_asset, make_wallets, spend, topup, transfer, writer_of
from tests.storage.verify.tampering import BUSY, TAMPERINGS, Tampering
from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.snapshots import append_snapshots
from wallet.storage.upkeep.watermark import move_watermark, read_progress, set_fence
from wallet.storage.verify.ledger import STAGES, Finding, VerifyProgress, VerifyReport, verify

TABLES = ("wallets", "batches", "transactions", "ledger_entries", "system_deltas", "system_snapshots")


async def make_ledger(dsn: str, connection: asyncpg.Connection) -> None:
    """Two assets, one of them capped; a wallet without entries; a few batches, and snapshots in between."""
    await make_asset(connection, "GOLD")
    await make_asset(connection, "GEMS", max_supply=1_000)
    gold = await make_wallets(connection, "GOLD", 4)
    gems = await make_wallets(connection, "GEMS", 2)
    writer = writer_of(dsn)
    await commit_all(
        writer,
        [topup(gold[0], 100), topup(gold[1], 50), topup(gems[0], 700, "GEMS")],
        [transfer(gold[0], gold[1], 30), spend(gold[1], 5), spend(gold[1], 6), spend(gold[0], 10**9)],
    )
    await keep(connection)
    await commit_all(
        writer,
        [topup(gems[1], 300, "GEMS"), spend(gems[0], 1, "GEMS"), topup(gems[1], 1, "GEMS")],
        [topup(gold[2], 7), spend(gold[2], 7), transfer(gold[1], gold[2], 1)],
    )
    await keep(connection)
    await commit_all(writer, [topup(gold[0], 9)])
    await writer.close()


async def keep(connection: asyncpg.Connection) -> None:
    fence = await set_fence(connection, seq=(await read_progress(Shard(connection))).last_seq)
    async with asyncio.timeout(60):
        while await move_watermark(Shard(connection), fence) is None:
            await connection.execute("SELECT pg_sleep(0.005)")
    await append_snapshots(Shard(connection), deltas_min=1)


@pytest.fixture
async def ledger(database_url: str, connection: asyncpg.Connection) -> asyncpg.Connection:
    """An owner's connection to `database_url`, with a ledger in it and every trigger off."""
    await make_ledger(database_url, connection)
    for table in TABLES:
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    return connection


async def verified(dsn: str, *, rows_max: int = 50_000) -> VerifyReport:
    return await verify(dsn, on_progress=lambda progress: None, rows_max=rows_max)


# A sound ledger


async def test_a_ledger_made_by_batches_is_sound(database_url: str, ledger: asyncpg.Connection) -> None:
    report = await verified(database_url)
    assert report.findings == ()
    assert report.is_sound


@pytest.mark.parametrize("rows_max", [1, 2, 3, 7])
async def test_it_is_sound_whatever_the_size_of_the_ranges(
    database_url: str, ledger: asyncpg.Connection, rows_max: int
) -> None:
    assert (await verified(database_url, rows_max=rows_max)).findings == ()


async def test_a_ledger_is_sound_on_each_version(each_database_url: str) -> None:
    connection = await asyncpg.connect(each_database_url)
    await make_ledger(each_database_url, connection)
    await connection.close()
    assert (await verified(each_database_url, rows_max=4)).findings == ()


async def test_an_empty_ledger_is_sound(database_url: str) -> None:
    assert (await verified(database_url)).is_sound


async def test_the_report_counts_the_rows_of_each_law(database_url: str, ledger: asyncpg.Connection) -> None:
    rows = {table: await ledger.fetchval(f"SELECT count(*) FROM {table}") for table in (*TABLES, "assets")}
    unlocked_entries = await ledger.fetchval("SELECT count(*) FROM ledger_entries WHERE balance_after IS NULL")
    wallets, transactions, entries = rows["wallets"], rows["transactions"], rows["ledger_entries"]
    snapshots = rows["system_snapshots"]
    assert (await verified(database_url, rows_max=3)).rows_checked == {
        1: transactions + entries + rows["assets"],
        2: rows["assets"] + wallets + transactions + entries + unlocked_entries + snapshots,
        3: rows["assets"] + wallets + entries,
        4: wallets + transactions + entries + rows["batches"],
        7: wallets + transactions + entries,
    }


async def test_progress_goes_through_the_steps_in_order(database_url: str, ledger: asyncpg.Connection) -> None:
    told: list[VerifyProgress] = []
    await verify(database_url, on_progress=told.append, rows_max=3)
    assert tuple(dict.fromkeys(progress.stage for progress in told)) == STAGES
    lines = [progress.rows_done for progress in told if progress.stage == "history"]
    assert lines == sorted(lines)
    assert lines[-1] == await ledger.fetchval("SELECT count(*) FROM ledger_entries")


async def test_progress_expects_as_many_rows_as_the_tables_statistics_say(
    database_url: str, ledger: asyncpg.Connection
) -> None:
    told: list[VerifyProgress] = []
    await ledger.execute("ANALYZE ledger_entries")
    await verify(database_url, on_progress=told.append)
    expected = {progress.rows_expected for progress in told if progress.stage == "history"}
    assert expected == {await ledger.fetchval("SELECT count(*) FROM ledger_entries")}


# Tampering


def finding_of(report: VerifyReport, check: str) -> Finding:
    [finding] = [each for each in report.findings if each.check == check]
    return finding


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=[each.name for each in TAMPERINGS])
async def test_tampering_is_found_and_named(
    database_url: str, ledger: asyncpg.Connection, tampering: Tampering
) -> None:
    await ledger.execute(tampering.sql)
    report = await verified(database_url, rows_max=3)
    assert not report.is_sound
    finding = finding_of(report, tampering.check)
    assert finding.law == tampering.law
    assert tampering.where in finding.where
    assert finding.expected != finding.found


async def test_of_several_wrong_rows_the_first_is_named_with_what_was_expected(
    database_url: str, ledger: asyncpg.Connection
) -> None:
    await ledger.execute("UPDATE batches SET transactions = 8 WHERE seq IN (4, 3, 5)")
    assert (await verified(database_url)).findings == (
        Finding(
            law=4,
            check="batch_has_its_transactions",
            where="batches (shard 0, seq 3)",
            expected="8 transactions",
            found="2",
        ),
    )


async def test_findings_come_in_order_of_law(database_url: str, ledger: asyncpg.Connection) -> None:
    await ledger.execute(f"UPDATE wallets SET balance = balance + 1, version = 9 WHERE id = {BUSY}")
    laws = [finding.law for finding in (await verified(database_url)).findings]
    assert laws == sorted(laws) == [1, 2, 4]


# The connection


async def test_time_limits_of_the_database_do_not_end_it(database_url: str, ledger: asyncpg.Connection) -> None:
    name = await ledger.fetchval("SELECT current_database()")
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"):
        await ledger.execute(f"ALTER DATABASE {name} SET {setting} = '50ms'")
    async with asyncio.timeout(60):
        report = await verify(database_url, on_progress=slowly)
    assert report.is_sound


def slowly(_: VerifyProgress) -> None:
    """A terminal that takes longer than the server is willing to wait."""
    time.sleep(0.06)


async def test_it_sees_one_moment_while_batches_go_on(database_url: str, connection: asyncpg.Connection) -> None:
    await make_ledger(database_url, connection)
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    beside: list[asyncio.Task[None]] = []

    def post_beside(_: VerifyProgress) -> None:
        if not beside:
            beside.append(asyncio.create_task(commit_all(writer, [topup(wallet, 1)], [spend(wallet, 1)])))

    report = await verify(database_url, on_progress=post_beside, rows_max=1)
    await beside[0]
    await writer.close()
    assert report.findings == ()


async def test_a_verification_that_is_cancelled_leaves_no_session(
    database_url: str, ledger: asyncpg.Connection
) -> None:
    has_begun = asyncio.Event()
    run = asyncio.create_task(verify(database_url, on_progress=lambda progress: has_begun.set(), rows_max=1))
    await has_begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    async with asyncio.timeout(60):
        while await ledger.fetchval(
            "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.01) WHERE application_name = 'wallet verify'"
        ):
            pass


async def test_a_database_that_does_not_exist_is_a_setting_to_change(database_url: str) -> None:
    with pytest.raises(SettingsInvalid, match="3D000"):
        await verified(database_url.replace("/wallet_test_", "/wallet_test_no_"))


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        await verified(f"postgresql://somebody@/wallet?host={tmp_path}")


async def test_a_url_that_is_none_is_a_setting_to_change() -> None:
    with pytest.raises(SettingsInvalid):
        await verified("mysql://localhost/wallet")
