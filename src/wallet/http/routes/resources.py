"""Users, wallets, assets: making them and reading them."""

from typing import Annotated, Any, TypeVar

from litestar import Request, Response, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from msgspec import UNSET, Struct, structs

from wallet.errors import FieldError, Malformed
from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.resource_answers import (
    AssetAnswer,
    BalanceAnswer,
    PageAnswer,
    UserAnswer,
    WalletAnswer,
    asset_answer,
    user_answer,
    wallet_answer,
)
from wallet.http.routes import resource_bodies
from wallet.http.routes.pages import (
    Cursor,
    Limit,
    filtered_by_members,
    number,
    page_answer,
    page_request,
    plain_text,
)
from wallet.http.routes.shared import (
    as_response,
    body_of,
    documented,
    headers_of,
    problems,
    wants_string_amounts,
)
from wallet.http.routes.statements import At, AxisName
from wallet.http.wire import fields
from wallet.http.wire.decoding import canonical_metadata, decode, malformed
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.instants import Wrong
from wallet.http.wire.query import ensure_json, members, path_id
from wallet.service.access.callers import Scope
from wallet.service.reads.filters import UserQuery, WalletQuery
from wallet.service.reads.lists import Reads
from wallet.service.wallet_service import WalletService
from wallet.storage.registry.resources import LotPolicy

_Request = Request[Any, Any, Any]
_Body = TypeVar("_Body", bound=Struct)
_Id = Annotated[str, PathParameter(description="A UUID.")]
_AssetId = Annotated[str, PathParameter(description="A number.")]
_Name = Annotated[str | None, QueryParameter(description="Only users of exactly this name.")]
_Label = Annotated[str | None, QueryParameter(description="Only wallets with exactly this label.")]
_UserId = Annotated[str | None, QueryParameter(description="Only wallets of this user, who need not exist.")]

# Users and wallets are made by whoever gives them something to do, and is not one of them.
_MAKES = needs(Scope.SPEND, Scope.ISSUE, Scope.ADMIN, unbound=True)
_TEXT_LENGTH_MAX = 255
_FIXED = ("code", "scale", "max_supply")


