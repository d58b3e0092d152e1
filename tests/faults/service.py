"""The service as a thing to break: its worker processes, whose a connection is, its end and its next start."""

import asyncio
import os
import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.e2e.serving import Service, served
from tests.faults.processes import children_of, is_stopped, is_worker, owner_of, rss_mib
from tests.faults.proxy import Link

POLL_SECONDS = 0.02
# No measurement: it ends a run that would hang.
WORKERS_SECONDS_MAX = 60.0


class ServiceControl:
    """`wallet serve` with several workers. `settings` are environment variables."""

    def __init__(self, database_url: str, *, proxy_port: int, workers: int, settings: dict[str, str]) -> None:
        self._database_url = database_url
        self._proxy_port = proxy_port
        self._settings = {"WALLET_WORKERS": str(workers), **settings}
        self._stack = ExitStack()
        self._service: Service | None = None
        self._starting: asyncio.Task[Service] | None = None
        self._log_read = 0
        self.workers_wanted = workers
        self.last_log = ""

    async def start(self) -> None:
        self._log_read = 0
        served_here = served(self._database_url, **self._settings)
        # It waits by sleeping, and the proxy in this loop has to answer meanwhile. If this is cancelled, `stop` ends
        # the processes that are being started.
        self._starting = asyncio.create_task(asyncio.to_thread(self._stack.enter_context, served_here))
        self._service = await asyncio.shield(self._starting)

    @property
    def address(self) -> tuple[str, int]:
        assert self._service is not None
        return self._service.address

    @property
    def workers(self) -> list[int]:
        assert self._service is not None
        return [pid for pid in children_of(self._service.process.pid) if is_worker(pid)]

    @property
    def memory_mib(self) -> dict[int, float]:
        return {pid: rss for pid in self.workers if (rss := rss_mib(pid)) is not None}

    async def all_workers(self) -> list[int]:
        """The workers, as soon as there are as many as there should be."""
        give_up_at = time.monotonic() + WORKERS_SECONDS_MAX
        while len(self.workers) != self.workers_wanted:
            if time.monotonic() > give_up_at:
                raise AssertionError(f"there are {len(self.workers)} workers of {self.workers_wanted}")
            await asyncio.sleep(POLL_SECONDS)
        return self.workers

    def worker_of(self, link: Link) -> int | None:
        """The process that has this connection to the database."""
        return owner_of(link.client_port, self._proxy_port, self.workers)

    async def kill_all(self) -> None:
        """SIGKILL to the supervisor and all workers at once."""
        assert self._service is not None
        self._keep_log()
        with suppress(ProcessLookupError):
            os.killpg(self._service.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._stack.close)

    async def stop(self) -> None:
        if self._starting is None:
            return
        await asyncio.wait([self._starting])
        if self._starting.exception() is None:
            self._service = self._starting.result()
            self._keep_log()
            self.wake_all()
        await asyncio.to_thread(self._stack.close)

    def wake_all(self) -> None:
        for pid in self.workers:
            if is_stopped(pid):
                os.kill(pid, signal.SIGCONT)

    def new_log(self) -> str:
        """The log of the service since the last call."""
        self._keep_log()
        fresh, self._log_read = self.last_log[self._log_read :], len(self.last_log)
        return fresh

    def _keep_log(self) -> None:
        assert self._service is not None
        # Its folder goes with the service, and the file's name is known to nobody else.
        with suppress(OSError):
            self.last_log = Path(os.readlink(f"/proc/{self._service.process.pid}/fd/1")).read_text(errors="replace")
