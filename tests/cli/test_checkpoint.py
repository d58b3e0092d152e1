"""`wallet checkpoint`, and what `wallet verify` says of the audit chain. The tests of storage say what is found."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from tests.cli.running import Wallet
from tests.storage.sealing import seal_all
from wallet import __version__


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        if not statements:
            await seal_all(connection)
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def seeded_url(wallet: Wallet, database_url: str) -> str:
    assert wallet("seed", DATABASE_URL=database_url).code == 0
    return database_url


@pytest.fixture
def sealed_url(seeded_url: str) -> str:
    asyncio.run(execute(seeded_url))
    return seeded_url


@pytest.fixture
def checkpoints(wallet: Wallet, sealed_url: str, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints.jsonl"
    path.write_text(2 * wallet("checkpoint", DATABASE_URL=sealed_url).output, "utf-8")
    return path


def test_a_checkpoint_is_the_head_of_the_chain_as_one_line_of_json(wallet: Wallet, sealed_url: str) -> None:
    said = wallet("checkpoint", DATABASE_URL=sealed_url)
    assert said.code == 0
    [line] = said.output.splitlines()
    members = json.loads(line)
    assert set(members) == {"shard", "height", "seq", "batch_id", "hash", "made_at", "version"}
    assert members["version"] == __version__
    assert members["height"] > 0
    assert len(members["hash"]) == 64


def test_where_nothing_is_sealed_there_is_no_checkpoint(wallet: Wallet, seeded_url: str) -> None:
    said = wallet("checkpoint", DATABASE_URL=seeded_url)
    assert (said.code, said.output) == (1, "")
    assert "no link yet" in said.errors


def test_verify_says_whether_the_chain_was_checked(wallet: Wallet, sealed_url: str) -> None:
    assert "chain was not checked" in wallet("verify", DATABASE_URL=sealed_url).output
    said = wallet("verify", "--chain", DATABASE_URL=sealed_url)
    assert said.code == 0
    assert "sealed" in said.output
    assert "not checked" not in said.output
    assert "checking chain" in said.errors
    members = json.loads(wallet("verify", "--chain", "--json", DATABASE_URL=sealed_url).output)
    assert members["chain"]["sealed"] == members["chain"]["batches"] > 0
    assert json.loads(wallet("verify", "--json", DATABASE_URL=sealed_url).output)["chain"] is None


def test_history_fits_its_checkpoints(wallet: Wallet, sealed_url: str, checkpoints: Path) -> None:
    said = wallet("verify", "--against", str(checkpoints), DATABASE_URL=sealed_url)
    assert said.code == 0
    assert "checkpoints: 2" in said.output


def test_history_that_is_another_does_not(wallet: Wallet, sealed_url: str, checkpoints: Path) -> None:
    asyncio.run(execute(sealed_url, "ALTER TABLE seals DISABLE TRIGGER ALL", "DELETE FROM seals"))
    assert wallet("verify", "--chain", DATABASE_URL=sealed_url).code == 0
    said = wallet("verify", "--against", str(checkpoints), DATABASE_URL=sealed_url)
    assert said.code == 1
    assert "history_fits_its_checkpoint" in said.output


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"shard": 0, "height": "1", "seq": 1, "batch_id": null, "hash": "00", "made_at": ""}'],
)
def test_a_file_that_has_no_checkpoints_proves_nothing(
    wallet: Wallet, sealed_url: str, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "no.jsonl"
    path.write_text(text, "utf-8")
    said = wallet("verify", "--against", str(path), DATABASE_URL=sealed_url)
    assert said.code == 2
    assert str(path) in said.errors


def test_a_file_that_is_not_there_proves_nothing(wallet: Wallet, sealed_url: str, tmp_path: Path) -> None:
    assert wallet("verify", "--against", f"{tmp_path}/none", DATABASE_URL=sealed_url).code == 2
