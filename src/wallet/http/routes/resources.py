"""Users, wallets, assets: making them and reading them."""

from typing import Annotated, Any, TypeVar

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from msgspec import Struct

from wallet.http import bodies
from wallet.http.answers import (
    Answer,
    AssetAnswer,
    BalanceAnswer,
    PageAnswer,
    UserAnswer,
    WalletAnswer,
    asset_answer,
    user_answer,
    wallet_answer,
    written,
)
from wallet.http.balances import Balances
from wallet.http.decoding import decode, malformed
from wallet.http.options import ensure_json, path_id
from wallet.http.routes.pages import Cursor, Limit, number, page_answer, page_request
from wallet.http.routes.shared import (
    as_response,
    body_of,
    documented,
    headers_of,
    problems,
    wants_string_amounts,
)
from wallet.service.wallets import WalletService

_Request = Request[Any, Any, Any]
_Body = TypeVar("_Body", bound=Struct)
_Id = Annotated[str, PathParameter(description="A UUID.")]
_AssetId = Annotated[str, PathParameter(description="A number.")]


def resource_routes(service: WalletService, balances: Balances) -> list[HTTPRouteHandler]:
    def created(body: Struct, existed: bool, request: _Request) -> Response[Any]:
        text = written(body, amounts_as_strings=wants_string_amounts(request))
        return as_response(Answer(200 if existed else 201, text))

    def found(body: Struct, request: _Request) -> Response[Any]:
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    @post("/users", **_creates(bodies.NewUser, UserAnswer), tags=["users"])
    async def create_user(request: _Request) -> Response[UserAnswer]:
        """Make a user."""
        data = await _decoded(bodies.NewUser, request)
        made = await service.resources.create_user(
            name=data.name, user_id=None if data.id is None else path_id("id", data.id)
        )
        return created(user_answer(made.resource), made.existed, request)

    @get("/users/{user_id:str}", responses=problems(400, 404, 503), tags=["users"])
    async def read_user(user_id: _Id, request: _Request) -> Response[UserAnswer]:
        """A user."""
        return found(user_answer(await service.reads.user(path_id("user_id", user_id))), request)

    @get("/users/{user_id:str}/wallets", responses=problems(400, 404, 503), tags=["users", "wallets"])
    async def list_wallets_of_user(
        user_id: _Id, request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[WalletAnswer]]:
        """A user's wallets."""
        page = await service.reads.wallets_of_user(path_id("user_id", user_id), page_request(limit, cursor))
        return found(page_answer(page, wallet_answer), request)

    @post("/wallets", **_creates(bodies.NewWallet, WalletAnswer), tags=["wallets"])
    async def create_wallet(request: _Request) -> Response[WalletAnswer]:
        """Make a wallet in one asset."""
        data = await _decoded(bodies.NewWallet, request)
        if data.asset_code is None and data.asset_type_id is None:
            raise malformed("asset_code", "This field or asset_type_id is required.")
        made = await service.resources.create_wallet(
            asset_code=None if data.asset_code is None else data.asset_code.upper(),
            asset_id=data.asset_type_id,
            user_id=None if data.user_id is None else path_id("user_id", data.user_id),
            label=data.label,
            wallet_id=None if data.id is None else path_id("id", data.id),
        )
        return created(wallet_answer(made.resource), made.existed, request)

    @get("/wallets/{wallet_id:str}", responses=problems(400, 404, 503), tags=["wallets"])
    async def read_wallet(wallet_id: _Id, request: _Request) -> Response[WalletAnswer]:
        """A wallet. What is in it is its balance."""
        return found(wallet_answer(await service.reads.wallet(path_id("wallet_id", wallet_id))), request)

    @get("/wallets/{wallet_id:str}/balance", responses=problems(400, 404, 503), tags=["wallets"])
    async def read_balance(wallet_id: _Id, request: _Request) -> Response[BalanceAnswer]:
        """What is in a wallet, as of now."""
        answer = await balances.balance(wallet_id, headers=headers_of(request), query=request.scope["query_string"])
        return as_response(answer)

    @post("/assets", **_creates(bodies.NewAsset, AssetAnswer), tags=["assets"])
    async def create_asset(request: _Request) -> Response[AssetAnswer]:
        """Make an asset and its treasury, revenue and breakage wallets."""
        data = await _decoded(bodies.NewAsset, request)
        made = await service.resources.create_asset(
            code=data.code.upper(),
            scale=data.scale,
            max_supply=None if data.max_supply is None else bodies.amount(data.max_supply, "max_supply"),
            asset_id=data.id,
        )
        return created(asset_answer(made.resource), made.existed, request)

    @get("/assets", responses=problems(400, 503), tags=["assets"])
    async def list_assets(
        request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[AssetAnswer]]:
        """Assets, by id."""
        return found(page_answer(await service.reads.assets(page_request(limit, cursor)), asset_answer), request)

    @get("/assets/{asset_id:str}", responses=problems(400, 404, 503), tags=["assets"])
    async def read_asset(asset_id: _AssetId, request: _Request) -> Response[AssetAnswer]:
        """An asset, and where its units are."""
        return found(asset_answer(await service.reads.asset(number("asset_id", asset_id))), request)

    return [
        create_user, read_user, list_wallets_of_user, create_wallet, read_wallet, read_balance, create_asset,
        list_assets, read_asset,
    ]  # fmt: skip


def _creates(body: type[Struct], answer: type[Struct]) -> Any:
    return {
        "operation_class": documented(body),
        "responses": {
            200: ResponseSpec(answer, description="The same again: it was there already.", generate_examples=False),
            **problems(400, 404, 409, 413, 415, 503),
        },
    }


async def _decoded(type_: type[_Body], request: _Request) -> _Body:
    ensure_json(headers_of(request))
    return decode(type_, await body_of(request))
