"""The real service as a process with two workers, and a client that is cheap enough to be there a thousand times."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.cli.running import variables_set

# No measurements: they end a test that would hang.
READY_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 60.0

GONE = (ConnectionError, asyncio.IncompleteReadError)
"""The errors that a client sees when the service closes its connection without an answer."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port


@contextmanager
def served(database_url: str, **environment: str) -> Iterator[Service]:
    """`wallet serve` on this database with demo data, ended by SIGTERM unless it has ended.

    In development mode, where no key is needed, unless `environment` says otherwise.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in variables_set()}
    chosen = {"DATABASE_URL": database_url, "PORT": "0", "WALLET_WORKERS": "2", "WALLET_SEED_DEMO": "1"}
    chosen |= {"WALLET_DEVELOPMENT": "1"} | environment
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", "from wallet.cli.main import main; main()", "serve"],
                env={**inherited, **chosen, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Service(process, _url_when_ready(process, log_path))
            process.terminate()
            process.wait(ANSWER_SECONDS_MAX)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _url_when_ready(process: subprocess.Popen[bytes], log_path: Path) -> str:
    give_up_at = time.monotonic() + READY_SECONDS_MAX
    while True:
        said = log_path.read_text()
        if found := re.search(r"serving on (http://\S+?),", said):
            return found[1]
        assert process.poll() is None, said
        assert time.monotonic() < give_up_at, said
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem."""
        code: str | None = self.json()["code"] if self.status >= 400 else None
        return code


class Client:
    """One connection, kept alive, and made again when the service has closed it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def post(self, path: str, body: Any) -> Answer:
        return await self.send("POST", path, json.dumps(body).encode())

    async def get(self, path: str) -> Answer:
        return await self.send("GET", path)

    async def send(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Raises one of GONE if no whole answer came."""
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                reader, writer = await self._connected()
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                answer = await _read_answer(reader)
        except GONE:
            self._close()
            raise
        if answer.headers.get("connection") == "close":
            self._close()
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(head[0].split()[1]), headers, body)
