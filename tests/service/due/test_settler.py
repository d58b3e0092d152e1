"""A read first settles its wallet, if something is due there."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from wallet.errors import OutcomeUnknown, Overloaded, StorageUnavailable
from wallet.ledger.outcomes import Outcome, Settled
from wallet.ledger.requests import Request, Settle
from wallet.service.due.settler import Settler
from wallet.storage.batch.due_steps import MoreIsDue

ALICE, BOB = UUID(int=1), UUID(int=2)


class Ledger:
    """The wallets with something due, the number of portions of each, and the submitted requests."""

    def __init__(self, *due: UUID, error: Exception | None = None, portions: int = 1) -> None:
        self.due = due
        self.error = error
        self.portions = portions
        self.submitted: list[Request] = []

    async def is_due(self, wallet_id: UUID) -> bool:
        return wallet_id in self.due

    async def submit(self, request: Request) -> Outcome:
        self.submitted.append(request)
        if self.error is not None:
            raise self.error
        return Settled(is_all=len(self.submitted) >= self.portions)


def settler(ledger: Ledger, **bounds: int) -> Settler:
    store: Any = ledger
    return Settler(store, ledger.submit, **bounds)


def settled(ledger: Ledger) -> Sequence[UUID]:
    return [request.wallet_id for request in ledger.submitted if isinstance(request, Settle)]


async def test_a_wallet_with_something_due_is_settled() -> None:
    ledger = Ledger(ALICE)
    await settler(ledger).settle_if_due(ALICE)
    assert settled(ledger) == [ALICE]


async def test_a_wallet_with_nothing_due_costs_no_batch() -> None:
    ledger = Ledger(ALICE)
    await settler(ledger).settle_if_due(BOB)
    assert not ledger.submitted


async def test_each_try_is_a_request_of_its_own() -> None:
    ledger = Ledger()
    for _ in range(2):
        await settler(ledger).settle(ALICE)
    first, second = ledger.submitted
    assert first.id != second.id
    assert first.reference_id != second.reference_id
    assert {first.origin, second.origin} == {"service"}


async def test_what_is_due_in_several_portions_is_posted_to_the_end() -> None:
    ledger = Ledger(ALICE, portions=3)
    await settler(ledger, portions_max=3).settle_if_due(ALICE)
    assert settled(ledger) == [ALICE] * 3


async def test_who_reads_is_not_answered_before_the_last_portion_and_may_come_again() -> None:
    ledger = Ledger(ALICE, portions=5)
    with pytest.raises(MoreIsDue):
        await settler(ledger, portions_max=3).settle_if_due(ALICE)
    await settler(ledger, portions_max=3).settle_if_due(ALICE)
    assert settled(ledger) == [ALICE] * 5


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OutcomeUnknown("lost"), StorageUnavailable),
        (StorageUnavailable("away"), StorageUnavailable),
        (Overloaded("full"), Overloaded),
    ],
)
async def test_who_reads_is_never_asked_to_find_out_what_became_of_it(
    error: Exception, raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        await settler(Ledger(ALICE, error=error)).settle_if_due(ALICE)
