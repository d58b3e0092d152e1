"""The route that undoes what was moved."""

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.operations import bodies
from wallet.http.operations.answers import TransactionAnswer
from wallet.http.operations.perform import Movements
from wallet.http.routes.shared import as_response, asked, documented_movement
from wallet.service.access.callers import Scope

_TransactionId = Annotated[str, PathParameter(description="The transaction to be refunded.")]


def refund_routes(movements: Movements) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    @post(
        "/transactions/{transaction_id:str}/refund",
        **documented_movement(bodies.Refund, TransactionAnswer, Scope.REFUND, Scope.REFUND_FORCE),
    )
    async def refund(transaction_id: _TransactionId, request: Request[Any, Any, Any]) -> Response[TransactionAnswer]:
        """Refund or reverse: a new transaction that mirrors an earlier one, in part or whole."""
        return as_response(await movements.perform("refund", transaction_id, **await asked(request)))

    return [refund]
