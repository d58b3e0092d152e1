"""The few hot operations, served before the framework: same functions, same answers, less on the way.

A request that is not exactly one of them goes on to the framework, which serves all of them as well.
"""

from typing import Final

from wallet.errors import WalletError
from wallet.http import bodies
from wallet.http.answers import Answer
from wallet.http.balances import Balances
from wallet.http.edge import App, Receive, Scope, Send, read_body, send_answer
from wallet.http.failures import failure
from wallet.http.movements import Movements, movement_body

_PREFIX: Final = "/wallets/"
_ID_END: Final = len(_PREFIX) + 36
_MOVEMENTS: Final = {"/topup": "topup", "/bonus": "bonus", "/spend": "spend"}
_BALANCE: Final = "/balance"
_TEMPLATES: Final = {action: f"/wallets/{{wallet_id}}{action}" for action in (*_MOVEMENTS, _BALANCE)}


class FastLane:
    """An ASGI application that serves what is hot and hands everything else to `app`."""

    def __init__(self, app: App, movements: Movements, balances: Balances) -> None:
        self._app = app
        self._movements = movements
        self._balances = balances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            method = scope["method"]
            if method == "POST":
                if path.startswith(_PREFIX) and (type_ := _MOVEMENTS.get(path[_ID_END:])) is not None:
                    scope["path_template"] = _TEMPLATES[path[_ID_END:]]
                    await self._wallet_movement(type_, path[len(_PREFIX) : _ID_END], scope, receive, send)
                    return
                if path == "/transfers":
                    scope["path_template"] = path
                    await self._transfer(scope, receive, send)
                    return
            elif method == "GET" and path.startswith(_PREFIX) and path[_ID_END:] == _BALANCE:
                scope["path_template"] = _TEMPLATES[_BALANCE]
                await self._balance(path[len(_PREFIX) : _ID_END], scope, send)
                return
        await self._app(scope, receive, send)

    async def _wallet_movement(self, type_: str, wallet_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers, request_id = scope["headers"], scope["request_id"]
        try:
            data = movement_body(bodies.WalletMovement, headers, await read_body(receive))
            answer = await self._movements.wallet_movement(
                type_, wallet_id, data, headers=headers, query=scope["query_string"], request_id=request_id
            )
        except WalletError as error:
            answer = failure(error, request_id=request_id, moves_money=True)
        await send_answer(answer, send)

    async def _transfer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, request_id = scope["headers"], scope["request_id"]
        answer: Answer
        try:
            data = movement_body(bodies.Transfer, headers, await read_body(receive))
            answer = await self._movements.transfer(
                data, headers=headers, query=scope["query_string"], request_id=request_id
            )
        except WalletError as error:
            answer = failure(error, request_id=request_id, moves_money=True)
        await send_answer(answer, send)

    async def _balance(self, wallet_id: str, scope: Scope, send: Send) -> None:
        try:
            answer = await self._balances.balance(wallet_id, headers=scope["headers"], query=scope["query_string"])
        except WalletError as error:
            answer = failure(error, request_id=scope["request_id"], moves_money=False)
        await send_answer(answer, send)
