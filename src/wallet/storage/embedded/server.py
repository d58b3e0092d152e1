"""Starts, shares and stops the embedded PostgreSQL server.

The code is synchronous: it runs in the main thread before the event loop. The files are in `folder`, the choice of
binaries in `binaries`, of the user in `account`, and the processes in `process`.
"""

import fcntl
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wallet.errors import SettingsInvalid, ensure
from wallet.storage.embedded.account import Account
from wallet.storage.embedded.binaries import Binaries, find_binaries
from wallet.storage.embedded.folder import (
    LOG,
    PostmasterFile,
    begin_initdb,
    default_data_dir,
    finish_initdb,
    major_of,
    prepare_data_dir,
    read_postmaster_file,
    remove_database,
    socket_dir_for,
)
from wallet.storage.embedded.process import launched, run, stop

PORT = 5432  # part of the socket's file name; the server does not listen on TCP
USER, DATABASE = "postgres", "wallet"
POLL_SECONDS = 0.01
OTHER_SECONDS_MAX = 120.0  # for another command's server to start or to end
START_SECONDS_MAX = 300.0  # recovery after a crash reads up to max_wal_size
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # every statement here is short
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # statements hold the callers' data, and logs are passed on
}


def shared_buffers_mib() -> int:
    """An eighth of the machine's memory, 128 MiB to 2 GiB. PostgreSQL takes only the part that it uses."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return min(max(memory_mib // 8, 128), 2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """A running server. `owned`: this process started it and stops it; otherwise another process does."""

    dsn: str
    socket_dir: Path
    bindir: Path
    data_dir: Path
    version: str
    pid: int
    owned: bool


@contextmanager
def embedded_postgres(data_dir: Path | None = None, bindir: Path | None = None) -> Iterator[EmbeddedServer]:
    """Yield the server of `data_dir`, with the database `wallet` in it. Starts the server unless it runs already.

    The process that started the server stops it at the end; the server also stops when this process dies, for any
    reason. Call it from the main thread: on Linux the server ends with the thread that started it.
    Raises SettingsInvalid with one line for the operator.
    """
    ensure(threading.current_thread() is threading.main_thread(), "embedded_postgres outside the main thread")
    data_dir = (data_dir or default_data_dir()).expanduser().resolve()
    account = prepare_data_dir(data_dir)
    # The lock is on the folder itself. The server inherits it, so it is free when no process of the server is left.
    lock = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        running = _own_or_join(data_dir, lock)
        binaries = find_binaries(major=major_of(data_dir), chosen=bindir, account=account, data_dir=data_dir)
        if running is not None:
            yield _described(running, binaries, data_dir=data_dir, owned=False)
            return
        if major_of(data_dir) is None:
            _initialise(data_dir, binaries, account=account, lock=lock)
        with _started(data_dir, binaries, account=account, lock=lock) as started:
            yield _described(started, binaries, data_dir=data_dir, owned=True)
    finally:
        os.close(lock)


def remove_embedded_data(data_dir: Path | None = None) -> Path:
    """Remove the data of a server that does not run, and return its folder.

    Raises SettingsInvalid if the folder is in use, or holds anything but a database that was made here.
    """
    data_dir = (data_dir or default_data_dir()).expanduser().resolve()
    try:
        lock = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return data_dir
    except OSError as error:
        raise SettingsInvalid(f"cannot remove {data_dir} ({error.strerror})") from error
    try:
        if not _try_lock(lock):
            raise SettingsInvalid(f"another command uses {data_dir}: end that command first")
        if (running := read_postmaster_file(data_dir)) and _accepts(running):
            raise SettingsInvalid(f"a server that was started by hand uses {data_dir}: stop it first")
        remove_database(data_dir)
    except OSError as error:
        raise SettingsInvalid(f"cannot remove {data_dir} ({error.strerror})") from error
    finally:
        os.close(lock)
    return data_dir


def _own_or_join(data_dir: Path, lock: int) -> PostmasterFile | None:
    """The running server, or None if this process now has the lock and must start one.

    Waits while another command starts or stops its server.
    """
    give_up_at = time.monotonic() + OTHER_SECONDS_MAX
    while True:
        locked = _try_lock(lock)
        found = read_postmaster_file(data_dir)
        if found and found.status == "ready" and _accepts(found):
            if locked:  # an operator has started this server by hand
                fcntl.flock(lock, fcntl.LOCK_UN)
            return found
        if locked:
            return None
        if time.monotonic() > give_up_at:
            raise SettingsInvalid(
                f"another command holds {data_dir}, but its database does not answer: end that command first"
            )
        time.sleep(POLL_SECONDS)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _accepts(server: PostmasterFile) -> bool:
    """Whether a server listens on the socket. `ready` alone proves nothing: a killed server may have left the file."""
    if server.socket_dir is None:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(server.socket_dir / f".s.PGSQL.{server.port}"))
        except OSError:
            return False
    return True


def _initialise(data_dir: Path, binaries: Binaries, *, account: Account, lock: int) -> None:
    target = begin_initdb(data_dir, account)
    command: list[str | Path] = [
        binaries.bindir / "initdb", "--pgdata", target, "--username", USER, "--data-checksums", "-E", "UTF8",
        "--locale=C", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
    ]  # fmt: skip
    with launched(command, account=account, lock=lock, stdout=subprocess.PIPE) as initdb:
        said = initdb.communicate()[0].decode(errors="replace")
    if initdb.returncode != 0:
        raise SettingsInvalid(f"a database could not be made in {data_dir}: {_last_complaint(said)}")
    finish_initdb(data_dir, account)


@contextmanager
def _started(data_dir: Path, binaries: Binaries, *, account: Account, lock: int) -> Iterator[PostmasterFile]:
    """Start the server, yield it when it is ready, and stop it at the end."""
    socket_dir = socket_dir_for(data_dir, account)
    settings = SERVER_SETTINGS | {
        "shared_buffers": f"{shared_buffers_mib()}MB",
        "unix_socket_directories": str(socket_dir),
        "port": str(PORT),
    }
    command: list[str | Path] = [binaries.bindir / "postgres", "-D", data_dir]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    server = launched(command, account=account, lock=lock, log=data_dir / LOG)
    try:
        yield _wait_until_ready(server, data_dir)
    finally:
        stop(server)
        if socket_dir != data_dir:
            with suppress(OSError):
                socket_dir.rmdir()


def _wait_until_ready(server: subprocess.Popen[bytes], data_dir: Path) -> PostmasterFile:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up_at:
        found = read_postmaster_file(data_dir)
        if found and found.pid == server.pid and found.status == "ready":
            return found
        if server.poll() is not None:
            break
        time.sleep(POLL_SECONDS)
    log = data_dir / LOG
    said = log.read_text(errors="replace") if log.exists() else ""
    raise SettingsInvalid(f"the database in {data_dir} did not start: {_last_complaint(said)} (log: {log})")


def _last_complaint(said: str) -> str:
    """The most useful line of PostgreSQL's output: the last error, else the last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    complaints = [line for line in lines if "FATAL:" in line or "error:" in line]
    return (complaints or lines or ["it said nothing"])[-1]


