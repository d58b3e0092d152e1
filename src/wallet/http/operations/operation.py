"""The record with everything that HTTP knows of one operation that moves or reserves money, and the parts of the
record.

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
    """The answer to an operation: its type for the document, and its writer. `write` also takes dry_run, and the fields
    that only the answer to an operation applied just now has.
    """

    type: type[Struct]
    write: Callable[..., Struct]


class Performed(NamedTuple):
    """An outcome. shown: the fields that only the answer to an operation applied just now has."""

    request: Single
    outcome: Outcome
    shown: Mapping[str, Any] = {}


class Builder:
    """Makes ledger requests from decoded bodies. `assets`: those known so far, by code."""

    def __init__(self, commands: Commands, assets: Mapping[str, Asset]) -> None:
        self.commands = commands
        self.claim_commands = ClaimCommands()
        self._assets = assets

    def taking_part(self, code: str, kind: WalletKind, wallet_id: UUID, other: UUID | None) -> Collection[UUID] | None:
        """Both wallets of a movement. None: the other one is a system wallet of an asset that is unknown here."""
        if other is None:
            asset = self._assets.get(code)
            return None if asset is None else (wallet_id, asset.system_wallet(kind))
        return wallet_id, other


class Operation(NamedTuple):
    """kind: the ledger's record. body: the type of its body. build: makes the request from the body, the target's id
    and the reference.

    path, target: its route. scopes: the route needs one of these; service.access.kinds has the scopes that the content
    needs besides. answered: see Answered. name, description: in the OpenAPI document. is_hot: the direct
    lane and the fast lane serve it before the framework. perform: its arguments are the claims, the caller, the body,
    and the function that makes the request from the facts about the code; None: the service performs the request as it
    is.
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
    """The hold as the step left it; the transaction if that is not known."""
    if posted.details is None or posted.details.hold is None:
        return transaction_answer(posted, assets, dry_run=dry_run)
    return hold_answer(posted.details.hold, assets, dry_run=dry_run)


BY_A_TRANSACTION: Final = Answered(TransactionAnswer, transaction_answer)
BY_A_HOLD: Final = Answered(HoldAnswer, _step_answer)


def given_id(field: str, text: str | None) -> UUID | None:
    return None if text is None else path_id(field, text)


def given_amount(given: int | str | None) -> int | None:
    return None if given is None else amount(given, "amount")
