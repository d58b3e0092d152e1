"""Records administrative acts over HTTP: a request that needs scope admin is written before it is carried out, and its
status afterwards.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs_of
from wallet.http.wire.asgi import ACT_ANSWERED, BODY_READ, read_body
from wallet.service.access.acts import canonical
from wallet.service.wallet_service import WalletService

STREAMED: Final = "streamed"
"""The option of a handler whose body is a stream. The record of the act does not keep such a body."""

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def act_guard(service: WalletService) -> Guard:
    """A guard that writes the act and runs after the guard of scopes.

    Raises StorageUnavailable if the act cannot be written; then the handler does not run. Reads the body, and keeps it
    for the handler.
    """

    async def write_act(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if not needs_of(handler).is_administrative:
            return
        scope: Any = connection.scope
        body = b""
        if not handler.opt.get(STREAMED):
            body = scope[BODY_READ] = await read_body(connection.receive)  # type: ignore[arg-type]  # the same
        act_id = await service.acts.asked(
            caller_of(scope),
            f"{scope['method']} {scope['path_template']}",
            subject="/".join(str(each) for each in connection.path_params.values()) or None,
            asked=canonical(body) if body else None,
            request_id=scope["request_id"],
        )
        scope[ACT_ANSWERED] = partial(service.acts.answered, act_id)

    return write_act
