"""More comes than can be committed: what is accepted waits for so many batches, and the rest is told at once."""

import asyncio
from collections.abc import Sequence
from math import ceil

import pytest

from tests.service.writes.fake_store import FakeStore
from tests.storage.ledgers import SECONDS_MAX, make_ledger, soon, topup
from wallet.errors import Overloaded
from wallet.ledger.outcomes import Applied, Outcome
from wallet.ledger.requests import Request
from wallet.service.writes.committer import Committer

CLIENTS = 300
REQUESTS_PER_CLIENT = 5


class CountingStore(FakeStore):
    """Counts the batches it has begun."""

    begun = 0

    async def commit(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        self.begun += 1
        await asyncio.sleep(0)  # whoever has been answered asks again before this batch ends
        return await super().commit(batch)


@pytest.mark.parametrize(("queue", "items"), [(40, 10), (45, 10), (10, 10), (5, 10), (100, 1)])
async def test_whoever_was_accepted_waits_for_a_bounded_number_of_batches(queue: int, items: int) -> None:
    ledger = make_ledger(wallets=2)
    store = CountingStore(ledger)
    committer = Committer([store], queue_depth_max=queue, batch_items_max=items)
    committer.start()
    waited: list[int] = []
    refused = 0

    async def client(number: int) -> None:
        nonlocal refused
        for at in range(REQUESTS_PER_CLIENT):
            begun_before = store.begun
            try:
                outcome = await committer.submit(topup(ledger.wallets[0], 1, f"{number}:{at}"))
            except Overloaded:
                refused += 1
                assert store.begun == begun_before, "it is told at once"
                await asyncio.sleep(0)
            else:
                assert isinstance(outcome, Applied)
                waited.append(store.begun - begun_before)

    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    await soon(committer.drain(0))
    assert refused > 0
    assert len(waited) + refused == CLIENTS * REQUESTS_PER_CLIENT
    # Those before it in a full queue, and the batch that its answer comes with may be followed by another at once.
    assert max(waited) <= ceil(queue / items) + 1
    assert store.wallets[ledger.wallets[0]].balance == len(waited), "what was refused was not applied"
