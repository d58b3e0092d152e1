"""What happened: transactions, entries, declines."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from wallet.http.answers import (
    Answer,
    DeclineAnswer,
    LedgerEntryAnswer,
    PageAnswer,
    TransactionAnswer,
    decline_answer,
    ledger_entry_answer,
    transaction_answer,
    written,
)
from wallet.http.bodies import reference
from wallet.http.decoding import malformed
from wallet.http.options import path_id
from wallet.http.routes.pages import Cursor, Limit, Offset, page_answer, page_request
from wallet.http.routes.shared import as_response, problems, wants_string_amounts
from wallet.ledger.model import Posted
from wallet.service.wallets import WalletService

_Request = Request[Any, Any, Any]
_Id = Annotated[str, PathParameter(description="A UUID.")]
_Reference = Annotated[str | None, QueryParameter(description="Exactly this reference.")]


def history_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def found(body: Struct, request: _Request) -> Response[Any]:
        return as_response(Answer(200, written(body, amounts_as_strings=wants_string_amounts(request))))

    def answer(posted: Posted) -> TransactionAnswer:
        return transaction_answer(posted, service.assets.by_id)

    @get("/transactions", responses=problems(400, 503), tags=["history"])
    async def list_transactions(
        request: _Request,
        reference_id: _Reference = None,
        limit: Limit = None,
        cursor: Cursor = None,
        offset: Offset = None,
    ) -> Response[PageAnswer[TransactionAnswer]]:
        """Transactions with their entries, newest first."""
        page = await service.reads.transactions(
            page_request(limit, cursor, offset),
            reference_id=None if reference_id is None else reference(reference_id),
        )
        await service.load_assets(entry.asset_id for posted in page.data for entry in posted.entries)
        return found(page_answer(page, answer), request)

    @get("/transactions/{transaction_id:str}", responses=problems(400, 404, 503), tags=["history"])
    async def read_transaction(transaction_id: _Id, request: _Request) -> Response[TransactionAnswer]:
        """A transaction with its entries."""
        posted = await service.reads.transaction(path_id("transaction_id", transaction_id))
        await service.load_assets(entry.asset_id for entry in posted.entries)
        return found(answer(posted), request)

    @get("/ledger-entries", responses=problems(400, 503), tags=["history"])
    async def list_ledger_entries(
        request: _Request, limit: Limit = None, cursor: Cursor = None, offset: Offset = None
    ) -> Response[PageAnswer[LedgerEntryAnswer]]:
        """Entries of all wallets, newest transaction first."""
        page = await service.reads.ledger_entries(page_request(limit, cursor, offset))
        return found(page_answer(page, ledger_entry_answer), request)

    @get("/wallets/{wallet_id:str}/entries", responses=problems(400, 404, 503), tags=["history", "wallets"])
    async def list_entries_of_wallet(
        wallet_id: _Id, request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[LedgerEntryAnswer]]:
        """A wallet's entries, newest first."""
        page = await service.reads.entries_of_wallet(path_id("wallet_id", wallet_id), page_request(limit, cursor))
        return found(page_answer(page, ledger_entry_answer), request)

    @get("/declines", responses=problems(400, 503), tags=["history"])
    async def list_declines(
        request: _Request, reference_id: _Reference = None, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[DeclineAnswer]]:
        """Refusals of requests with one reference, newest first."""
        if reference_id is None:
            raise malformed("reference_id", "This parameter is required.")
        page = await service.reads.declines(reference(reference_id), page_request(limit, cursor))
        return found(page_answer(page, decline_answer), request)

    return [list_transactions, read_transaction, list_ledger_entries, list_entries_of_wallet, list_declines]