def resource_routes(service: WalletService, balances: WalletBalances) -> list[HTTPRouteHandler]:
    def reads(request: _Request) -> Reads:
        return service.reads_of(caller_of(request.scope))

    def created(body: Struct, existed: bool, request: _Request) -> Response[Any]:
        text = written(body, amounts_as_strings=wants_string_amounts(request))
        return as_response(Answer(200 if existed else 201, text))

    def found(body: Struct, request: _Request) -> Response[Any]:
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    @post("/users", **_creates(resource_bodies.NewUser, UserAnswer), opt=_MAKES, tags=["users"])
    async def create_user(request: _Request) -> Response[UserAnswer]:
        """Make a user."""
        data = await _decoded(resource_bodies.NewUser, request)
        made = await service.resources.create_user(
            name=data.name,
            metadata=canonical_metadata(data.metadata),
            user_id=None if data.id is None else path_id("id", data.id),
        )
        return created(user_answer(made.resource), made.existed, request)

    @get("/users", responses=problems(400, 503), tags=["users"], **filtered_by_members(Scope.READ))
    async def list_users(
        request: _Request, name: _Name = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[UserAnswer]]:
        """Users, newest first but for ids that clients made. By name or by one member of metadata."""
        query, page, wrong = UserQuery(), page_request(None, None), Wrong()
        with wrong:
            page = page_request(limit, cursor)
        with wrong:
            query = UserQuery(
                name=None if name is None else plain_text("name", name, length_max=_TEXT_LENGTH_MAX),
                metadata=members(request.scope["query_string"]),
            )
        wrong.raise_if_any()
        return found(page_answer(await reads(request).users(page, query), user_answer), request)

    @get("/users/{user_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["users"])
    async def read_user(user_id: _Id, request: _Request) -> Response[UserAnswer]:
        """A user."""
        return found(user_answer(await reads(request).user(path_id("user_id", user_id))), request)

    @get(
        "/users/{user_id:str}/wallets",
        responses=problems(400, 404, 503),
        opt=needs(Scope.READ),
        tags=["users", "wallets"],
    )
    async def list_wallets_of_user(
        user_id: _Id, request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[WalletAnswer]]:
        """A user's wallets."""
        page = await reads(request).wallets_of_user(path_id("user_id", user_id), page_request(limit, cursor))
        return found(page_answer(page, wallet_answer), request)

    @post("/wallets", **_creates(resource_bodies.NewWallet, WalletAnswer), opt=_MAKES, tags=["wallets"])
    async def create_wallet(request: _Request) -> Response[WalletAnswer]:
        """Make a wallet in one asset."""
        data = await _decoded(resource_bodies.NewWallet, request)
        if data.asset_code is None and data.asset_type_id is None:
            raise malformed("asset_code", "This field or asset_type_id is required.")
        made = await service.resources.create_wallet(
            asset_code=None if data.asset_code is None else data.asset_code.upper(),
            asset_id=data.asset_type_id,
            user_id=None if data.user_id is None else path_id("user_id", data.user_id),
            label=data.label,
            metadata=canonical_metadata(data.metadata),
            wallet_id=None if data.id is None else path_id("id", data.id),
        )
        return created(wallet_answer(made.resource), made.existed, request)

    @get("/wallets", responses=problems(400, 503), tags=["wallets"], **filtered_by_members(Scope.READ))
    async def list_wallets(
        request: _Request,
        user_id: _UserId = None,
        label: _Label = None,
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response[PageAnswer[WalletAnswer]]:
        """Wallets, newest first but for ids that clients made. By user, by label or by one member of metadata."""
        query, page, wrong = WalletQuery(), page_request(None, None), Wrong()
        with wrong:
            page = page_request(limit, cursor)
        with wrong:
            query = WalletQuery(
                user_id=None if user_id is None else path_id("user_id", user_id),
                label=None if label is None else plain_text("label", label, length_max=_TEXT_LENGTH_MAX),
                metadata=members(request.scope["query_string"]),
            )
        wrong.raise_if_any()
        return found(page_answer(await reads(request).wallets(page, query), wallet_answer), request)

    @get("/wallets/{wallet_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["wallets"])
    async def read_wallet(wallet_id: _Id, request: _Request) -> Response[WalletAnswer]:
        """A wallet, without its balance."""
        return found(
            wallet_answer(await reads(request).wallet(path_id("wallet_id", wallet_id))),
            request,
        )

    @get("/wallets/{wallet_id:str}/balance", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["wallets"])
    async def read_balance(
        wallet_id: _Id, request: _Request, at: At = None, axis: AxisName = None
    ) -> Response[BalanceAnswer]:
        """The balance of a wallet, as of now or at an instant."""
        answer = await balances.balance(
            wallet_id,
            caller=caller_of(request.scope),
            headers=headers_of(request),
            query=request.scope["query_string"],
        )
        return as_response(answer)

    @post("/assets", **_creates(resource_bodies.NewAsset, AssetAnswer), opt=needs(Scope.ADMIN), tags=["assets"])
    async def create_asset(request: _Request) -> Response[AssetAnswer]:
        """Make an asset and its treasury, revenue and breakage wallets."""
        data = await _decoded(resource_bodies.NewAsset, request)
        made = await service.resources.create_asset(
            code=data.code.upper(),
            scale=data.scale,
            max_supply=None if data.max_supply is None else fields.amount(data.max_supply, "max_supply"),
            policy=LotPolicy(data.draw_order, data.on_refund_to_expired, data.grace_seconds),
            asset_id=data.id,
        )
        return created(asset_answer(made.resource), made.existed, request)

    @patch(
        "/assets/{asset_id:str}",
        operation_class=documented(resource_bodies.AssetChange),
        opt=needs(Scope.ADMIN),
        responses=problems(400, 404, 413, 415, 503),
        tags=["assets"],
    )
    async def change_asset(asset_id: _AssetId, request: _Request) -> Response[AssetAnswer]:
        """Change what an asset says about lots. Code, scale and max_supply are fixed at its creation."""
        id_ = number("asset_id", asset_id)
        data = await _decoded_change(request)
        await service.reads.asset(id_)
        given = {name: value for name, value in structs.asdict(data).items() if value is not UNSET}
        return found(asset_answer(await service.resources.change_asset(id_, **given)), request)

    @get("/assets", responses=problems(400, 503), opt=needs(Scope.READ), tags=["assets"])
    async def list_assets(
        request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[AssetAnswer]]:
        """Assets, by id."""
        return found(
            page_answer(await reads(request).assets(page_request(limit, cursor)), asset_answer),
            request,
        )

    @get("/assets/{asset_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["assets"])
    async def read_asset(asset_id: _AssetId, request: _Request) -> Response[AssetAnswer]:
        """An asset, and where its units are."""
        return found(asset_answer(await reads(request).asset(number("asset_id", asset_id))), request)

    return [
        create_user, list_users, read_user, list_wallets_of_user, create_wallet, list_wallets, read_wallet,
        read_balance, create_asset, change_asset, list_assets, read_asset,
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


async def _decoded_change(request: _Request) -> resource_bodies.AssetChange:
    """Raises Malformed, which says of what is fixed that it is."""
    try:
        return await _decoded(resource_bodies.AssetChange, request)
    except Malformed as error:
        raise Malformed(
            [
                FieldError(each.field, "Is fixed when an asset is made.") if each.field in _FIXED else each
                for each in error.errors
            ]
        ) from None
