"""Readiness where the database answers and takes no movement: each reason by its code, and gone once it is."""

import asyncio
import logging
from collections.abc import Iterator

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.client import Api, code_of, new_reference, running_api
from tests.http.conftest import add_demo_data
from tests.http.own_server import SECONDS_MAX, OwnServer, own_server, reasons, until
from wallet.service.readiness import CLOCK_OFFSET_SECONDS_MAX, clock_warnings

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Small enough to be filled, large enough for a new database.
VOLUME_MIB = 192


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with own_server() as server:
        add_demo_data(server.dsn)
        yield server


@pytest.fixture
def small() -> Iterator[OwnServer]:
    with own_server(mib=VOLUME_MIB) as server:
        if server.volume.why_not is not None:
            pytest.skip(server.volume.why_not)
        yield server


async def until_reasons(api: Api, *codes: str) -> None:
    async def are_they() -> bool:
        return await reasons(api) == list(codes)

    await until(are_they)


async def test_a_server_that_became_a_standby_is_not_ready_and_read_from_no_more(
    server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running_api(server.dsn, connect_seconds_max=1) as api:
        wallet = await api.wallet(balance=5)
        assert await reasons(api) == []
        caplog.clear()
        server.demote()
        await until_reasons(api, "database_standby")
        answer = await api.http.get("/readyz")
        assert answer.json()["database"] == "the database is a standby, which takes no writes"
        # Longer than the keepers wait before they try again.
        await asyncio.sleep(3)
        for path in (f"/wallets/{wallet}/balance", f"/wallets/{wallet}", "/transactions", "/users"):
            read = await api.get(path)
            assert code_of(read) == (503, "storage_unavailable")
            assert "standby" in read.json()["detail"]
        body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold"}
        assert code_of(await api.post(f"/wallets/{wallet}/spend", body)) == (503, "storage_unavailable")
        keepers = [record for record in caplog.records if "keepers" in record.name or "due" in record.name]
        assert len(keepers) <= 2, "once for each of them, however long it lasts"
        assert not any(record.exc_info for record in keepers)
        await server.promote()
        await until_reasons(api)
        assert (await api.post(f"/wallets/{wallet}/spend", body)).status_code == 201


async def test_a_database_that_is_read_only_by_default_is_not_ready(
    api: Api, ledger: asyncpg.Connection, demo_database_url: str
) -> None:
    assert await reasons(api) == []
    name = await ledger.fetchval("SELECT current_database()")
    await ledger.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        await until_reasons(api, "database_read_only")
    finally:
        await ledger.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await until_reasons(api)


@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE"])
async def test_a_ledger_whose_tables_are_locked_is_not_ready(api: Api, ledger: asyncpg.Connection, mode: str) -> None:
    assert await reasons(api) == []
    async with ledger.transaction():
        await ledger.execute(f"LOCK TABLE wallets IN {mode} MODE")
        await until_reasons(api, "tables_locked")
    await until_reasons(api)


async def test_a_service_whose_writers_get_no_connection_is_not_ready(
    server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The probe has a connection of its own, from before."""
    async with running_api(server.dsn) as api:
        wallet = await api.wallet(balance=5)
        body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold"}
        assert await reasons(api) == []
        caplog.clear()
        admin = await asyncpg.connect(server.dsn)
        try:
            name = await admin.fetchval("SELECT current_database()")
            await admin.execute("UPDATE pg_database SET datallowconn = false WHERE datname = $1", name)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wallet writer'"
            )

            async def is_unready_by_its_writer() -> bool:
                answer = await api.post(f"/wallets/{wallet}/spend", body)
                assert code_of(answer) == (503, "storage_unavailable")
                return await reasons(api) == ["writer_not_connected"]

            await until(is_unready_by_its_writer)
            assert "55000" in (await api.post(f"/wallets/{wallet}/spend", body)).json()["detail"]
            assert caplog.text.count("the writer cannot connect") <= 3, "once for each, however long it lasts"
            await admin.execute("UPDATE pg_database SET datallowconn = true WHERE datname = $1", name)
            await until_reasons(api)  # also if nobody asks for a movement
            assert (await api.post(f"/wallets/{wallet}/spend", body)).status_code == 201
        finally:
            await admin.close()


async def test_a_wallet_that_somebody_holds_does_not_make_the_service_unready(
    api: Api, ledger: asyncpg.Connection
) -> None:
    async with ledger.transaction():
        await ledger.execute("SELECT FROM wallets FOR UPDATE")
        await asyncio.sleep(0.3)  # longer than a look counts
        assert await reasons(api) == []


async def test_what_is_set_for_the_login_counts_before_what_is_set_for_the_database(
    api: Api, ledger: asyncpg.Connection
) -> None:
    name, login = await ledger.fetchrow("SELECT current_database(), session_user")
    await ledger.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await ledger.execute(f"ALTER ROLE {login} IN DATABASE {name} SET default_transaction_read_only = off")
    try:
        await until_reasons(api)
    finally:
        await ledger.execute(f"ALTER ROLE {login} IN DATABASE {name} RESET default_transaction_read_only")
        await ledger.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await until_reasons(api)


async def test_a_server_that_is_read_only_by_its_own_default_is_not_ready(server: OwnServer) -> None:
    async with running_api(server.dsn) as api:
        assert await reasons(api) == []
        for setting, codes in (("on", ["database_read_only"]), ("off", [])):
            connection = await asyncpg.connect(server.dsn)
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()
            await until_reasons(api, *codes)


async def test_a_full_disk_is_not_ready_until_there_is_room_again(small: OwnServer) -> None:
    async with running_api(small.dsn) as api:
        assert await reasons(api) == []
        small.volume.fill()
        try:
            await until_reasons(api, "database_full")
        finally:
            small.volume.free()
        await until_reasons(api)
    connection = await asyncpg.connect(small.dsn)
    assert await connection.fetchval("SELECT count(*) FROM batches") == 0, "a probe writes no row"
    await connection.close()


async def test_a_limit_of_temporary_files_is_no_full_disk(api: Api, ledger: asyncpg.Connection) -> None:
    name = await ledger.fetchval("SELECT current_database()")
    await ledger.execute(f"ALTER DATABASE {name} SET temp_file_limit = '8kB'")
    try:
        await ledger.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wallet readiness'"
        )
        await until_reasons(api)
        async with asyncio.timeout(SECONDS_MAX):
            assert (await api.get("/readyz")).status_code == 200
    finally:
        await ledger.execute(f"ALTER DATABASE {name} RESET temp_file_limit")


@pytest.mark.parametrize(("offset", "words"), [(1200.0, "ahead of"), (-1200.0, "behind"), (0.5, None), (-0.5, None)])
async def test_a_clock_that_is_off_is_warned_of(offset: float, words: str | None) -> None:
    assert abs(offset) > CLOCK_OFFSET_SECONDS_MAX or not words
    warnings = clock_warnings(offset)
    assert [words in each and "1200 s" in each for each in warnings if words] == ([True] if words else [])
    assert bool(warnings) == bool(words)


async def test_a_clock_that_is_off_is_among_the_warnings_and_no_obstacle(api: Api) -> None:
    ring = api.app.service.ring
    shown = ring._time_of_day
    ring._time_of_day = lambda: shown() - 1200
    try:

        async def is_warned() -> bool:
            answer = await api.http.get("/readyz")
            assert answer.status_code == 200
            return any("1200 s behind" in each for each in answer.json()["warnings"])

        await until(is_warned)
        (offset,) = [
            sample.value
            for family in text_string_to_metric_families((await api.get("/metrics")).text)
            for sample in family.samples
            if sample.name == "wallet_clock_offset_seconds"
        ]
        assert round(offset, -2) == -1200
    finally:
        ring._time_of_day = shown
