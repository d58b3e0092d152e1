"""POST routes that move or reserve money, one an operation. The fast lane serves the hot ones of them first."""

from typing import Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from wallet.http.operations.kinds import OPERATIONS
from wallet.http.operations.operation import Operation
from wallet.http.operations.perform import Movements
from wallet.http.routes.shared import as_response, asked, documented_movement


def movement_routes(movements: Movements) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""
    return [_route(op, operation, movements) for op, operation in OPERATIONS.items()]


def _route(op: str, operation: Operation, movements: Movements) -> HTTPRouteHandler:
    target = operation.target

    async def performed(request: Request[Any, Any, Any]) -> Response[Any]:
        target_id = None if target is None else request.path_params[target.name]
        return as_response(await movements.perform(op, target_id, await asked(request)))

    # The framework reads the document's words about a handler off the handler.
    performed.__name__ = operation.name
    performed.__doc__ = operation.description
    performed.__annotations__["return"] = Response[operation.answered.type]  # type: ignore[name-defined]
    documented = documented_movement(operation.body, operation.answered.type, *operation.scopes, target=target)
    return post(operation.path.replace("}", ":str}"), **documented)(performed)
