"""Shared by routes: answers in the framework's terms, documented bodies, and a query without surprises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypedDict

# Streams need it. Its import takes a tenth of a second, which at the first stream would hold up everybody else.
import anyio._backends._asyncio  # noqa: F401
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.constants import RESERVED_KWARGS
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody
from litestar.response import Stream
from msgspec import UNSET, Struct, UnsetType

from wallet.http.bulk.items import ItemResult
from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.kinds import OPERATIONS
from wallet.http.operations.operation import Target
from wallet.http.operations.wallet_changes import MERGE_PATH
from wallet.http.wire.asgi import BODILESS, BODY_READ, read_body
from wallet.http.wire.decoding import may_be_left_out
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import AMOUNTS, Headers, parameters, refuse_key
from wallet.service.access.callers import Caller, Scope

FILTERS_MEMBERS: Final = "filters_members"
"""The option of a handler whose list can be filtered by members of metadata."""

SENT_AS_IT_IS: Final = "sent_as_it_is"
"""The option of a handler whose answers are compressed already, for clients that accept that."""

PIECE_BYTES_MAX: Final = 128 * 1024
"""Of an answer that are sent, and compressed for who takes that, before others in this process get their turn."""

_MOVEMENTS: Final = frozenset({MERGE_PATH, *(operation.path for operation in OPERATIONS.values())})
"""The paths of the requests that move or reserve money."""

BODY: Final = "Body"
"""How the types of bodies end that have a name in common with the ledger's requests. The document leaves it out."""

_MEANINGS: Final = {
    400: "Malformed: every wrong field is listed.",
    404: "Something that is named does not exist.",
    409: "The state of the thing forbids it: it exists already, is closed, or is of another version.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "Refused by the ledger; nothing moved.",
    503: "Not served: `overloaded`, `wallet_busy` and `storage_unavailable` applied nothing; after `outcome_unknown`, "
    "ask again with the same reference.",
}


class WrongField(Struct):
    """One thing wrong with a request. `field`: a dotted path, empty for the body as a whole."""

    field: str
    message: str


class Problem(Struct):
    """Problem details (RFC 9457). `code` is what to decide by; docs/errors.md has a paragraph on each.

    `applied`: whether this try applied anything; nothing is said of an earlier one. `retry`: whether to send the same
    request again: `never`, `later`, or with the `same_reference`, which must not change.

    The last fields are there if they apply: `errors` of a malformed request, `items` of an atomic batch, the rest of
    refusals.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    applied: Literal["no", "unknown"]
    retry: Literal["never", "later", "same_reference"]
    errors: list[WrongField] | UnsetType = UNSET
    wallet_id: str | UnsetType = UNSET
    available: int | UnsetType = UNSET
    required: int | UnsetType = UNSET
    differs: list[str] | UnsetType = UNSET
    hold_status: str | UnsetType = UNSET
    claim_status: str | UnsetType = UNSET
    merged_into: str | UnsetType = UNSET
    direction: str | UnsetType = UNSET
    per: str | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    used: int | UnsetType = UNSET
    resets_at: str | UnsetType = UNSET
    version: int | UnsetType = UNSET
    items: list[ItemResult] | UnsetType = UNSET


def as_response(answer: Answer) -> Response[Any]:
    """An answer, as the framework sends it: with the headers that the fast lane sends, in their order."""
    if len(answer.body) > PIECE_BYTES_MAX:
        return Stream(_pieces(answer.body), status_code=answer.status, headers=_headers(answer))
    return whole_response(answer)


def whole_response(answer: Answer) -> Response[Any]:
    """The same for bytes that are kept for everybody, and so are not copied."""
    return Response(answer.body, status_code=answer.status, headers=_headers(answer))


def _headers(answer: Answer) -> dict[str, str]:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    if answer.status not in BODILESS:
        headers["content-length"] = str(len(answer.body))
    return headers


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), PIECE_BYTES_MAX):
        yield body[begin : begin + PIECE_BYTES_MAX]
        await asyncio.sleep(0)


class Documented(Operation):
    """The document's words about a route, with the type that describes its request body."""

    body: ClassVar[type[Struct]]


