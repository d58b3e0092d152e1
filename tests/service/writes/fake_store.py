"""A store over dicts: everything that is decided is decided by the ledger."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.storage.ledgers import SECONDS_MAX, Ledger, soon
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import Context
from wallet.ledger.model import Posted, ReferenceKey
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request
from wallet.service.writes.committer import Committer


class FakeStore:
    """A stand-in for storage.batch.writer.BatchWriter, as the committer sees it, without a database."""

    def __init__(self, ledger: Ledger) -> None:
        self.wallets = {state.id: state for state in ledger.states()}
        self.assets = {ledger.asset.code: ledger.asset}
        self.known: dict[ReferenceKey, Posted] = {}

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        by_id = {asset.id: asset for asset in self.assets.values()}
        context = Context(self.wallets, self.assets, self.known, assets_by_id=by_id)
        decision = apply_batch(batch, context, datetime.now(UTC))
        self.wallets.update(decision.states)
        self.known.update({(posted.origin, posted.reference_id): posted for posted in decision.posted})
        return decision.outcomes

    async def close(self) -> None:
        """Nothing is open."""


class GatedStore(FakeStore):
    """Shows every batch it is given, and commits it once the test lets it pass."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.fault: Exception | None = None
        self.closed = False
        self._begun: asyncio.Queue[Sequence[Request]] = asyncio.Queue()
        self._passes = asyncio.Semaphore(0)

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        self._begun.put_nowait(batch)
        await self._passes.acquire()
        if self.fault is not None:
            raise self.fault
        return await super().commit(batch)

    async def close(self) -> None:
        self.closed = True

    async def begun(self) -> list[str]:
        """The references of the next batch that has begun."""
        return [request.reference_id for request in await soon(self._begun.get())]

    def let_pass(self, batches: int = 1_000) -> None:
        for _ in range(batches):
            self._passes.release()

    @property
    def nothing_begun(self) -> bool:
        return self._begun.empty()


async def sent(committer: Committer, *requests: Request) -> list[asyncio.Task[Outcome]]:
    """Submit requests in this order without waiting for their answers."""
    tasks = [asyncio.create_task(committer.submit(request)) for request in requests]
    await asyncio.sleep(0)  # each runs up to where it waits for its answer
    return tasks


async def answers(tasks: Sequence[asyncio.Task[Outcome]]) -> list[Outcome | BaseException]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SECONDS_MAX)
