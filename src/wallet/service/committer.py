"""Group commit: a bounded queue, batches whose size follows the load, answers for everybody.

While one batch commits, the next one fills: there is no timer. Requests that name a reference which is being
committed wait for it here instead of entering a second batch, where they would only wait inside the database.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from wallet.errors import InvariantViolated, OutcomeUnknown, Overloaded, StorageUnavailable, WalletError
from wallet.ledger.model import ReferenceKey, Request
from wallet.ledger.outcomes import Outcome

_log = logging.getLogger(__name__)

LEGS_PER_ITEM_MAX: Final = 4
"""A batch of batch_items_max holds at most this many times as many legs, so that locks are never held for long."""


class Writer(Protocol):
    """What commits a batch. See storage.writer.BatchWriter, which it describes."""

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome | WalletError]: ...

    async def close(self) -> None: ...


class _Waiting:
    """A request and the future that its caller awaits."""

    __slots__ = ("answer", "key", "request")

    def __init__(self, request: Request, answer: "asyncio.Future[Outcome]") -> None:
        self.request = request
        self.answer = answer
        self.key: ReferenceKey = (request.origin, request.reference_id)

    def resolve(self, answer: Outcome | BaseException) -> None:
        if self.answer.done():
            return  # The caller hung up. The money moved all the same, and its reference will say so.
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Committer:
    """One task per writer takes batches from one queue. Belongs to the event loop it is started in."""

    def __init__(self, writers: Sequence[Writer], *, queue_depth_max: int, batch_items_max: int) -> None:
        self._writers = writers
        self._queue_depth_max = queue_depth_max
        self._batch_items_max = batch_items_max
        self._queue: deque[_Waiting] = deque()
        self._committing: dict[ReferenceKey, list[_Waiting]] = {}
        self._parked = 0
        self._in_flight: list[int] = []
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._fault: BaseException | None = None

    @property
    def queue_depth(self) -> int:
        """Requests accepted that no batch has taken yet."""
        return len(self._queue) + self._parked

    @property
    def fault(self) -> BaseException | None:
        """Why the writer stopped for good, if it did. Readiness fails from then on."""
        return self._fault

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(writer)) for writer in self._writers]

    async def submit(self, request: Request) -> Outcome:
        """The outcome of a request, once it is durable.

        Raises Overloaded and StorageUnavailable (certainly not applied), OutcomeUnknown, and BadData if the
        database cannot store a value of the request.
        """
        if self._fault is not None or self._closing:
            raise StorageUnavailable("the service is shutting down" if self._closing else "the writer has stopped")
        if self.queue_depth >= self._queue_depth_max:
            raise Overloaded(f"{self._queue_depth_max} requests are waiting already")
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._idle and self._may_begin():
            self._wake()
        return await waiting.answer

    async def drain(self, seconds_max: float) -> None:
        """Answer everything that was accepted: by its outcome while there is time, else by why there is none."""
        self._closing = True
        while self._idle:
            self._wake()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds_max)
            # No batch may begin any more; those under way cannot say in time what became of them.
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            # After the batches, which have put what was parked beside them back into the queue.
            self._fail_queued(StorageUnavailable("the service is shutting down"))
        for writer in self._writers:
            await writer.close()

    def _wake(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def _may_begin(self) -> bool:
        """Whether a batch may begin now: beside another only if half as many wait as that one has.

        Else one large batch is followed by a train of small ones, each as dear as a large one.
        """
        if not self._queue:
            return False
        return self._closing or not self._in_flight or len(self._queue) * 2 >= max(self._in_flight)

    async def _run(self, writer: Writer) -> None:
        while self._fault is None:
            if not self._may_begin():
                if self._closing:
                    return
                idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
                continue
            if batch := self._take():
                await self._commit(writer, batch)

    def _take(self) -> list[_Waiting]:
        """The next batch. Requests whose reference another batch is committing are parked beside it."""
        batch: list[_Waiting] = []
        legs_left = self._batch_items_max * LEGS_PER_ITEM_MAX
        taken: set[ReferenceKey] = set()
        while self._queue and len(batch) < self._batch_items_max:
            waiting = self._queue[0]
            legs_left -= len(waiting.request.legs)
            if legs_left < 0 and batch:
                break
            self._queue.popleft()
            if (followers := self._committing.get(waiting.key)) is not None and waiting.key not in taken:
                followers.append(waiting)
                self._parked += 1
                continue
            # Duplicates inside one batch are the ledger's business: it decides them in order.
            batch.append(waiting)
            taken.add(waiting.key)
            self._committing.setdefault(waiting.key, [])
        return batch

    async def _commit(self, writer: Writer, batch: Sequence[_Waiting]) -> None:
        answers: Sequence[Outcome | WalletError] = [OutcomeUnknown("the writer has stopped")] * len(batch)
        self._in_flight.append(len(batch))
        try:
            answers = await writer.commit([waiting.request for waiting in batch])
        except (StorageUnavailable, OutcomeUnknown) as error:
            answers = [error] * len(batch)
        except (InvariantViolated, Exception) as error:
            self._stop(error, batch)
        finally:  # Also when drain cancels this: no caller is left without an answer.
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.resolve(answer)
            self._in_flight.remove(len(batch))
            self._release(batch)

    def _release(self, batch: Sequence[_Waiting]) -> None:
        parked = [follower for waiting in batch for follower in self._committing.pop(waiting.key, ())]
        if parked:
            self._parked -= len(parked)
            self._queue.extendleft(reversed(parked))
        if self._may_begin():
            self._wake()
        if self._fault is not None:
            self._fail_queued(StorageUnavailable("the writer has stopped"))

    def _stop(self, error: BaseException, batch: Sequence[_Waiting]) -> None:
        self._fault = error
        # Everything needed to decide this batch again, for whoever is paged.
        _log.critical(
            "the writer stops: %s; its batch: %r", error, [waiting.request for waiting in batch], exc_info=error
        )
        while self._idle:
            self._wake()

    def _fail_queued(self, error: WalletError) -> None:
        while self._queue:
            self._queue.popleft().resolve(error)