def _described(running: PostmasterFile, binaries: Binaries, *, data_dir: Path, owned: bool) -> EmbeddedServer:
    """The description of the running server. Creates the database if it is missing."""
    if running.socket_dir is None:
        raise SettingsInvalid(f"the server of {data_dir} has no Unix socket: stop it, or set DATABASE_URL to it")
    _create_database(running, binaries)
    host = quote(str(running.socket_dir))
    return EmbeddedServer(
        dsn=f"postgresql://{USER}@/{DATABASE}?host={host}&port={running.port}",
        socket_dir=running.socket_dir,
        bindir=binaries.bindir,
        data_dir=data_dir,
        version=binaries.version,
        pid=running.pid,
        owned=owned,
    )


def _create_database(running: PostmasterFile, binaries: Binaries) -> None:
    where = ["-h", str(running.socket_dir), "-p", str(running.port), "-U", USER, "-w"]
    is_there: list[str | Path] = [binaries.bindir / "psql", *where, "-X", "-d", DATABASE, "-c", r"\q"]
    if run(is_there).returncode == 0:
        return
    created = run([binaries.bindir / "createdb", *where, DATABASE])
    if created.returncode != 0 and run(is_there).returncode != 0:  # otherwise another command created it first
        raise SettingsInvalid(f"the database {DATABASE} could not be created: {_last_complaint(created.stderr)}")
