"""A PostgreSQL server of a test's own: frozen, demoted or out of room without harm to others."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import asyncpg

from tests.faults.volume import Volume, volume
from tests.http.client import Api
from tests.postgres import postgres_bindirs
from wallet.storage.embedded.server import embedded_postgres
from wallet.storage.schema.migrate import migrate

# No measurements: they end a test that would hang.
SECONDS_MAX = 60.0
VOLUME_MIB = 192


class OwnServer:
    """`dsn` stays the same from one start to the next."""

    def __init__(self, where: Volume) -> None:
        self.volume = where
        self._stack = ExitStack()
        self.dsn = ""
        self.pid = 0

    def start(self) -> None:
        bindir = postgres_bindirs()[max(postgres_bindirs())]
        server = self._stack.enter_context(embedded_postgres(self.volume.folder / "pg", bindir))
        self.dsn, self.pid = server.dsn, server.pid

    def stop(self) -> None:
        self._stack.close()

    def demote(self) -> None:
        """Start again as a standby, of nobody."""
        self.stop()
        (self.volume.folder / "pg" / "standby.signal").touch()
        self.start()

    async def promote(self) -> None:
        """End the recovery of a standby: it takes writes from then on."""
        connection = await asyncpg.connect(self.dsn)
        assert await connection.fetchval("SELECT pg_promote()")
        await connection.close()

    async def service_pids(self) -> list[int]:
        """The backends that serve the service."""
        connection = await asyncpg.connect(self.dsn)
        rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'wallet %'")
        await connection.close()
        return [row["pid"] for row in rows]


@contextmanager
def own_server(*, mib: int = 0) -> Iterator[OwnServer]:
    """A migrated server; on a volume of `mib` of its own, where that is permitted."""
    with volume(mib, on_disk=not mib) as where, ExitStack() as stack:
        server = OwnServer(where)
        server.start()
        stack.callback(server.stop)
        asyncio.run(migrate(server.dsn))
        yield server


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Processes of the test's own server, stopped and then let go on."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it."""
    give_up_at = time.monotonic() + SECONDS_MAX
    while not await is_so():
        assert time.monotonic() < give_up_at, "it does not come to that"
        await asyncio.sleep(0.1)


async def reasons(api: Api) -> list[str]:
    """The codes of why it is not ready."""
    answer = await api.http.get("/readyz")
    body = answer.json()
    assert (answer.status_code == 200) == body["ready"] == (not body["reasons"]), body
    return [each["code"] for each in body["reasons"]]
