"""Sets of scopes, and the scopes that a caller has. The scopes that a request needs are in kinds."""

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
    """The scopes of a caller. A bound caller has only those that a bound key can have, whatever else its key says."""
    return caller.scopes & BINDABLE if caller.is_bound else caller.scopes


def forbidden(scopes: Iterable[Scope]) -> Forbidden:
    """The error that names the scopes that are missing: all of these."""
    names = sorted(scope.value for scope in scopes)
    return Forbidden(f"This needs a key with the scope{'s' * (len(names) > 1)} {' and '.join(names)}")
