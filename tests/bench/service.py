"""Part (b): the service as its users meet it, started by its own command and spoken to over HTTP."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import metrics, processes
from tests.bench.postgres import Database

DATABASE = "bench_service"
_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 40.0


class Service:
    """A running service process (with its workers)."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str) -> None:
        self.process = process
        self.port = port
        self.key = key
        """The key of every request, so that the figures include authentication."""

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer to a GET, or to a POST of `body`. Raises RuntimeError with the answer's text otherwise."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("authorization", f"Bearer {self.key}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read()[:500]!r}") from error

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, reset, or an answer that is an error
            return False

    def metrics(self) -> metrics.Samples:
        """All samples of /metrics; empty if there is no such page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                return metrics.samples_of(answer.read().decode())
        except OSError:
            return {}

    def memory(self) -> dict[str, int]:
        """Of the largest process of the service, in bytes."""
        return processes.memory_bytes_max(processes.tree_of(self.process.pid))


def _command() -> list[str]:
    return [str(Path(sys.executable).with_name("wallet"))]


def _environment(database: Database) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database.dsn}


def migrate(database: Database) -> None:
    """The schema, by the service's own command."""
    done = subprocess.run(
        [*_command(), "migrate"], env=_environment(database), capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"wallet migrate failed: {done.stdout}{done.stderr}")


def make_key(database: Database) -> str:
    """A key for everything, by the service's own command."""
    scopes = ("read", "spend", "issue", "refund", "refund:force", "admin")
    options = [word for scope in scopes for word in ("--scope", scope)]
    done = subprocess.run(
        [*_command(), "keys", "create", "--name", "bench", *options],
        env=_environment(database), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"wallet keys create failed: {done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def serving(database: Database, *, workers: int, log: Path) -> Iterator[Service]:
    """A service on a free port of 127.0.0.1, ready; ended by its pid. Its output is appended to `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = make_key(database)
    command = [*_command(), "serve", "--port", str(port), "--workers", str(workers)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=_environment(database), stdout=output, stderr=output)
    service = Service(process, port, key)
    try:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not service.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not get ready, see {log}")
            time.sleep(0.1)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
