"""The sandbox's clock. Not there at all unless the service was started as a sandbox."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from wallet.http.edge.needs import needs
from wallet.http.routes.programme_answers import AdvanceAnswer, ClockAnswer, advance_answer, clock_answer
from wallet.http.routes.programme_bodies import ClockAdvance
from wallet.http.routes.shared import as_response, body_of, documented, headers_of, problems
from wallet.http.wire.decoding import decode
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.query import ensure_json
from wallet.service.access.callers import Scope
from wallet.service.due.sandbox_clock import SandboxClock
from wallet.service.wallet_service import WalletService

_Request = Request[Any, Any, Any]
_NO_STORE = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")


def sandbox_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def clock() -> SandboxClock:
        if service.clock is None:
            raise NotFoundException("This service is no sandbox")
        return service.clock

    def answered(body: Struct) -> Response[Any]:
        return as_response(Answer(200, written(body), (_JSON, _NO_STORE)))

    @get("/sandbox/clock", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["sandbox"])
    async def read_clock(request: _Request) -> Response[ClockAnswer]:
        """The ledger's clock. 404 unless the service was started as a sandbox."""
        return answered(clock_answer(await clock().read()))

    @post(
        "/sandbox/clock",
        status_code=200,
        operation_class=documented(ClockAdvance),
        opt=needs(Scope.ADMIN),
        responses=problems(400, 404, 413, 415, 503),
        tags=["sandbox"],
    )
    async def advance_clock(request: _Request) -> Response[AdvanceAnswer]:
        """Advance the ledger's clock; it never goes back. Everything that falls due on the way is posted, in order of
        instants, before this answers. 404 unless the service was started as a sandbox.

        One request posts about 20,000 expiries and grants, or works for 20 seconds. If there is more on the way, it
        answers with the instant reached and the seconds that remain: ask again for those.
        """
        sandbox = clock()
        ensure_json(headers_of(request))
        data = decode(ClockAdvance, await body_of(request))
        return answered(advance_answer(await sandbox.advance(data.advance_seconds)))

    return [read_clock, advance_clock]
