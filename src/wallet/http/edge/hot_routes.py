"""The routes that are served before the framework, by the records of their operations."""

from typing import Final, NamedTuple

from wallet.http.edge.needs import Needs
from wallet.http.operations.kinds import OPERATIONS
from wallet.service.access.callers import Scope

OF_A_WALLET: Final = "/wallets/{wallet_id}"
OF_A_HOLD: Final = "/holds/{hold_id}"


class HotRoute(NamedTuple):
    """op: one of OPERATIONS; empty for the balance. template: the path as metrics and problems name it."""

    op: str
    template: str
    needs: Needs


BALANCE: Final = HotRoute("", f"{OF_A_WALLET}/balance", Needs((Scope.READ,)))
MOVEMENTS: Final = {
    each.path: HotRoute(op, each.path, Needs(each.scopes)) for op, each in OPERATIONS.items() if each.is_hot
}
WITHOUT_ID: Final = {path: route for path, route in MOVEMENTS.items() if "{" not in path}


def ends(begin: str) -> dict[str, HotRoute]:
    """The movements whose paths begin like this, by the rest of the path."""
    return {path.removeprefix(begin): route for path, route in MOVEMENTS.items() if path.startswith(begin)}
