"""Balances, coalesced: the wallets that are asked for while a query runs are answered together by the next one.

A caller that has just seen a movement accepted must see it in the balance. So a request joins only a query that has not
been sent yet; a query under way may have read the past.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol, TypeAlias

from wallet.errors import NotFound, Overloaded, StorageUnavailable
from wallet.ledger.model import WalletId
from wallet.storage.reads.balances import Balance

IDS_PER_QUERY_MAX: Final = 1_000


class BalanceReceiver(Protocol):
    """Receives a balance: a future, or an object in its place if no task waits."""

    def done(self) -> bool: ...

    def set_result(self, result: Balance, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


_Gathered: TypeAlias = dict[WalletId, list[BalanceReceiver]]


class BalanceSource(Protocol):
    """The source of the answers. See storage.reads.balances.BalanceConnection, which it describes."""

    async def balances(self, wallet_ids: Sequence[WalletId]) -> Mapping[WalletId, Balance]: ...

    async def close(self) -> None: ...


class Balances:
    """One query at a time, over all wallets asked for since the last one was sent. Belongs to one event loop."""

    def __init__(self, source: BalanceSource, *, waiting_max: int) -> None:
        self._source = source
        self._waiting_max = waiting_max
        self._waiting = 0
        self._gathering: _Gathered = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def balance(self, wallet_id: WalletId) -> Balance:
        """The balance as of an instant after this was called.

        Raises NotFound, Overloaded when too many are waiting, and StorageUnavailable.
        """
        future: asyncio.Future[Balance] = asyncio.get_running_loop().create_future()
        self.ask(wallet_id, future)
        return await future

    def ask(self, wallet_id: WalletId, receiver: BalanceReceiver) -> None:
        """The same: `receiver` is given the balance or NotFound or StorageUnavailable, never before this returns.

        Raises at once what says that it will not be given anything: Overloaded, or StorageUnavailable.
        """
        if self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting_max} balances are waited for already")
        if self._closing:
            raise StorageUnavailable("the service is shutting down")
        # Each caller has a receiver, although many may wait for one wallet: one that hangs up cancels only its own.
        if (others := self._gathering.get(wallet_id)) is None:
            self._gathering[wallet_id] = [receiver]
        else:
            others.append(receiver)
        self._waiting += 1
        if self._task is None:
            # The task begins in the next round of the loop: its first query includes all calls of this round.
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def drain(self, seconds_max: float) -> None:
        """Accept no more; answer what was accepted, by the database while there is time."""
        self._closing = True
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=seconds_max)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._source.close()

    async def _answer_all(self) -> None:
        try:
            while self._gathering:
                await self._answer(self._take())
        finally:
            self._task = None
            # Empty, unless this was cancelled.
            self._resolve(self._gathering, lambda _: StorageUnavailable("the service is shutting down"))
            self._gathering = {}

    def _take(self) -> _Gathered:
        batch = self._gathering
        if len(batch) <= IDS_PER_QUERY_MAX:
            self._gathering = {}
            return batch
        first = list(islice(batch, IDS_PER_QUERY_MAX))
        return {wallet_id: batch.pop(wallet_id) for wallet_id in first}

    async def _answer(self, batch: _Gathered) -> None:
        try:
            found = await self._source.balances(list(batch))
        except asyncio.CancelledError:
            self._resolve(batch, lambda _: StorageUnavailable("the service is shutting down"))
            raise
        except StorageUnavailable as error:
            reason = str(error)
            self._resolve(batch, lambda _: StorageUnavailable(reason))
        except Exception as error:
            fault = error
            self._resolve(batch, lambda _: fault)
        else:
            self._resolve(batch, lambda wallet_id: found.get(wallet_id) or _not_found(wallet_id))

    def _resolve(self, batch: _Gathered, answer_to: Callable[[WalletId], Balance | Exception]) -> None:
        for wallet_id, receivers in batch.items():
            self._waiting -= len(receivers)
            for receiver in receivers:
                if receiver.done():
                    continue  # The caller hung up.
                # An exception is made anew for everyone: raising one object many times piles up tracebacks.
                answer = answer_to(wallet_id)
                if isinstance(answer, Exception):
                    receiver.set_exception(answer)
                else:
                    receiver.set_result(answer)


def _not_found(wallet_id: WalletId) -> NotFound:
    return NotFound("wallet_not_found", f"there is no wallet {wallet_id}")
