"""Runs an application in one process or several, and ends it in order. The caller passes the application."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, Protocol, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from wallet.errors import SettingsInvalid
from wallet.http.server.bounded_protocol import BoundedProtocol
from wallet.http.server.bounds import bounded_protocol, sweep
from wallet.http.server.listeners import BACKLOG, base_url, listen, listen_for_metrics, turn_away, within_open_files
from wallet.http.server.metrics_port import MetricsApplication, settings_of_the_port
from wallet.http.server.supervisor import end_with_parent, supervise
from wallet.settings import Settings
from wallet.telemetry import everyones_exposition

SWEEP_SECONDS_MAX: Final = 1.0
SWEEP_SECONDS_MIN: Final = 0.05
# The time after the drain, when every answer is made, for answers still to be sent and for refusals.
LAST_ANSWERS_SECONDS: Final = 1.0
# The time after the drain for the application to close its connections; then the supervisor kills the worker.
CLOSE_SECONDS_MAX: Final = 5.0
# The youngest generation is collected after this many new container objects, less those freed since.
GC_ALLOCATIONS: Final = 50_000
# How often a wait looks for Ctrl-C.
POLL_SECONDS: Final = 0.05
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

_log = logging.getLogger(__name__)


class Application(Protocol):
    """An ASGI application that is told of the shutdown. The end of its lifespan closes the database, last of all."""

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> Awaitable[None]: ...

    async def begin_shutdown(self) -> None:
        """Turn readiness off. Called first, while requests are still served."""

    async def drain(self, seconds: float) -> None:
        """Answer all accepted requests, after `seconds` with 503. Called when no new connection is accepted."""


class MeasuredApplication(Application, Protocol):
    """An application that has metrics."""

    def exposition(self) -> bytes:
        """The metrics of this process."""


MakeApplication = Callable[[Settings], MeasuredApplication]


def serve(settings: Settings, make_app: MakeApplication, *, on_ready: Callable[[str], None]) -> int:
    """Serve until SIGTERM or Ctrl-C and return the exit code: 0, or 1 if the end was forced, or 3 if the start failed.

    Calls `on_ready` once with the base URL, in this process, when requests are answered. With several workers,
    `make_app` must be picklable (a module's function): each worker makes its own application.
    Returns after everything is closed, so that the caller can stop what the application used.
    Raises SettingsInvalid, in one line, if the service cannot listen on the address.
    """
    _configure_logging(settings)
    settings = within_open_files(settings)
    with ExitStack() as sockets:
        listener = sockets.enter_context(listen(settings))
        for_metrics = listen_for_metrics(settings)
        if for_metrics is not None:
            sockets.enter_context(for_metrics)
        url = base_url(settings.host, listener.getsockname()[1])

        def ready() -> None:
            _log.info("serving on %s, workers: %d", url, settings.workers)
            on_ready(url)

        if settings.workers == 1:
            code = _serve_here(settings, make_app, listener, ready, for_metrics=for_metrics)
        else:
            with _metrics_folder(), _metrics_served(settings, for_metrics, everyones_exposition):
                code = supervise(
                    _WorkerMain(settings, make_app, listener, os.getpid()),
                    workers=settings.workers,
                    on_serving=ready,
                    # Otherwise the kernel would accept connections that no worker answers.
                    on_nobody_serving=partial(turn_away, listener),
                    # While any process has it open, the kernel accepts connections, though no worker does any more.
                    on_stopping=listener.close,
                    stop_seconds_max=settings.shutdown_seconds_max + LAST_ANSWERS_SECONDS + CLOSE_SECONDS_MAX,
                )
    _log.info("stopped")
    return code


class Server(uvicorn.Server):
    """uvicorn's server, with the sweep, a shutdown that loses no answer, and no signal raised again at the end."""

    def __init__(self, settings: Settings, app: Application, *, on_started: Callable[[], None]) -> None:
        super().__init__(_uvicorn_config(settings, app))
        self._settings = settings
        self._app = app
        self._on_started = on_started
        self._sweeping: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn remembers signals and raises them again at the end, which would end the process before the caller
        # has cleaned up. So this method does not remember them.
        if (
            self.should_exit and sig == signal.SIGINT
        ):  # a second Ctrl-C; SIGTERM may follow the terminal's Ctrl-C by itself
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        starting = asyncio.create_task(super().startup(sockets))
        # The application may wait long for its database, and Ctrl-C must end that wait.
        while not starting.done() and not self.should_exit:
            await asyncio.wait([starting], timeout=POLL_SECONDS)
        if not starting.done():
            # With this flag the lifespan's task ends without a traceback in the log.
            self.lifespan.startup_failed = True
            starting.cancel()
            await asyncio.wait([starting])
            return
        starting.result()
        self._sweeping = asyncio.create_task(
            sweep(self._open_connections(), interval_seconds=_sweep_interval(self._settings))
        )
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Turn readiness off, stop accepting, answer accepted requests, close. A second Ctrl-C ends every wait."""
        loop = asyncio.get_running_loop()
        drained_at_latest = loop.time() + self._settings.shutdown_seconds_max
        await self._unless_forced(self._app.begin_shutdown())
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._unless_forced(self._app.drain(max(0.0, drained_at_latest - loop.time())))
        await self._last_answers(max(drained_at_latest, loop.time()) + LAST_ANSWERS_SECONDS)
        if not self.force_exit:
            await self._unless_forced(self.lifespan.shutdown())
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _last_answers(self, until: float) -> None:
        """Wait until the connections have ended; end the rest at `until` (on the loop's clock)."""
        state, loop = self.server_state, asyncio.get_running_loop()
        # uvicorn's sets have no event to wait for
        while (state.connections or state.tasks) and not self.force_exit and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        if not state.connections and not state.tasks:
            return
        _log.warning("ended %d connections and %d requests", len(state.connections), len(state.tasks))
        for connection in self._open_connections().copy():
            connection.transport.abort()
        await asyncio.sleep(POLL_SECONDS)  # the connections see the abort, so the cancelled tasks send no answer
        for task in list(state.tasks):
            task.cancel()

    async def _unless_forced(self, stage: Awaitable[None]) -> None:
        """Await one stage of the shutdown. A fault in it must not prevent the next stages."""
        task = asyncio.ensure_future(stage)
        while not task.done() and not self.force_exit:
            await asyncio.wait([task], timeout=POLL_SECONDS)
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a stage of the shutdown failed", exc_info=error)

    def _open_connections(self) -> set[BoundedProtocol]:
        return cast("set[BoundedProtocol]", self.server_state.connections)


@dataclass(frozen=True, slots=True)
class _WorkerMain:
    """The main function of a worker process. It is pickled; the socket arrives as a duplicate of its descriptor."""

    settings: Settings
    make_app: MakeApplication
    listener: socket.socket
    parent_pid: int

    def __call__(self, pipe: Connection) -> None:
        end_with_parent(self.parent_pid)
        _configure_logging(self.settings)
        sys.exit(_serve_here(self.settings, self.make_app, self.listener, lambda: pipe.send(True)))


def _serve_here(
    settings: Settings,
    make_app: MakeApplication,
    listener: socket.socket,
    on_started: Callable[[], None],
    *,
    for_metrics: socket.socket | None = None,
) -> int:
    app = make_app(settings)
    server = Server(settings, app, on_started=on_started)
    spare_the_collector()
    try:
        with _metrics_served(settings, for_metrics, app.exposition):
            server.run(sockets=[listener])
    except SystemExit:  # raised by uvicorn if the application did not start, after it has logged the reason
        return STARTUP_FAILURE
    return 1 if server.force_exit else 0


def spare_the_collector() -> None:
    """Collect cyclic garbage seldom, and never scan the objects that existed before the first request.

    Requests leave hardly any cycles, but each makes hundreds of objects: with Python's defaults the collector took an
    eighth of the processor time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)


def _uvicorn_config(settings: Settings, app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Callable[..., Any]", app),
        interface="asgi3",
        loop="uvloop",
        http=bounded_protocol(settings),
        ws="none",
        lifespan="on",
        # uvicorn logs each stage of start and stop at level info: too much. serve() logs one line for the start and one
        # for the stop.
        log_config=None,
        log_level={"debug": "info", "error": "error"}.get(settings.log_level, "warning"),
        access_log=False,
        # No code here uses the client's address that a proxy reports, and reading it costs a layer per request.
        proxy_headers=False,
        server_header=False,
        # RFC 9110 requires it of a server with a clock; uvicorn formats it once a second.
        date_header=True,
        backlog=BACKLOG,
    )


def _sweep_interval(settings: Settings) -> float:
    shortest = min(settings.request_seconds_max, settings.keep_alive_seconds)
    return min(SWEEP_SECONDS_MAX, max(SWEEP_SECONDS_MIN, shortest / 4))


@contextmanager
def _metrics_served(
    settings: Settings, listener: socket.socket | None, exposition: Callable[[], bytes]
) -> Iterator[None]:
    """Serve metrics on this listener, in a thread, while the block runs. Without a listener, do nothing."""
    if listener is None:
        yield
        return
    server = Server(settings_of_the_port(settings), MetricsApplication(exposition), on_started=lambda: None)
    thread = threading.Thread(target=server.run, args=([listener],), name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(LAST_ANSWERS_SECONDS + CLOSE_SECONDS_MAX)


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """Make the folder of the workers' metrics. It is set before they start: the metrics library reads it at import."""
    previous = os.environ.get(METRICS_FOLDER)
    try:
        made = TemporaryDirectory(prefix="wallet-metrics-")
    except OSError:
        raise SettingsInvalid("several workers need a folder for temporary files: name one in TMPDIR") from None
    with made as folder:
        os.environ[METRICS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[METRICS_FOLDER]
            if previous is not None:
                os.environ[METRICS_FOLDER] = previous


def _configure_logging(settings: Settings) -> None:
    """Log plain lines to standard error, unless the program has set up logging already."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s"
    )
