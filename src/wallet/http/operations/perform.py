"""The movements, from a body's bytes to a whole answer. All lanes call this code, so they cannot differ."""

from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from wallet.errors import OutcomeUnknown
from wallet.http.operations.kinds import OPERATIONS
from wallet.http.operations.operation import Builder, Operation, Performed
from wallet.http.operations.outcomes import missing_assets, outcome_answer
from wallet.http.wire.decoding import decode, malformed, may_be_left_out
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import Headers, RequestOptions, ensure_json, path_id, read_options
from wallet.ledger.model import AssetId
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Single
from wallet.service.access.callers import Caller
from wallet.service.wallet_service import WalletService

_REFERENCE: Final = ("reference_id",)


class Referenced(Protocol):
    reference_id: Any


_Body = TypeVar("_Body", bound=msgspec.Struct)


class Movements:
    """Answers movements in full. Methods raise WalletError if there is no such answer."""

    def __init__(self, service: WalletService) -> None:
        self._service = service
        self._assets = service.assets.by_id
        self._builder = Builder(service.commands, service.assets.by_code)

    async def perform(
        self,
        op: str,
        target: str | None,
        body: bytes,
        *,
        caller: Caller,
        headers: Headers,
        query: bytes,
        request_id: str,
    ) -> Answer:
        """Perform one of OPERATIONS. `target`: the id that its path names; None if it names none."""
        options = read_options(headers, query)
        operation = OPERATIONS[op]
        given: Any = decoded(operation.body, body, headers, options)
        target_id = _target_id(operation, target)
        if given.conditions and hasattr(given, "asset_code"):
            # The check of conditions on other wallets must not depend on the assets that this process has seen so far.
            await self._service.load_asset_code(given.asset_code.upper())
        reference = reference_of(given, options)
        request, outcome, shown = await self._performed(operation, given, target_id, reference, caller)
        if missing := missing_assets(outcome, self._assets):
            await self.load(missing)
        return outcome_answer(
            request,
            outcome,
            self._assets,
            request_id=request_id,
            amounts_as_strings=options.amounts_as_strings,
            shown=shown,
        )

    def request_at_once(self, op: str, target: str | None, body: bytes, headers: Headers) -> Single | None:
        """The request of a hot operation without a query. None: it has conditions, and `perform` looks at them.

        Raises Malformed and UnsupportedMediaType.
        """
        options = read_options(headers, b"")
        operation = OPERATIONS[op]
        given: Any = decoded(operation.body, body, headers, options)
        if given.conditions:
            return None
        return operation.build(self._builder, given, _target_id(operation, target), reference_of(given, options))

    def missing_assets(self, outcome: Outcome) -> list[AssetId]:
        """The assets that have to be loaded before an answer can be written."""
        return missing_assets(outcome, self._assets)

    def answer(self, request: Single, outcome: Outcome, *, request_id: str) -> Answer:
        """The whole answer to a request made by request_at_once, once no assets are missing. Raises OutcomeUnknown."""
        return outcome_answer(request, outcome, self._assets, request_id=request_id, amounts_as_strings=False)

    async def _performed(
        self, operation: Operation, given: Any, target_id: UUID | None, reference_id: str, caller: Caller
    ) -> Performed:
        def make(found: Any) -> Single:
            return operation.build(self._builder, given, found, reference_id)

        if operation.perform is not None:
            return await operation.perform(self._service.claims, caller, given, make)
        request = make(target_id)
        return Performed(request, await self._service.perform(caller, request))

    async def load(self, missing: Iterable[AssetId]) -> None:
        """Load assets that the answer to what was done needs. Raises OutcomeUnknown."""
        try:
            await self._service.load_assets(missing)
        except Exception as error:
            raise OutcomeUnknown("the answer could not be written") from error


def _target_id(operation: Operation, target: str | None) -> UUID | None:
    return None if operation.target is None or target is None else path_id(operation.target.name, target)


def decoded(type_: type[_Body], body: bytes, headers: Headers, options: RequestOptions) -> _Body:
    """The body of a movement, which has a reference unless the header has it. Raises Malformed and
    UnsupportedMediaType.

    If the type requires nothing but the reference, an absent body is an empty object.
    """
    if not body and may_be_left_out(type_):
        body = b"{}"
    else:
        ensure_json(headers)
    return decode(type_, body, also_required=() if options.idempotency_key is not None else _REFERENCE)


def reference_of(given: Referenced, options: RequestOptions) -> str:
    """The reference, from the field or the header. Raises Malformed if they disagree."""
    reference = given.reference_id
    key = options.idempotency_key
    if key is None:
        return str(reference)
    if reference is not msgspec.UNSET and reference is not None and reference != key:
        raise malformed("reference_id", "Differs from the header Idempotency-Key.")
    return key
