"""Traps of the write path that only holds, lots, refunds and merges have: races, instants, lost answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    advance,
    again,
    assert_books_balance,
    balances,
    capture,
    change,
    commands,
    group,
    hold,
    insert_ledger,
    make_ledger,
    merge,
    new_writer,
    post,
    promotional,
    references,
    refund,
    settle,
    soon,
    spend,
    topup,
    transfer,
    until_waiting,
    void,
)
from tests.storage.tcp_proxy import Proxy, is_commit, proxy_to
from wallet.errors import StorageUnavailable, WalletError
from wallet.ledger.outcomes import Applied, Grouped, RefusalCode, Refused, Replayed, Settled
from wallet.ledger.requests import Request
from wallet.service.writes.committer import Committer
from wallet.storage.batch.writer import BatchWriter


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(6))


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_to(database_url) as proxy:
        yield proxy


@asynccontextmanager
async def writers(dsn: str, count: int, **settings: Any) -> AsyncIterator[list[BatchWriter]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(new_writer(dsn, **settings)) for _ in range(count)]


def kinds(answers: Sequence[Any]) -> list[type]:
    return [type(answer) for answer in answers]


async def commit(writer: BatchWriter, *batch: Request) -> list[Any]:
    return list(await soon(writer.commit(batch)))


# Refunds of one original


@pytest.mark.parametrize("is_locked", [True, False], ids=["from a user", "between system wallets that nobody locks"])
async def test_of_fifty_racing_refunds_none_goes_beyond_the_original(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, is_locked: bool
) -> None:
    original = topup(ledger.wallets[0] if is_locked else ledger.asset.revenue, 100, "original")
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(writers(database_url, 4))
        await post(made[0], original)
        committers = [Committer(made[n : n + 2], queue_depth_max=100, batch_items_max=3) for n in (0, 2)]
        for each in committers:
            each.start()
        answers = await soon(
            asyncio.gather(*(committers[n % 2].submit(refund(original.id, f"r{n}", amount=3)) for n in range(50)))
        )
        for each in committers:
            await soon(each.drain(10))
    assert kinds(answers).count(Applied) == 33
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {RefusalCode.REFUND_EXCEEDS_ORIGINAL}
    assert tuple(await connection.fetchrow("SELECT refunded, refunds FROM refund_states")) == (99, 33)
    await assert_books_balance(connection)


async def test_refunds_of_the_same_originals_in_opposite_order_never_deadlock(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    originals = [topup(ledger.asset.revenue, 100, f"o{n}") for n in range(10)]
    async with writers(database_url, 2) as (here, there):
        await post(here, *originals)
        for turn in range(10):
            one = [refund(each.id, f"a{turn} {each.id}", amount=1) for each in originals]
            other = [refund(each.id, f"b{turn} {each.id}", amount=1) for each in reversed(originals)]
            first, second = await soon(asyncio.gather(here.commit(one), there.commit(other)))
            assert kinds([*first, *second]) == [Applied] * 20
    assert await connection.fetchval("SELECT sum(refunded) FROM refund_states") == 200
    assert await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ) == 0  # fmt: skip


# One hold, several hands


async def test_capture_against_void_either_wins_and_never_both(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    holds = [hold(alice, 5, f"h{n}", target=bob) for n in range(20)]
    async with writers(database_url, 3) as (here, there, last):
        await post(here, topup(alice, 100, "money"), *holds)
        captures = [capture(each.id, f"c{n}", final=True) for n, each in enumerate(holds)]
        voids = [void(each.id, f"v{n}") for n, each in enumerate(reversed(holds))]
        parts = [capture(each.id, f"p{n}", amount=2) for n, each in enumerate(holds)]

        async def one_by_one(writer: BatchWriter, requests: Sequence[Request], at_once: int) -> list[Any]:
            answers: list[Any] = []
            for start in range(0, len(requests), at_once):
                answers += await writer.commit(requests[start : start + at_once])
            return answers

        answers = await soon(
            asyncio.gather(one_by_one(here, captures, 3), one_by_one(there, voids, 2), one_by_one(last, parts, 4))
        )
    ended = [each for one, other in zip(answers[0], reversed(answers[1]), strict=True) for each in (one, other)]
    for one, other in zip(ended[::2], ended[1::2], strict=True):
        assert sorted(kind.__name__ for kind in kinds([one, other])) == ["Applied", "Refused"]
    assert {each.code for each in [*ended, *answers[2]] if isinstance(each, Refused)} <= {
        RefusalCode.HOLD_CLOSED, RefusalCode.CAPTURE_EXCEEDS_HOLD
    }  # fmt: skip
    assert await connection.fetchval("SELECT held FROM wallets WHERE id = $1", alice) == 0
    await assert_books_balance(connection)


# To the instant


async def _decide_next_at(connection: asyncpg.Connection, wallet: Any, at: datetime) -> None:
    """The next request on this wallet is decided then: never before its last line of history."""
    await connection.execute("UPDATE wallets SET last_entry_at = $2 WHERE id = $1", wallet, at)


@pytest.mark.parametrize(
    ("microseconds", "outcome"), [(-1, Applied), (0, Refused)], ids=["a moment before", "at the instant"]
)
@pytest.mark.parametrize("request_of", [capture, void], ids=["capture", "void"])
async def test_a_hold_is_over_at_the_instant_of_its_expiry(
    connection: asyncpg.Connection,
    ledger: Ledger,
    database_url: str,
    request_of: Callable[..., Request],
    microseconds: int,
    outcome: type,
) -> None:
    alice = ledger.wallets[0]
    async with new_writer(database_url) as writer:
        _, held = await commit(writer, topup(alice, 5, "money"), hold(alice, 5, "h", expires_in_seconds=3600))
        expires_at = held.posted.details.hold.expires_at
        await _decide_next_at(connection, alice, expires_at + timedelta(microseconds=microseconds))
        [answer] = await commit(writer, request_of(held.posted.id, "step"))
        assert type(answer) is outcome
        if outcome is Refused:
            assert answer.code is RefusalCode.HOLD_CLOSED
            assert ("hold_status", "expired") in answer.members
            assert (await references(connection))[-1] == f"hold:{held.posted.id}:expiry"
    await assert_books_balance(connection)


@pytest.mark.parametrize(("microseconds", "outcome"), [(-1, Applied), (0, Refused)])
async def test_a_lot_is_gone_at_the_instant_of_its_expiry(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, microseconds: int, outcome: type
) -> None:
    alice = ledger.wallets[0]
    async with new_writer(database_url) as writer:
        [lot] = await commit(writer, promotional(alice, 5, "lot", expires_in_seconds=3600))
        expires_at = lot.posted.created_at + timedelta(hours=1)
        await _decide_next_at(connection, alice, expires_at + timedelta(microseconds=microseconds))
        [answer] = await commit(writer, spend(alice, 5, "s"))
        assert type(answer) is outcome
        if outcome is Refused:
            assert (answer.code, answer.available) == (RefusalCode.INSUFFICIENT_FUNDS, 0)
            [lot_id] = lot.posted.details.opened
            row = await connection.fetchrow("SELECT * FROM transactions WHERE origin = 'service'")
            assert row["reference_id"] == f"lot:{lot_id}:expiry:1"
            assert row["effective_at"] == expires_at
    await assert_books_balance(connection)


async def test_spends_against_the_expiry_of_what_they_spend(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    async with writers(database_url, 2) as (here, there):
        lots = [promotional(alice, 10, f"l{n}", expires_in_seconds=60 * n + 60) for n in range(20)]
        await post(here, *lots, hold(alice, 30, "h", expires_in_seconds=200, target=bob, capture_at_expiry=True))

        async def spend_all(writer: BatchWriter, name: str) -> list[Any]:
            return [(await writer.commit([spend(alice, 2, f"{name}{n}")]))[0] for n in range(40)]

        async def pass_time() -> None:
            for _ in range(25):
                await advance(connection, seconds=60)
                await asyncio.sleep(0.01)

        *answers, _ = await soon(asyncio.gather(spend_all(here, "a"), spend_all(there, "b"), pass_time()))
        assert {type(each) for each in [*answers[0], *answers[1]]} <= {Applied, Refused}
        assert await commit(here, settle(alice)) == [Settled()]
    assert (await balances(connection, ledger))[:2] == [0, 30]
    await assert_books_balance(connection)


# Merges in between


async def test_a_capture_whose_wallet_is_merged_while_it_waits_begins_anew(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, carol, *_ = ledger.wallets
    async with writers(database_url, 2) as (here, there):
        _, held, spent = await commit(
            here, topup(alice, 20, "money"), hold(alice, 10, "h", target=carol), spend(alice, 4, "s")
        )
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            merging = asyncio.create_task(here.commit([merge(alice, bob, "m")]))
            await until_waiting(connection, "Lock")
            waiting = asyncio.create_task(there.commit([capture(held.posted.id, "c"), refund(spent.posted.id, "r")]))
            await until_waiting(connection, "Lock", sessions=2)
        assert kinds([*await soon(merging), *await soon(waiting)]) == [Applied] * 3
    assert (await balances(connection, ledger))[:3] == [0, 10, 10]
    await assert_books_balance(connection)


async def test_merges_in_a_row_while_others_move_what_they_merge(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    wallets = ledger.wallets
    async with writers(database_url, 3) as (here, there, last):
        _, held = await commit(here, topup(wallets[0], 100, "money"), hold(wallets[0], 60, "h"))

        async def merge_all() -> list[Any]:
            return [(await here.commit([merge(*pair, f"m{n}")]))[0] for n, pair in enumerate(pairwise(wallets))]

        async def capture_all(writer: BatchWriter, name: str) -> list[Any]:
            return [(await writer.commit([capture(held.posted.id, f"{name}{n}", amount=2)]))[0] for n in range(15)]

        answers = await soon(asyncio.gather(merge_all(), capture_all(there, "a"), capture_all(last, "b")))
    assert {kind for each in answers for kind in kinds(each)} == {Applied}
    assert (await balances(connection, ledger))[-1] == 40
    await assert_books_balance(connection)


# References


async def test_plain_and_special_batches_with_the_same_references_never_deadlock(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    names = ["a", "middle", "z"]
    await connection.execute(
        """
        CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
        CREATE TRIGGER waits BEFORE INSERT ON transactions FOR EACH ROW WHEN (NEW.reference_id = 'middle')
        EXECUTE FUNCTION wait_at_the_gate();
        """
    )
    async with writers(database_url, 2) as (here, there):
        await post(here, topup(alice, 9, "1"), topup(bob, 9, "2"))
        await connection.execute("SELECT pg_advisory_lock(1)")
        first = asyncio.create_task(here.commit([hold(alice, 1, "a"), topup(alice, 1, "middle"), topup(alice, 1, "z")]))
        second = asyncio.create_task(there.commit([hold(bob, 1, "z"), topup(bob, 1, "middle"), topup(bob, 1, "a")]))
        await until_waiting(connection, "Lock", sessions=2)
        await connection.execute("SELECT pg_advisory_unlock(1)")
        both = [*await soon(first), *reversed(await soon(second))]
    for one, other in zip(both[:3], both[3:], strict=True):
        assert sorted(kind.__name__ for kind in kinds([one, other])) == ["Applied", "Refused"]
    assert sorted(await references(connection)) == ["1", "2", *names]
    await assert_books_balance(connection)


# The answer that is lost


async def _everything(writer: BatchWriter, ledger: Ledger) -> list[Request]:
    """A batch with a request of each kind that leaves something."""
    alice, bob, carol, dora, *_ = ledger.wallets
    spent, held, other = spend(alice, 10, "s"), hold(alice, 10, "h1", target=bob), hold(alice, 10, "h2")
    await post(writer, topup(alice, 100, "money"), promotional(alice, 20, "lot"), spent, held, other)
    return [
        topup(alice, 1, "plain"),
        hold(alice, 5, "hold", expires_in_seconds=60),
        capture(held.id, "capture", amount=4),
        commands().increase(hold_id=held.id, amount=1, reference_id="increase", metadata=None),
        commands().extend(hold_id=held.id, expires_in_seconds=9, reference_id="extend", metadata=None),
        void(other.id, "void"),
        refund(spent.id, "refund", amount=3),
        merge(carol, dora, "merge"),
        change(bob, label="bob", limit_day=1),
        change(ledger.wallets[4], "close"),
        group(transfer(alice, bob, 1, "g1"), hold(alice, 2, "g2")),
        settle(alice),
        spend(alice, 1_000, "too much"),
    ]


@pytest.mark.parametrize("reached", [True, False], ids=["it had reached the server", "it never did"])
async def test_a_lost_answer_to_commit_is_asked_for_whatever_was_asked(
    connection: asyncpg.Connection, ledger: Ledger, proxy: Proxy, reached: bool
) -> None:
    async with new_writer(proxy.dsn) as writer:
        batch = await _everything(writer, ledger)
        trap = proxy.trap(is_commit, let_through=reached)
        answers = asyncio.create_task(writer.commit(batch))
        await soon((trap.answered if reached else trap.sprung).wait())
        trap.cut()
        answers = await soon(answers)
        assert kinds(answers) == [Applied] * 10 + [Grouped, Settled, Refused]
        assert kinds(answers[10].outcomes) == [Applied, Applied]
        before = await connection.fetch("SELECT id, version, balance, held FROM wallets ORDER BY id")
        repeated = await commit(writer, *batch)
        assert repeated[:-1] == answers[:-1]
        others = [again(each) for each in batch[:8]]
        assert await commit(writer, *others) == [Replayed(each.posted) for each in answers[:8]]
        assert await connection.fetch("SELECT id, version, balance, held FROM wallets ORDER BY id") == before
    assert await connection.fetchval("SELECT count(*) FROM wallet_events") == 3
    await assert_books_balance(connection)


# Somebody else's lock


async def test_a_wallet_held_by_another_session_stops_only_those_whose_holds_point_at_it(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    held, free = hold(alice, 10, "ha"), hold(bob, 10, "hb")
    async with new_writer(database_url, lock_timeout_ms=50) as writer:
        await post(writer, topup(alice, 20, "a"), topup(bob, 20, "b"), held, free)
        for turn in range(2):
            async with connection.transaction():
                await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
                answers = await commit(
                    writer,
                    capture(free.id, f"1 {turn}", amount=1),
                    capture(held.id, f"2 {turn}", amount=1),
                    group(topup(bob, 1, f"3 {turn}"), capture(held.id, f"4 {turn}", amount=1)),
                    topup(bob, 1, f"5 {turn}"),
                )
            waits = [isinstance(answer, StorageUnavailable) for answer in answers]
            assert waits == [False, True, True, False]
    await assert_books_balance(connection)


# All of it at once


@pytest.mark.parametrize("seed", [7, 18])
async def test_random_movements_of_every_kind_from_several_writers_leave_the_books_in_balance(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    one_at_a_time = asyncio.Lock()
    wallets = list(ledger.wallets)
    holds: list[Any] = []
    moved: list[Any] = []

    def next_request(name: str) -> Request:
        one, other = chance.sample(wallets, 2)
        amount = chance.randint(1, 30)
        in_seconds = chance.choice([None, 60, 300, 3600])
        make: list[Callable[[], Any]] = [
            lambda: topup(one, amount, name),
            lambda: promotional(one, amount, name, expires_in_seconds=in_seconds, priority=chance.randint(0, 3)),
            lambda: spend(one, amount, name),
            lambda: transfer(one, other, amount, name),
            lambda: hold(
                one,
                amount,
                name,
                target=chance.choice([None, other]),
                expires_in_seconds=in_seconds,
                capture_at_expiry=in_seconds is not None and chance.random() < 0.5,
            ),
            lambda: capture(chance.choice(holds).id, name, amount=chance.choice([None, 3]), final=amount < 10),
            lambda: void(chance.choice(holds).id, name),
            lambda: refund(chance.choice(moved).id, name, amount=chance.choice([None, 2]), force=amount > 25),
            lambda: change(one, limit_day=chance.choice([None, 60]), freeze_incoming=amount == 30, label=name),
            lambda: group(transfer(one, other, amount, f"{name} 1"), hold(other, amount, f"{name} 2")),
            lambda: settle(one),
            lambda: merge(one, other, name),
            lambda: change(one, chance.choice(["close", "reopen"])),
        ]
        weights = [4, 4, 4, 4, 3, 3 * bool(holds), bool(holds), 3 * bool(moved), 1, 2, 1, 0.08, 0.3]
        request = chance.choices(make, weights)[0]()
        if request.type == "hold":
            holds.append(request)
        elif request.type in ("topup", "spend", "transfer", "capture"):
            moved.append(request)
        return request

    async def move(writer: BatchWriter, name: str) -> list[Any]:
        answers: list[Any] = []
        for turn in range(40):
            answers += await writer.commit([next_request(f"{name} {turn} {n}") for n in range(chance.randint(1, 9))])
            if turn % 8 == 7:
                async with one_at_a_time:
                    await advance(connection, seconds=chance.choice([59, 60, 1000]))
        return answers

    async with writers(database_url, 3) as made:
        answers = await asyncio.wait_for(asyncio.gather(*(move(writer, f"{n}") for n, writer in enumerate(made))), 60)
        for each in [each for answer in answers for each in answer]:
            assert not isinstance(each, WalletError), each
        await assert_books_balance(connection)
        await advance(connection, days=400)
        assert await commit(made[0], *map(settle, wallets)) == [Settled()] * len(wallets)
    assert (
        await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'open' AND expires_at < ledger_now()") == 0
    )
    await assert_books_balance(connection)
