"""Routes that reserve money and settle what was reserved."""

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.operations import bodies
from wallet.http.operations.answers import HoldAnswer, TransactionAnswer
from wallet.http.operations.perform import Movements
from wallet.http.routes.shared import as_response, asked, documented_movement
from wallet.service.access.callers import Scope

_Request = Request[Any, Any, Any]
_HoldId = Annotated[str, PathParameter(description="The hold.")]


def hold_routes(movements: Movements) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    async def performed(op: str, target: str | None, request: _Request) -> Response[Any]:
        return as_response(await movements.perform(op, target, **await asked(request)))

    @post("/holds", **documented_movement(bodies.NewHold, HoldAnswer, Scope.SPEND))
    async def place_hold(request: _Request) -> Response[HoldAnswer]:
        """Reserve funds: available goes down, the balance does not."""
        return await performed("hold", None, request)

    @post("/holds/{hold_id:str}/capture", **documented_movement(bodies.Capture, TransactionAnswer, Scope.SPEND))
    async def capture_hold(hold_id: _HoldId, request: _Request) -> Response[TransactionAnswer]:
        """Capture: move part or all of what is reserved to the hold's target."""
        return await performed("capture", hold_id, request)

    @post("/holds/{hold_id:str}/void", **documented_movement(bodies.Void, HoldAnswer, Scope.SPEND))
    async def void_hold(hold_id: _HoldId, request: _Request) -> Response[HoldAnswer]:
        """Void: release what is left."""
        return await performed("void", hold_id, request)

    @post("/holds/{hold_id:str}/increase", **documented_movement(bodies.Increase, HoldAnswer, Scope.SPEND))
    async def increase_hold(hold_id: _HoldId, request: _Request) -> Response[HoldAnswer]:
        """Increase: reserve more, checked like a new hold."""
        return await performed("increase", hold_id, request)

    @post("/holds/{hold_id:str}/extend", **documented_movement(bodies.Extend, HoldAnswer, Scope.SPEND))
    async def extend_hold(hold_id: _HoldId, request: _Request) -> Response[HoldAnswer]:
        """Extend: let it expire that many seconds from now, and never earlier than before."""
        return await performed("extend", hold_id, request)

    return [place_hold, capture_hold, void_hold, increase_hold, extend_hold]
