"""The application as the server runs it: the ASGI application with its start, its drain and its shutdown."""

from collections.abc import Awaitable

from wallet.errors import WalletError
from wallet.http.edge.deadlines import Deadlines
from wallet.http.wire.asgi import App, AsgiScope, Receive, Send
from wallet.http.wire.direct import Lane
from wallet.service.wallet_service import WalletService


class Lifespan:
    """Wraps the edge. Starts the service, and closes it; the database connections are closed last.

    direct: the server's protocol answers some requests through it, without ASGI. None: all requests go through ASGI.
    """

    def __init__(self, app: App, service: WalletService, deadlines: Deadlines, *, direct: Lane | None = None) -> None:
        self._app = app
        self._deadlines = deadlines
        self.direct = direct
        self.service = service

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine: every request would pass through it twice.
        return self._live(receive, send) if scope["type"] == "lifespan" else self._app(scope, receive, send)

    async def begin_shutdown(self) -> None:
        """Turn readiness off. Requests are still served."""
        self.service.begin_shutdown()

    async def drain(self, seconds: float) -> None:
        """Answer all accepted requests, after `seconds` with 503."""
        await self.service.drain(seconds)

    def exposition(self) -> bytes:
        """The metrics of the service. May be called in any thread."""
        return self.service.telemetry.exposition()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.service.start()
        except WalletError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._deadlines.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.service.close()
        self._deadlines.close()
        await send({"type": "lifespan.shutdown.complete"})
