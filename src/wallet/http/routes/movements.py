"""POST routes that move money. The same operations as in the fast lane, which serves the hot ones first."""

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.operations import bodies
from wallet.http.operations.answers import TransactionAnswer
from wallet.http.operations.perform import Movements
from wallet.http.routes.shared import as_response, asked, documented_movement
from wallet.service.access.callers import Scope

_Request = Request[Any, Any, Any]
_WalletId = Annotated[str, PathParameter(description="The wallet.")]


def movement_routes(movements: Movements) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    async def performed(op: str, target: str | None, request: _Request) -> Response[Any]:
        return as_response(await movements.perform(op, target, **await asked(request)))

    @post("/wallets/{wallet_id:str}/topup", **documented_movement(bodies.TopUp, TransactionAnswer, Scope.ISSUE))
    async def topup(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Top-up: value bought from outside, from the asset's treasury into the wallet."""
        return await performed("topup", wallet_id, request)

    @post("/wallets/{wallet_id:str}/bonus", **documented_movement(bodies.Bonus, TransactionAnswer, Scope.ISSUE))
    async def bonus(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Bonus: value given away, from the asset's treasury or a funding wallet into the wallet."""
        return await performed("bonus", wallet_id, request)

    @post("/wallets/{wallet_id:str}/spend", **documented_movement(bodies.Spend, TransactionAnswer, Scope.SPEND))
    async def spend(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Spend: from the wallet to the asset's revenue or a target wallet."""
        return await performed("spend", wallet_id, request)

    @post("/transfers", **documented_movement(bodies.Transfer, TransactionAnswer, Scope.SPEND))
    async def transfer(request: _Request) -> Response[TransactionAnswer]:
        """Transfer: from wallet to wallet in one asset."""
        return await performed("transfer", None, request)

    @post("/transactions", **documented_movement(bodies.Transaction, TransactionAnswer, Scope.SPEND))
    async def transaction(request: _Request) -> Response[TransactionAnswer]:
        """General transaction: 2 to 100 legs over any wallets and assets, all or nothing."""
        return await performed("transaction", None, request)

    return [topup, bonus, spend, transfer, transaction]
