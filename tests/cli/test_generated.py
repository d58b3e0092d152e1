"""Files generated from the code: writing, checking, and that those checked in are up to date."""

from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.running import Wallet
from wallet.settings import Settings

GENERATED = {"openapi": "openapi.json", "configuration": "configuration.md"}
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("command", "name"), GENERATED.items())
def test_what_is_written_is_up_to_date(command: str, name: str, wallet: Wallet, tmp_path: Path) -> None:
    file = str(tmp_path / "new folder" / name)
    assert wallet(command, "--output", file).code == 0
    assert wallet(command, "--check", "--output", file).code == 0


@pytest.mark.parametrize(("command", "name"), GENERATED.items())
def test_check_fails_on_another_content_with_one_line_and_leaves_it_alone(
    command: str, name: str, wallet: Wallet, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text("edited by hand")
    said = wallet(command, "--check", "--output", str(file))
    assert said.code == 1
    assert said.errors == f"wallet: {file} is not up to date: run `wallet {command}`\n"
    assert file.read_text() == "edited by hand"


@pytest.mark.parametrize(("command", "name"), GENERATED.items())
def test_check_fails_on_a_missing_file(command: str, name: str, wallet: Wallet, tmp_path: Path) -> None:
    said = wallet(command, "--check", "--output", str(tmp_path / name))
    assert said.code == 1
    assert "is not there" in said.errors


@pytest.mark.parametrize(("command", "name"), GENERATED.items())
def test_the_checked_in_file_is_up_to_date(command: str, name: str, wallet: Wallet) -> None:
    said = wallet(command, "--check", "--output", str(DOCS / name))
    assert said.code == 0, said.errors


def test_the_configuration_has_a_row_for_every_setting(wallet: Wallet, tmp_path: Path) -> None:
    wallet("configuration", "--output", str(tmp_path / "configuration.md"))
    written = (tmp_path / "configuration.md").read_text()
    for each in fields(Settings):
        assert f"| `{each.name}` | `{each.metadata['env']}` | `--" in written
        assert each.metadata["help"] in written
