"""Holds and lots, as they are now."""

from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.answers import HoldAnswer, hold_answer
from wallet.http.operations.resource_answers import LotAnswer, PageAnswer, lot_answer
from wallet.http.routes.pages import Cursor, Limit, page_answer, page_request
from wallet.http.routes.shared import as_response, problems, wants_string_amounts
from wallet.http.wire.decoding import malformed
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.query import path_id
from wallet.ledger.model import Hold, HoldStatus
from wallet.service.access.callers import Scope
from wallet.service.reads.lists import Reads
from wallet.service.wallet_service import WalletService

_Request = Request[Any, Any, Any]
_Id = Annotated[str, PathParameter(description="A UUID.")]
_HoldStatus = Annotated[
    str | None, QueryParameter(description="Only those that are `open`, `captured`, `voided` or `expired`.")
]
_LotStatus = Annotated[
    str | None, QueryParameter(description="`live`, those of which something is left (by default), or `all`.")
]

_STATUSES: Final = {each.value: each for each in HoldStatus}


def holding_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def reads(request: _Request) -> Reads:
        return service.reads_of(caller_of(request.scope))

    def found(body: Struct, request: _Request) -> Response[Any]:
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    def answer(hold: Hold) -> HoldAnswer:
        return hold_answer(hold, service.assets.by_id)

    @get("/holds/{hold_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["holds"])
    async def read_hold(hold_id: _Id, request: _Request) -> Response[HoldAnswer]:
        """A hold."""
        hold = await reads(request).hold(path_id("hold_id", hold_id))
        await service.load_assets([hold.asset_id])
        return found(answer(hold), request)

    @get(
        "/wallets/{wallet_id:str}/holds",
        responses=problems(400, 404, 503),
        opt=needs(Scope.READ),
        tags=["holds", "wallets"],
    )
    async def list_holds(
        wallet_id: _Id,
        request: _Request,
        status: _HoldStatus = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response[PageAnswer[HoldAnswer]]:
        """A wallet's holds, newest first."""
        if status is not None and status not in _STATUSES:
            raise malformed("status", f"Must be one of {', '.join(_STATUSES)}.")
        page = await reads(request).holds(
            path_id("wallet_id", wallet_id),
            page_request(limit, cursor),
            status=None if status is None else _STATUSES[status],
        )
        await service.load_assets(hold.asset_id for hold in page.data)
        return found(page_answer(page, answer), request)

    @get("/wallets/{wallet_id:str}/lots", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["wallets"])
    async def list_lots(
        wallet_id: _Id,
        request: _Request,
        status: _LotStatus = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response[PageAnswer[LotAnswer]]:
        """A wallet's lots, newest first. The part of its balance that is in no lot is main credit."""
        if status not in (None, "live", "all"):
            raise malformed("status", "Must be live or all.")
        page = await reads(request).lots(
            path_id("wallet_id", wallet_id), page_request(limit, cursor), only_live=status != "all"
        )
        return found(page_answer(page, lot_answer), request)

    return [read_hold, list_holds, list_lots]
