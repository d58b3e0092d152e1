"""One write connection, and what to do when a batch does not go through.

In short: a conflict is decided again; what a neighbour cannot help is cut out, by halving or by asking who holds the
wallet that was waited for; a lost answer is asked for by reference. All of it bounded, and nothing is ever answered
that the database has not said.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import asyncpg
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_random_exponential

from wallet.errors import BadData, OutcomeUnknown, StaleContext, StorageUnavailable, WalletError
from wallet.ledger.model import Request
from wallet.ledger.outcomes import Outcome
from wallet.storage.assets import AssetCache
from wallet.storage.commit import CONNECTION_KEPT, StepSeconds, commit_batch, find_held, prepare
from wallet.storage.database import Database, LockTimedOut, close
from wallet.storage.ids import IdSource

TRIES_ALONE_MAX: Final = 5
"""How often one request alone is decided, when others keep being first."""

AWAY_SECONDS: Final = 0.2
"""How long nobody tries to connect after a failed attempt."""

Answer: TypeAlias = Outcome | WalletError
"""What one request of a batch comes to: an outcome, or why there is none for this one alone."""

BatchObserver: TypeAlias = Callable[[int, StepSeconds], None]
"""Told the number of requests and the seconds by step of every batch committed."""


class _WalletHeld(Exception):
    """The wait for a wallet was too long. `by_request`: whether each request of the batch names such a wallet."""

    def __init__(self, by_request: Sequence[bool]) -> None:
        super().__init__()
        self.by_request = by_request


class BatchWriter:
    """Commits batches one after another on a connection of its own, which it replaces when it breaks."""

    def __init__(self, database: Database, assets: AssetCache, *, shard: int = 0, observe: BatchObserver) -> None:
        self._database = database
        self._assets = assets
        self._shard = shard
        self._observe = observe
        self._ids = IdSource()
        self._connection: asyncpg.Connection | None = None
        self._away_until = 0.0

    async def commit(self, batch: Sequence[Request]) -> Sequence[Answer]:
        """One answer per request, in order.

        Raises StorageUnavailable when nothing of the batch was applied, OutcomeUnknown when that could not be
        found out in time, InvariantViolated when this writer must not go on.
        """
        answers: list[Answer] = []
        await self._commit_within(batch, answers)
        return answers

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        await close(connection)

    async def _commit_within(self, batch: Sequence[Request], answers: list[Answer]) -> None:
        # Halving keeps order and, as splitting a batch changes nothing, outcomes. One bad request among n costs
        # about 2 log2(n) commits and hurts nobody else.
        try:
            answers.extend(await self._commit_or_find_out(batch))
        except _WalletHeld as held:
            answers.extend(await self._commit_beside(held.by_request, batch))
        except (StaleContext, BadData) as error:
            if len(batch) == 1:
                answers.append(_alone(error))
                return
            middle = len(batch) // 2
            await self._commit_within(batch[:middle], answers)
            await self._rest_of(batch[middle:], answers)

    async def _commit_beside(self, is_held: Sequence[bool], batch: Sequence[Request]) -> Sequence[Answer]:
        # Many may name one wallet; to wait for it on behalf of each of them would stop everybody.
        answers: list[Answer] = []
        if free := [request for request, held in zip(batch, is_held, strict=True) if not held]:
            await self._commit_within(free, answers)
        decided = iter(answers)
        return [LockTimedOut("another session holds a wallet") if held else next(decided) for held in is_held]

    async def _rest_of(self, batch: Sequence[Request], answers: list[Answer]) -> None:
        try:
            await self._commit_within(batch, answers)
        except (StorageUnavailable, OutcomeUnknown) as error:
            # The first half stands and must be answered for what it is.
            answers.extend([error] * len(batch))

    async def _commit_or_find_out(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        try:
            return await self._commit_with_second_try(batch)
        except OutcomeUnknown as lost:
            try:
                # The same batch again: what was committed is found by reference and answered as applied.
                return await self._find_out(batch)
            except RetryError:
                raise lost from None

    async def _find_out(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((StorageUnavailable, OutcomeUnknown, StaleContext)),
            stop=stop_after_delay(self._database.settings.unknown_seconds_max),
            wait=wait_random_exponential(multiplier=0.05, max=1),
        ):
            with attempt:
                return await self._commit_once(batch)
        raise AssertionError("unreachable: the loop returns or raises RetryError")

    async def _commit_with_second_try(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        # Somebody was first, or the connection had died while it was idle: decide again, on fresh states.
        tries_max = TRIES_ALONE_MAX if len(batch) == 1 else 2
        for tried in range(1, tries_max + 1):
            try:
                return await self._commit_once(batch)
            except StaleContext:
                if tried == tries_max:
                    raise
            except StorageUnavailable as error:
                if isinstance(error, LockTimedOut):
                    is_held = await find_held(await self._connected(), batch, self._shard, self._assets)
                    if any(is_held):
                        raise _WalletHeld(is_held) from error
                if tried >= 2:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _commit_once(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        connection = await self._connected()
        steps: StepSeconds = {}
        try:
            outcomes = await commit_batch(
                connection,
                batch,
                batch_id=self._ids.new_id(self._shard),
                shard=self._shard,
                assets=self._assets,
                commit_seconds_max=self._database.settings.statement_timeout_ms / 1000,
                steps=steps,
            )
        except CONNECTION_KEPT:
            raise
        except BaseException:
            self._connection = None
            connection.terminate()
            raise
        self._observe(len(batch), steps)
        return outcomes

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if time.monotonic() < self._away_until:
            raise StorageUnavailable("the database was away a moment ago")
        try:
            connection = await self._database.connect("writer", finds_by_key=True)
            await prepare(connection)
        except StorageUnavailable:
            # Whoever is queued behind this batch need not wait for a connection attempt each.
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise
        self._connection = connection
        return connection


def _alone(error: StaleContext | BadData) -> WalletError:
    if isinstance(error, StaleContext):
        return StorageUnavailable("other writers were first each time")
    return error
