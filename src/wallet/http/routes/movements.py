"""POST routes that move money. The same operations as in the fast lane, which serves the hot ones first."""

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from msgspec import Struct

from wallet.http import bodies
from wallet.http.answers import Answer, TransactionAnswer
from wallet.http.movements import Movements
from wallet.http.routes.shared import as_response, body_of, documented, headers_of, problems, request_id

_Request = Request[Any, Any, Any]
_WalletId = Annotated[str, PathParameter(description="The wallet.")]


def movement_routes(movements: Movements) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    async def wallet_movement(type_: str, wallet_id: str, request: _Request) -> Response[Any]:
        return as_response(
            await movements.wallet_movement(
                type_, wallet_id, await body_of(request), headers=headers_of(request),
                query=request.scope["query_string"], request_id=request_id(request),
            )
        )  # fmt: skip

    @post(
        "/wallets/{wallet_id:str}/topup",
        **_documented(bodies.WalletMovement),
    )
    async def topup(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Top-up: value bought from outside, from the asset's treasury into the wallet."""
        return await wallet_movement("topup", wallet_id, request)

    @post(
        "/wallets/{wallet_id:str}/bonus",
        **_documented(bodies.WalletMovement),
    )
    async def bonus(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Bonus: value given away, from the asset's treasury into the wallet."""
        return await wallet_movement("bonus", wallet_id, request)

    @post(
        "/wallets/{wallet_id:str}/spend",
        **_documented(bodies.WalletMovement),
    )
    async def spend(wallet_id: _WalletId, request: _Request) -> Response[TransactionAnswer]:
        """Spend: from the wallet to the asset's revenue."""
        return await wallet_movement("spend", wallet_id, request)

    @post(
        "/transfers",
        **_documented(bodies.Transfer),
    )
    async def transfer(request: _Request) -> Response[TransactionAnswer]:
        """Transfer: from wallet to wallet in one asset."""
        answer: Answer = await movements.transfer(
            await body_of(request),
            headers=headers_of(request),
            query=request.scope["query_string"],
            request_id=request_id(request),
        )
        return as_response(answer)

    @post(
        "/transactions",
        **_documented(bodies.Transaction),
    )
    async def transaction(request: _Request) -> Response[TransactionAnswer]:
        """General transaction: 2 to 100 legs over any wallets and assets, all or nothing."""
        answer: Answer = await movements.transaction(
            await body_of(request),
            headers=headers_of(request),
            query=request.scope["query_string"],
            request_id=request_id(request),
        )
        return as_response(answer)

    return [topup, bonus, spend, transfer, transaction]


def _documented(body: type[Struct]) -> Any:
    return {
        "operation_class": documented(body),
        "responses": {
            200: ResponseSpec(
                TransactionAnswer, description="A replay: the first answer again.", generate_examples=False
            ),
            **problems(400, 404, 413, 415, 422, 503),
        },
        "tags": ["movements"],
    }
