"""Several batches of one queue under way, in the queue's order all the same: per wallet, and per reference.

Beside other batches one begins with requests that share no wallet and no reference with them, nor with any request
before them in the queue that is left for later. So two requests whose order matters never change places, whatever
becomes of their batches: decided again, halved, or lost.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from wallet.errors import WalletError
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request, weight
from wallet.service.writes.committer import LEGS_PER_ITEM_MAX, Committer, Waiting, keys_of
from wallet.storage.batch.aside import Writer

PORTIONS_MAX: Final = 80
"""How many portions of what is due one batch of bulk posts before it answers that more is. Only bulk waits for them."""

BATCHES_AT_ONCE: Final = 2
"""Batches of bulk under way at once: PostgreSQL works on one while the process decides the other."""

WalletsOf: TypeAlias = Callable[[Request], Collection[WalletId] | None]
"""The wallets that a request has locked; None if only the database knows."""


class OrderedCommitter(Committer):
    """A committer for callers whose requests depend on one another.

    A request of which only the database knows what it has locked begins when nothing is under way, and nothing begins
    beside its batch.
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
        # Wallets and references of all batches under way, and those of each by its first request.
        self._under_way: set[object] = set()
        self._named_by: dict[Waiting, set[object]] = {}
        self._is_alone = False
        # How long the queue was when nothing in it could begin. It is tried again once a batch ends, or more has come.
        self._stuck_at: int | None = None

    def _may_begin(self) -> bool:
        return not self._is_alone and len(self._queue) != self._stuck_at and super()._may_begin()

    def _take(self) -> list[Waiting]:
        """The next batch; empty if everything has to wait for those under way."""
        batch: list[Waiting] = []
        named: set[object] = set()
        # Those who are left behind, a batch's worth at most, and what they name: whoever shares it stays behind them.
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
            # Those of one batch may share what they like: the ledger decides them in order.
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
        """Nothing is put back, for others that come after it may have been decided by now."""
        return False

    def names_of(self, request: Request) -> Sequence[object] | None:
        """Its references and the wallets it has locked; None if only the database knows these."""
        wallets = self._wallets_of(request)
        return None if wallets is None else (*keys_of(request), *wallets)

    def _named(self, waiting: Waiting) -> Sequence[object] | None:
        if waiting.names is None:
            # Kept, since who is left behind is looked at again.
            waiting.names = self.names_of(waiting.request)
        return waiting.names

    def _release(self, batch: Sequence[Waiting], answers: Sequence[Outcome | WalletError]) -> None:
        self._under_way -= self._named_by.pop(batch[0])
        self._is_alone = False
        self._stuck_at = None
