"""`wallet migrate`: what it prints, and which database it works on."""

import asyncio
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.cli.running import Wallet
from wallet.storage.schema.revision import EXPECTED_REVISION


def execute(dsn: str, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(run())


def test_migrate_prints_the_names_of_what_it_applied(wallet: Wallet, empty_database_url: str) -> None:
    said = wallet("migrate", DATABASE_URL=empty_database_url)
    assert said.code == 0
    assert said.output.splitlines()[-1] == EXPECTED_REVISION


def test_migrate_says_that_everything_is_applied(wallet: Wallet, database_url: str) -> None:
    said = wallet("migrate", "--database-url", database_url)
    assert (said.code, said.output) == (0, "up to date\n")


def test_migrate_answers_json(wallet: Wallet, empty_database_url: str) -> None:
    first = wallet("migrate", "--json", DATABASE_URL=empty_database_url)
    second = wallet("migrate", "--json", DATABASE_URL=empty_database_url)
    assert json.loads(first.output)["applied"][-1] == EXPECTED_REVISION
    assert json.loads(second.output) == {"applied": [], "sequences_moved": {}}


def test_migrate_moves_a_sequence_forward_that_is_behind_and_says_so_in_a_line(
    wallet: Wallet, database_url: str
) -> None:
    assert wallet("seed", DATABASE_URL=database_url).code == 0
    execute(database_url, "SELECT setval('assets_id_seq', 1, false)")
    said = wallet("migrate", DATABASE_URL=database_url)
    assert (said.code, said.output) == (
        0,
        "the sequence assets_id_seq is behind its table: it gives 1 next, and assets.id is at 2; "
        "it is moved forward to 2\n",
    )
    assert wallet("migrate", DATABASE_URL=database_url).output == "up to date\n"


def test_migrate_says_in_one_line_and_at_once_that_the_database_is_somebody_elses(
    wallet: Wallet, empty_database_url: str
) -> None:
    execute(empty_database_url, "CREATE TABLE users (id integer)")
    said = wallet("migrate", DATABASE_URL=empty_database_url)
    assert said.code == 2
    assert "another application's" in said.errors
    assert said.errors.count("\n") == 1


def test_migrate_says_in_one_line_and_at_once_that_the_database_takes_no_writes(
    wallet: Wallet, empty_database_url: str
) -> None:
    name = urlsplit(empty_database_url).path.removeprefix("/")
    execute(empty_database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    said = wallet("migrate", DATABASE_URL=empty_database_url)
    assert said.code == 1
    assert "takes no writes" in said.errors
    assert said.errors.count("\n") == 1


def test_migrate_gives_up_on_a_database_that_does_not_come(wallet: Wallet, free_port: int) -> None:
    said = wallet("migrate", "--database-wait-seconds", "0", DATABASE_URL=f"postgresql://127.0.0.1:{free_port}/wallet")
    assert said.code == 1
    assert said.errors == "wallet: the database cannot be reached\n"


def test_migrate_asks_a_user_without_a_home_folder_for_a_database(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_123)
    said = wallet("migrate")
    assert said.code == 2
    assert "set DATABASE_URL" in said.errors
    assert said.errors.count("\n") == 1


def test_migrate_names_the_url_that_is_wrong(wallet: Wallet, empty_database_url: str) -> None:
    said = wallet("migrate", DATABASE_URL=empty_database_url, WALLET_MIGRATION_DATABASE_URL="mysql://u:hush@h/d")
    assert said.code == 2
    assert said.errors.startswith("wallet: WALLET_MIGRATION_DATABASE_URL is not a PostgreSQL URL")
    assert "hush" not in said.errors


def test_migrate_says_that_it_waits_for_the_database(wallet: Wallet, free_port: int) -> None:
    said = wallet(
        "migrate", "--database-wait-seconds", "0.2", DATABASE_URL=f"postgresql://127.0.0.1:{free_port}/wallet"
    )
    assert said.code == 1
    assert said.errors.splitlines()[0].startswith("wallet: waiting up to 0.2 s")


def test_migrate_never_makes_a_database_for_somebody_who_forgot_to_name_theirs(wallet: Wallet, tmp_path: Path) -> None:
    folder = tmp_path / "pg"
    said = wallet("migrate", WALLET_DATA_DIR=str(folder))
    assert said.code == 2
    assert "DATABASE_URL" in said.errors
    assert not folder.exists()
