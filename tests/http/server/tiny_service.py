"""A tiny application, to test how it is served without testing a wallet; also a program that serves it.

As a program: `tiny_service.py '{"settings": {…}, "fault": null}'`. It says each step on standard output, a line each.
"""

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from wallet.http.server.listeners import listen
from wallet.http.server.serve import Server, serve
from wallet.settings import Settings

FAULT = "TINY_SERVICE_FAULT"


def say(line: str) -> None:
    print(line, flush=True)


@dataclass
class TinyApplication:
    """Answers with what it saw. `events` are the steps of its life, and requests that the client broke off."""

    fault: str | None = None
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draining = asyncio.Event()

    def note(self, event: str) -> None:
        self.events.append(event)
        if os.environ.get(FAULT) is not None:  # as a program
            say(event)

    async def begin_shutdown(self) -> None:
        self.note("begin_shutdown")

    async def drain(self, seconds: float) -> None:
        self.note("drain")
        if self.fault == "drain never ends":
            await asyncio.Event().wait()
        if self.fault == "drain fails":
            raise RuntimeError("drain fails")
        self._draining.set()

    def exposition(self) -> bytes:
        return b"tiny_answers 1\n"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        answer = await self._answer(scope, receive)
        if answer is not None:
            body = json.dumps(answer).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        if self.fault == "start never ends":
            self.note("starting")
            await asyncio.Event().wait()
        if self.fault == "start fails":
            await send({"type": "lifespan.startup.failed", "message": "start fails"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.note("closed")
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Any, receive: Any) -> Any:
        path = scope["path"]
        if path == "/early":  # without asking for the body
            return {}
        if path == "/large":
            return "x" * (16 * 1024 * 1024)
        length = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.note("disconnected")
                return None
            length += len(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if path == "/answered-by-drain":
            self.note("accepted")
            await self._draining.wait()
        return {
            "path": path,
            "body_bytes": length,
            "headers": [name.decode() for name, _ in scope["headers"]],
            "pid": os.getpid(),
            "metrics_folder": os.environ.get("PROMETHEUS_MULTIPROC_DIR"),
        }


@dataclass
class Running:
    """A server in a thread of this process."""

    address: tuple[str, int]
    server: Server
    app: TinyApplication

    @property
    def arriving_bytes(self) -> int:
        """Of bodies that are not whole."""
        protocol: Any = self.server.config.http_protocol_class
        total: int = protocol.bodies.total
        return total

    def connect(self) -> socket.socket:
        # The time-out is no measurement: it ends a test that would hang.
        return socket.create_connection(self.address, timeout=20)


@contextmanager
def running(app: TinyApplication | None = None, **settings: Any) -> Iterator[Running]:
    """The tiny application behind the real server on a free port, with these settings."""
    app = TinyApplication() if app is None else app
    chosen = Settings(**{"port": 0, "shutdown_seconds_max": 1.0, **settings})
    started = threading.Event()
    server = Server(chosen, app, on_started=started.set)
    with listen(chosen) as listener:
        address = listener.getsockname()[:2]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert started.wait(20)
            yield Running(address, server, app)
        finally:
            server.should_exit = True
            thread.join()


def make_tiny_application(_settings: Settings) -> TinyApplication:
    return TinyApplication(fault=os.environ[FAULT] or None)


def main(argument: str) -> None:
    given = json.loads(argument)
    os.environ[FAULT] = given["fault"] or ""
    code = serve(Settings(**given["settings"]), make_tiny_application, on_ready=lambda url: say(f"ready {url}"))
    say("returned")
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
