"""Programmes, and the wallets attached to them."""

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from msgspec import Struct

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import needs
from wallet.http.operations.resource_answers import PageAnswer
from wallet.http.routes.pages import Cursor, Limit, page_answer, page_request
from wallet.http.routes.programme_answers import AttachmentAnswer, ProgrammeAnswer, attachment_answer, programme_answer
from wallet.http.routes.programme_bodies import NewProgramme
from wallet.http.routes.shared import (
    as_response,
    body_of,
    documented,
    headers_of,
    problems,
    request_id,
    wants_string_amounts,
)
from wallet.http.wire import fields
from wallet.http.wire.decoding import decode
from wallet.http.wire.encoding import Answer, written
from wallet.http.wire.failures import refusal
from wallet.http.wire.instants import kept_instant
from wallet.http.wire.query import ensure_json, path_id
from wallet.ledger.model import LotCategory
from wallet.ledger.outcomes import Refused
from wallet.service.access.callers import Scope
from wallet.service.wallet_service import WalletService
from wallet.storage.registry.programmes import Terms

_Request = Request[Any, Any, Any]
_ProgrammeId = Annotated[str, PathParameter(description="A UUID.")]
_WalletId = Annotated[str, PathParameter(description="The wallet.")]


def programme_routes(service: WalletService) -> list[HTTPRouteHandler]:
    def answered(body: Struct, request: _Request, *, status: int = 200) -> Response[Any]:
        return as_response(Answer(status, written(body, amounts_as_strings=wants_string_amounts(request))))

    @post(
        "/programmes",
        operation_class=documented(NewProgramme),
        responses=_made(ProgrammeAnswer, 400, 404, 409, 413, 415, 503),
        opt=needs(Scope.ADMIN),
        tags=["programmes"],
    )
    async def create_programme(request: _Request) -> Response[ProgrammeAnswer]:
        """Make a programme."""
        ensure_json(headers_of(request))
        data = decode(NewProgramme, await body_of(request))
        made = await service.programmes.create(
            _terms(data), programme_id=None if data.id is None else path_id("id", data.id)
        )
        return answered(programme_answer(made.resource), request, status=200 if made.existed else 201)

    @get("/programmes", responses=problems(400, 503), opt=needs(Scope.READ), tags=["programmes"])
    async def list_programmes(
        request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[ProgrammeAnswer]]:
        """Programmes, by id."""
        page = await service.programmes.programmes(page_request(limit, cursor))
        return answered(page_answer(page, programme_answer), request)

    @get(
        "/programmes/{programme_id:str}", responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["programmes"]
    )
    async def read_programme(programme_id: _ProgrammeId, request: _Request) -> Response[ProgrammeAnswer]:
        """A programme."""
        programme = await service.programmes.programme(path_id("programme_id", programme_id))
        return answered(programme_answer(programme), request)

    @post(
        "/programmes/{programme_id:str}/end",
        status_code=200,
        responses=problems(400, 404, 503),
        opt=needs(Scope.ADMIN),
        tags=["programmes"],
    )
    async def end_programme(programme_id: _ProgrammeId, request: _Request) -> Response[ProgrammeAnswer]:
        """End a programme: no period starts from now on. Granted credit stays. It cannot be begun again."""
        programme = await service.programmes.end(path_id("programme_id", programme_id))
        return answered(programme_answer(programme), request)

    @get(
        "/programmes/{programme_id:str}/wallets",
        responses=problems(400, 404, 503),
        opt=needs(Scope.READ),
        tags=["programmes", "wallets"],
    )
    async def list_wallets_of_programme(
        programme_id: _ProgrammeId, request: _Request, limit: Limit = None, cursor: Cursor = None
    ) -> Response[PageAnswer[AttachmentAnswer]]:
        """The wallets attached to a programme, by wallet; those that were detached have `ended_at`."""
        id_, caller = path_id("programme_id", programme_id), caller_of(request.scope)
        among = await service.permissions.all_own(caller) if caller.is_bound else None
        page = await service.programmes.attached_wallets(id_, page_request(limit, cursor), among=among)
        return answered(page_answer(page, attachment_answer), request)

    @post(
        _ATTACHMENT,
        responses=_made(AttachmentAnswer, 400, 404, 409, 422, 503),
        opt=needs(Scope.ADMIN),
        tags=["programmes", "wallets"],
    )
    async def attach_wallet(
        programme_id: _ProgrammeId, wallet_id: _WalletId, request: _Request
    ) -> Response[AttachmentAnswer]:
        """Attach a wallet. Its first period starts now, and is posted when this is answered. Detached before, it
        begins anew.
        """
        made = await service.programmes.attach(path_id("programme_id", programme_id), path_id("wallet_id", wallet_id))
        if isinstance(made, Refused):
            return as_response(refusal(made, request_id=request_id(request)))
        return answered(attachment_answer(made.resource), request, status=200 if made.existed else 201)

    @get(_ATTACHMENT, responses=problems(400, 404, 503), opt=needs(Scope.READ), tags=["programmes", "wallets"])
    async def read_attachment(
        programme_id: _ProgrammeId, wallet_id: _WalletId, request: _Request
    ) -> Response[AttachmentAnswer]:
        """A wallet's part in a programme."""
        ids = path_id("programme_id", programme_id), path_id("wallet_id", wallet_id)
        await service.permissions.ensure_sees_attachment(caller_of(request.scope), *ids)
        return answered(attachment_answer(await service.programmes.attached(*ids)), request)

    @delete(
        _ATTACHMENT,
        status_code=200,
        responses=problems(400, 404, 503),
        opt=needs(Scope.ADMIN),
        tags=["programmes", "wallets"],
    )
    async def detach_wallet(
        programme_id: _ProgrammeId, wallet_id: _WalletId, request: _Request
    ) -> Response[AttachmentAnswer]:
        """Detach a wallet: no further period is granted. Granted credit stays."""
        attached = await service.programmes.detach(
            path_id("programme_id", programme_id), path_id("wallet_id", wallet_id)
        )
        return answered(attachment_answer(attached), request)

    return [
        create_programme, list_programmes, read_programme, end_programme, list_wallets_of_programme, attach_wallet,
        read_attachment, detach_wallet,
    ]  # fmt: skip


_ATTACHMENT = "/programmes/{programme_id:str}/wallets/{wallet_id:str}"


def _terms(data: NewProgramme) -> Terms:
    return Terms(
        asset_code=data.asset_code.upper(),
        amount=fields.amount(data.amount, "amount"),
        per=data.per,
        rollover_max=None if data.rollover_max is None else fields.amount(data.rollover_max, "rollover_max"),
        expires_in_seconds=data.expires_in_seconds,
        category=LotCategory(data.category),
        priority=data.priority,
        ends_at=None if data.ends_at is None else kept_instant("ends_at", data.ends_at),
    )


def _made(answer: type[Struct], *statuses: int) -> dict[int, ResponseSpec]:
    was_there = ResponseSpec(answer, description="The same again: it was there already.", generate_examples=False)
    return {200: was_there, **problems(*statuses)}
