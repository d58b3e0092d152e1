"""Bulk: many movements in one call.

It has a committer of its own with a single writer. So small movements never queue behind it, and the order of the
queue is the order of decisions, for as long as a caller's items are put into it in order.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from wallet.errors import InvariantViolated, WalletError
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, Refused, Replayed, Settled
from wallet.ledger.requests import NO_OPTIONS, Group, Options, Single
from wallet.service.committer import Committer
from wallet.storage.ids import IdSource

CHUNKS_QUEUED_MAX: Final = 16
"""Chunks and groups in the queue at once. Who comes later waits, in order, so callers take turns by the chunk."""

GROUP_ITEMS_MAX: Final = 10_000

QUEUE_ITEMS_MAX: Final = CHUNKS_QUEUED_MAX * 1_000 + 4 * GROUP_ITEMS_MAX
"""Items that may wait for the writer. Far beyond what chunks come to; groups are large, and few at once."""

ORIGIN_GROUP: Final = "group"
"""The origin of a group as such, whose items carry the references. No transaction has it."""

Answered: TypeAlias = Applied | Replayed | Predicted | Settled | Refused
"""What an item can come to."""


class Chunk:
    """Items that are being decided."""

    def __init__(self, accepted: Sequence["asyncio.Future[Outcome]"], refused: WalletError | None, items: int) -> None:
        self._accepted = accepted
        self._refused = refused
        self._items = items

    @property
    def refusal(self) -> WalletError | None:
        """Why nothing at all of it was accepted, if so."""
        return None if self._accepted else self._refused

    async def answers(self) -> list[Answered | WalletError]:
        """One per item, in order: its outcome, or why there is none for it."""
        answers: list[Answered | WalletError] = []
        for future in self._accepted:
            try:
                outcome = await future
            except WalletError as error:
                answers.append(error)
            else:
                if isinstance(outcome, Grouped):
                    raise InvariantViolated("an item came to what a group comes to")
                answers.append(outcome)
        if self._refused is not None:
            answers += [self._refused] * (self._items - len(answers))
        return answers


class Bulk:
    """What edges call to submit many movements. Started and drained by the service."""

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
        """Whether the service is shutting down: nothing long is to be begun any more."""
        return self._closing.is_set()

    async def closing(self) -> None:
        """Return when the service begins to shut down."""
        await self._closing.wait()

    def start(self) -> None:
        self.committer.start()

    def begin_shutdown(self) -> None:
        """Tell those who stream; what was accepted is still decided."""
        self._closing.set()

    async def drain(self, seconds_max: float) -> None:
        """As Committer.drain."""
        self._closing.set()
        await self.committer.drain(seconds_max)

    async def begin(self, items: Sequence[Single]) -> Chunk:
        """Queue up to chunk_items_max items, to be decided in order and each for itself, once there is a place.

        Raises nothing for what is wrong with some of them: the chunk's answers say it.
        """
        await self._places.acquire()
        accepted: list[asyncio.Future[Outcome]] = []
        refused = None
        try:
            for item in items:
                accepted.append(self.committer.accept(item))  # noqa: PERF401  # what came before an error must stay
        except WalletError as error:
            refused = error  # Of this item and those after it.
        self._leave_after(accepted)
        return Chunk(accepted, refused, len(items))

    async def all_or_none(self, items: Sequence[Single], *, dry_run: bool = False) -> Grouped:
        """The outcome of a group of up to GROUP_ITEMS_MAX items. Raises as Committer.submit does."""
        id_ = self._ids.new_id()
        options = Options(dry_run=True) if dry_run else NO_OPTIONS
        await self._places.acquire()
        accepted: list[asyncio.Future[Outcome]] = []
        try:
            accepted.append(self.committer.accept(Group(id_, ORIGIN_GROUP, str(id_), tuple(items), options=options)))
        finally:
            self._leave_after(accepted)
        outcome = await accepted[0]
        if not isinstance(outcome, Grouped):
            raise InvariantViolated("a group came to what an item comes to")
        return outcome

    def _leave_after(self, accepted: Sequence["asyncio.Future[Outcome]"]) -> None:
        """When the last of these is answered, whether or not its caller still waits, give the place back."""
        if not accepted:
            self._places.release()
            return

        def leave(_: "asyncio.Future[Outcome]") -> None:
            self._places.release()
            for future in accepted:
                # Takes note of exceptions that nobody waits for any more, too.
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._note(future.result())

        # The queue has one writer: nothing is answered before what was accepted earlier.
        accepted[-1].add_done_callback(leave)

    def _note(self, outcome: Outcome) -> None:
        for each in outcome.outcomes if type(outcome) is Grouped else (outcome,):
            if type(each) is Refused:
                self._note_refusal(each)
