"""Sets of scopes, and what a caller has of them. Which a request needs is in kinds."""

from collections.abc import Iterable
from typing import Final

from wallet.errors import Forbidden
from wallet.service.access.callers import BINDABLE, Caller, Scope

Scopes = frozenset[Scope]

MOVES: Final[Scopes] = frozenset({Scope.READ, Scope.SPEND, Scope.ISSUE, Scope.REFUND, Scope.REFUND_FORCE})
"""A caller that is not bound and has all of these may submit whatever an operation can say."""

READ: Final[Scopes] = frozenset({Scope.READ})
SPEND: Final[Scopes] = frozenset({Scope.SPEND})
ISSUE: Final[Scopes] = frozenset({Scope.ISSUE})
REFUND: Final[Scopes] = frozenset({Scope.REFUND})
REFUND_FORCE: Final[Scopes] = frozenset({Scope.REFUND_FORCE})
ADMIN: Final[Scopes] = frozenset({Scope.ADMIN})


def scopes_of(caller: Caller) -> Scopes:
    """What a caller may do. A bound caller has only what a bound key can have, whatever else its key says."""
    return caller.scopes & BINDABLE if caller.is_bound else caller.scopes


def forbidden(scopes: Iterable[Scope]) -> Forbidden:
    """The error that names the scopes that are missing: all of these."""
    names = sorted(scope.value for scope in scopes)
    return Forbidden(f"This needs a key with the scope{'s' * (len(names) > 1)} {' and '.join(names)}")
