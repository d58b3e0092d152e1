"""A kind of request that some place forgets does not pass type checking.

Tried on a copy of the source, to whose union of requests a kind is added that no other place knows.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The rooms that look at the kinds of requests. The others are left out for time: mypy begins without a cache.
ROOMS = ("wallet.ledger", "wallet.storage.batch", "wallet.service.access", "wallet.service.writes",
         "wallet.http.operations", "wallet.http.bulk")  # fmt: skip
PLACES = {"ledger/kinds.py", "service/access/kinds.py"}
SECONDS_MAX = 300

NUDGE = """
class Nudge(NamedTuple):
    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = "nudge"


"""


@pytest.fixture
def with_a_nudge(tmp_path: Path) -> Path:
    """A copy of the source in which the union of requests has one kind more."""
    package = tmp_path / "src" / "wallet"
    shutil.copytree(ROOT / "src" / "wallet", package, ignore=shutil.ignore_patterns("__pycache__"))
    requests = package / "ledger" / "requests.py"
    text = requests.read_text("utf-8")
    before, union, after = re.split(r"(^Single: TypeAlias = \([^)]+)\n\)", text, flags=re.MULTILINE)
    requests.write_text(f"{before}{NUDGE}{union} | Nudge\n){after}", "utf-8")
    return tmp_path


def test_type_checking_fails_wherever_a_kind_is_forgotten(with_a_nudge: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", with_a_nudge / "cache",
         "--no-error-summary", *(word for room in ROOMS for word in ("-p", room))],
        cwd=with_a_nudge,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )  # fmt: skip
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert checked.returncode == 1, checked.stderr
    assert {line.split(":")[0].removeprefix("src/wallet/") for line in errors} == PLACES, checked.stdout
    assert all("Nudge" in line for line in errors), checked.stdout
