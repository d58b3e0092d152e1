"""Which scopes a request needs, by what it is and says: no state is looked at here."""

from collections.abc import Iterable, Mapping
from typing import Final

from wallet.errors import Forbidden
from wallet.ledger.requests import (
    NO_OPTIONS,
    Capture,
    ChangeWallet,
    Extend,
    Increase,
    Merge,
    PlaceHold,
    Post,
    Refund,
    Single,
    Void,
)
from wallet.ledger.transaction_types import ISSUING_TYPES
from wallet.service.access.callers import BINDABLE, Caller, Scope

Scopes = frozenset[Scope]

MOVES: Final[Scopes] = frozenset({Scope.READ, Scope.SPEND, Scope.ISSUE, Scope.REFUND, Scope.REFUND_FORCE})
"""Who is not bound and has all of these may submit whatever an operation can say."""

ISSUE: Final[Scopes] = frozenset({Scope.ISSUE})
_READ: Final[Scopes] = frozenset({Scope.READ})
_SPEND: Final[Scopes] = frozenset({Scope.SPEND})
_REFUND: Final[Scopes] = frozenset({Scope.REFUND})
_REFUND_FORCE: Final[Scopes] = frozenset({Scope.REFUND_FORCE})
_ADMIN: Final[Scopes] = frozenset({Scope.ADMIN})

_BY_KIND: Final[Mapping[type, Scopes]] = {
    PlaceHold: _SPEND,
    Capture: _SPEND,
    Void: _SPEND,
    Increase: _SPEND,
    Extend: _SPEND,
    Merge: _ADMIN,
    ChangeWallet: _ADMIN,
}
"""Not here: what is told apart below, and what only the service itself submits."""


def scopes_needed(request: Single) -> Scopes:
    """All of these are needed. A debit of a system wallet needs issue besides, which only its kind can tell."""
    kind = type(request)
    if kind is Post:
        needed = ISSUE if request.type in ISSUING_TYPES else _SPEND
    elif kind is Refund:
        needed = _REFUND_FORCE if request.force else _REFUND  # type: ignore[union-attr]
    else:
        needed = _BY_KIND[kind]
    options = request.options
    if options is NO_OPTIONS:
        return needed
    if options.effective_at is not None:
        needed |= ISSUE
    if options.conditions:
        needed |= _READ
    return needed


def scopes_of(caller: Caller) -> Scopes:
    """What a caller may do. Bound, only what a bound key can have, whatever else it says."""
    return caller.scopes & BINDABLE if caller.is_bound else caller.scopes


def forbidden(scopes: Iterable[Scope]) -> Forbidden:
    """What says which scopes are missing: all of these."""
    names = sorted(scope.value for scope in scopes)
    return Forbidden(f"This needs a key with the scope{'s' * (len(names) > 1)} {' and '.join(names)}")
