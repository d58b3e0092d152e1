"""Group commit: a bounded queue, batches whose size follows the load, answers for everybody.

While one batch commits, the next one fills: there is no timer. Requests that name a reference which is being
committed wait for it here instead of entering a second batch, where they would only wait inside the database.
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
from wallet.storage.batch.aside import Writer
from wallet.storage.batch.due_steps import MoreIsDue

_log = logging.getLogger(__name__)

LEGS_PER_ITEM_MAX: Final = 4
"""A batch of batch_items_max locks at most this many times as many wallets, so that locks are never held for long."""


SWEEP_SECONDS_MAX: Final = 0.5
"""How often at least it is looked for who has waited too long."""

_LATE: Final = "it was not decided in time"


OVERLAP_SECONDS: Final = 0.02
"""A batch that takes longer is no measure of what may begin beside it: it is stuck."""


LATE_TIMES_MAX: Final = 40
"""How often a request is put back because more is due at its wallets than its batch has posted."""


class Receiver(Protocol):
    """Where an answer goes: a future, or what takes its place where many requests are one caller's."""

    def done(self) -> bool: ...

    def set_result(self, result: Outcome, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class Waiting:
    """A request and who awaits its answer. `in_doubt`: it came while another with its reference waited.

    `keys`: the references that it uses up if it is applied. `items`: how many places in the queue it takes. `names`:
    its references and wallets, once ordered_committer has asked for them. `accepted_at`: on the loop's clock.
    `times_late`: how often it was put back.
    """

    __slots__ = ("accepted_at", "answer", "in_doubt", "items", "keys", "names", "request", "times_late")

    def __init__(
        self, request: Request, answer: Receiver, accepted_at: float, names: Sequence[object] | None = None
    ) -> None:
        self.request = request
        self.answer = answer
        self.accepted_at = accepted_at
        self.in_doubt = False
        self.items = len(request.items) if type(request) is Group else 1
        self.keys = keys_of(request)
        self.names = names
        self.times_late = 0

    def resolve(self, answer: Outcome | BaseException) -> None:
        if self.answer.done():
            # The caller hung up, or was told that it took too long. The money moved all the same, and its reference
            # will say so.
            return
        if self.in_doubt and isinstance(answer, StorageUnavailable):
            # This one was not applied; its twin may have been, and to the caller they are one.
            answer = OutcomeUnknown("an earlier request with this reference may have been applied")
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


def _late(queue: Iterable[Waiting], accepted_before: float) -> list[Waiting]:
    return [waiting for waiting in queue if waiting.accepted_at < accepted_before]


def keys_of(request: Request) -> Collection[ReferenceKey]:
    """The references that a request uses up if it is applied."""
    if type(request) is Group:
        # Each once, in order: its items may repeat one another.
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
        # When a batch ended last, whatever it came to.
        self._ended_at = -math.inf
        self.outage = Outage()
        self._sweeping: asyncio.Task[None] | None = None
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._fault: BaseException | None = None

    @property
    def queue_depth(self) -> int:
        """Requests accepted that no batch has taken yet, each item of a group counted."""
        return self._depth

    @property
    def fault(self) -> BaseException | None:
        """Why the writer stopped for good, if it did. Readiness fails from then on."""
        return self._fault

    @property
    def standstill_seconds(self) -> float:
        """How long there have been batches under way of which none has ended; 0 while there is none."""
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
        """What `accept` may be told of a request, so that it need not find it out. Touches nothing of the queue."""
        return None

    def accept(self, request: Request, answer: Receiver, names: Sequence[object] | None = None) -> None:
        """Put a request into the queue; `answer` is given its outcome, or what `submit` raises.

        Raises at once what says that it was not accepted: Overloaded, or StorageUnavailable.
        """
        if self._fault is not None or self._closing:
            raise StorageUnavailable("the service is shutting down" if self._closing else "the writer has stopped")
        waiting = Waiting(request, answer, self._loop.time(), names)
        # A group larger than the queue is let into an empty one.
        if self._depth and self._depth + waiting.items > self._queue_depth_max:
            raise Overloaded(f"{self._depth} requests are waiting already")
        for key in waiting.keys:
            earlier = self._unanswered.get(key, 0)
            waiting.in_doubt |= earlier > 0
            self._unanswered[key] = earlier + 1
        self._queue.append(waiting)
        self._depth += waiting.items
        self._wake_if_any_may_begin()

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
        """Whether a batch may begin now: beside another only if half as many wait as that one has.

        Else one large batch is followed by a train of small ones, each as dear as a large one. Nobody waits for a
        batch that is stuck.
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
            # Duplicates inside one batch are the ledger's business: it decides them in order.
            batch.append(waiting)
            for key in waiting.keys:
                taken.add(key)
                self._committing.setdefault(key, [])
        self._observe_depth(self.queue_depth)
        return batch

    def _followers(self, waiting: Waiting, taken: Container[ReferenceKey]) -> list[Waiting] | None:
        """Those who wait for a batch under way that has one of its references, or None if it need not wait."""
        for key in waiting.keys:
            if (followers := self._committing.get(key)) is not None and key not in taken:
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
        except Exception as error:  # a broken invariant, or a fault that nobody thought of
            self._stop(error, batch)
        finally:  # Also when drain cancels this: no caller is left without an answer.
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
            # Before those that were parked because they have its reference.
            self._queue.extendleft(reversed(late))
            self._wake_if_any_may_begin()
            if self._fault is not None:
                self._fail_queued(StorageUnavailable("the writer has stopped"))

    def _release(self, batch: Sequence[Waiting], answers: Sequence[Outcome | WalletError]) -> None:
        """Let those go on that were parked beside a batch. Whether their reference is used by now, the answers say."""
        parked: list[Waiting] = []
        last_answers = {key: answer for waiting, answer in zip(batch, answers, strict=True) for key in waiting.keys}
        for key, answer in last_answers.items():
            for follower in self._committing.pop(key):
                if isinstance(answer, OutcomeUnknown):
                    self._depth -= follower.items
                    self._answer(follower, answer)
                else:
                    parked.append(follower)
        self._queue.extendleft(reversed(parked))

    async def _sweep(self) -> None:
        """Let nobody wait too long: one look at everybody every now and then, and no timer for each."""
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS_MAX, self._wait_seconds_max / 4))
            self._give_up_on_late(self._loop.time() - self._wait_seconds_max)

    def _give_up_on_late(self, accepted_before: float) -> None:
        for _, batch in self._in_flight:
            for waiting in batch:
                if waiting.accepted_at < accepted_before:
                    # The batch goes on, and its answer is found by reference.
                    waiting.resolve(OutcomeUnknown(f"{_LATE}, and may be yet"))
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
        """Whether a request goes back into the queue: not all that is due at its wallets is posted, but some was. So
        the others are answered, and the next batch goes on there.
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
        # Everything needed to decide this batch again, for whoever is paged.
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
        for key in waiting.keys:
            left = self._unanswered[key] - 1
            if left:
                self._unanswered[key] = left
            else:
                del self._unanswered[key]
        waiting.resolve(answer)
