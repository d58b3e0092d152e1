"""The history of the ledger: transactions, entries, declines."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.answers import (
    TransactionAnswer,
    TransactionDetailAnswer,
    transaction_answer,
    transaction_detail_answer,
)
from wallet.http.operations.resource_answers import (
    DeclineAnswer,
    LedgerEntryAnswer,
    PageAnswer,
    decline_answer,
    ledger_entry_answer,
)
from wallet.http.routes.pages import (
    Cursor,
    Limit,
    Offset,
    filtered_by_members,
    page_answer,
    page_request,
    plain_text,
    written_page,
)
from wallet.http.routes.shared import as_response, problems, wants_string_amounts
from wallet.http.wire.decoding import malformed
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.fields import reference
from wallet.http.wire.instants import Wrong, instant
from wallet.http.wire.query import members, path_id
from wallet.ledger.model import AssetId, Posted
from wallet.service.access.callers import Scope
from wallet.service.reads.filters import TransactionQuery
from wallet.service.reads.lists import Reads
from wallet.service.wallet_service import WalletService

_Request = Request[Any, Any, Any]
_Id = Annotated[str, PathParameter(description="A UUID.")]
_Reference = Annotated[str | None, QueryParameter(description="Exactly this reference.")]
_Prefix = Annotated[
    str | None,
    QueryParameter(description="References that begin like this; in the order of references, not newest first."),
]
_WalletId = Annotated[
    str | None, QueryParameter(description="Transactions with an entry or a hold step of this wallet.")
]
_Type = Annotated[str | None, QueryParameter(name="type", description="Transactions of exactly this type.")]
_From = Annotated[
    str | None, QueryParameter(name="from", description="Created then or later: RFC 3339 with an offset.")
]
_To = Annotated[str | None, QueryParameter(description="Created before: RFC 3339 with an offset.")]

_REFERENCE_LENGTH_MAX: Final = 255
_TYPE_LENGTH_MAX: Final = 64


def history_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def reads(request: _Request) -> Reads:
        return service.reads_of(caller_of(request.scope))

    def found(body: Struct, request: _Request) -> Response[Any]:
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    def answer(posted: Posted) -> TransactionAnswer:
        return transaction_answer(posted, service.assets.by_id)

    @get("/transactions", responses=problems(400, 404, 503), tags=["history"], **filtered_by_members(Scope.READ))
    async def list_transactions(
        request: _Request,
        reference_id: _Reference = None,
        reference_prefix: _Prefix = None,
        wallet_id: _WalletId = None,
        type_: _Type = None,
        from_: _From = None,
        to: _To = None,
        limit: Limit = None,
        cursor: Cursor = None,
        offset: Offset = None,
    ) -> Response[PageAnswer[TransactionAnswer]]:
        """Transactions with their entries, newest first. Filtered by a reference or the beginning of one alone, or by
        wallet_id or one metadata.<key>, and with it or without type, from and to.
        """
        page, wrong = page_request(None, None), Wrong()
        filters: dict[str, Any] = {"metadata": {}}
        with wrong:
            page = page_request(limit, cursor, offset)
        for field, name, text, read in (
            ("reference_id", "reference_id", reference_id, _reference),
            ("reference_prefix", "reference_prefix", reference_prefix, _reference),
            ("wallet_id", "wallet_id", wallet_id, path_id),
            ("type", "type", type_, _type_name),
            ("since", "from", from_, instant),
            ("until", "to", to, instant),
        ):
            with wrong:
                filters[field] = None if text is None else read(name, text)
        with wrong:
            filters["metadata"] = members(request.scope["query_string"])
        wrong.raise_if_any()
        found_page = await reads(request).transactions(page, TransactionQuery(**filters))
        await service.load_assets(assets_of(found_page.data))
        body = await written_page(found_page, answer, amounts_as_strings=wants_string_amounts(request))
        return as_response(Answer(200, body))

    @get(
        "/transactions/{transaction_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["history"]
    )
    async def read_transaction(transaction_id: _Id, request: _Request) -> Response[TransactionDetailAnswer]:
        """A transaction with its entries, and what was refunded of it."""
        own = reads(request)
        posted = await own.transaction(path_id("transaction_id", transaction_id))
        refunded = await own.refunds_of(posted.id)
        await service.load_assets(assets_of([posted]))
        return found(transaction_detail_answer(posted, refunded, service.assets.by_id), request)

    @get("/ledger-entries", responses=problems(400, 503), opt=needs(Scope.READ), tags=["history"])
    async def list_ledger_entries(
        request: _Request, limit: Limit = None, cursor: Cursor = None, offset: Offset = None
    ) -> Response[PageAnswer[LedgerEntryAnswer]]:
        """Entries of all wallets, newest transaction first."""
        page = await reads(request).ledger_entries(page_request(limit, cursor, offset))
        return found(page_answer(page, ledger_entry_answer), request)

    @get(
        "/wallets/{wallet_id:str}/entries",
        responses=problems(400, 404, 503),
        opt=needs(Scope.READ),
        tags=["history", "wallets"],
    )
    async def list_entries_of_wallet(
        wallet_id: _Id, request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[LedgerEntryAnswer]]:
        """A wallet's entries, newest first."""
        page = await reads(request).entries_of_wallet(path_id("wallet_id", wallet_id), page_request(limit, cursor))
        return found(page_answer(page, ledger_entry_answer), request)

    @get("/declines", responses=problems(400, 503), opt=needs(Scope.READ), tags=["history"])
    async def list_declines(
        request: _Request, reference_id: _Reference = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[DeclineAnswer]]:
        """Refusals of requests with one reference, newest first."""
        if reference_id is None:
            raise malformed("reference_id", "This parameter is required.")
        page = await reads(request).declines(reference(reference_id), page_request(limit, cursor))
        return found(page_answer(page, decline_answer), request)

    return [list_transactions, read_transaction, list_ledger_entries, list_entries_of_wallet, list_declines]


def assets_of(transactions: Sequence[Posted]) -> set[AssetId]:
    """The assets that answers of these transactions name."""
    return {entry.asset_id for posted in transactions for entry in posted.entries} | {
        posted.details.hold.asset_id
        for posted in transactions
        if posted.details is not None and posted.details.hold is not None
    }


def _reference(name: str, text: str) -> str:
    return plain_text(name, text, length_max=_REFERENCE_LENGTH_MAX)


def _type_name(name: str, text: str) -> str:
    return plain_text(name, text, length_max=_TYPE_LENGTH_MAX)
