"""`wallet serve`: when it refuses to start, and what it does before it serves."""

import asyncio
import time

import asyncpg
import httpx

from tests.cli.running import Wallet, press_ctrl_c, started
from tests.cli.test_migrate import execute

DEMO_WALLET = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
READY_SECONDS_MAX = 60.0


def test_serve_without_a_database_names_the_command_that_needs_none(wallet: Wallet) -> None:
    said = wallet("serve")
    assert said.code == 2
    assert "DATABASE_URL" in said.errors
    assert "wallet dev" in said.errors
    assert said.errors.count("\n") == 1


def test_serve_refuses_a_schema_that_is_not_current_and_says_what_to_run(
    wallet: Wallet, empty_database_url: str
) -> None:
    said = wallet("serve", DATABASE_URL=empty_database_url)
    assert said.code == 2
    assert "wallet migrate" in said.errors
    assert said.errors.count("\n") == 1


def test_serve_says_that_it_is_the_grants_that_are_missing_and_how_to_do_without(
    wallet: Wallet, database_url: str
) -> None:
    asyncio.run(_execute(database_url, "REVOKE SELECT ON wallets FROM wallet_service", "DELETE FROM role_grants"))
    said = wallet("serve", DATABASE_URL=database_url)
    assert said.code == 2
    assert "has not the grants of this release" in said.errors
    assert "up to date" not in said.errors
    # With its login's own rights it needs none: the next thing that is missing is a key.
    assert "there is no key" in wallet("serve", DATABASE_URL=database_url, WALLET_DATABASE_ROLE="").errors


def test_serve_does_not_wait_for_what_waiting_cannot_mend(wallet: Wallet, database_url: str) -> None:
    for url in (database_url.replace("/wallet_test_", "/wallet_test_no_"), f"{database_url}&channel_binding=require"):
        said = wallet("serve", DATABASE_URL=url)
        assert said.code == 2
        assert said.errors.count("\n") == 1  # no line that says that it waits
        assert "DATABASE_URL" in said.errors


def test_serve_refuses_a_sequence_that_is_behind_its_table_and_says_what_to_run(
    wallet: Wallet, database_url: str
) -> None:
    assert wallet("seed", DATABASE_URL=database_url).code == 0
    execute(database_url, "SELECT setval('batch_seq', 1, false)")
    said = wallet("serve", DATABASE_URL=database_url)
    assert said.code == 2
    assert "batch_seq is behind its table" in said.errors
    assert "wallet migrate" in said.errors
    assert said.errors.count("\n") == 1


def test_serve_fails_when_the_database_does_not_come_in_time(wallet: Wallet, free_port: int) -> None:
    said = wallet("serve", DATABASE_URL=f"postgresql://127.0.0.1:{free_port}/wallet", WALLET_DATABASE_WAIT_SECONDS="0")
    assert said.code == 1
    assert said.errors == "wallet: the database cannot be reached\n"


def test_serve_migrates_and_makes_the_demo_data_when_the_environment_says_so(
    empty_database_url: str, free_port: int
) -> None:
    with started(
        "serve", lines=0, DATABASE_URL=empty_database_url, WALLET_MIGRATE="1", WALLET_SEED_DEMO="1", PORT=str(free_port)
    ):
        assert balance_when_ready(free_port) == 90


def test_serve_ends_with_exit_code_0_on_ctrl_c(database_url: str, free_port: int) -> None:
    with started("serve", "--seed", lines=0, DATABASE_URL=database_url, PORT=str(free_port)) as (process, _):
        balance_when_ready(free_port)
        press_ctrl_c(process)
        process.communicate()
        assert process.returncode == 0


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def balance_when_ready(port: int) -> int:
    give_up_at = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/wallets/{DEMO_WALLET}/balance")
            break
        except httpx.TransportError:
            assert time.monotonic() < give_up_at, "it does not serve"
            time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    amount: int = answer.json()["balance"]
    return amount
