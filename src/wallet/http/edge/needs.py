"""The scopes and binding that a route needs of its caller, and the guard that checks them before the body is read."""

from typing import Any, Final, NamedTuple

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from wallet.errors import Forbidden, InvariantViolated, Unauthenticated
from wallet.http.edge.authentication import NOBODY, caller_of
from wallet.service.access.callers import Caller, Scope

NEEDS: Final = "needs"
"""The option of a handler that holds its Needs. Every handler has one."""


class Needs(NamedTuple):
    """A caller needs one of `scopes`; if there are none, the route is open to all. `unbound`: the key must be bound to
    no user and no wallets.
    """

    scopes: tuple[Scope, ...] = ()
    unbound: bool = False

    @property
    def is_administrative(self) -> bool:
        return self.scopes == (Scope.ADMIN,)


def needs(*scopes: Scope, unbound: bool = False) -> dict[str, Any]:
    """The `opt` of a route that needs one of these scopes. The content of a request is judged by access.permissions."""
    return {NEEDS: Needs(scopes, unbound)}


def open_to_all() -> dict[str, Any]:
    """The `opt` of a route that needs no key: one on the open paths of http.edge.authentication."""
    return {NEEDS: Needs()}


def needs_of(handler: BaseRouteHandler) -> Needs:
    found = handler.opt.get(NEEDS)
    if not isinstance(found, Needs):
        raise InvariantViolated(f"{handler} does not say which scope it needs")
    return found


def ensure_may(caller: Caller, needed: Needs) -> None:
    """Raise Unauthenticated or Forbidden unless the caller may use a route that needs this."""
    if not needed.scopes:
        return
    if caller is NOBODY:
        raise Unauthenticated("This needs a key")
    if caller.scopes.isdisjoint(needed.scopes):
        names = [scope.value for scope in needed.scopes]
        which = f"the scope {names[0]}" if len(names) == 1 else f"one of the scopes {', '.join(names)}"
        raise Forbidden(f"This needs a key with {which}")
    if needed.unbound and caller.is_bound:
        raise Forbidden("This needs a key that is bound to no user and no wallets")


def check_scopes(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The first guard. Raises what ensure_may raises."""
    ensure_may(caller_of(connection.scope), needs_of(handler))
