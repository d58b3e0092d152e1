"""A PostgreSQL of its own that can be stopped, killed, frozen and started again. Only for the main thread."""

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from tests.faults.processes import children_of
from tests.postgres import postgres_bindirs
from wallet.storage.embedded.account import Account, account_for
from wallet.storage.embedded.folder import LOG, read_postmaster_file, socket_dir_for
from wallet.storage.embedded.process import launched, stop
from wallet.storage.embedded.server import DATABASE, PORT, SERVER_SETTINGS, USER, embedded_postgres
from wallet.storage.schema.migrate import migrate

# No measurement: it ends a run that would hang.
START_SECONDS_MAX = 120.0
POLL_SECONDS = 0.02
# Small, so that the volume need not be large.
SETTINGS = SERVER_SETTINGS | {"shared_buffers": "128MB", "max_wal_size": "128MB", "min_wal_size": "48MB"}


class Postgres:
    """`initialise` makes the data folder and the schema, before any event loop runs. `dsn` is the direct way in."""

    def __init__(self, folder: Path) -> None:
        self._data_dir = folder / "pg"
        self._account: Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._bindir = Path()
        self.socket_dir = Path()
        self.version = ""

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self.socket_dir))}&port={PORT}"

    def initialise(self) -> None:
        bindir = postgres_bindirs()[max(postgres_bindirs())]
        with embedded_postgres(self._data_dir, bindir) as server:
            self._bindir, self.version = server.bindir, server.version
            asyncio.run(migrate(server.dsn))
        self._account = account_for(self._data_dir)
        self.socket_dir = socket_dir_for(self._data_dir, self._account)

    async def start(self) -> None:
        """Wait until nothing is left of the server before, start, and wait until it accepts connections."""
        assert self._account is not None
        lock = await self._lock()
        command: list[str | Path] = [self._bindir / "postgres", "-D", self._data_dir]
        places = {"unix_socket_directories": str(self.socket_dir), "port": str(PORT)}
        for name, value in (SETTINGS | places).items():
            command += ["-c", f"{name}={value}"]
        try:
            self._process = launched(command, account=self._account, lock=lock, log=self._data_dir / LOG)
        finally:
            os.close(lock)  # the server has inherited it
        give_up_at = time.monotonic() + START_SECONDS_MAX
        while True:
            found = read_postmaster_file(self._data_dir)
            if found and found.pid == self._process.pid and found.status == "ready":
                return
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")
            await asyncio.sleep(POLL_SECONDS)

    async def _lock(self) -> int:
        """The folder's lock, which every process of a server holds while it lives."""
        lock = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY)
        give_up_at = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    os.close(lock)
                    raise
                await asyncio.sleep(POLL_SECONDS)
            else:
                return lock

    async def end(self, number: signal.Signals) -> None:
        """Send it to the postmaster, and wait until that is gone. SIGQUIT is an immediate shutdown."""
        assert self._process is not None
        self._process.send_signal(number)
        await asyncio.to_thread(self._process.wait, START_SECONDS_MAX)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> None:
        """SIGSTOP to all of its processes. The postmaster first, so that it starts no more."""
        assert self._process is not None
        for pid in [self._process.pid, *children_of(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_running:
            assert self._process is not None
            for pid in [*children_of(self._process.pid), self._process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            stop(self._process)

    def log(self) -> str:
        path = self._data_dir / LOG
        return path.read_text(errors="replace") if path.exists() else ""

    async def ask(self, statement: str, *arguments: object) -> list[Any]:
        """Rows, on a connection of this question's own."""
        connection = await asyncpg.connect(self.dsn, timeout=20)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()
