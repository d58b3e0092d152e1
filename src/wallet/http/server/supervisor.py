"""Starts, replaces and ends worker processes that share one listening socket. Nothing here knows HTTP.

uvicorn has a supervisor, too. It kills workers that do not answer a probe within seconds, which also kills healthy
workers after the whole machine was paused; and it waits for ever for a worker that does not end. This supervisor
leaves a stopped worker alone: PostgreSQL soon ends the worker's database transaction, so it holds no lock for long;
the other workers accept the new connections; and when the worker runs again, it serves again.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE

# A worker that ends is replaced at once. If several workers of one place end this young, one after the other, the
# supervisor waits between them, each time twice as long: a fault at start must not become a fork storm.
YOUNG_SECONDS: Final = 30.0
RESTARTS_AT_ONCE: Final = 2
RESTART_SECONDS_MIN: Final = 0.5
RESTART_SECONDS_MAX: Final = 5.0
# How often the supervisor looks for signals; the end of a worker wakes it at once.
POLL_SECONDS: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1

_log = logging.getLogger(__name__)
_spawn = multiprocessing.get_context("spawn")

# Runs in the main thread of a worker. Its argument is a pipe, to which the worker writes once it serves.
WorkerMain = Callable[[Connection], None]


@dataclass(slots=True)
class _Worker:
    """young_ends: how many workers of this place have ended young, one after the other. restart_at: set when this
    worker has ended.
    """

    process: SpawnProcess
    pipe: Connection
    started_at: float
    young_ends: int
    serving: bool = False
    restart_at: float | None = None


def supervise(
    main: WorkerMain,
    *,
    workers: int,
    on_serving: Callable[[], None],
    on_nobody_serving: Callable[[], None],
    on_stopping: Callable[[], None],
    stop_seconds_max: float,
) -> int:
    """Keep `workers` processes running `main` until SIGTERM or SIGINT, and return the exit code.

    `main` must be picklable, and must call `end_with_parent` first. The supervisor calls `on_serving` once, when all
    workers serve; later `on_nobody_serving`, again and again, while no worker serves; and `on_stopping` before it ends
    the workers.

    Until all workers serve, a worker that ends with uvicorn's STARTUP_FAILURE ends everything. Later such a worker is
    started again and again: the others serve, and the reason (the database is away) may pass. At the end workers get
    SIGTERM, and after `stop_seconds_max`, or at a second signal, SIGKILL.
    """
    resource_tracker.ensure_running()  # otherwise the first process start would start it, and undo the signal mask
    with _stop_requests() as stops:
        running = [_start(main, young_ends=0) for _ in range(workers)]
        try:
            return _keep_running(main, running, stops, on_serving, on_nobody_serving)
        finally:
            on_stopping()
            _end(running, stops, stop_seconds_max)


def end_with_parent(parent_pid: int) -> None:
    """Make this process get SIGTERM when its parent has ended, for any reason. Call it in the main thread."""
    if sys.platform == "linux":
        # Linux sends the signal when the thread that started this process ends: the parent's main thread.
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    else:
        threading.Thread(target=_watch_parent, daemon=True).start()
    # The parent may have ended before this request.
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGTERM)


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """The SIGTERMs and SIGINTs received so far, as a list that grows."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _start(main: WorkerMain, *, young_ends: int) -> _Worker:
    ours, theirs = _spawn.Pipe(duplex=False)
    process = _spawn.Process(target=main, args=(theirs,))
    # The worker inherits the mask: a terminal sends Ctrl-C to all processes, and only the supervisor must act on it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Worker(process=process, pipe=ours, started_at=time.monotonic(), young_ends=young_ends)


def _keep_running(
    main: WorkerMain,
    running: list[_Worker],
    stops: list[int],
    on_serving: Callable[[], None],
    on_nobody_serving: Callable[[], None],
) -> int:
    announced = False
    while not stops:
        for index, worker in enumerate(running):
            if worker.restart_at is None:
                worker.serving = worker.serving or _has_said_so(worker.pipe)
                if not worker.process.is_alive():
                    if worker.process.exitcode == STARTUP_FAILURE and not announced:
                        return STARTUP_FAILURE
                    _note_end(worker)
            if worker.restart_at is not None and time.monotonic() >= worker.restart_at and not stops:
                running[index] = _start(main, young_ends=worker.young_ends)
        if not announced and all(worker.serving for worker in running):
            announced = True
            on_serving()
        if announced and not any(worker.serving for worker in running):
            on_nobody_serving()
        wait([worker.process.sentinel for worker in running if worker.restart_at is None], POLL_SECONDS)
    return 0


def _has_said_so(pipe: Connection) -> bool:
    try:
        return pipe.poll() and bool(pipe.recv())
    except EOFError:
        return False


def _note_end(worker: _Worker) -> None:
    _log.error("worker %s ended with %s and is replaced", worker.process.pid, worker.process.exitcode)
    now = time.monotonic()
    worker.serving = False
    worker.young_ends = worker.young_ends + 1 if now - worker.started_at < YOUNG_SECONDS else 0
    worker.restart_at = now + restart_seconds(worker.young_ends)
    _forget(worker)


def restart_seconds(young_ends: int) -> float:
    """How long a place stays empty after this number of its workers has ended young, one after the other."""
    if young_ends <= RESTARTS_AT_ONCE:
        return 0.0
    doublings = min(young_ends - RESTARTS_AT_ONCE - 1, 16)
    return min(RESTART_SECONDS_MAX, RESTART_SECONDS_MIN * (1 << doublings))


def _forget(worker: _Worker) -> None:
    # The library keeps the counters of an ended process in the sums, and drops its gauges.
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ and worker.process.pid is not None:
        mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
    worker.pipe.close()
    worker.process.close()


def _end(running: list[_Worker], stops: list[int], seconds_max: float) -> None:
    running = [worker for worker in running if worker.restart_at is None]
    for worker in running:
        worker.process.terminate()
    requests = len(stops)
    deadline = time.monotonic() + seconds_max
    alive = [worker.process for worker in running if worker.process.is_alive()]
    while alive and time.monotonic() < deadline and len(stops) == requests:
        wait([process.sentinel for process in alive], POLL_SECONDS)
        alive = [process for process in alive if process.is_alive()]
    for process in alive:
        _log.error("worker %s did not end in time and is killed", process.pid)
        process.kill()
    for worker in running:
        worker.process.join()
        _forget(worker)
