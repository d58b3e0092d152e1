"""Many movements in one request."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Litestar, Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Discriminator, OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.params import QueryParameter
from litestar.types import Receive, Send
from litestar.types import Scope as AsgiScope

from wallet.http.bulk.batches import Batch, BatchAnswer, Batches
from wallet.http.bulk.imports import NDJSON, Imports, ImportSummary, ensure_ndjson
from wallet.http.bulk.items import ITEM_TYPES, ItemResult
from wallet.http.edge.act_guard import STREAMED
from wallet.http.edge.needs import needs
from wallet.http.routes.shared import (
    as_response,
    asked,
    documented,
    headers_of,
    problems,
    wants_string_amounts,
)
from wallet.http.wire import asgi
from wallet.http.wire.decoding import malformed
from wallet.service.access.callers import Scope

_Request = Request[Any, Any, Any]
_ANSWERS: Final = ("all", "failures")
_Answers = Annotated[
    str | None,
    QueryParameter(
        description="`failures`: only the lines whose status is 400 or more, and then a line that counts all of them."
        " By default `all`.",
        enum=_ANSWERS,
    ),
]


@dataclass
class _NdjsonBody(Operation):
    """An operation whose request body is a stream of items."""

    def __post_init__(self) -> None:
        kinds = [Reference(ref=f"#/components/schemas/{each.__name__}") for each in ITEM_TYPES]
        media_type = OpenAPIMediaType(schema=Schema(one_of=kinds, discriminator=Discriminator("op")))
        self.request_body = RequestBody(required=True, content={NDJSON.decode(): media_type})


def bulk_routes(batches: Batches, imports: Imports) -> list[HTTPRouteHandler]:
    """Handlers bound to the operations they serve."""

    @post(
        "/batches",
        operation_class=documented(Batch),
        opt=needs(Scope.SPEND, Scope.ISSUE, Scope.REFUND, Scope.REFUND_FORCE),
        responses={
            200: ResponseSpec(
                BatchAnswer, description="Independent; or all replays; or a dry run.", generate_examples=False
            ),
            **problems(400, 413, 415, 422, 503),
        },
        tags=["bulk"],
    )
    async def make_batch(request: _Request) -> Response[BatchAnswer]:
        """Up to 10,000 items in order: all of them or none, or each for itself. An atomic batch has up to 20,000 legs.

        An atomic batch with a refused item is refused as a whole: 422 `group_refused`, whose `items` say what became
        of each. In an independent one every item has its own status; ask again for those with 503.
        """
        return as_response(await batches.batch(await asked(request)))

    @post(
        "/import",
        operation_class=_NdjsonBody,
        opt=needs(Scope.ADMIN) | {STREAMED: True},
        status_code=200,
        media_type=NDJSON.decode(),
        responses=problems(400, 415, 503),
        tags=["bulk"],
    )
    async def make_import(request: _Request, answers: _Answers = None) -> Response[ItemResult | ImportSummary]:
        """Any number of items, a line each, decided in order and each for itself; the answer has a line per line.

        Streamed both ways: read the answers while you send, or ask for failures only. The import may be sent again as
        a whole: what was applied is replayed. A line with status 503 or 401 and no reference is the last one: from its
        index on, nothing was begun. 401: the key was revoked, or has expired, meanwhile.
        """
        if answers is not None and answers not in _ANSWERS:
            raise malformed("answers", f"Must be one of {', '.join(_ANSWERS)}.")
        ensure_ndjson(headers_of(request))
        imports.ensure_room()
        return _Streamed(imports, amounts_as_strings=wants_string_amounts(request), failures_only=answers == "failures")

    return [make_batch, make_import]


class _Streamed(Response[Any]):
    """An answer that begins while the request's body still arrives: not one of the framework's kinds."""

    def __init__(self, imports: Imports, *, amounts_as_strings: bool, failures_only: bool) -> None:
        super().__init__(b"")
        self._imports = imports
        self._amounts_as_strings = amounts_as_strings
        self._failures_only = failures_only

    def to_asgi_response(self, app: Litestar | None, request: _Request, **_: Any) -> Any:
        return self._run

    async def _run(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        own_scope: asgi.AsgiScope = scope  # type: ignore[assignment]  # the same under another name
        await self._imports.run(
            own_scope,
            receive,  # type: ignore[arg-type]
            send,  # type: ignore[arg-type]
            amounts_as_strings=self._amounts_as_strings,
            failures_only=self._failures_only,
        )
