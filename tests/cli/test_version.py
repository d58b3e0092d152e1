"""`wallet version`, and what it does not import."""

import json
import platform
import subprocess
import sys

from tests.cli.running import Wallet
from wallet import __version__

HEAVY = {"litestar", "alembic", "sqlalchemy", "asyncpg", "rich", "uvicorn", "msgspec"}


def test_version_says_its_number_and_the_pythons(wallet: Wallet) -> None:
    said = wallet("version")
    assert said.code == 0
    assert said.output == f"wallet {__version__} (Python {platform.python_version()})\n"


def test_version_answers_json(wallet: Wallet) -> None:
    said = wallet("version", "--json")
    assert json.loads(said.output) == {"version": __version__, "python": platform.python_version()}


def test_version_answers_json_when_the_environment_variable_says_so(wallet: Wallet) -> None:
    assert json.loads(wallet("version", WALLET_JSON="1").output)["version"] == __version__


def test_version_and_help_import_nothing_heavy() -> None:
    code = """
import sys
from wallet.cli.main import main
for arguments in (["version"], ["--help"]):
    try:
        main(arguments)
    except SystemExit:
        pass
print(*{name.partition(".")[0] for name in sys.modules})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(ran.stdout.splitlines()[-1].split())
