"""Commits several batches of one queue at the same time, and keeps the queue's order for each wallet and reference.

A batch that begins beside others takes only requests that share no wallet and no reference with those batches, nor with
an earlier request that stays in the queue. So two requests whose order matters never change places, even if a batch is
decided again, halved or lost.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from wallet.errors import WalletError
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request, weight
from wallet.service.writes.committer import LEGS_PER_ITEM_MAX, Committer, Waiting, references_of
from wallet.storage.batch.sized_writer import Writer

PORTIONS_MAX: Final = 80
"""Portions of due steps that one batch of bulk posts before it answers that more is due. Only bulk waits so long."""

BATCHES_AT_ONCE: Final = 2
"""Batches of bulk at the same time: PostgreSQL works on one while the process decides the other."""

WalletsOf: TypeAlias = Callable[[Request], Collection[WalletId] | None]
"""Finds the wallets that a request locks; None if only the database knows them."""


class OrderedCommitter(Committer):
    """A committer for callers whose requests depend on one another.

    If only the database knows which wallets a request locks, the request waits until no batch is under way, and no
    other batch begins beside its batch.
    """

    def __init__(
        self,
        writers: Sequence[Writer],
        *,
        queue_depth_max: int,
        batch_items_max: int,
        wallets_of: WalletsOf,
        wait_seconds_max: float = math.inf,
    ) -> None:
        super().__init__(
            writers,
            queue_depth_max=queue_depth_max,
            batch_items_max=batch_items_max,
            wait_seconds_max=wait_seconds_max,
        )
        self._wallets_of = wallets_of
        # The wallets and references of all batches under way; and those of each batch, by its first request.
        self._under_way: set[object] = set()
        self._named_by: dict[Waiting, set[object]] = {}
        self._is_alone = False
        # The queue's length when no request in it could begin. The queue is tried again when a batch ends or it grows.
        self._stuck_at: int | None = None

    def _may_begin(self) -> bool:
        return not self._is_alone and len(self._queue) != self._stuck_at and super()._may_begin()

    def _take(self) -> list[Waiting]:
        """The next batch; empty if every request must wait for the batches under way."""
        batch: list[Waiting] = []
        named: set[object] = set()
        # The requests that stay in the queue, at most as many as a batch has, and their wallets and references: a later
        # request that shares one of these stays, too.
        left: list[Waiting] = []
        names_left: set[object] = set()
        wallets_left = self._batch_items_max * LEGS_PER_ITEM_MAX
        while self._queue and len(batch) < self._batch_items_max:
            waiting = self._queue[0]
            names = self._named(waiting)
            if self._named_by and (names is None or len(left) == self._batch_items_max):
                break
            if names is not None and not (names_left.isdisjoint(names) and self._under_way.isdisjoint(names)):
                left.append(self._queue.popleft())
                names_left.update(names)
                continue
            wallets_left -= weight(waiting.request)
            if wallets_left < 0 and batch:
                break
            batch.append(self._queue.popleft())
            self._depth -= waiting.items
            # Requests of one batch may share wallets and references: the ledger decides them in order.
            if names is None:
                self._is_alone = True
            else:
                named.update(names)
        self._queue.extendleft(reversed(left))
        self._observe_depth(self.queue_depth)
        if batch:
            self._named_by[batch[0]] = named
            self._under_way |= named
        self._stuck_at = None if batch else len(self._queue)
        return batch

    def _is_to_wait(self, waiting: Waiting, answer: Outcome | WalletError) -> bool:
        """Put nothing back: later requests may have been decided by now."""
        return False

    def names_of(self, request: Request) -> Sequence[object] | None:
        """The references of a request and the wallets that it locks; None if only the database knows these."""
        wallets = self._wallets_of(request)
        return None if wallets is None else (*references_of(request), *wallets)

    def _named(self, waiting: Waiting) -> Sequence[object] | None:
        if waiting.names is None:
            # Kept, because a request that stays in the queue is looked at again.
            waiting.names = self.names_of(waiting.request)
        return waiting.names

    def _release(self, batch: Sequence[Waiting], answers: Sequence[Outcome | WalletError]) -> None:
        self._under_way -= self._named_by.pop(batch[0])
        self._is_alone = False
        self._stuck_at = None
