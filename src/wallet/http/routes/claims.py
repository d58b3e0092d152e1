"""Claims, as they are now. Placing, redeeming and cancelling them are movements."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.claim_answers import ClaimAnswer, claim_answer
from wallet.http.routes.shared import as_response, problems, wants_string_amounts
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.query import path_id
from wallet.service.access.callers import Scope
from wallet.service.wallet_service import WalletService

_Id = Annotated[str, PathParameter(description="A UUID.")]


def claim_routes(service: WalletService) -> list[HTTPRouteHandler]:
    @get("/claims/{claim_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["holds"])
    async def read_claim(claim_id: _Id, request: Request[Any, Any, Any]) -> Response[ClaimAnswer]:
        """A claim, without its code."""
        reads = service.reads_of(caller_of(request.scope))
        hold = await service.claims.claim(reads, path_id("claim_id", claim_id))
        await service.load_assets([hold.asset_id])
        body = claim_answer(hold, service.assets.by_id)
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    return [read_claim]
