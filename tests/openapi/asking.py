"""A service, a key that may do everything, and the tool that asks all that docs/openapi.json gives it to ask."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.serving import served

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True, slots=True)
class Asked:
    """How it went. `answered`: see hooks.answered."""

    is_clean: bool
    operations_left_out: int
    answered: Mapping[str, int]
    said: str

    def count(self, status: str = "", *, meant_to_be: str = "") -> int:
        """Requests whose status begins like this, of those that were `positive`, `negative`, or of all."""
        pairs = ((name.split(), number) for name, number in self.answered.items())
        return sum(number for (mode, got), number in pairs if mode.startswith(meant_to_be) and got.startswith(status))


def ask_by_document(database_url: str, folder: Path, *, examples: int, seed: int) -> Asked:
    """Serves this database and runs the tool to its end in an empty folder.

    examples: random requests per operation, and random stories of several. The requests that the bounds in the document
    suggest (too long, too small, left out, of another type, ...) comes on top, about 8,000 requests whatever `examples`
    is.
    """
    key = _new_key(database_url)
    with served(database_url, WALLET_WORKERS="1", WALLET_DEVELOPMENT="0") as service:
        return _ask(service.url, key, folder, examples=examples, seed=seed)


def _new_key(database_url: str) -> Any:
    scopes = [f"--scope={scope}" for scope in ("read", "spend", "issue", "refund", "refund:force", "admin")]
    create = [sys.executable, "-c", "from wallet.cli.main import main; main()", "keys", "create", "--json"]
    ended = subprocess.run(
        [*create, "--name=all", *scopes],
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(ended.stdout)


def _ask(url: str, key: Any, folder: Path, *, examples: int, seed: int) -> Asked:
    report = folder / "report.json"
    ended = subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "--config-file", CONFIGURATION, "run", ROOT / "docs/openapi.json"),
            *("--url", url, "--checks=all", f"--max-examples={examples}", f"--seed={seed}", "--no-color"),
            *("--header", f"Authorization:Bearer {key['key']}", "--report=json", "--report-json-path", report),
        ],
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
            "PYTHONPATH": str(ROOT),
            "KEY_ID": key["id"],
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert report.exists(), said
    operations = json.loads(report.read_text())["operations"]
    return Asked(
        is_clean=ended.returncode == 0,
        operations_left_out=operations["total"] - operations["tested"],
        answered=json.loads((folder / "answered.json").read_text()),
        said=said,
    )
