"""`wallet dev` as a newcomer meets it: four lines, an answer over HTTP, and nothing left behind however it ends."""

import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.running import press_ctrl_c, started

DEMO_WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
GONE_SECONDS_MAX = 60.0

ENDINGS: dict[str, Callable[["subprocess.Popen[str]"], None]] = {
    "ctrl-c": press_ctrl_c,
    "sigterm": lambda process: process.terminate(),
    "kill -9": lambda process: process.kill(),
}


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """A folder for the embedded database's data, which the first test to use it makes."""
    with _open_folder() as folder:
        yield folder / "pg"


@contextmanager
def _open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wt-"))
    folder.chmod(0o755)  # as root, the server runs as somebody else, who must get through here
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def dev(data_dir: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    with started("dev", lines=5, WALLET_DATA_DIR=str(data_dir), PORT="0") as (process, lines):
        assert len(lines) == 5, process.communicate()[1]
        yield process, lines


def url_in(lines: list[str]) -> str:
    found = re.fullmatch(r"Wallet service: (http://127\.0\.0\.1:\d+)", lines[0])
    assert found, lines
    return found[1]


def balance(url: str) -> int:
    answer = httpx.get(f"{url}/wallets/{DEMO_WALLET}/balance")
    assert answer.status_code == 200, answer.text
    amount: int = answer.json()["balance"]
    return amount


def top_up(url: str, amount: int) -> None:
    body = {"reference_id": secrets.token_hex(8), "amount": amount, "asset_code": "gold"}
    assert httpx.post(f"{url}/wallets/{DEMO_WALLET}/topup", json=body).status_code == 201


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().split()[0])


def wait_until_gone(pid: int) -> None:
    """Zombies count as gone: reaping orphans is the init process's business."""
    give_up_at = time.monotonic() + GONE_SECONDS_MAX
    while state_of(pid) not in ("", "Z"):
        assert time.monotonic() < give_up_at, f"process {pid} is still there"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """The first letter of the process's state; empty if there is no such process."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return said.strip()[:1]


def test_dev_prints_the_url_and_the_documentation_and_a_curl_line_and_its_mode_and_no_more(data_dir: Path) -> None:
    with dev(data_dir) as (process, lines):
        url = url_in(lines)
        process.terminate()
        assert process.communicate()[0] == ""
    assert lines[1:4] == [
        f"Documentation:  {url}/docs",
        f"Data:           {data_dir}",
        f"curl {url}/wallets/{DEMO_WALLET}/balance",
    ]
    assert lines[4].startswith("DEVELOPMENT MODE: no key is asked for")


def test_the_curl_line_answers_the_balance_of_the_demo_wallet() -> None:
    with _open_folder() as folder, dev(folder / "pg") as (_, lines):
        answer = httpx.get(lines[3].removeprefix("curl "))
        assert answer.json()["balance"] == 1000


def test_the_documentation_is_where_dev_says(data_dir: Path) -> None:
    with dev(data_dir) as (_, lines):
        assert httpx.get(lines[1].split()[-1]).status_code == 200


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_no_postgres_is_left_when_dev_has_ended(end: Callable[["subprocess.Popen[str]"], None], data_dir: Path) -> None:
    with dev(data_dir) as (process, _):
        pid = postmaster(data_dir)
        end(process)
        process.communicate()
        wait_until_gone(pid)


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS.keys())
def test_what_was_acknowledged_is_there_at_the_next_start(
    end: Callable[["subprocess.Popen[str]"], None], data_dir: Path
) -> None:
    with dev(data_dir) as (process, lines):
        url = url_in(lines)
        before = balance(url)
        top_up(url, 7)
        end(process)
        process.communicate()
    with dev(data_dir) as (_, lines):
        assert balance(url_in(lines)) == before + 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dev_ends_with_exit_code_0_when_asked_to(number: signal.Signals, data_dir: Path) -> None:
    with dev(data_dir) as (process, _):
        process.send_signal(number)
        process.communicate()
        assert process.returncode == 0


def test_a_taken_port_is_one_line_that_says_how_to_choose_another_and_starts_no_database() -> None:
    with _open_folder() as folder, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started("dev", lines=1, WALLET_DATA_DIR=str(folder / "pg"), PORT=str(port)) as (process, lines):
            errors = process.communicate()[1]
        assert (process.returncode, lines) == (2, [])
        assert errors.count("\n") == 1
        assert f"port {port}" in errors
        assert "PORT" in errors
        assert not (folder / "pg").exists()


def test_dev_uses_the_database_it_is_given_instead_of_its_own(empty_database_url: str) -> None:
    with (
        _open_folder() as folder,
        started("dev", lines=3, DATABASE_URL=empty_database_url, WALLET_DATA_DIR=str(folder / "pg"), PORT="0") as (
            _,
            lines,
        ),
    ):
        assert balance(url_in(lines)) == 1000
        assert not (folder / "pg").exists()
