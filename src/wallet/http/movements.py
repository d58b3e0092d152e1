"""The movements, from a decoded body to a whole answer. Both lanes call exactly this, so they cannot differ."""

from typing import Any, Final, Protocol, TypeVar

import msgspec

from wallet.errors import OutcomeUnknown
from wallet.http import bodies
from wallet.http.answers import JSON, Answer, transaction_answer, written
from wallet.http.decoding import canonical_metadata, decode, malformed
from wallet.http.failures import refusal
from wallet.http.options import Headers, Options, ensure_json, path_id, read_options
from wallet.ledger.model import Direction, Leg, Request
from wallet.ledger.outcomes import Applied, Refused, Replayed
from wallet.service.commands import BUILT_IN_TYPES
from wallet.service.wallets import WalletService

_REPLAYED: Final = (JSON, (b"idempotency-replayed", b"true"))
_DIRECTIONS: Final = {"debit": Direction.DEBIT, "credit": Direction.CREDIT}


class _Movement(Protocol):
    reference_id: Any
    metadata: dict[str, Any] | None


_Body = TypeVar("_Body", bound=msgspec.Struct)


class Movements:
    """Each method answers a movement in full, from the body's bytes on. Raises WalletError where there is nothing to
    answer with.
    """

    def __init__(self, service: WalletService) -> None:
        self._service = service

    async def wallet_movement(
        self,
        type_: str,
        wallet_id: str,
        body: bytes,
        *,
        headers: Headers,
        query: bytes,
        request_id: str,
    ) -> Answer:
        """A top-up, bonus or spend."""
        options = read_options(headers, query)
        data = _decoded(bodies.WalletMovement, body, headers, options)
        request = self._service.commands.wallet_movement(
            type_,
            wallet_id=path_id("wallet_id", wallet_id),
            asset_code=data.asset_code.upper(),
            amount=bodies.amount(data.amount, "amount"),
            reference_id=_reference(data, options),
            metadata=canonical_metadata(data.metadata),
        )
        return await self._answer(request, options, request_id)

    async def transfer(self, body: bytes, *, headers: Headers, query: bytes, request_id: str) -> Answer:
        options = read_options(headers, query)
        data = _decoded(bodies.Transfer, body, headers, options)
        request = self._service.commands.transfer(
            from_wallet_id=path_id("from_wallet_id", data.from_wallet_id),
            to_wallet_id=path_id("to_wallet_id", data.to_wallet_id),
            asset_code=data.asset_code.upper(),
            amount=bodies.amount(data.amount, "amount"),
            reference_id=_reference(data, options),
            metadata=canonical_metadata(data.metadata),
        )
        return await self._answer(request, options, request_id)

    async def transaction(self, body: bytes, *, headers: Headers, query: bytes, request_id: str) -> Answer:
        """A general transaction."""
        options = read_options(headers, query)
        data = _decoded(bodies.Transaction, body, headers, options)
        if data.type in BUILT_IN_TYPES:
            raise malformed("type", f"{data.type!r} is a built-in name.")
        request = self._service.commands.transaction(
            data.type,
            legs=[
                Leg(
                    path_id(f"legs[{at}].wallet_id", leg.wallet_id),
                    _DIRECTIONS[leg.direction],
                    bodies.amount(leg.amount, f"legs[{at}].amount"),
                )
                for at, leg in enumerate(data.legs)
            ],
            reference_id=_reference(data, options),
            metadata=canonical_metadata(data.metadata),
        )
        return await self._answer(request, options, request_id)

    async def _answer(self, request: Request, options: Options, request_id: str) -> Answer:
        outcome = await self._service.submit(request)
        match outcome:
            case Applied(posted):
                status, headers = 201, (JSON,)
            case Replayed(posted):
                status, headers = 200, _REPLAYED  # type: ignore[assignment]
            case Refused():
                return refusal(outcome, request_id=request_id, amounts_as_strings=options.amounts_as_strings)
        try:
            body = written(
                transaction_answer(posted, self._service.assets.by_id), amounts_as_strings=options.amounts_as_strings
            )
        except Exception as error:
            # The money has moved. Whatever keeps us from saying so, it must not look like a no.
            raise OutcomeUnknown("the answer could not be written") from error
        return Answer(status, body, headers)


def _decoded(type_: type[_Body], body: bytes, headers: Headers, options: Options) -> _Body:
    ensure_json(headers)
    return decode(type_, body, also_required=() if options.idempotency_key is not None else ("reference_id",))


def _reference(data: _Movement, options: Options) -> str:
    reference = data.reference_id
    key = options.idempotency_key
    if key is None:
        return str(reference)
    if reference is not msgspec.UNSET and reference != key:
        raise malformed("reference_id", "Differs from the header Idempotency-Key.")
    return key
