"""Bulk: many movements in one call.

Bulk has a committer of its own, so that small movements never queue behind it. For each wallet the order of its queue
is the order of decisions (ordered_committer), so a caller's items are decided in the order in which they are queued.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from wallet.errors import InvariantViolated, WalletError
from wallet.ledger.outcomes import Grouped, Outcome, Refused
from wallet.ledger.requests import NO_OPTIONS, Group, Options, Request, Single, weight
from wallet.service.writes.committer import Committer
from wallet.storage.batch.sized_writer import AT_ONCE_LEGS_MAX
from wallet.storage.rows.ids import IdSource

CHUNKS_QUEUED_MAX: Final = 16
"""Chunks and groups in the queue at once. Later callers wait, in order, so callers take turns by the chunk."""

GROUP_ITEMS_MAX: Final = 10_000

GROUP_LEGS_MAX: Final = 2 * GROUP_ITEMS_MAX
"""Legs of all items of a group; an item without legs counts as two. The service decides, hashes and writes this many in
about half a second (docs/performance.md), and locks the group's wallets meanwhile.
"""

QUEUE_ITEMS_MAX: Final = CHUNKS_QUEUED_MAX * 1_000 + 4 * GROUP_ITEMS_MAX
"""Items that may wait for the writer. Chunks never reach this bound; groups are large, and few at once."""

ORIGIN_GROUP: Final = "group"
"""The origin of a group itself, whose items have the references. No transaction has this origin."""


class Chunk:
    """Requests that are being decided. `note` gets their answers, even if no caller waits for them any more.

    names: the result of the committer's names_of for each request; None: the committer finds it itself.
    """

    def __init__(
        self,
        committer: Committer,
        requests: Sequence[Request],
        note: Callable[[Sequence[Outcome | BaseException]], None],
        names: Sequence[object] | None = None,
    ) -> None:
        self._answers: list[Any] = [None] * len(requests)
        self._left = len(requests)
        self._note = note
        self._all_answered = asyncio.Event()
        self.refusal: WalletError | None = None
        """The reason why none of the requests was accepted; None if one was."""
        at = 0
        try:
            for at, request in enumerate(requests):
                committer.accept(request, _AnswerSlot(self, at), names)
        except WalletError as error:  # this request and those after it were not accepted
            self.refusal = None if at else error
            for rest in range(at, len(requests)):
                self.answer(rest, error)
        if not requests:
            self._end()

    def is_answered(self, at: int) -> bool:
        """Whether the request at this place has an answer."""
        return self._answers[at] is not None

    def answer(self, at: int, answer: Outcome | BaseException) -> None:
        """Take the answer to the request at this place."""
        self._answers[at] = answer
        self._left -= 1
        if not self._left:
            self._end()

    async def answers(self) -> Sequence[Outcome | WalletError]:
        """One answer per request, in order: its outcome, or the error that explains why it has none."""
        await self._all_answered.wait()
        return self._answers

    def _end(self) -> None:
        self._all_answered.set()
        self._note(self._answers)


class _AnswerSlot:
    """Receives the answer to one request of a chunk. A future for each would cost more, and wake many tasks."""

    __slots__ = ("_at", "_chunk")

    def __init__(self, chunk: Chunk, at: int) -> None:
        self._chunk = chunk
        self._at = at

    def done(self) -> bool:
        return self._chunk.is_answered(self._at)

    def set_result(self, result: Outcome, /) -> None:
        self._chunk.answer(self._at, result)

    def set_exception(self, exception: BaseException, /) -> None:
        self._chunk.answer(self._at, exception)


class Bulk:
    """Takes the many movements of batches and imports. WalletService starts and drains it."""

    def __init__(
        self,
        committer: Committer,
        *,
        chunk_items_max: int,
        streams_max: int,
        note_refusal: Callable[[Refused], None] = lambda refused: None,
    ) -> None:
        self.committer = committer
        self.chunk_items_max = chunk_items_max
        self.streams_max = streams_max
        self._ids = IdSource()
        self._note_refusal = note_refusal
        self._places = asyncio.Semaphore(CHUNKS_QUEUED_MAX)
        self._closing = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        """Whether the service is shutting down, so that no long work may begin."""
        return self._closing.is_set()

    async def closing(self) -> None:
        """Return when the service begins to shut down."""
        await self._closing.wait()

    def start(self) -> None:
        self.committer.start()

    def begin_shutdown(self) -> None:
        """Tell imports that the service shuts down. Accepted requests are still decided."""
        self._closing.set()

    async def drain(self, seconds_max: float) -> None:
        """As Committer.drain."""
        self._closing.set()
        await self.committer.drain(seconds_max)

    async def begin(self, items: Sequence[Request]) -> Chunk:
        """Queue up to chunk_items_max items when there is a place. They are decided in order, each for itself.

        Raises nothing if some items fail: the chunk's answers say so.
        """
        await self._places.acquire()
        return Chunk(self.committer, items, self._leave)

    async def all_or_none(self, items: Sequence[Single], *, dry_run: bool = False) -> Grouped:
        """The outcome of a group of up to GROUP_ITEMS_MAX items. Raises what Committer.submit raises."""
        id_ = self._ids.new_id()
        options = Options(dry_run=True) if dry_run else NO_OPTIONS
        group = Group(id_, ORIGIN_GROUP, str(id_), tuple(items), options=options)
        is_large = weight(group) > AT_ONCE_LEGS_MAX
        names = await asyncio.to_thread(self.committer.names_of, group) if is_large else None
        await self._places.acquire()
        (answer,) = await Chunk(self.committer, [group], self._leave, names).answers()
        if isinstance(answer, WalletError):
            raise answer
        if not isinstance(answer, Grouped):
            raise InvariantViolated("a group came to what an item comes to")
        return answer

    def _leave(self, answers: Sequence[Outcome | BaseException]) -> None:
        """Give the place of an answered chunk to the next one."""
        self._places.release()
        for answer in answers:
            for each in answer.outcomes if type(answer) is Grouped else (answer,):
                if type(each) is Refused:
                    self._note_refusal(each)
