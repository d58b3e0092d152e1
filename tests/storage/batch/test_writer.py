"""The promises of every store to its callers: one set of tests, run on the fake and on the real one on each
PostgreSQL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.service.writes.fake_store import FakeStore
from tests.storage.ledgers import (
    Ledger,
    again,
    assert_books_balance,
    make_ledger,
    new_ledger,
    new_writer,
    soon,
    spend,
    topup,
    transfer,
)
from wallet.ledger.model import Direction
from wallet.ledger.outcomes import Applied, Outcome, RefusalCode, Refused, Replayed
from wallet.ledger.requests import Leg, Post
from wallet.service.writes.commands import Commands
from wallet.storage.batch.sized_writer import Writer


class Store:
    """A store under test, and a ledger in it."""

    def __init__(self, writer: Writer, ledger: Ledger) -> None:
        self.ledger = ledger
        self._writer = writer

    async def commit(self, *batch: Post) -> list[Outcome]:
        answers = await soon(self._writer.commit(batch))
        assert len(answers) == len(batch)
        return [answer for answer in answers if isinstance(answer, Outcome)]

    async def balance(self, wallet: int) -> int:
        """The available amount in the refusal of a movement that needs more."""
        [refused] = await self.commit(spend(self.ledger.wallets[wallet], 2**62, f"look at {wallet}"))
        assert isinstance(refused, Refused)
        assert refused.available is not None
        return refused.available


def shape(answers: list[Outcome]) -> list[str]:
    return [each.code.value if isinstance(each, Refused) else type(each).__name__.lower() for each in answers]


class Basics:
    """A subclass says which store."""

    async def test_this_very_try_is_found_again_as_applied(self, store: Store) -> None:
        request = topup(store.ledger.wallets[0], 30, "r")
        first = await store.commit(request)
        assert await store.commit(request) == first
        assert await store.balance(0) == 30

    async def test_a_batch_of_everything_answers_each_for_itself_in_order(self, store: Store) -> None:
        alice, bob = store.ledger.wallets
        known = topup(alice, 30, "known")
        await store.commit(known)
        stranger = make_ledger(1).wallets[0]
        answers = await store.commit(
            topup(alice, 1, "new"),
            again(known),
            topup(alice, 31, "known"),
            transfer(alice, alice, 5, "to itself"),
            transfer(alice, stranger, 5, "to nobody"),
            topup(alice, 5, "in nothing")._replace(asset_code="NOTHING"),
            spend(alice, 32, "too much"),
            transfer(alice, bob, 31, "all"),
            topup(alice, 2**63 - 1, "to the brim"),
            topup(alice, 1, "over the brim"),
            again(known),
        )
        assert shape(answers) == [
            "applied",
            "replayed",
            "reference_reused",
            "same_wallet",
            "wallet_not_found",
            "asset_not_found",
            "insufficient_funds",
            "applied",
            "applied",
            "max_balance_exceeded",
            "replayed",
        ]
        assert await store.balance(1) == 31

    async def test_duplicates_in_a_batch_replay_the_first(self, store: Store) -> None:
        request = topup(store.ledger.wallets[0], 5, "r")
        answers = await store.commit(request, again(request), again(request))
        assert shape(answers) == ["applied", "replayed", "replayed"]
        assert await store.balance(0) == 5


class Contract(Basics):
    """All of it."""

    async def test_a_top_up_is_applied_and_says_what_came_of_it(self, store: Store) -> None:
        alice = store.ledger.wallets[0]
        request = topup(alice, 30, "r")
        [applied] = await store.commit(request)
        assert isinstance(applied, Applied)
        assert applied.posted.id == request.id
        assert [
            (each.wallet_id, each.direction, each.amount, each.version, each.balance_after)
            for each in applied.posted.entries
        ] == [
            (store.ledger.asset.treasury, Direction.DEBIT, 30, None, None),
            (alice, Direction.CREDIT, 30, 1, 30),
        ]
        assert await store.balance(0) == 30

    async def test_the_same_request_is_answered_as_it_was_at_first(self, store: Store) -> None:
        alice, bob = store.ledger.wallets
        request = transfer(alice, bob, 7, "r")._replace(metadata='{"note":"\u00e9\U0001f600"}')
        _, applied = await store.commit(topup(alice, 30, "money"), request)
        assert isinstance(applied, Applied)
        await store.commit(topup(alice, 5, "meanwhile"))
        assert await store.commit(again(request)) == [Replayed(applied.posted)]
        assert await store.balance(0) == 28

    async def test_a_reference_with_another_amount_is_refused_and_names_the_field(self, store: Store) -> None:
        alice = store.ledger.wallets[0]
        await store.commit(topup(alice, 30, "r"))
        [reused] = await store.commit(topup(alice, 31, "r"))
        assert isinstance(reused, Refused)
        assert (reused.code, reused.differs) == (RefusalCode.REFERENCE_REUSED, ("amount",))
        assert await store.balance(0) == 30

    async def test_a_refusal_has_no_effect_and_does_not_use_the_reference_up(self, store: Store) -> None:
        alice = store.ledger.wallets[0]
        request = spend(alice, 71, "r")
        [refused] = await store.commit(request)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.required, refused.available) == (RefusalCode.INSUFFICIENT_FUNDS, 71, 0)
        await store.commit(topup(alice, 71, "money"))
        assert shape(await store.commit(again(request))) == ["applied"]

    async def test_each_request_of_a_batch_sees_what_came_before_it(self, store: Store) -> None:
        alice, bob = store.ledger.wallets
        answers = await store.commit(
            spend(alice, 10, "too early"),
            topup(alice, 10, "money"),
            transfer(alice, bob, 10, "on"),
            spend(alice, 1, "too late"),
            spend(bob, 10, "in time"),
        )
        assert shape(answers) == ["insufficient_funds", "applied", "applied", "insufficient_funds", "applied"]
        assert (await store.balance(0), await store.balance(1)) == (0, 0)

    async def test_a_duplicate_of_a_refused_one_in_the_batch_is_decided_on_its_own(self, store: Store) -> None:
        alice = store.ledger.wallets[0]
        request = spend(alice, 5, "r")
        answers = await store.commit(request, topup(alice, 5, "money"), again(request), again(request))
        assert shape(answers) == ["insufficient_funds", "applied", "applied", "replayed"]

    async def test_a_general_transaction_is_one_movement_over_many_wallets(self, store: Store) -> None:
        alice, bob = store.ledger.wallets
        legs = [
            Leg(alice, Direction.DEBIT, 10),
            Leg(bob, Direction.CREDIT, 9),
            Leg(store.ledger.asset.revenue, Direction.CREDIT, 1),
        ]
        request = Commands().transaction("settlement", legs=legs, reference_id="r", metadata=None)
        crooked = Commands().transaction("settlement", legs=legs[:2], reference_id="c", metadata=None)
        answers = await store.commit(topup(alice, 10, "money"), crooked, request, again(request))
        assert shape(answers) == ["applied", "legs_unbalanced", "applied", "replayed"]
        assert (await store.balance(0), await store.balance(1)) == (0, 9)

    async def test_a_movement_between_system_wallets_alone_needs_no_lock(self, store: Store) -> None:
        asset = store.ledger.asset
        request = topup(asset.revenue, 10, "r")
        applied, replayed = await store.commit(request, again(request))
        assert isinstance(applied, Applied)
        assert {(each.version, each.balance_after) for each in applied.posted.entries} == {(None, None)}
        assert isinstance(replayed, Replayed)

    async def test_the_outcomes_do_not_depend_on_how_requests_are_batched(self, store: Store) -> None:
        alice, bob = store.ledger.wallets

        def requests(name: str) -> list[Post]:
            once = transfer(alice, bob, 6, f"{name} once")
            return [
                topup(alice, 10, f"{name} money"),
                once,
                spend(alice, 5, f"{name} too much"),
                again(once),
                transfer(bob, alice, 6, f"{name} back"),
                spend(alice, 10, f"{name} all"),
                topup(alice, 11, f"{name} money"),
            ]

        at_once = shape(await store.commit(*requests("a")))
        one_by_one = [each for request in requests("b") for each in shape(await store.commit(request))]
        assert at_once == one_by_one


class TestFakeStore(Contract):
    @pytest.fixture
    def store(self) -> Store:
        ledger = make_ledger(2)
        return Store(FakeStore(ledger), ledger)


@asynccontextmanager
async def real_store(dsn: str) -> AsyncIterator[Store]:
    async with new_ledger(dsn) as (connection, ledger):
        async with new_writer(dsn) as writer:
            yield Store(writer, ledger)
        await assert_books_balance(connection)


class TestBatchWriter(Contract):
    @pytest.fixture
    async def store(self, database_url: str) -> AsyncIterator[Store]:
        async with real_store(database_url) as store:
            yield store


class TestBatchWriterOnEachPostgres(Basics):
    @pytest.fixture
    async def store(self, each_database_url: str) -> AsyncIterator[Store]:
        async with real_store(each_database_url) as store:
            yield store
