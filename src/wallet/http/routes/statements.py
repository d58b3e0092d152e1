"""Statements of a wallet, as JSON by the page or as CSV whole."""

from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.routes.pages import Cursor, Limit, page_request
from wallet.http.routes.shared import as_response, headers_of, problems, wants_string_amounts
from wallet.http.routes.statement_answers import StatementAnswer, statement_answer, statement_csv
from wallet.http.wire.decoding import malformed
from wallet.http.wire.encoding import JSON, Answer, written
from wallet.http.wire.instants import Wrong, axis_named, instant
from wallet.http.wire.query import Headers, path_id
from wallet.service.access.callers import Scope
from wallet.service.wallet_service import WalletService
from wallet.storage.reads.wallet_at import Axis

_Request = Request[Any, Any, Any]
_Id = Annotated[str, PathParameter(description="A UUID.")]
_From = Annotated[
    str | None,
    QueryParameter(name="from", description="RFC 3339 with an offset, inclusive; the beginning if absent."),
]
_To = Annotated[
    str | None, QueryParameter(description="RFC 3339 with an offset, exclusive; the ledger's time if absent.")
]
At = Annotated[
    str | None, QueryParameter(description="RFC 3339 with an offset, inclusive, not in the future; now if absent.")
]
AxisName = Annotated[
    str | None,
    QueryParameter(
        description="The meaning of an instant: when entries were `posted` (by default), or when they were `effective`."
    ),
]
_Format = Annotated[str | None, QueryParameter(description="`json`, or `csv`. By default what Accept prefers.")]

_FRESH: Final = ((b"cache-control", b"no-store"), (b"vary", b"accept"))


def statement_routes(service: WalletService) -> list[HTTPRouteHandler]:
    @get(
        "/wallets/{wallet_id:str}/statement",
        responses=problems(400, 404, 503),
        opt=needs(Scope.READ),
        tags=["history", "wallets"],
    )
    async def read_statement(
        wallet_id: _Id,
        request: _Request,
        from_: _From = None,
        to: _To = None,
        axis: AxisName = None,
        format: _Format = None,  # the parameter's name
        limit: Limit = None,
        cursor: Cursor = None,
    ) -> Response[StatementAnswer]:
        """The balance of a wallet before a time, every entry since, and the balance after them. CSV is never paged."""
        wrong = Wrong()
        since, until, on, page, as_csv = None, None, Axis.POSTED, page_request(None, None), False
        with wrong:
            id_ = path_id("wallet_id", wallet_id)
        with wrong:
            since = None if from_ is None else instant("from", from_)
        with wrong:
            until = None if to is None else instant("to", to)
        with wrong:
            on = Axis.POSTED if axis is None else axis_named(axis)
        with wrong:
            as_csv = _is_csv_wanted(format, headers_of(request))
        with wrong:
            page = page_request(limit, cursor)
        for name, given in (("limit", limit), ("cursor", cursor)):
            if as_csv and given is not None:
                with wrong:
                    raise malformed(name, "CSV is not paged.")
        wrong.raise_if_any()
        await service.permissions.ensure_sees_wallet(caller_of(request.scope), id_)
        if as_csv:
            whole = await service.statements.whole_statement(id_, since=since, until=until, axis=on)
            # The type as a header: to a media type the framework adds a second charset.
            headers = {
                "content-type": "text/csv; charset=utf-8",
                "content-disposition": f'attachment; filename="statement-{id_}.csv"',
            }
            headers |= {name.decode(): value.decode() for name, value in _FRESH}
            return Stream(statement_csv(whole), headers=headers)  # type: ignore[return-value]
        statement = await service.statements.statement(id_, since=since, until=until, axis=on, page=page)
        body = written(statement_answer(statement), amounts_as_strings=wants_string_amounts(request))
        return as_response(Answer(200, body, (JSON, *_FRESH)))

    return [read_statement]


def _is_csv_wanted(format_: str | None, headers: Headers) -> bool:
    """Raises Malformed for an unknown format. A client that accepts both alike gets JSON."""
    if format_ is not None:
        if format_ not in ("csv", "json"):
            raise malformed("format", "Must be json or csv.")
        return format_ == "csv"
    accepted = b",".join(value for name, value in headers if name == b"accept").decode("latin-1").lower()
    return _quality(accepted, "text/csv") > _quality(accepted, "application/json")


def _quality(accepted: str, media_type: str) -> float:
    """How much a media type is wanted, 0 to 1, where it is named. Wildcards prefer nothing."""
    for each in accepted.split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == media_type:
            weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
            try:
                return float(weight)
            except ValueError:
                return 0
    return 0
