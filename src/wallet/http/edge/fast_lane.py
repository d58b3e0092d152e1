"""The few hot operations, and what is open to all, served before the framework: same functions, same answers, less on
the way.

A request that is not exactly one of them goes on to the framework, which serves all of them as well.
"""

from collections.abc import Awaitable
from typing import Final

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.needs import Needs, ensure_may
from wallet.http.open.pages import OpenPage, OpenPages
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.perform import Movements
from wallet.http.wire.asgi import AsgiScope, Receive, read_body
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import refuse_key
from wallet.service.access import callers

_PREFIX: Final = "/wallets/"
_ID_END: Final = len(_PREFIX) + 36
_MOVEMENTS: Final = {"/topup": "topup", "/bonus": "bonus", "/spend": "spend"}
_BALANCE: Final = "/balance"
_TRANSFERS: Final = "/transfers"
_NEEDS: Final = {
    "topup": Needs((callers.Scope.ISSUE,)),
    "bonus": Needs((callers.Scope.ISSUE,)),
    "spend": Needs((callers.Scope.SPEND,)),
    "transfer": Needs((callers.Scope.SPEND,)),
    "balance": Needs((callers.Scope.READ,)),
}
"""As the routes of the same operations say."""
_TEMPLATES: Final = {action: f"/wallets/{{wallet_id}}{action}" for action in (*_MOVEMENTS, _BALANCE)}


class FastLane:
    """Knows the hot operations by method and path, and pages by their paths."""

    def __init__(self, movements: Movements, balances: WalletBalances, pages: OpenPages) -> None:
        self._movements = movements
        self._balances = balances
        self._pages = pages

    def operation(self, scope: AsgiScope, receive: Receive) -> Awaitable[Answer] | None:
        """What answers the request, or None if it is none of these. Sets `scope["path_template"]`.

        Awaited, it raises what the operation raises, and ClientGone.
        """
        path: str = scope["path"]
        if scope["method"] == "POST":
            if path == _TRANSFERS:
                scope["path_template"] = _TRANSFERS
                return self._transfer(scope, receive)
            action = path[_ID_END:]
            if action in _MOVEMENTS and _names_a_wallet(path):
                scope["path_template"] = _TEMPLATES[action]
                return self._wallet_movement(_MOVEMENTS[action], path[len(_PREFIX) : _ID_END], scope, receive)
        elif scope["method"] == "GET":
            if path[_ID_END:] == _BALANCE and _names_a_wallet(path):
                scope["path_template"] = _TEMPLATES[_BALANCE]
                return self._balance(path[len(_PREFIX) : _ID_END], scope)
            if path in self._pages and not scope["query_string"]:
                scope["path_template"] = path.rstrip("/") or "/"
                return _page(self._pages[path], scope)
        return None

    async def _balance(self, wallet_id: str, scope: AsgiScope) -> Answer:
        caller = caller_of(scope)
        ensure_may(caller, _NEEDS["balance"])
        return await self._balances.balance(
            wallet_id, caller=caller, headers=scope["headers"], query=scope["query_string"]
        )

    async def _wallet_movement(self, type_: str, wallet_id: str, scope: AsgiScope, receive: Receive) -> Answer:
        caller = caller_of(scope)
        ensure_may(caller, _NEEDS[type_])
        return await self._movements.perform(
            type_,
            wallet_id,
            await read_body(receive),
            caller=caller,
            headers=scope["headers"],
            query=scope["query_string"],
            request_id=scope["request_id"],
        )

    async def _transfer(self, scope: AsgiScope, receive: Receive) -> Answer:
        caller = caller_of(scope)
        ensure_may(caller, _NEEDS["transfer"])
        return await self._movements.perform(
            "transfer",
            None,
            await read_body(receive),
            caller=caller,
            headers=scope["headers"],
            query=scope["query_string"],
            request_id=scope["request_id"],
        )


async def _page(page: OpenPage, scope: AsgiScope) -> Answer:
    refuse_key(scope["headers"])
    return await page.answer(scope["headers"])


def _names_a_wallet(path: str) -> bool:
    # An id of 36 characters that holds a slash (it came as %2F) is two segments to the framework, and so to us.
    return path.startswith(_PREFIX) and path.find("/", len(_PREFIX)) == _ID_END
