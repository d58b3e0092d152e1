"""`wallet seed`: the promised demo data, made once."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from tests.cli.running import Wallet
from wallet.errors import AlreadyExists
from wallet.service.demo import make_demo_data
from wallet.settings import Settings
from wallet.storage.connections.database import Database

EREN, MIKASA = "e1e1e1e1-e1e1-e1e1-e1e1-e1e1e1e1e1e1", "e2e2e2e2-e2e2-e2e2-e2e2-e2e2e2e2e2e2"


@pytest.fixture
def seeded_url(wallet: Wallet, database_url: str) -> str:
    said = wallet("seed", DATABASE_URL=database_url)
    assert said.code == 0, said.errors
    return database_url


def ask(dsn: str, question: str) -> list[tuple[Any, ...]]:
    async def connected() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(dsn)
        try:
            return [tuple(row) for row in await connection.fetch(question)]
        finally:
            await connection.close()

    return asyncio.run(connected())


def everything(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    tables = [
        name for (name,) in ask(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema ORDER BY 1")
    ]
    return {name: ask(dsn, f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables}


def test_the_assets_have_the_promised_ids_and_system_wallets(seeded_url: str) -> None:
    columns = "id, code, treasury_wallet_id::text, revenue_wallet_id::text"
    assert ask(seeded_url, f"SELECT {columns} FROM assets ORDER BY id") == [
        (1, "GOLD", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000003"),
        (2, "DIAMOND", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"),
    ]


def test_the_users_have_the_promised_ids_and_names(seeded_url: str) -> None:
    users = ask(seeded_url, "SELECT id::text, name FROM users ORDER BY id")
    assert users == [(EREN, "Eren Yeager"), (MIKASA, "Mikasa Akerman")]


def test_the_wallets_have_the_promised_ids_and_balances(seeded_url: str) -> None:
    columns = "id::text, user_id::text, asset_id, balance"
    assert ask(seeded_url, f"SELECT {columns} FROM wallets WHERE kind = 'user' ORDER BY id") == [
        ("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", MIKASA, 1, 1000),
        ("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb", EREN, 2, 90),
    ]


def test_the_balances_come_by_the_promised_transactions(seeded_url: str) -> None:
    transactions = ask(seeded_url, "SELECT reference_id, type FROM transactions ORDER BY reference_id")
    assert transactions == [
        ("eren_buy_diamond", "topup"),
        ("eren_redeem_diamond", "spend"),
        ("mikasa_buy_gold", "topup"),
    ]


def test_the_demo_ledger_verifies(seeded_url: str, wallet: Wallet) -> None:
    said = wallet("verify", DATABASE_URL=seeded_url)
    assert said.code == 0, said.output


def test_seeding_twice_changes_nothing(seeded_url: str, wallet: Wallet) -> None:
    before = everything(seeded_url)
    said = wallet("seed", DATABASE_URL=seeded_url)
    assert said.code == 0
    assert "already" in said.output
    assert everything(seeded_url) == before


async def test_two_at_once_make_it_once(database_url: str, connection: asyncpg.Connection) -> None:
    database = Database(dsn=database_url, settings=Settings())
    await asyncio.gather(*(make_demo_data(database) for _ in range(4)))
    assert await connection.fetchval("SELECT count(*) FROM transactions") == 3


async def test_what_an_interrupted_run_left_out_is_made(database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO users (created_at, shard, id, name) VALUES (clock_timestamp(), 0, $1, 'Eren Yeager')", EREN
    )
    assert await make_demo_data(Database(dsn=database_url, settings=Settings()))
    assert await connection.fetchval("SELECT count(*) FROM users") == 2


async def test_demo_data_is_not_made_among_others_of_the_same_ids(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO users (created_at, shard, id, name) VALUES (clock_timestamp(), 0, $1, 'Somebody else')", EREN
    )
    with pytest.raises(AlreadyExists):
        await make_demo_data(Database(dsn=database_url, settings=Settings()))


def test_seed_answers_json(wallet: Wallet, database_url: str) -> None:
    first = json.loads(wallet("seed", "--json", DATABASE_URL=database_url).output)
    second = json.loads(wallet("seed", "--json", DATABASE_URL=database_url).output)
    assert (first["made"], second["made"]) == (True, False)
    assert first["wallets"][0]["wallet_id"] == "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


def test_seed_refuses_a_schema_that_is_not_current(wallet: Wallet, empty_database_url: str) -> None:
    said = wallet("seed", DATABASE_URL=empty_database_url)
    assert said.code == 2
    assert "wallet migrate" in said.errors
