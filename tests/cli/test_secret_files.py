"""Secrets that are given as files: DATABASE_URL_FILE and its like."""

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.running import Wallet
from wallet.cli.options import file_variable, is_secret
from wallet.settings import Settings

SECRETS = [each for each in fields(Settings) if is_secret(each.name)]


def test_the_urls_of_databases_are_secrets() -> None:
    assert [file_variable(each) for each in SECRETS] == ["DATABASE_URL_FILE", "WALLET_MIGRATION_DATABASE_URL_FILE"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_holds_what_the_variable_would(end: str, wallet: Wallet, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(database_url + end)
    assert wallet("migrate", DATABASE_URL_FILE=str(file)).output == "up to date\n"
    assert wallet("migrate", "--database-url-file", str(file)).output == "up to date\n"
    # As where a template leaves the one empty that it does not use.
    assert wallet("migrate", DATABASE_URL_FILE=str(file), DATABASE_URL="").output == "up to date\n"
    assert wallet("migrate", DATABASE_URL_FILE="", DATABASE_URL=database_url).output == "up to date\n"


def test_the_owners_url_can_be_a_file_as_well(wallet: Wallet, empty_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(empty_database_url)
    said = wallet("migrate", "--json", DATABASE_URL=empty_database_url, WALLET_MIGRATION_DATABASE_URL_FILE=str(file))
    assert json.loads(said.output)["applied"]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda each: each.name)
def test_a_secret_and_its_file_are_not_given_both(secret: object, wallet: Wallet, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:hush@127.0.0.1/d")
    variable = secret.metadata["env"]  # type: ignore[attr-defined]
    said = wallet("migrate", **{variable: "postgresql://u:hush@127.0.0.1/d", f"{variable}_FILE": str(file)})
    assert (said.code, said.output) == (2, "")
    assert said.errors == f"wallet: set either {variable} or {variable}_FILE, not both\n"


@pytest.mark.parametrize("command", ["migrate", "serve", "dev", "verify", "seed", "checkpoint"])
@pytest.mark.parametrize("content", [None, "folder", b"", b"\n", b" \n", b"\xff\xfe", b"hush\0", b"hush\nhush\n"])
def test_a_file_that_holds_no_secret_is_named_in_one_line(
    content: bytes | str | None, command: str, wallet: Wallet, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "folder":
        file.mkdir()
    said = wallet(command, DATABASE_URL_FILE=str(file), PORT="0")
    assert (said.code, said.output) == (2, "")
    assert said.errors.startswith(f"wallet: DATABASE_URL_FILE names '{file}', which ")
    assert said.errors.count("\n") == 1
    assert "hush" not in said.errors


def test_a_file_without_an_end_is_not_read_to_it(wallet: Wallet) -> None:
    if not os.path.exists("/dev/zero"):
        pytest.skip("there is no /dev/zero")
    assert "not one line" in wallet("migrate", DATABASE_URL_FILE="/dev/zero").errors


def test_a_path_that_is_none_is_named(wallet: Wallet) -> None:
    assert "not a path" in wallet("migrate", "--database-url-file", "a\0b").errors
