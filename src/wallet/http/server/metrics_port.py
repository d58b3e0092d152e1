"""Serves /metrics on a port of its own: an application with one page, and the bounds of its server.

The application has its own thread and event loop, in the supervisor's process if there are several workers. So a reader
of metrics delays no request, and a flood of requests on the service's port does not stop anybody from reading metrics.
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
    """Answers GET /metrics, and any other request with a problem."""

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        self._page = metrics_page(exposition)

    async def begin_shutdown(self) -> None:
        """Do nothing: this application has no readiness."""

    async def drain(self, seconds: float) -> None:
        """Do nothing: this application answers every request at once."""

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
            return problem("not_found", f"This port serves {PATH} only.", request_id=request_id)
        if scope["method"] not in ("GET", "HEAD"):
            refused = problem("method_not_allowed", "Metrics can only be read.", request_id=request_id)
            return refused._replace(headers=(*refused.headers, (b"allow", b"GET, HEAD")))
        return await self._page.answer(scope["headers"])


def settings_of_the_port(settings: Settings) -> Settings:
    """The settings of the metrics server: few connections, short requests, and no wait at its end."""
    return replace(
        settings,
        port=settings.metrics_port,
        metrics_port=0,
        connections_max=CONNECTIONS_MAX,
        request_seconds_max=min(settings.request_seconds_max, REQUEST_SECONDS_MAX),
        shutdown_seconds_max=0.0,
    )
