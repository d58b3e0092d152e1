"""`wallet verify`: what it says about a ledger in order and one that is not. The checks are tested with storage."""

import asyncio
import json

import asyncpg
import pytest

from tests.cli.running import Wallet

MIKASA_WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


@pytest.fixture
def seeded_url(wallet: Wallet, database_url: str) -> str:
    assert wallet("seed", DATABASE_URL=database_url).code == 0
    return database_url


@pytest.fixture
def wrong_url(seeded_url: str) -> str:
    """A ledger in which somebody has raised a balance by hand."""

    async def raise_balance() -> None:
        connection = await asyncpg.connect(seeded_url)
        try:
            await connection.execute("UPDATE wallets SET balance = balance + 1 WHERE id = $1", MIKASA_WALLET)
        finally:
            await connection.close()

    asyncio.run(raise_balance())
    return seeded_url


def test_a_ledger_in_order_is_exit_code_0(wallet: Wallet, seeded_url: str) -> None:
    said = wallet("verify", DATABASE_URL=seeded_url)
    assert said.code == 0
    assert "in order" in said.output


def test_a_wrong_row_is_named_with_exit_code_1(wallet: Wallet, wrong_url: str) -> None:
    said = wallet("verify", DATABASE_URL=wrong_url)
    assert said.code == 1
    assert "NOT in order" in said.output
    assert any("wallets" in line and MIKASA_WALLET in line for line in said.output.splitlines())


def test_progress_is_plain_lines_apart_from_the_result(wallet: Wallet, seeded_url: str) -> None:
    said = wallet("verify", DATABASE_URL=seeded_url)
    assert "checking wallets" in said.errors.splitlines()
    assert "\x1b" not in said.errors
    assert said.output.count("\n") == 1


def test_json_of_a_ledger_in_order(wallet: Wallet, seeded_url: str) -> None:
    answer = json.loads(wallet("verify", "--json", DATABASE_URL=seeded_url).output)
    assert answer["is_sound"] is True
    assert answer["findings"] == []
    assert set(answer["rows_checked"]) == {"1", "2", "3", "4", "7"}


def test_json_of_a_wrong_row_names_it(wallet: Wallet, wrong_url: str) -> None:
    said = wallet("verify", "--json", DATABASE_URL=wrong_url)
    answer = json.loads(said.output)
    assert said.code == 1
    assert answer["is_sound"] is False
    assert any(MIKASA_WALLET in finding["where"] for finding in answer["findings"])


def test_verify_never_passes_a_ledger_that_nobody_named(wallet: Wallet, tmp_path: object) -> None:
    said = wallet("verify", WALLET_DATA_DIR=f"{tmp_path}/pg")
    assert said.code == 2
    assert "DATABASE_URL" in said.errors
