"""Sets of scopes, and those that a caller has. The scopes that a request needs are in kinds."""

from collections.abc import Iterable
from typing import Final

from wallet.errors import Forbidden
from wallet.service.access.callers import BINDABLE, Caller, Scope

Scopes = frozenset[Scope]

MOVES: Final[Scopes] = frozenset({Scope.READ, Scope.SPEND, Scope.ISSUE, Scope.REFUND, Scope.REFUND_FORCE})
"""An unbound caller with all of these may submit every request that an operation can express."""

READ: Final[Scopes] = frozenset({Scope.READ})
SPEND: Final[Scopes] = frozenset({Scope.SPEND})
ISSUE: Final[Scopes] = frozenset({Scope.ISSUE})
REFUND: Final[Scopes] = frozenset({Scope.REFUND})
REFUND_FORCE: Final[Scopes] = frozenset({Scope.REFUND_FORCE})
ADMIN: Final[Scopes] = frozenset({Scope.ADMIN})


def scopes_of(caller: Caller) -> Scopes:
    """The scopes of a caller. A bound caller has only scopes that a bound key can have, whatever its row says."""
    return caller.scopes & BINDABLE if caller.is_bound else caller.scopes


def forbidden(scopes: Iterable[Scope]) -> Forbidden:
    """The error that names all of these scopes as missing."""
    names = sorted(scope.value for scope in scopes)
    return Forbidden(f"This needs a key with the scope{'s' * (len(names) > 1)} {' and '.join(names)}")
