"""The figures on a port of their own: an application that has one page, and the bounds that it is served with.

It runs on an event loop and a thread of its own, in the process that supervises the workers if there are several. So
whoever reads figures keeps no request waiting, and whatever floods the service's port keeps nobody from reading them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from wallet.http.open.pages import metrics_page
from wallet.http.wire.asgi import AsgiScope, Receive, Send, new_request_id, send_answer
from wallet.http.wire.encoding import Answer
from wallet.http.wire.failures import problem
from wallet.settings import Settings

PATH: Final = "/metrics"
CONNECTIONS_MAX: Final = 32
REQUEST_SECONDS_MAX: Final = 5.0


class MetricsApplication:
    """Answers GET /metrics, and everything else with a problem."""

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        self._page = metrics_page(exposition)

    async def begin_shutdown(self) -> None:
        """There is nothing to be ready for."""

    async def drain(self, seconds: float) -> None:
        """Nothing is accepted that is not answered at once."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        request_id = new_request_id()
        answer = await self._answer(scope, request_id.decode())
        await send_answer(answer, send, None, request_id=request_id)

    async def _answer(self, scope: AsgiScope, request_id: str) -> Answer:
        if scope["path"] != PATH:
            return problem("not_found", f"There is nothing but {PATH} on this port.", request_id=request_id)
        if scope["method"] not in ("GET", "HEAD"):
            refused = problem("method_not_allowed", "Figures are only read.", request_id=request_id)
            return refused._replace(headers=(*refused.headers, (b"allow", b"GET, HEAD")))
        return await self._page.answer(scope["headers"])


def settings_of_the_port(settings: Settings) -> Settings:
    """Of a server that few ask and that nobody waits for in the end."""
    return replace(
        settings,
        port=settings.metrics_port,
        metrics_port=0,
        connections_max=CONNECTIONS_MAX,
        request_seconds_max=min(settings.request_seconds_max, REQUEST_SECONDS_MAX),
        shutdown_seconds_max=0.0,
    )
