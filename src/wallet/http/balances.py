"""The balance of a wallet, as a whole answer. Both lanes call exactly this."""

from typing import Final

from wallet.http.answers import JSON, Answer, balance_answer, written
from wallet.http.options import Headers, amounts_as_strings, path_id, refuse_key
from wallet.service.wallets import WalletService

_FRESH: Final = (JSON, (b"cache-control", b"no-store"))


class Balances:
    def __init__(self, service: WalletService) -> None:
        self._service = service

    async def balance(self, wallet_id: str, *, headers: Headers, query: bytes) -> Answer:
        """Raises WalletError where there is nothing to answer with."""
        strings = amounts_as_strings(query)
        refuse_key(headers)
        balance = await self._service.balances.balance(path_id("wallet_id", wallet_id))
        return Answer(200, written(balance_answer(balance), amounts_as_strings=strings), _FRESH)
