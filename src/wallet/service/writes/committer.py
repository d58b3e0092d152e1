"""Group commit: a bounded queue, batches whose size follows the load, and an answer to every request.

While one batch commits, the next one fills: there is no timer. A request whose reference is being committed waits here
for that batch. In a second batch it would only wait inside PostgreSQL.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from typing import Final, Protocol

from wallet.errors import OutcomeUnknown, Overloaded, StorageUnavailable, WalletError, ensure
from wallet.ledger.kinds import has_reference
from wallet.ledger.model import ReferenceKey
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Group, Request, weight
from wallet.service.outage import Outage
from wallet.storage.batch.due_steps import MoreIsDue
from wallet.storage.batch.sized_writer import Writer

_log = logging.getLogger(__name__)

LEGS_PER_ITEM_MAX: Final = 4
"""A batch has at most this many legs per item of batch_items_max, so that it never locks wallets for long."""


SWEEP_SECONDS_MAX: Final = 0.5
"""The longest time between two looks for requests that have waited too long."""

_LATE: Final = "it was not decided in time"


OVERLAP_SECONDS: Final = 0.02
"""A batch that takes longer counts as stuck: its size no longer decides whether another batch may begin beside it."""


LATE_TIMES_MAX: Final = 40
"""How often a request is put back because more is due at its wallets than its batch has posted."""


class Receiver(Protocol):
    """Receives an answer: a future, or an object in its place if many requests belong to one caller."""

    def done(self) -> bool: ...

    def set_result(self, result: Outcome, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Waiting:
    """A request and the receiver of its answer. `in_doubt`: it came while another with its reference waited.

    `references`: those that it uses up if it is applied. `items`: the places that it takes in the queue. `names`:
    its references and wallets, once ordered_committer has asked for them. `accepted_at`: on the loop's clock.
    `times_late`: how often it was put back.
    """

    __slots__ = ("accepted_at", "answer", "in_doubt", "items", "names", "references", "request", "times_late")

    def __init__(
        self, request: Request, answer: Receiver, accepted_at: float, names: Sequence[object] | None = None
    ) -> None:
        self.request = request
        self.answer = answer
        self.accepted_at = accepted_at
        self.in_doubt = False
        self.items = len(request.items) if type(request) is Group else 1
        self.references = references_of(request)
        self.names = names
        self.times_late = 0

    def resolve(self, answer: Outcome | BaseException) -> None:
        if self.answer.done():
            # The caller hung up, or got the answer that it took too long. The money may have moved all the same; the
            # caller finds out by the reference.
            return
        if self.in_doubt and isinstance(answer, StorageUnavailable):
            # This request was not applied. The earlier one may have been, and for the caller both are one.
            answer = OutcomeUnknown("an earlier request with this reference may have been applied")
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


def _late(queue: Iterable[Waiting], accepted_before: float) -> list[Waiting]:
    return [waiting for waiting in queue if waiting.accepted_at < accepted_before]


def references_of(request: Request) -> Collection[ReferenceKey]:
    """The references that a request uses up if it is applied."""
    if type(request) is Group:
        # Each reference once, in order: items of a group may repeat one another.
        return dict.fromkeys((item.origin, item.reference_id) for item in request.items)
    return ((request.origin, request.reference_id),) if has_reference(request) else ()


class Committer:
    """One task per writer takes batches from one queue. Belongs to the event loop it is started in."""

    def __init__(
        self,
        writers: Sequence[Writer],
        *,
        queue_depth_max: int,
        batch_items_max: int,
        wait_seconds_max: float = math.inf,
        overlap_seconds: float = OVERLAP_SECONDS,
        observe_depth: Callable[[int], None] = lambda depth: None,
    ) -> None:
        self._writers = writers
        self._wait_seconds_max = wait_seconds_max
        self._overlap_seconds = overlap_seconds
        self._observe_depth = observe_depth
        self._queue_depth_max = queue_depth_max
        self._batch_items_max = batch_items_max
        self._queue: deque[Waiting] = deque()
        self._committing: dict[ReferenceKey, list[Waiting]] = {}
        # Places taken, in the queue and parked. A group takes one for each of its items.
        self._depth = 0
        self._unanswered: dict[ReferenceKey, int] = {}
        # Every batch under way and when it began, oldest first.
        self._in_flight: list[tuple[float, Sequence[Waiting]]] = []
        # The time at which a batch last ended, with any result.
        self._ended_at = -math.inf
        self.outage = Outage()
        self._sweeping: asyncio.Task[None] | None = None
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._fault: BaseException | None = None

    @property
    def queue_depth(self) -> int:
        """The number of accepted requests that no batch has taken yet. Each item of a group counts."""
        return self._depth

    @property
    def fault(self) -> BaseException | None:
        """The fault that stopped the writer for good, if any. Readiness fails from then on."""
        return self._fault

    @property
    def standstill_seconds(self) -> float:
        """The time for which batches have been under way and none has ended; 0 if none is under way."""
        if not self._in_flight:
            return 0.0
        began, _ = self._in_flight[0]
        return self._loop.time() - max(began, self._ended_at)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._run(writer)) for writer in self._writers]
        if self._wait_seconds_max < math.inf:
            self._sweeping = asyncio.create_task(self._sweep(), name="sweep of late requests")
        for task in self._tasks:
            task.add_done_callback(self._note_end)

    async def submit(self, request: Request) -> Outcome:
        """The outcome of a request, once it is durable.

        Raises Overloaded and StorageUnavailable (certainly not applied), OutcomeUnknown, and BadData if the
        database cannot store a value of the request.
        """
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self.accept(request, answer)
        return await answer

    def names_of(self, request: Request) -> Sequence[object] | None:
        """The argument `names` of `accept`, which may be computed beforehand. Does not touch the queue."""
        return None

    def accept(self, request: Request, answer: Receiver, names: Sequence[object] | None = None) -> None:
        """Put a request into the queue. `answer` receives its outcome, or the error that `submit` raises.

        Raises Overloaded or StorageUnavailable at once if the request is not accepted.
        """
        if self._fault is not None or self._closing:
            raise StorageUnavailable("the service is shutting down" if self._closing else "the writer has stopped")
        waiting = Waiting(request, answer, self._loop.time(), names)
        # An empty queue accepts a group that is larger than the queue.
        if self._depth and self._depth + waiting.items > self._queue_depth_max:
            raise Overloaded(f"{self._depth} requests are waiting already")
        for reference in waiting.references:
            earlier = self._unanswered.get(reference, 0)
            waiting.in_doubt |= earlier > 0
            self._unanswered[reference] = earlier + 1
        self._queue.append(waiting)
        self._depth += waiting.items
        self._wake_if_any_may_begin()

    async def drain(self, seconds_max: float) -> None:
        """Answer all accepted requests: with the outcome while there is time, then with an error."""
        self._closing = True
        while self._idle:
            self._wake()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds_max)
            # No batch may begin any more. The batches under way are too slow to answer in time.
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            # After the batches have ended, because they put their parked requests back into the queue.
            self._fail_queued(StorageUnavailable("the service is shutting down"))
        if self._sweeping is not None:
            self._sweeping.cancel()
        for writer in self._writers:
            await writer.close()

    def _wake(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def _may_begin(self) -> bool:
        """Whether a batch may begin now. Beside another one it may only if half as many requests wait as that one has.

        Otherwise many small batches would follow one large batch, and each costs nearly as much as a large one. No
        batch waits for one that is stuck.
        """
        if not self._queue:
            return False
        if self._closing or not self._in_flight:
            return True
        began, _ = self._in_flight[0]
        largest = max(len(batch) for _, batch in self._in_flight)
        return len(self._queue) * 2 >= largest or self._loop.time() - began >= self._overlap_seconds

    def _wake_if_any_may_begin(self) -> None:
        if self._idle and self._may_begin():
            self._wake()

    async def _run(self, writer: Writer) -> None:
        while self._fault is None:
            if not self._may_begin():
                if self._closing:
                    return
                idle: asyncio.Future[None] = self._loop.create_future()
                self._idle.append(idle)
                await idle
                continue
            if batch := self._take():
                await self._commit(writer, batch)

    def _take(self) -> list[Waiting]:
        """The next batch. Requests with a reference that another batch is committing are parked beside it."""
        batch: list[Waiting] = []
        wallets_left = self._batch_items_max * LEGS_PER_ITEM_MAX
        taken: set[ReferenceKey] = set()
        while self._queue and len(batch) < self._batch_items_max:
            waiting = self._queue[0]
            if (followers := self._followers(waiting, taken)) is not None:
                followers.append(self._queue.popleft())
                continue
            wallets_left -= weight(waiting.request)
            if wallets_left < 0 and batch:
                break
            self._queue.popleft()
            self._depth -= waiting.items
            # One batch may hold duplicates: the ledger decides them in order.
            batch.append(waiting)
            for reference in waiting.references:
                taken.add(reference)
                self._committing.setdefault(reference, [])
        self._observe_depth(self.queue_depth)
        return batch

    def _followers(self, waiting: Waiting, taken: Container[ReferenceKey]) -> list[Waiting] | None:
        """The requests parked beside a batch under way that has one of its references; None if there is none."""
        for reference in waiting.references:
            if (followers := self._committing.get(reference)) is not None and reference not in taken:
                return followers
        return None

    async def _commit(self, writer: Writer, batch: Sequence[Waiting]) -> None:
        answers: Sequence[Outcome | WalletError] = [OutcomeUnknown("the writer has stopped")] * len(batch)
        begun = (self._loop.time(), batch)
        self._in_flight.append(begun)
        overlap = self._loop.call_later(self._overlap_seconds, self._wake_if_any_may_begin)
        try:
            decided = await writer.commit([waiting.request for waiting in batch])
            ensure(len(decided) == len(batch), f"{len(decided)} answers to {len(batch)} requests")
            answers = decided
            self.outage.note(None)
        except (StorageUnavailable, OutcomeUnknown) as error:
            answers = [error] * len(batch)
            self.outage.note(error)
        except Exception as error:  # a broken invariant, or an unexpected fault
            self._stop(error, batch)
        finally:  # also when drain cancels this, so that every caller gets an answer
            overlap.cancel()
            self._in_flight.remove(begun)
            self._ended_at = self._loop.time()
            late: list[Waiting] = []
            for waiting, answer in zip(batch, answers, strict=True):
                if self._is_to_wait(waiting, answer):
                    late.append(waiting)
                else:
                    self._answer(waiting, answer)
            self._release(batch, answers)
            # Before the parked requests, which have its reference.
            self._queue.extendleft(reversed(late))
            self._wake_if_any_may_begin()
            if self._fault is not None:
                self._fail_queued(StorageUnavailable("the writer has stopped"))

    def _release(self, batch: Sequence[Waiting], answers: Sequence[Outcome | WalletError]) -> None:
        """Let the requests go on that were parked beside a batch. If its result is unknown, so is theirs."""
        parked: list[Waiting] = []
        last_answers = {
            reference: answer
            for waiting, answer in zip(batch, answers, strict=True)
            for reference in waiting.references
        }
        for reference, answer in last_answers.items():
            for follower in self._committing.pop(reference):
                if isinstance(answer, OutcomeUnknown):
                    self._depth -= follower.items
                    self._answer(follower, answer)
                else:
                    parked.append(follower)
        self._queue.extendleft(reversed(parked))

    async def _sweep(self) -> None:
        """Answer requests that wait too long: look at all of them now and then, so that none needs a timer."""
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS_MAX, self._wait_seconds_max / 4))
            self._give_up_on_late(self._loop.time() - self._wait_seconds_max)

    def _give_up_on_late(self, accepted_before: float) -> None:
        for _, batch in self._in_flight:
            for waiting in batch:
                if waiting.accepted_at < accepted_before:
                    # The batch goes on. The caller finds its result by the reference.
                    waiting.resolve(OutcomeUnknown(f"{_LATE}, and may still be applied"))
        for followers in self._committing.values():
            for waiting in _late(followers, accepted_before):
                followers.remove(waiting)
                self._depth -= waiting.items
                self._answer(waiting, OutcomeUnknown("an equal request is under way, and was not decided in time"))
        if late := _late(self._queue, accepted_before):
            self._queue = deque(waiting for waiting in self._queue if waiting.accepted_at >= accepted_before)
            for waiting in late:
                self._depth -= waiting.items
                self._answer(waiting, StorageUnavailable(_LATE))
            self._wake_if_any_may_begin()

    def _is_to_wait(self, waiting: Waiting, answer: Outcome | WalletError) -> bool:
        """Whether a request goes back into the queue, because its batch posted only a part of what is due at its
        wallets. The next batch goes on there; the other requests are answered.
        """
        if not isinstance(answer, MoreIsDue) or waiting.answer.done():
            return False
        waiting.times_late += 1
        if waiting.times_late > LATE_TIMES_MAX:
            return False
        self._depth += waiting.items
        return True

    def _stop(self, error: BaseException, batch: Sequence[Waiting]) -> None:
        self._fault = error
        # The log has everything that an operator needs to decide this batch again.
        _log.critical(
            "the writer stops: %s; its batch: %r", error, [waiting.request for waiting in batch], exc_info=error
        )
        while self._idle:
            self._wake()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(error, ())
            self._fail_queued(StorageUnavailable("the writer has stopped"))

    def _fail_queued(self, error: WalletError) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            self._depth -= waiting.items
            self._answer(waiting, error)

    def _answer(self, waiting: Waiting, answer: Outcome | WalletError) -> None:
        for reference in waiting.references:
            left = self._unanswered[reference] - 1
            if left:
                self._unanswered[reference] = left
            else:
                del self._unanswered[reference]
        waiting.resolve(answer)
