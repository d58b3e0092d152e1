"""Receipts: proof of single transactions for their parties."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.routes.receipt_answers import (
    ReceiptAnswer,
    ReceiptKeyAnswer,
    encoded,
    receipt_answer,
    receipt_key_answer,
)
from wallet.http.routes.shared import as_response, problems
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import path_id
from wallet.service.access.callers import Scope
from wallet.service.access.masking import wallets_of
from wallet.service.wallet_service import WalletService

_Request = Request[Any, Any, Any]
_Id = Annotated[str, PathParameter(description="A UUID.")]


def receipt_routes(service: WalletService) -> list[HTTPRouteHandler]:
    @get(
        "/transactions/{transaction_id:str}/receipt",
        opt=needs(Scope.READ),
        responses=problems(400, 404, 409, 503),
        tags=["receipts"],
    )
    async def read_receipt(transaction_id: _Id, request: _Request) -> Response[ReceiptAnswer]:
        """Receipt: proof, to be checked offline, that a transaction is in the audit chain."""
        id_, caller = path_id("transaction_id", transaction_id), caller_of(request.scope)
        own = None
        if caller.is_bound:
            # Raises NotFound for what the caller may not see.
            posted = await service.reads_of(caller).transaction(id_)
            own = frozenset(await service.permissions.own(caller, wallets_of(posted)))
        return as_response(Answer(200, encoded(receipt_answer(await service.receipts.receipt(id_, own=own)))))

    @get("/receipts/key", opt=needs(Scope.READ), responses=problems(400, 503), tags=["receipts"])
    async def read_receipt_key() -> Response[ReceiptKeyAnswer]:
        """The public key that receipts are signed with. Compare it with one that you had from elsewhere."""
        return as_response(Answer(200, encoded(receipt_key_answer(await service.receipts.public_key()))))

    return [read_receipt, read_receipt_key]
