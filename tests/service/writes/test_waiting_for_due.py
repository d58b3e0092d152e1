"""Requests that meet more due steps than one batch posts: waits for the next ones, beside others that are answered."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.service.writes.fake_store import GatedStore, answers, sent
from tests.service.writes.test_committer import ALICE, BOB, LEDGER, running
from tests.storage.ledgers import again, soon, topup
from wallet.errors import OutcomeUnknown, StorageUnavailable
from wallet.ledger.kinds import wallets_named
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Applied, Replayed
from wallet.ledger.requests import Request
from wallet.service.writes.committer import LATE_TIMES_MAX
from wallet.storage.batch.due_steps import MoreIsDue


class LateStore(GatedStore):
    """A store with so many due steps at a wallet that requests for it are put back several times."""

    def __init__(self, late: dict[WalletId, int]) -> None:
        super().__init__(LEDGER)
        self.late = late

    async def commit(self, batch: Sequence[Request]) -> Sequence[Any]:
        names = [wallet for request in batch for wallet in wallets_named(request, self.assets) if self.late.get(wallet)]
        ready = [request for request in batch if not set(names) & set(wallets_named(request, self.assets))]
        for wallet in set(names):
            self.late[wallet] -= 1
        decided = iter(await super().commit(ready))
        return [next(decided) if request in ready else MoreIsDue("more") for request in batch]


async def test_who_meets_more_than_a_batch_may_post_waits_and_the_others_are_answered() -> None:
    store = LateStore({ALICE: 3})
    async with running(store) as committer:
        late, other = await sent(committer, topup(ALICE, 1, "late"), topup(BOB, 1, "other"))
        store.let_pass(1)
        assert isinstance(await soon(other), Applied)
        assert not late.done()
        assert committer.queue_depth <= 1
        store.let_pass()
        assert isinstance(await soon(late), Applied)
        assert committer.queue_depth == 0
    assert store.wallets[ALICE].balance == 1


async def test_what_waits_for_its_wallet_comes_before_a_duplicate_of_it() -> None:
    store = LateStore({ALICE: 2})
    async with running(store, store) as committer:
        request = topup(ALICE, 1, "late")
        (late,) = await sent(committer, request)
        await store.begun()
        (twin,) = await sent(committer, again(request))
        store.let_pass()
        first, second = await answers([late, twin])
    assert [type(first), type(second)] == [Applied, Replayed]


async def test_nobody_waits_for_ever_for_what_is_due() -> None:
    store = LateStore({ALICE: 1_000})
    async with running(store) as committer:
        store.let_pass()
        with pytest.raises(MoreIsDue):
            await soon(committer.submit(topup(ALICE, 1, "late")))
        assert committer.queue_depth == 0
    assert store.late[ALICE] == 1_000 - LATE_TIMES_MAX - 1


async def test_what_waits_for_its_wallet_is_answered_when_the_service_ends() -> None:
    store = LateStore({ALICE: 1_000})
    async with running(store) as committer:
        (late,) = await sent(committer, topup(ALICE, 1, "late"))
        store.let_pass(3)
        for _ in range(3):
            await store.begun()
    (answer,) = await answers([late])
    assert isinstance(answer, StorageUnavailable | OutcomeUnknown)
