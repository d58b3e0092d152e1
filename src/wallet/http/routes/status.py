"""Questions of operators: is the process alive, can it move money, what are its figures."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST

from wallet.http.edge.needs import open_to_all
from wallet.http.open.pages import Health
from wallet.http.routes.shared import SENT_AS_IT_IS, as_response, headers_of
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import Headers
from wallet.service.wallet_service import WalletService


class Reason(msgspec.Struct):
    """Why no movement can be made now: a code for programs, and words."""

    code: str
    detail: str


class Readiness(msgspec.Struct):
    """Whether the service can move money, and what is in its way: by part, and as reasons with a code each.
    warnings: conditions that should be changed nevertheless.
    """

    ready: bool
    database: str
    migrations: str
    committer: str
    reasons: list[Reason]
    warnings: list[str]


def status_routes(service: WalletService) -> list[HTTPRouteHandler]:
    @get("/healthz", opt=open_to_all(), tags=["operations"])
    async def healthz() -> Health:
        """The process is alive. Says nothing about the database."""
        return Health("ok")

    @get("/readyz", opt=open_to_all(), tags=["operations"])
    async def readyz() -> Response[Readiness]:
        """200 while movements can be made, else 503 and what is in the way."""
        readiness = await service.readiness()
        body = Readiness(
            ready=readiness.ready,
            database=readiness.state_of("database"),
            migrations=readiness.state_of("migrations"),
            committer=readiness.state_of("committer"),
            reasons=[Reason(each.code, each.detail) for each in readiness.obstacles],
            warnings=list(readiness.warnings),
        )
        return Response(body, status_code=200 if readiness.ready else 503, headers={"cache-control": "no-store"})

    return [healthz, readyz]


def metrics_route(page_answer: Callable[[Headers], Awaitable[Answer]]) -> HTTPRouteHandler:
    @get("/metrics", opt={**open_to_all(), SENT_AS_IT_IS: True}, tags=["operations"], media_type=CONTENT_TYPE_LATEST)
    async def metrics(request: Request[Any, Any, Any]) -> Response[Any]:
        """Figures in Prometheus' text format, of all worker processes; made at most once a second."""
        return as_response(await page_answer(headers_of(request)))

    return metrics
