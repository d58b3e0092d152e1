"""The application as the server runs it: the ASGI app, its start, and what it is told on the way out."""

from collections.abc import Awaitable

from wallet.errors import WalletError
from wallet.http.edge.turns import Turns
from wallet.http.wire.asgi import App, AsgiScope, Receive, Send
from wallet.service.wallet_service import WalletService


class Lifespan:
    """Wraps the outermost layer. The service starts with it and is closed by it, database connections last."""

    def __init__(self, app: App, service: WalletService, turns: Turns) -> None:
        self._app = app
        self._turns = turns
        self.service = service

    def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine of its own: each layer of them is gone through twice by every request.
        return self._live(receive, send) if scope["type"] == "lifespan" else self._app(scope, receive, send)

    async def begin_shutdown(self) -> None:
        """Readiness goes off; requests are still served."""
        self.service.begin_shutdown()

    async def drain(self, seconds: float) -> None:
        """Answer all that was accepted, after `seconds` with 503s."""
        await self.service.drain(seconds)

    def exposition(self) -> bytes:
        """The figures of the service. May be called in any thread."""
        return self.service.telemetry.exposition()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.service.start()
        except WalletError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._turns.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.service.close()
        self._turns.close()
        await send({"type": "lifespan.shutdown.complete"})
