"""Serves the few hot operations and the open pages without the framework: by the same functions, with the same answers,
at a lower cost.

Any other request goes on to the framework, which serves these operations as well.
"""

from collections.abc import Awaitable
from typing import Final

from wallet.http.edge.authentication import caller_of
from wallet.http.edge.hot_routes import BALANCE, OF_A_WALLET, WITHOUT_ID, HotRoute, ends
from wallet.http.edge.needs import ensure_may
from wallet.http.open.pages import OpenPage, OpenPages, template_of
from wallet.http.operations.asked import Asked
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.perform import Movements
from wallet.http.wire.asgi import AsgiScope, Receive, read_body
from wallet.http.wire.encoding import Answer
from wallet.http.wire.query import refuse_key

_PREFIX: Final = "/wallets/"
_ID_END: Final = len(_PREFIX) + 36
_BALANCE: Final = "/balance"
_ACTIONS: Final = ends(OF_A_WALLET)


class FastLane:
    """Finds hot operations by method and path, and open pages by their paths."""

    def __init__(self, movements: Movements, balances: WalletBalances, pages: OpenPages) -> None:
        self._movements = movements
        self._balances = balances
        self._pages = pages

    def operation(self, scope: AsgiScope, receive: Receive) -> Awaitable[Answer] | None:
        """The coroutine that answers the request, or None if the fast lane does not serve it. Sets
        `scope["path_template"]`.

        The coroutine raises what the operation raises, and ClientGone.
        """
        path: str = scope["path"]
        if scope["method"] == "POST":
            if (hot := WITHOUT_ID.get(path)) is not None:
                scope["path_template"] = hot.template
                return self._movement(hot, None, scope, receive)
            if (hot := _ACTIONS.get(path[_ID_END:])) is not None and _names_a_wallet(path):
                scope["path_template"] = hot.template
                return self._movement(hot, path[len(_PREFIX) : _ID_END], scope, receive)
        elif scope["method"] == "GET":
            if path[_ID_END:] == _BALANCE and _names_a_wallet(path):
                scope["path_template"] = BALANCE.template
                return self._balance(path[len(_PREFIX) : _ID_END], scope)
            if path in self._pages and not scope["query_string"]:
                scope["path_template"] = template_of(path)
                return _page(self._pages[path], scope)
        return None

    async def _balance(self, wallet_id: str, scope: AsgiScope) -> Answer:
        caller = caller_of(scope)
        ensure_may(caller, BALANCE.needs)
        return await self._balances.balance(
            wallet_id, caller=caller, headers=scope["headers"], query=scope["query_string"]
        )

    async def _movement(self, hot: HotRoute, wallet_id: str | None, scope: AsgiScope, receive: Receive) -> Answer:
        caller = caller_of(scope)
        ensure_may(caller, hot.needs)
        body = await read_body(receive)
        asked = Asked(body, caller, scope["headers"], scope["query_string"], scope["request_id"])
        return await self._movements.perform(hot.op, wallet_id, asked)


async def _page(page: OpenPage, scope: AsgiScope) -> Answer:
    refuse_key(scope["headers"])
    return await page.answer(scope["headers"])


def _names_a_wallet(path: str) -> bool:
    # 36 characters with a slash among them (sent as %2F) are two segments for the framework, and so for the fast lane.
    return path.startswith(_PREFIX) and path.find("/", len(_PREFIX)) == _ID_END
