"""The framework's application: all routes, the guards in front of them, and a problem for every error."""

from collections.abc import Iterable
from typing import Any

from litestar import Litestar, MediaType, Request, Response, route
from litestar.config.compression import CompressionConfig
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ControllerRouterHandler

from wallet.errors import FieldError, Malformed
from wallet.http.bulk.batches import Batches
from wallet.http.bulk.imports import Imports
from wallet.http.document.openapi import openapi_config
from wallet.http.edge.act_guard import act_guard
from wallet.http.edge.needs import check_scopes, open_to_all
from wallet.http.open.pages import OpenPages
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.kinds import HOT_ENDS
from wallet.http.operations.perform import Movements
from wallet.http.operations.wallet_changes import WalletChanges
from wallet.http.routes.bulk import bulk_routes
from wallet.http.routes.claims import claim_routes
from wallet.http.routes.documentation import page_routes
from wallet.http.routes.history import history_routes
from wallet.http.routes.holdings import holding_routes
from wallet.http.routes.keys import key_routes
from wallet.http.routes.movements import movement_routes
from wallet.http.routes.programmes import programme_routes
from wallet.http.routes.receipts import receipt_routes
from wallet.http.routes.resources import resource_routes
from wallet.http.routes.sandbox import sandbox_routes
from wallet.http.routes.shared import (
    SENT_AS_IT_IS,
    as_response,
    moves_money,
    refuse_idempotency_key,
    refuse_unknown_parameters,
    request_id,
)
from wallet.http.routes.statements import statement_routes
from wallet.http.routes.status import metrics_route, status_routes
from wallet.http.routes.wallet_changes import wallet_change_routes
from wallet.http.wire.asgi import ClientGone
from wallet.http.wire.failures import failure, problem
from wallet.service.wallet_service import WalletService

COMPRESSED_FROM_BYTES = 4096
_HOT = rf"/({'|'.join([*HOT_ENDS, 'balance'])})$"
# Compression would delay the streamed answers of an import, and the 7 MB of a large batch would block the event loop
# for half a second.
_BULK = r"/(import|batches)$"
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large", 415: "unsupported_media_type"}


def make_framework(
    service: WalletService, movements: Movements, balances: WalletBalances, pages: OpenPages, *, public_url: str = ""
) -> Litestar:
    """All routes, those of the fast lane included. public_url: see http.document.openapi."""
    handlers: list[Any] = [
        *movement_routes(movements),
        *wallet_change_routes(WalletChanges(service)),
        *resource_routes(service, balances),
        *bulk_routes(Batches(service), Imports(service)),
        *holding_routes(service),
        *claim_routes(service),
        *history_routes(service),
        *receipt_routes(service),
        *statement_routes(service),
        *programme_routes(service),
        *sandbox_routes(service),
        *key_routes(service),
        *status_routes(service),
        *([metrics_route(pages["/metrics"].answer)] if "/metrics" in pages else []),
        *page_routes(pages),
    ]
    return Litestar(
        route_handlers=[*_options_routes(handlers), *handlers],
        # The order decides which refusal a request gets: scopes, then the administrative act, then query and headers.
        guards=[check_scopes, act_guard(service), refuse_unknown_parameters, refuse_idempotency_key],
        exception_handlers={
            HTTPException: _http_problem,
            ClientGone: _nobody_to_answer,
            Exception: _problem,
        },
        openapi_config=openapi_config(pages, public_url=public_url),
        # The fast lane does not compress. Its operations are excluded, so that both lanes answer the same bytes.
        compression_config=CompressionConfig(
            backend="gzip",
            # Higher levels take up to three times as long and save one percent more.
            gzip_compress_level=5,
            minimum_size=COMPRESSED_FROM_BYTES,
            exclude=[_HOT, _BULK],
            exclude_opt_key=SENT_AS_IT_IS,
        ),
        # The server's protocol bounds bodies, for both lanes.
        request_max_body_size=None,
        logging_config=None,
        debug=False,
    )


def _options_routes(handlers: Iterable[Any]) -> list[ControllerRouterHandler]:
    """A route for OPTIONS per path. The framework's own answer has only the methods of a path's first handler."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_route(path, _allowed(taken)) for path, taken in methods.items()]


def _options_route(path: str, allowed: str) -> ControllerRouterHandler:
    @route(
        path, http_method="OPTIONS", status_code=204, include_in_schema=False, opt=open_to_all(), sync_to_thread=False
    )
    def options() -> Response[None]:
        return Response(None, headers={"allow": allowed})

    return options


def _allowed(methods: Iterable[str]) -> str:
    """The value of the header Allow: these methods, and HEAD if GET is one of them."""
    taken = set(methods)
    return ", ".join(sorted(taken | {"HEAD"} if "GET" in taken else taken))


def _problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    return as_response(failure(error, request_id=request_id(request), moves_money=moves_money(request)))


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        errors = [FieldError(str(each.get("key", "")), f"{each.get('message', '')}.") for each in extra]
        return _problem(request, Malformed(errors or [FieldError("", str(error.detail))]))
    if error.status_code >= 500:
        return _problem(request, error)
    code = _BY_STATUS.get(error.status_code, "invalid_request")
    answer = problem(code, f"{error.detail}.".replace("..", "."), request_id=request_id(request))
    response = as_response(answer)
    for name, value in (error.headers or {}).items():
        response.headers[name] = _allowed(value.split(", ")) if name.lower() == "allow" else value
    return response


def _nobody_to_answer(request: Request[Any, Any, Any], error: ClientGone) -> Response[Any]:
    return Response(b"", status_code=499, media_type=MediaType.TEXT)
