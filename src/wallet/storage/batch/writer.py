"""One write connection, and the reaction to a batch that fails.

After a conflict the writer decides the batch again. It isolates a request that makes its batch fail: by halving the
batch, or by asking PostgreSQL which wallet is locked. It asks by reference for a lost answer. If more is due than one
batch may post, it posts that by portions before it decides the requests that wait for it. Everything is bounded, and
the writer answers only what the database has said.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence, Set
from typing import Final, TypeAlias

from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_random_exponential

from wallet.errors import (
    BadData,
    GroupTooLarge,
    NotAtOnce,
    OutcomeUnknown,
    StaleContext,
    StorageUnavailable,
    WalletBusy,
    WalletError,
)
from wallet.ledger.audit import Salts
from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds
from wallet.ledger.model import ORIGIN_SERVICE, WalletId
from wallet.ledger.outcomes import Outcome, Settled
from wallet.ledger.requests import Request, Settle
from wallet.storage.batch.commit import CONNECTION_KEPT, StepSeconds, commit_batch, find_busy, prepare
from wallet.storage.batch.due_steps import DUE_STEPS_MAX, ManyDue, MoreIsDue
from wallet.storage.batch.long_work import at_once, in_a_thread
from wallet.storage.batch.wallets_to_lock import Pointed, wallets_of
from wallet.storage.connections.database import CannotConnect, Database, LockTimedOut, SequenceBehind, close
from wallet.storage.connections.shard import Shard
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

_log = logging.getLogger(__name__)

TRIES_ALONE_MAX: Final = 5
"""How often a single request is decided, if others keep coming first."""

AWAY_SECONDS: Final = 0.2
"""The pause after a failed attempt to connect."""

BUSY_SECONDS: Final = 5.0
"""After a wait for a wallet in vain, how long the writer asks whether it is locked before it waits for it again."""

PORTIONS_MAX: Final = 2
"""How many portions of due steps are posted for requests of one batch, which all wait for them."""

OutcomeOrError: TypeAlias = Outcome | WalletError
"""The answer to one request of a batch: an outcome, or the reason why this request alone has none."""

BatchObserver: TypeAlias = Callable[[int, StepSeconds], None]
"""It is told the number of requests and the seconds by step of every committed batch."""


class _WalletsBusy(Exception):
    """Another session holds these wallets, and the wait for them was too long."""

    def __init__(self, wallets: Set[WalletId]) -> None:
        super().__init__()
        self.wallets = wallets


class BatchWriter:
    """Commits batches one after another on a connection of its own, which it replaces when it breaks.

    is_in_thread: for large batches. They may be decided for longer than the database waits for a stopped process.
    group_lines_at_once: a group of more lines is answered NotAtOnce, for the writer in the thread to decide it.
    """

    def __init__(
        self,
        database: Database,
        assets: AssetCache,
        *,
        observe: BatchObserver,
        due_steps_max: int = DUE_STEPS_MAX,
        is_in_thread: bool = False,
        portions_max: int = PORTIONS_MAX,
        bounds: Bounds = DEFAULT_BOUNDS,
        group_lines_at_once: int | None = None,
    ) -> None:
        self._database = database
        self._assets = assets
        self._observe = observe
        self._due_steps_max = due_steps_max
        self._work = in_a_thread(database.settings.idle_transaction_ms_max / 1000) if is_in_thread else at_once
        self._portions_max = portions_max
        self._bounds = bounds
        self._group_lines_at_once = group_lines_at_once
        self._ids = IdSource(database.shard)
        self._shard: Shard | None = None
        self._salts: Salts  # from the first connection on
        self._away_until, self._away_because = 0.0, ""
        # Wallets that were waited for in vain, and the time until which the writer asks before it waits for them.
        self._busy_until: dict[WalletId, float] = {}
        self._waits_left = 0
        self._portions_left = 0
        # Wallets with more due steps than could be posted for the running batch.
        self._overdue: set[WalletId] = set()
        # The wallets that the holds and originals of the running batch point at, as far as was seen; and those of
        # earlier batches, if another session has locked one of them.
        self._pointed: Pointed = {}

    async def commit(self, batch: Sequence[Request]) -> Sequence[OutcomeOrError]:
        """One answer per request, in order.

        Raises StorageUnavailable if nothing of the batch was applied, OutcomeUnknown if that could not be found out in
        time, InvariantViolated if this writer must not go on.
        """
        answers: list[OutcomeOrError] = []
        self._waits_left = len(batch).bit_length() + 1
        self._portions_left, self._overdue = self._portions_max, set()
        # No request waits again for a wallet that was waited for in vain, not even through a hold.
        self._pointed = {id_: wallets for id_, wallets in self._pointed.items() if self._busy_until.keys() & wallets}
        await self._commit_within(batch, answers)
        return answers

    async def close(self) -> None:
        shard, self._shard = self._shard, None
        await close(shard and shard.connection)

    async def _commit_within(self, batch: Sequence[Request], answers: list[OutcomeOrError]) -> None:
        # Halving keeps order and, as splitting a batch changes nothing, outcomes. One bad request among n costs
        # about 2 log2(n) commits and does no harm to the others.
        if self._overdue and any(are_late := [self._is_late(request) for request in batch]):
            answers.extend(await self._commit_beside(are_late, batch, _more_is_due()))
            return
        try:
            answers.extend(await self._commit_or_find_out(batch))
        except _WalletsBusy as busy:
            are_busy = [not busy.wallets.isdisjoint(self._wallets_of(request)) for request in batch]
            answers.extend(await self._commit_beside(are_busy, batch, LockTimedOut("another session holds a wallet")))
        except (StaleContext, BadData, LockTimedOut, ManyDue, GroupTooLarge, NotAtOnce) as error:
            if len(batch) == 1:
                alone = batch[0]
                answers.append(
                    await self._settle_first(alone, error.wallets) if isinstance(error, ManyDue) else _alone(error)
                )
                return
            middle = len(batch) // 2
            await self._commit_within(batch[:middle], answers)
            await self._rest_of(batch[middle:], answers)

    async def _commit_beside(
        self, are_out: Sequence[bool], batch: Sequence[Request], error: WalletError
    ) -> Sequence[OutcomeOrError]:
        # Many requests may name one wallet; a wait for each of them would delay all others too long.
        answers: list[OutcomeOrError] = []
        if free := [request for request, is_out in zip(batch, are_out, strict=True) if not is_out]:
            await self._commit_within(free, answers)
        decided = iter(answers)
        return [error if is_out else next(decided) for is_out in are_out]

    def _is_late(self, request: Request) -> bool:
        # A Settle posts a portion, which is its answer.
        return type(request) is not Settle and not self._overdue.isdisjoint(self._wallets_of(request))

    async def _settle_first(self, request: Request, wallets: Collection[WalletId]) -> OutcomeOrError:
        """The answer to a request after all due steps of these wallets are posted; MoreIsDue if they are too many."""
        waiting = list(wallets)
        # It is not known yet which of several wallets has so much; many may have a little each. So more and more of
        # them are settled at a time, until one turns out to have more than a portion.
        unfinished, at_once = waiting if len(waiting) == 1 else [], 8
        while waiting:
            if self._portions_left == 0:
                self._overdue.update(unfinished)
                return _more_is_due()
            self._portions_left -= 1
            settled = await self._settle(waiting[:at_once])
            if errors := [answer for answer in settled if isinstance(answer, WalletError)]:
                return errors[0]
            unfinished = [each for each, answer in zip(waiting, settled, strict=False) if answer != Settled()]
            waiting = unfinished + waiting[at_once:]
            at_once = 1 if unfinished else 2 * at_once
        return (await self._answers_to([request]))[0]

    async def _settle(self, wallets: Sequence[WalletId]) -> Sequence[OutcomeOrError]:
        """Post the due steps of these wallets, or a portion if they are many."""
        ids = [self._ids.new_id() for _ in wallets]
        batch = [Settle(id_, ORIGIN_SERVICE, f"settle:{id_}", each) for id_, each in zip(ids, wallets, strict=True)]
        try:
            answers = await self._answers_to(batch)
        except OutcomeUnknown as error:
            answers = [error] * len(batch)
        # Only the due steps are in doubt, not the request that waits for them.
        lost = StorageUnavailable("what is due at a wallet could not be posted in time")
        return [lost if isinstance(answer, OutcomeUnknown) else answer for answer in answers]

    async def _answers_to(self, batch: Sequence[Request]) -> Sequence[OutcomeOrError]:
        answers: list[OutcomeOrError] = []
        await self._commit_within(batch, answers)
        return answers

    def _wallets_of(self, request: Request) -> Sequence[WalletId]:
        return wallets_of(request, self._assets.by_code, self._pointed)

    async def _ensure_not_busy(self, batch: Sequence[Request]) -> None:
        """Raise _WalletsBusy for wallets that were busy a moment ago and still are."""
        now = time.monotonic()
        self._busy_until = {wallet: until for wallet, until in self._busy_until.items() if until > now}
        if suspects := self._busy_until.keys() & {wallet for request in batch for wallet in self._wallets_of(request)}:
            await self._raise_if_busy(suspects)

    async def _raise_if_busy(self, wallets: Set[WalletId]) -> None:
        try:
            busy = await find_busy(await self._connected(), wallets)
        except LockTimedOut as error:  # another session has locked the whole table, not single wallets
            raise StorageUnavailable("the table of wallets is locked") from error
        for wallet in wallets:
            self._busy_until.pop(wallet, None)
        self._busy_until.update(dict.fromkeys(busy, time.monotonic() + BUSY_SECONDS))
        if busy:
            raise _WalletsBusy(busy)

    async def _rest_of(self, batch: Sequence[Request], answers: list[OutcomeOrError]) -> None:
        try:
            await self._commit_within(batch, answers)
        except (StorageUnavailable, OutcomeUnknown) as error:
            # The first half is committed and must get its own answers.
            answers.extend([error] * len(batch))

    async def _commit_or_find_out(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        try:
            return await self._commit_with_second_try(batch)
        except OutcomeUnknown as lost:
            try:
                # The same batch again: committed movements are found by reference and answered as applied.
                return await self._find_out(batch)
            except (RetryError, BadData, ManyDue, GroupTooLarge, NotAtOnce):
                # A bad value is no answer either, and neither are steps that have fallen due since: the first try may
                # have been committed, and from here on only a reference that is found says so.
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
        # Another batch came first, or the connection had died while it was idle: decide again, on fresh states.
        tries_max = TRIES_ALONE_MAX if len(batch) == 1 else 2
        for tried in range(1, tries_max + 1):
            if self._waits_left <= 0:
                raise StorageUnavailable("the ledger's tables are locked by another session")
            try:
                if self._busy_until:
                    await self._ensure_not_busy(batch)
                return await self._commit_once(batch)
            except StaleContext:
                if tried == tries_max:
                    raise
            except LockTimedOut as error:
                await self._raise_if_busy({wallet for request in batch for wallet in self._wallets_of(request)})
                # No wallet is locked, so the batch waited for a reference of an unfinished database transaction.
                # Halving finds the request, by as many waits as that takes. After more waits than that, a whole table
                # is locked.
                self._waits_left -= 1
                raise StaleContext("a reference is waited for") if len(batch) > 1 else error from None
            except SequenceBehind:
                raise  # Each try would take one more number, and each of these is too low.
            except StorageUnavailable:
                if tried >= 2:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    async def _commit_once(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        shard = await self._connected()
        steps: StepSeconds = {}
        try:
            outcomes = await commit_batch(
                shard,
                batch,
                batch_id=self._ids.new_id(),
                assets=self._assets,
                salts=self._salts,
                commit_seconds_max=self._database.settings.statement_timeout_ms / 1000,
                steps=steps,
                pointed=self._pointed,
                due_steps_max=self._due_steps_max,
                work=self._work,
                bounds=self._bounds,
                group_lines_at_once=self._group_lines_at_once,
            )
        except CONNECTION_KEPT:
            raise
        except BaseException:
            self._shard = None
            shard.connection.terminate()
            raise
        self._observe(len(batch), steps)
        return outcomes

    async def _connected(self) -> Shard:
        if self._shard is not None and not self._shard.connection.is_closed():
            return self._shard
        if time.monotonic() < self._away_until:
            raise CannotConnect(f"the database was away a moment ago: {self._away_because}")
        try:
            connection = await self._database.reconnect("writer", finds_by_key=True)
            self._salts = await prepare(connection)
        except StorageUnavailable as error:
            if not self._away_because:
                _log.warning("the writer cannot connect: %s", error)
            # The batches queued behind this one need not wait for a connection attempt each.
            self._away_until, self._away_because = time.monotonic() + AWAY_SECONDS, str(error)
            raise CannotConnect(str(error)) from error
        self._shard, self._away_because = Shard(connection, self._database.shard), ""
        return self._shard


def _alone(error: StaleContext | BadData | LockTimedOut | GroupTooLarge | NotAtOnce) -> WalletError:
    if isinstance(error, StaleContext):
        return WalletBusy("other writers were first each time")
    return error


def _more_is_due() -> MoreIsDue:
    return MoreIsDue("more is due at a wallet than could be posted by now; each try posts some of it")
