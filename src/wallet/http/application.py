"""The framework's application: routes, problems for everything that goes wrong, and nothing else."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, MediaType, Request, Response
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException, ValidationException

from wallet.errors import FieldError, Malformed
from wallet.http.asgi import ClientGone
from wallet.http.balances import Balances
from wallet.http.batches import Batches
from wallet.http.failures import failure, problem
from wallet.http.imports import Imports
from wallet.http.movements import Movements
from wallet.http.openapi import openapi_config, page_routes
from wallet.http.routes.bulk import bulk_routes
from wallet.http.routes.history import history_routes
from wallet.http.routes.holdings import holding_routes
from wallet.http.routes.holds import hold_routes
from wallet.http.routes.movements import movement_routes
from wallet.http.routes.programmes import programme_routes
from wallet.http.routes.refunds import refund_routes
from wallet.http.routes.resources import resource_routes
from wallet.http.routes.sandbox import sandbox_routes
from wallet.http.routes.shared import (
    as_response,
    moves_money,
    refuse_idempotency_key,
    refuse_unknown_parameters,
    request_id,
)
from wallet.http.routes.statements import statement_routes
from wallet.http.routes.status import status_routes
from wallet.http.routes.wallet_changes import wallet_change_routes
from wallet.http.wallet_changes import WalletChanges
from wallet.service.wallets import WalletService

COMPRESSED_FROM_BYTES = 4096
_HOT = r"/(topup|bonus|spend|transfers|balance)$"
_STREAMED = r"/import$"
_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large", 415: "unsupported_media_type"}


def make_framework(
    service: WalletService, movements: Movements, balances: Balances, *, cors_origins: Sequence[str] = ()
) -> Litestar:
    """Everything that the fast lane does not serve, and all that it does."""

    return Litestar(
        route_handlers=[
            *movement_routes(movements),
            *hold_routes(movements),
            *refund_routes(movements),
            *wallet_change_routes(WalletChanges(service, movements.operations)),
            *resource_routes(service, balances),
            *bulk_routes(Batches(service), Imports(service)),
            *holding_routes(service),
            *history_routes(service),
            *statement_routes(service),
            *programme_routes(service),
            *sandbox_routes(service),
            *status_routes(service),
            *page_routes(),
        ],
        guards=[refuse_unknown_parameters, refuse_idempotency_key],
        exception_handlers={
            HTTPException: _http_problem,
            ClientGone: _nobody_to_answer,
            Exception: _problem,
        },
        openapi_config=openapi_config(),
        # The fast lane does not compress, and the lanes' answers are the same to the byte. What is streamed would wait.
        compression_config=CompressionConfig(
            backend="gzip", minimum_size=COMPRESSED_FROM_BYTES, exclude=[_HOT, _STREAMED]
        ),
        cors_config=CORSConfig(allow_origins=list(cors_origins)) if cors_origins else None,
        # The protocol bounds bodies, for both lanes.
        request_max_body_size=None,
        logging_config=None,
        debug=False,
    )


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
        response.headers[name] = value
    return response


def _nobody_to_answer(request: Request[Any, Any, Any], error: ClientGone) -> Response[Any]:
    return Response(b"", status_code=499, media_type=MediaType.TEXT)
