"""Routes that change what a wallet is called and what it may do, and that end it."""

from typing import Annotated, Any

from litestar import Request, Response, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.edge.needs import needs
from wallet.http.operations.resource_answers import MergeAnswer, WalletAnswer
from wallet.http.operations.wallet_changes import MERGE_PATH, MergeBody, WalletChangeBody, WalletChanges, WalletStepBody
from wallet.http.routes.shared import as_response, asked, documented, documented_movement, problems
from wallet.service.access.callers import Scope

_Request = Request[Any, Any, Any]
_WalletId = Annotated[str, PathParameter(description="The wallet.")]
_TargetId = Annotated[str, PathParameter(description="The wallet that gets everything.")]


def wallet_change_routes(changes: WalletChanges) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    @patch(
        "/wallets/{wallet_id:str}",
        operation_class=documented(WalletChangeBody),
        opt=needs(Scope.ADMIN),
        responses=problems(400, 404, 409, 413, 415, 422, 503),
        tags=["wallets"],
    )
    async def change_wallet(wallet_id: _WalletId, request: _Request) -> Response[WalletAnswer]:
        """Change a wallet. A field that is absent stays as it is, null clears."""
        return as_response(await changes.change(wallet_id, await asked(request)))

    @post("/wallets/{wallet_id:str}/close", **_documented_step())
    async def close_wallet(wallet_id: _WalletId, request: _Request) -> Response[WalletAnswer]:
        """Close a wallet in which nothing is left."""
        return as_response(await changes.close_or_reopen("close", wallet_id, await asked(request)))

    @post("/wallets/{wallet_id:str}/reopen", **_documented_step())
    async def reopen_wallet(wallet_id: _WalletId, request: _Request) -> Response[WalletAnswer]:
        """Reopen a wallet that was closed, and not by a merge."""
        return as_response(await changes.close_or_reopen("reopen", wallet_id, await asked(request)))

    @post(
        MERGE_PATH.replace("}", ":str}"),
        **documented_movement(MergeBody, MergeAnswer, Scope.ADMIN),
    )
    async def merge_wallet(
        wallet_id: _WalletId, target_wallet_id: _TargetId, request: _Request
    ) -> Response[MergeAnswer]:
        """Merge: balance, lots, open holds and grants move to the other wallet, and this one ends for good."""
        return as_response(await changes.merge(wallet_id, target_wallet_id, await asked(request)))

    return [change_wallet, close_wallet, reopen_wallet, merge_wallet]


def _documented_step() -> dict[str, Any]:
    return {
        "operation_class": documented(WalletStepBody, required=False),
        "responses": problems(400, 404, 409, 413, 415, 422, 503),
        "status_code": 200,
        "opt": needs(Scope.ADMIN),
        "tags": ["wallets"],
    }
