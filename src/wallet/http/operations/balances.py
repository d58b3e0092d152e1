"""The balance of a wallet, as a whole answer. Both lanes call this code."""

from collections.abc import Mapping
from typing import Final

from wallet.http.operations.resource_answers import balance_answer, balance_at_answer
from wallet.http.wire.encoding import JSON, Answer, written
from wallet.http.wire.instants import Wrong, axis_named, instant
from wallet.http.wire.query import AMOUNTS, Headers, parameters, path_id, refuse_key
from wallet.ledger.model import WalletId
from wallet.service.access.callers import Caller
from wallet.service.wallet_service import WalletService
from wallet.storage.reads.balances import Balance
from wallet.storage.reads.wallet_at import Axis

_FRESH: Final = (JSON, (b"cache-control", b"no-store"))
_KNOWN: Final = ("at", "axis")
_NOTHING: Final[Mapping[str, str]] = {}


class WalletBalances:
    def __init__(self, service: WalletService) -> None:
        self._service = service

    async def balance(self, wallet_id: str, *, caller: Caller, headers: Headers, query: bytes) -> Answer:
        """The whole answer. Raises WalletError if there is none."""
        asked = parameters(query, known=_KNOWN) if query else _NOTHING
        refuse_key(headers)
        amounts_as_strings = AMOUNTS in asked
        if len(asked) > amounts_as_strings:
            return await self._on_an_axis(wallet_id, asked, caller, amounts_as_strings=amounts_as_strings)
        id_ = path_id("wallet_id", wallet_id)
        if caller.is_bound:
            await self._service.permissions.ensure_sees_wallet(caller, id_)
        balance = await self._current(id_)
        return current_answer(balance, amounts_as_strings=amounts_as_strings)

    async def _current(self, wallet_id: WalletId) -> Balance:
        balance = await self._service.balances.balance(wallet_id)
        if balance.is_due:
            await self._service.settle(wallet_id)
            # Once is enough: a step that has become due meanwhile is later than the request.
            balance = await self._service.balances.balance(wallet_id)
        return balance

    async def _on_an_axis(
        self, wallet_id: str, asked: Mapping[str, str], caller: Caller, *, amounts_as_strings: bool
    ) -> Answer:
        """The balance at an instant, or on the effective axis."""
        at, axis, wrong = None, Axis.POSTED, Wrong()
        id_ = path_id("wallet_id", wallet_id)
        if "at" in asked:
            with wrong:
                at = instant("at", asked["at"])
        if "axis" in asked:
            with wrong:
                axis = axis_named(asked["axis"])
        wrong.raise_if_any()
        await self._service.permissions.ensure_sees_wallet(caller, id_)
        if at is None:
            answer = balance_answer(await self._current(id_))
            if axis is Axis.EFFECTIVE:
                # Nothing is effective later than it was posted: now, the axes agree.
                answer.held = answer.available = answer.version = None
        else:
            answer = balance_at_answer(await self._service.statements.balance_at(id_, at, axis))
        return Answer(200, written(answer, amounts_as_strings=amounts_as_strings), _FRESH)


def current_answer(balance: Balance, *, amounts_as_strings: bool = False) -> Answer:
    """The whole answer to a question for a balance as it is now."""
    return Answer(200, written(balance_answer(balance), amounts_as_strings=amounts_as_strings), _FRESH)
