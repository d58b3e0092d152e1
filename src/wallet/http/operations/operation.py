"""The record that says all that HTTP knows of one operation that moves or reserves money, and what its parts are.

The records themselves are in posts, holds and refunds; kinds has them all.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from wallet.http.operations.answers import HoldAnswer, TransactionAnswer, hold_answer, transaction_answer
from wallet.http.wire.fields import amount
from wallet.http.wire.query import path_id
from wallet.ledger.kinds import Kind
from wallet.ledger.model import Asset, AssetId, Posted, WalletKind
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Single
from wallet.service.access.callers import Caller, Scope
from wallet.service.claims import Claims
from wallet.service.writes.claim_commands import ClaimCommands
from wallet.service.writes.commands import Commands


class Target(NamedTuple):
    """The id that an operation's path names. In batches it is a field of the item."""

    name: str
    description: str


class Answered(NamedTuple):
    """What answers an operation: a type for the document, and what writes it; `write` takes dry_run besides, and what
    is shown of an operation that was applied just now.
    """

    type: type[Struct]
    write: Callable[..., Struct]


class Performed(NamedTuple):
    """shown: what the answer has besides, of an operation that was applied just now."""

    request: Single
    outcome: Outcome
    shown: Mapping[str, Any] = {}


class Builder:
    """What makes ledger requests of decoded bodies. `assets`: those known so far, by code."""

    def __init__(self, commands: Commands, assets: Mapping[str, Asset]) -> None:
        self.commands = commands
        self.claim_commands = ClaimCommands()
        self._assets = assets

    def taking_part(self, code: str, kind: WalletKind, wallet_id: UUID, other: UUID | None) -> Collection[UUID] | None:
        """Both wallets of a movement. None: the other is a system wallet of an asset that is not known here yet."""
        if other is None:
            asset = self._assets.get(code)
            return None if asset is None else (wallet_id, asset.system_wallet(kind))
        return wallet_id, other


class Operation(NamedTuple):
    """kind: what the ledger says of it. body: what decodes it. build: makes the request, of the body, the target's id
    and the reference.

    path, target: where it is asked for. scopes: its route needs one of these; what its content needs besides,
    service.access.kinds says. answered: see Answered. name, description: in the OpenAPI document. is_hot: the fast lane
    serves it before the framework. perform: of the claims, the caller, the body, and what makes the request of what is
    known of the code; None: the service performs the request as it is.
    """

    kind: Kind[Any]
    body: type[Struct]
    build: Callable[[Builder, Any, Any, str], Single]
    path: str
    target: Target | None
    scopes: tuple[Scope, ...]
    answered: Answered
    name: str
    description: str
    is_hot: bool = False
    perform: Callable[[Claims, Caller, Any, Callable[[Any], Any]], Awaitable[Performed]] | None = None


def _step_answer(posted: Posted, assets: Mapping[AssetId, Asset], *, dry_run: bool) -> Struct:
    """The hold as the step left it; the transaction where nothing is known of that."""
    if posted.details is None or posted.details.hold is None:
        return transaction_answer(posted, assets, dry_run=dry_run)
    return hold_answer(posted.details.hold, assets, dry_run=dry_run)


BY_A_TRANSACTION: Final = Answered(TransactionAnswer, transaction_answer)
BY_A_HOLD: Final = Answered(HoldAnswer, _step_answer)


def given_id(field: str, text: str | None) -> UUID | None:
    return None if text is None else path_id(field, text)


def given_amount(given: int | str | None) -> int | None:
    return None if given is None else amount(given, "amount")
