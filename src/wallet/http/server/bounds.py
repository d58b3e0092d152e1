"""The bounds of connections as the settings have them, and the sweep that ends late connections."""

import asyncio
import logging
from collections.abc import Collection

from wallet.http.server.body_budget import BodyBudget
from wallet.http.server.bounded_protocol import BoundedProtocol
from wallet.http.server.request_meter import Sizes
from wallet.settings import Settings

_log = logging.getLogger(__name__)


def bounded_protocol(settings: Settings) -> type[BoundedProtocol]:
    """The protocol class with the bounds of `settings`, for uvicorn's `http=`.

    Its connections time out only while `sweep` runs.
    """
    bounds = {
        "sizes": Sizes(
            head_bytes_max=settings.header_bytes_max,
            body_bytes_max=settings.body_bytes_max,
            body_bytes_max_by_path={b"/batches": settings.batch_body_bytes_max},
        ),
        "request_seconds_max": settings.request_seconds_max,
        "keep_alive_seconds": settings.keep_alive_seconds,
        "connections_max": settings.connections_max,
        "bodies": BodyBudget(),
    }
    return type("BoundedProtocolWithSettings", (BoundedProtocol,), bounds)


async def sweep(connections: Collection[BoundedProtocol], *, interval_seconds: float) -> None:
    """Expire the connections whose deadline has passed, every `interval_seconds`, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(interval_seconds)
        now = loop.time()
        for connection in [each for each in connections if each.deadline <= now]:
            try:
                connection.expire()
            except Exception:
                # A fault in one connection must not stop the time-outs of all others.
                _log.exception("a connection could not be expired")
                connection.transport.abort()
