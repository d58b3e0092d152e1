"""`wallet migrate`: what it prints, and which database it works on."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.running import Wallet
from wallet.storage.revision import EXPECTED_REVISION


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
    assert json.loads(second.output) == {"applied": []}


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
