"""Keys, and what was done with those that may administer."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from wallet.http.edge.needs import needs
from wallet.http.operations.resource_answers import PageAnswer
from wallet.http.routes.key_answers import ActAnswer, KeyAnswer, NewKeyAnswer, act_answer, key_answer, new_key_answer
from wallet.http.routes.key_bodies import NewKey
from wallet.http.routes.pages import Cursor, Limit, page_answer, page_request
from wallet.http.routes.shared import as_response, body_of, documented, headers_of, problems
from wallet.http.wire.decoding import decode
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.query import ensure_json, path_id
from wallet.service.access.callers import Scope
from wallet.service.access.keys import KeyRequest
from wallet.service.wallet_service import WalletService

_Request = Request[Any, Any, Any]
_KeyId = Annotated[str, PathParameter(description="A UUID.")]


def key_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def answered(body: Struct, *, status: int = 200) -> Response[Any]:
        return as_response(Answer(status, written(body)))

    @post(
        "/keys",
        operation_class=documented(NewKey),
        responses=problems(400, 404, 413, 415, 503),
        opt=needs(Scope.ADMIN),
        tags=["keys"],
    )
    async def create_key(request: _Request) -> Response[NewKeyAnswer]:
        """Make a key. This answer is the only one that has the key itself."""
        ensure_json(headers_of(request))
        made = await service.keys.create(_asked(decode(NewKey, await body_of(request))))
        return answered(new_key_answer(made), status=201)

    @get("/keys", responses=problems(400, 503), opt=needs(Scope.ADMIN), tags=["keys"])
    async def list_keys(
        request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[KeyAnswer]]:
        """Keys, newest first, those that were revoked or have expired included."""
        return answered(page_answer(await service.key_pages.keys(page_request(limit, cursor)), key_answer))

    @get("/keys/{key_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.ADMIN), tags=["keys"])
    async def read_key(key_id: _KeyId, request: _Request) -> Response[KeyAnswer]:
        """A key."""
        return answered(key_answer(await service.keys.key(path_id("key_id", key_id))))

    @delete(
        "/keys/{key_id:str}",
        status_code=200,
        responses=problems(400, 404, 503),
        opt=needs(Scope.ADMIN),
        tags=["keys"],
    )
    async def revoke_key(key_id: _KeyId, request: _Request) -> Response[KeyAnswer]:
        """Revoke a key, for good: within a second nobody gets in with it. A second time changes nothing. A key may
        revoke itself.
        """
        return answered(key_answer(await service.keys.revoke(path_id("key_id", key_id))))

    @get("/admin-acts", responses=problems(400, 503), opt=needs(Scope.ADMIN), tags=["keys"])
    async def list_acts(
        request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[ActAnswer]]:
        """Administrative acts, newest first, this one included: each request that needed scope admin, and each use of
        `wallet keys`.
        """
        return answered(page_answer(await service.act_pages.acts(page_request(limit, cursor)), act_answer))

    return [create_key, list_keys, read_key, revoke_key, list_acts]


def _asked(given: NewKey) -> KeyRequest:
    wallet_ids = given.wallet_ids
    return KeyRequest(
        name=given.name,
        scopes=[Scope(text) for text in given.scopes or ()],
        user_id=None if given.user_id is None else path_id("user_id", given.user_id),
        wallet_ids=None if wallet_ids is None else [path_id("wallet_ids", each) for each in wallet_ids],
        expires_in_days=given.expires_in_days,
        requests_per_second=given.requests_per_second,
        replaces=None if given.replaces is None else path_id("replaces", given.replaces),
    )
