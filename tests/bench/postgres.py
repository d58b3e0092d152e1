"""The PostgreSQL that everything runs on: the embedded one, or the one BENCH_DATABASE_URL names."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.bench import processes
from wallet.storage.embedded.server import embedded_postgres

_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_TOLD = (
    "server_version",
    *_DURABLE,
    "wal_sync_method",
    "wal_level",
    "shared_buffers",
    "max_connections",
    "max_wal_size",
    "checkpoint_timeout",
    "commit_delay",
    "jit",
    "autovacuum",
    "data_checksums",
)


class NotDurable(RuntimeError):
    """The server would answer before the disk has the data: nothing measured on it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database of the server. Each call is a connection of its own: none is open while a run is measured."""

    dsn: str

    def named(self, name: str) -> "Database":
        """Another database of the same server."""
        parts = urlsplit(self.dsn)
        query = f"?{parts.query}" if parts.query else ""
        return Database(dsn=f"{parts.scheme}://{parts.netloc}/{name}{query}")

    def created(self, name: str) -> "Database":
        """Another database of the same server, made anew."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        return self.named(name)

    def dropped(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, sql: str) -> None:
        """One or more statements without parameters."""

        async def run(connection: Any) -> None:
            await connection.execute(sql)

        asyncio.run(self._with_connection(run))

    def rows(self, sql: str, *arguments: object) -> list[Any]:
        async def run(connection: Any) -> Any:
            return await connection.fetch(sql, *arguments)

        return list(asyncio.run(self._with_connection(run)))

    def value(self, sql: str, *arguments: object) -> Any:
        return self.rows(sql, *arguments)[0][0]

    async def _with_connection(self, run: Any) -> Any:
        connection = await asyncpg.connect(self.dsn, timeout=30)
        try:
            return await run(connection)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running PostgreSQL on this machine."""

    database: Database
    pgbench: Path
    postmaster_pid: int
    settings: dict[str, str]

    def wal(self) -> dict[str, float]:
        """Bytes of WAL and flushes of it so far."""
        bytes_written = self.database.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        if int(self.settings["server_version_num"]) >= 180_000:
            flushes = self.database.value("SELECT coalesce(sum(fsyncs), 0) FROM pg_stat_io WHERE object = 'wal'")
        else:
            flushes = self.database.value("SELECT wal_sync FROM pg_stat_wal")
        return {"bytes": float(bytes_written), "flushes": float(flushes)}

    def probe_folder(self, fallback: Path) -> Path:
        """A folder on the disk of the data folder in which this user may write; `fallback` if there is none."""
        folder = Path(self.settings["data_directory"])
        return folder if os.access(folder, os.W_OK) else fallback


def _server(dsn: str, pgbench: Path) -> Server:
    database = Database(dsn=dsn)
    names = [*_TOLD, "server_version_num", "data_directory"]
    settings = dict(database.rows("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", names))
    for row in database.rows("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)", list(_TOLD)):
        settings[row[0]] = row[1]  # with its unit
    off = [name for name in _DURABLE if settings[name] != "on"]
    if off:
        raise NotDurable(f"{', '.join(off)} must be on; this server has them off")
    # The postmaster is the parent of every server process; the checkpointer is one that stays.
    checkpointer = database.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    postmaster_pid = processes.parent_of(checkpointer)
    return Server(database=database, pgbench=pgbench, postmaster_pid=postmaster_pid, settings=settings)


@contextlib.contextmanager
def running_server(*, database_url: str | None, data_dir: Path, bindir: Path | None) -> Iterator[Server]:
    """The server at `database_url`, or an embedded one with a new data folder that is removed afterwards.

    CPU time is read from /proc, so a server at a URL must be on this machine.
    """
    if database_url is not None:
        pgbench = shutil.which("pgbench")
        if pgbench is None:
            raise FileNotFoundError("pgbench must be on PATH when BENCH_DATABASE_URL is set")
        yield _server(database_url, Path(pgbench))
        return
    shutil.rmtree(data_dir, ignore_errors=True)
    try:
        with embedded_postgres(data_dir, bindir) as embedded:
            yield _server(embedded.dsn, Path(embedded.bindir) / "pgbench")
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
