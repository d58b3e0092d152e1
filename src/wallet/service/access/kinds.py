"""The permissions that each kind of request needs of its caller, in one record per kind. No state is read here.

The ledger's record of a kind is in ledger.kinds. Type checking fails in access_of for a kind that has no record.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar, assert_never

from wallet.errors import InvariantViolated
from wallet.ledger.model import Direction, HoldId, WalletId, WalletKind
from wallet.ledger.outcomes import Refused
from wallet.ledger.requests import (
    NO_OPTIONS,
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Increase,
    Merge,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Settle,
    Single,
    Void,
)
from wallet.ledger.rules.claims import claim_not_found
from wallet.ledger.rules.holds import hold_not_found
from wallet.ledger.transaction_types import ISSUING_TYPES
from wallet.service.access.scopes import ADMIN, ISSUE, READ, REFUND, REFUND_FORCE, SPEND, Scopes

R = TypeVar("R", bound=Single)


def _none(_: Single) -> Iterable[WalletId]:
    return ()


class Access(NamedTuple, Generic[R]):
    """The permissions that a kind of request needs.

    scopes: all that it needs, before those of its options. debits: the wallets that it names and debits at once; a
    debit of a system wallet also needs the scope issue. others: the other wallets that a bound caller may name only if
    they are its own. holds: the holds whose wallets must be a bound caller's own. not_found: the ledger's answer if
    such a hold does not exist.
    """

    scopes: Callable[[R], Scopes]
    debits: Callable[[R], Iterable[WalletId]] = _none
    others: Callable[[R], Iterable[WalletId]] = _none
    holds: Callable[[R], Iterable[HoldId]] = _none
    not_found: Callable[[HoldId], Refused] = hold_not_found


def _scopes_of_post(request: Post) -> Scopes:
    return ISSUE if request.type in ISSUING_TYPES else SPEND


def _debited(request: Post) -> Iterator[WalletId]:
    # A movement that issues needs the scope issue, whichever wallet it debits.
    if request.type not in ISSUING_TYPES:
        for leg in request.legs:
            if leg.direction is Direction.DEBIT and not isinstance(leg.wallet, WalletKind):
                yield leg.wallet


def _its_wallet(request: PlaceHold | PlaceClaim | RedeemClaim) -> Iterable[WalletId]:
    return (request.wallet_id,)


def _its_hold(request: Capture | Void | Increase | Extend) -> Iterable[HoldId]:
    return (request.hold_id,)


def _its_claim(request: CancelClaim) -> Iterable[HoldId]:
    return (request.claim_id,)


def _spend(_: Single) -> Scopes:
    return SPEND


def _scopes_of_refund(request: Refund) -> Scopes:
    return REFUND_FORCE if request.force else REFUND


def _admin(_: Single) -> Scopes:
    return ADMIN


def _no_caller(request: Single) -> Scopes:
    raise InvariantViolated(f"only the service itself sends a {request.type}")


_POST: Final[Access[Post]] = Access(_scopes_of_post, debits=_debited)
_PLACE_HOLD: Final[Access[PlaceHold]] = Access(_spend, others=_its_wallet)
_HOLD_STEP: Final[Access[Capture | Void | Increase | Extend]] = Access(_spend, holds=_its_hold)
_PLACE_CLAIM: Final[Access[PlaceClaim]] = Access(_spend, others=_its_wallet)
# A caller may redeem a claim of any wallet: whoever placed it gave the code away for this.
_REDEEM_CLAIM: Final[Access[RedeemClaim]] = Access(_spend, others=_its_wallet)
_CANCEL_CLAIM: Final[Access[CancelClaim]] = Access(_spend, holds=_its_claim, not_found=claim_not_found)
_REFUND: Final[Access[Refund]] = Access(_scopes_of_refund)
_ADMINISTRATION: Final[Access[Single]] = Access(_admin)
_SERVICE: Final[Access[Single]] = Access(_no_caller)


def access_of(request: Single) -> Access[Any]:
    """The record of a request's kind."""
    match request:
        case Post():
            return _POST
        case PlaceHold():
            return _PLACE_HOLD
        case Capture() | Void() | Increase() | Extend():
            return _HOLD_STEP
        case PlaceClaim():
            return _PLACE_CLAIM
        case RedeemClaim():
            return _REDEEM_CLAIM
        case CancelClaim():
            return _CANCEL_CLAIM
        case Refund():
            return _REFUND
        case Merge() | ChangeWallet():
            return _ADMINISTRATION
        case Grant() | Settle():
            return _SERVICE
        case _:
            assert_never(request)


def scopes_needed(request: Single) -> Scopes:
    """The scopes that a request needs, all of them. If a debited wallet is a system wallet, it also needs issue."""
    needed: Scopes = access_of(request).scopes(request)
    options = request.options
    if options is NO_OPTIONS:
        return needed
    if options.effective_at is not None:
        needed |= ISSUE
    if options.conditions:
        needed |= READ
    return needed
