"""What routes share: answers in the framework's terms, documented bodies, and a query without surprises."""

from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody
from msgspec import Struct

from wallet.http.answers import Answer
from wallet.http.decoding import malformed
from wallet.http.options import Headers, is_string

AMOUNTS: Final = "amounts"
_MEANINGS: Final = {
    400: "Malformed: every wrong field is listed.",
    404: "Something that is named does not exist.",
    409: "It exists already, and differs.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "Refused by the ledger; nothing moved.",
    503: "Not served: `overloaded` and `storage_unavailable` applied nothing; after `outcome_unknown`, ask again "
    "with the same reference.",
}


class Problem(Struct):
    """Problem details (RFC 9457). `code` is what to decide by; docs/errors.md has a paragraph on each."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


def as_response(answer: Answer) -> Response[Any]:
    """A whole answer, as the framework sends it."""
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, status_code=answer.status, media_type=headers.pop("content-type"), headers=headers)


def documented(body: type[Struct]) -> type[Operation]:
    """An operation whose request body is described by `body`. The bytes themselves are decoded by our own rules,
    which are stricter than the framework's.
    """
    schema = Reference(ref=f"#/components/schemas/{body.__name__}")

    class Documented(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                required=True, content={"application/json": OpenAPIMediaType(schema=schema)}
            )

    return Documented


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


def request_id(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["request_id"])  # type: ignore[typeddict-item]  # set by http.edge


def wants_string_amounts(request: Request[Any, Any, Any]) -> bool:
    """Whether ?amounts=string was asked for. Raises Malformed for any other value."""
    value = request.query_params.get(AMOUNTS)
    return value is not None and is_string(value)


def refuse_unknown_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: an unsupported filter is an error, never a list that ignores it. So is a parameter given twice."""
    known: Mapping[str, Any] = handler.parsed_fn_signature.parameters
    for name in connection.query_params:
        if name != AMOUNTS and name not in known:
            raise malformed(name, "There is no such parameter.")
        if len(connection.query_params.getall(name)) > 1:
            raise malformed(name, "This parameter is given more than once.")