def documented(body: type[Struct], *, required: bool = True, target: Target | None = None) -> type[Documented]:
    """An operation whose request body is described by `body`. The bytes themselves are decoded by our own rules,
    which are stricter than the framework's. target: what its path names, where the handler's signature does not say it.
    """
    schema = Reference(ref=f"#/components/schemas/{body.__name__.removesuffix(BODY)}")

    @dataclass
    class OfThisBody(Documented):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                required=required, content={"application/json": OpenAPIMediaType(schema=schema)}
            )
            for parameter in self.parameters or () if target is not None else ():
                parameter.description = target.description  # type: ignore[union-attr]  # no reference

    OfThisBody.body = body
    return OfThisBody


def documented_movement(
    body: type[Struct], answer: type[Struct], *scopes: Scope, target: Target | None = None
) -> dict[str, Any]:
    """The arguments of the decorator of a route that moves or reserves money, and that needs one of these scopes."""
    return {
        "opt": needs(*scopes),
        "operation_class": documented(body, required=not may_be_left_out(body), target=target),
        "responses": {
            200: ResponseSpec(
                answer, description="A replay: the first answer again. Or a dry run.", generate_examples=False
            ),
            **problems(400, 404, 409, 413, 415, 422, 503),
        },
        "tags": ["movements"],
    }


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Documents these statuses as problem details."""
    return {
        status: ResponseSpec(
            Problem, description=_MEANINGS[status], media_type="application/problem+json", generate_examples=False
        )
        for status in statuses
    }


def headers_of(request: Request[Any, Any, Any]) -> Headers:
    """The headers as the server gave them."""
    headers: Headers = request.scope["headers"]  # type: ignore[assignment]  # uvicorn makes a list
    return headers


def moves_money(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the request is one of the movements."""
    return connection.scope.get("method") == "POST" and connection.scope.get("path_template") in _MOVEMENTS


class Asked(TypedDict):
    """A request without its path, as operations take it."""

    body: bytes
    caller: Caller
    headers: Headers
    query: bytes
    request_id: str


async def asked(request: Request[Any, Any, Any]) -> Asked:
    """Raises ClientGone."""
    return {
        "body": await body_of(request),
        "caller": caller_of(request.scope),
        "headers": headers_of(request),
        "query": request.scope["query_string"],
        "request_id": request_id(request),
    }


async def body_of(request: Request[Any, Any, Any]) -> bytes:
    """The body's bytes. Raises ClientGone where the framework's own way would see a fault of ours."""
    scope: Any = request.scope
    if BODY_READ in scope:
        body: bytes = scope[BODY_READ]
        return body
    return await read_body(request.receive)  # type: ignore[arg-type]  # the same messages under another name


def request_id(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["request_id"])  # type: ignore[typeddict-item]  # set by http.edge.edge


def wants_string_amounts(request: Request[Any, Any, Any]) -> bool:
    """Whether ?amounts=string was asked for, in a query that the guard below has seen."""
    return AMOUNTS in request.query_params


def refuse_unknown_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: raises Malformed unless the handler knows every parameter of the query."""
    signature = handler.parsed_fn_signature.parameters
    # `from` is a keyword of the language: such a name has an underscore after it.
    known = {name.removesuffix("_") for name in signature.keys() - connection.path_params.keys() - RESERVED_KWARGS}
    filters_members = bool(handler.opt.get(FILTERS_MEMBERS))
    parameters(connection.scope["query_string"], known=known, filters_members=filters_members)


def refuse_idempotency_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: raises Malformed if a request that moves nothing carries a reference."""
    if not moves_money(connection):
        refuse_key(connection.scope["headers"])  # type: ignore[arg-type]  # uvicorn makes a list
