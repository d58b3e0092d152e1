"""Claims in the database: stored, found again and answered again as they were, and redeemed by several at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    advance,
    again,
    assert_books_balance,
    balances,
    cancel,
    claim,
    insert_ledger,
    make_ledger,
    merge,
    new_ledger,
    new_writer,
    promotional,
    redeem,
    refund,
    settle,
    soon,
    topup,
    until_waiting,
)
from tests.storage.tcp_proxy import is_commit, proxy_to
from wallet.errors import InvariantViolated
from wallet.ledger.model import Claim, HoldStatus
from wallet.ledger.outcomes import Applied, Refused, Replayed
from wallet.ledger.requests import Options, Request
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.verify.ledger import verify


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(4))


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[BatchWriter]:
    async with new_writer(database_url) as writer:
        yield writer


async def commit(writer: BatchWriter, *batch: Request) -> list[Any]:
    return list(await soon(writer.commit(batch)))


def codes(answers: Sequence[Any]) -> list[str]:
    return [each.code.value if isinstance(each, Refused) else type(each).__name__.lower() for each in answers]


async def assert_sound(dsn: str) -> None:
    assert (await verify(dsn, on_progress=lambda progress: None)).findings == ()


async def test_claims_and_redemptions_are_stored_and_answered_again_as_they_were(each_database_url: str) -> None:
    async with new_ledger(each_database_url, 4) as (connection, ledger), new_writer(each_database_url) as writer:
        alice, bob, carol, dora = ledger.wallets
        once = claim(alice, 5, "k1", uses=3, once_per_user=True)
        other = claim(alice, 4, "k2", uses=2, expires_in_seconds=60)
        batches: Sequence[Sequence[Any]] = (
            [promotional(alice, 12, "t", expires_in_seconds=3600), topup(alice, 88, "t2"), once, other],
            [redeem(once.id, bob, "r1"), redeem(once.id, carol, "r2"), redeem(other.id, dora, "r3")],
            [cancel(once.id, "c1"), merge(alice, dora, "m")],
            [redeem(other.id, bob, "r4")],
        )
        first = [answer for batch in batches for answer in await commit(writer, *batch)]
        assert codes(first) == ["applied"] * len(first)
        repeated = [answer for batch in batches for answer in await commit(writer, *map(again, batch))]
        assert repeated == [Replayed(answer.posted) for answer in first]
        # A second look at the same tries finds them as they were, too.
        assert [answer for batch in batches for answer in await commit(writer, *batch)] == first
        rows = await connection.fetch("SELECT id, amount, uses, once_per_user, code_hash FROM claims ORDER BY id")
        assert [tuple(row) for row in rows] == [
            (each.id, each.amount, each.uses, each.once_per_user, each.code_hash) for each in (once, other)
        ]
        noted = await connection.fetch("SELECT claim_id, transaction_id FROM claim_redemptions ORDER BY transaction_id")
        assert [tuple(row) for row in noted] == [(once.id, first[4].posted.id), (once.id, first[5].posted.id)]
        assert await balances(connection, ledger) == [0, 9, 5, 86]
        await assert_sound(each_database_url)


async def test_what_was_stored_of_a_claim_decides_the_next_redemption(ledger: Ledger, writer: BatchWriter) -> None:
    alice, bob, carol, _ = ledger.wallets
    place = claim(alice, 5, "k", uses=2, once_per_user=True)
    await commit(writer, topup(alice, 100, "t"), place)
    assert codes(await commit(writer, redeem(place.id, bob, "a"))) == ["applied"]
    assert codes(await commit(writer, redeem(place.id, bob, "b"))) == ["already_redeemed"]
    [applied] = await commit(writer, redeem(place.id, carol, "c"))
    hold = applied.posted.details.hold
    assert (hold.status, hold.remaining) == (HoldStatus.CAPTURED, 0)
    assert hold.claim == Claim(5, 2, True, place.code_hash)
    assert codes(await commit(writer, redeem(place.id, carol, "d"))) == ["claim_closed"]


async def test_a_second_wallet_of_one_user_is_no_second_user(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, dora = ledger.wallets
    await connection.execute("UPDATE wallets SET user_id = NULL WHERE id = $1", dora)
    await connection.execute(
        "UPDATE wallets SET user_id = (SELECT user_id FROM wallets WHERE id = $1) WHERE id = $2", bob, carol
    )
    place = claim(alice, 5, "k", uses=3, once_per_user=True)
    await commit(writer, topup(alice, 100, "t"), place)
    answers = await commit(
        writer, redeem(place.id, bob, "a"), redeem(place.id, carol, "b"), redeem(place.id, dora, "c")
    )
    assert codes(answers) == ["applied", "already_redeemed", "wallet_without_user"]
    assert codes(await commit(writer, redeem(place.id, carol, "d"))) == ["already_redeemed"]


async def test_a_redemption_that_is_only_tried_leaves_nothing(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    place = claim(alice, 5, "k", once_per_user=True)
    await commit(writer, topup(alice, 100, "t"), place)
    dry = Options(dry_run=True)
    foretold = await commit(writer, claim(alice, 5, "k2", options=dry), redeem(place.id, bob, "a", options=dry))
    assert codes(foretold) == ["predicted", "predicted"]
    assert await connection.fetchval("SELECT count(*) FROM claims") == 1
    assert await connection.fetchval("SELECT count(*) FROM claim_redemptions") == 0
    assert codes(await commit(writer, redeem(place.id, bob, "a"))) == ["applied"]


async def test_a_claim_is_over_at_the_instant_of_its_expiry(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    place = claim(alice, 5, "k", uses=3, expires_in_seconds=60)
    await commit(writer, topup(alice, 100, "t"), place, redeem(place.id, bob, "a"))
    await advance(connection, seconds=60)
    assert codes(await commit(writer, redeem(place.id, bob, "b"), cancel(place.id, "c"))) == ["claim_closed"] * 2
    status, expired_at = await connection.fetchrow(
        "SELECT h.status, t.effective_at - h.created_at FROM holds AS h"
        " JOIN transactions AS t ON t.hold_id = h.id AND t.type = 'expiry'"
    )
    assert (status, expired_at.total_seconds()) == ("expired", 60)
    await commit(writer, settle(alice))
    assert await balances(connection, ledger) == [95, 5, 0, 0]
    await assert_sound(database_url)


async def test_of_a_hundred_racing_redemptions_as_many_are_applied_as_there_are_uses(
    connection: asyncpg.Connection, database_url: str
) -> None:
    ledger = await insert_ledger(connection, make_ledger(101))
    giver, *takers = ledger.wallets
    place = claim(giver, 3, "k", uses=40)
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(new_writer(database_url)) for _ in range(2)]
        await commit(here, topup(giver, 120, "t"), place)

        async def one_by_one(writer: BatchWriter, wallets: Sequence[Any]) -> list[Any]:
            answers = []
            for start in range(0, len(wallets), 5):
                answers += await commit(writer, *(redeem(place.id, each, f"r {each}") for each in wallets[start:][:5]))
            return answers

        answers = await asyncio.gather(one_by_one(here, takers[:50]), one_by_one(there, takers[50:]))
    assert Counter(codes([*answers[0], *answers[1]])) == {"applied": 40, "claim_closed": 60}
    held, captured = await connection.fetchrow(
        "SELECT w.held, h.captured FROM wallets AS w JOIN holds AS h ON h.wallet_id = w.id"
    )
    assert (held, captured) == (0, 120)
    await assert_books_balance(connection)
    await assert_sound(database_url)


async def test_of_two_racing_redemptions_by_one_user_exactly_one_is_applied(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, carol, _ = ledger.wallets
    await connection.execute(
        "UPDATE wallets SET user_id = (SELECT user_id FROM wallets WHERE id = $1) WHERE id = $2", bob, carol
    )
    places = [claim(alice, 1, f"k{n}", uses=9, once_per_user=True) for n in range(20)]
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(new_writer(database_url)) for _ in range(2)]
        await commit(here, topup(alice, 1000, "t"), *places)
        for number, place in enumerate(places):
            mine, theirs = await asyncio.gather(
                commit(here, redeem(place.id, bob, f"a{number}")), commit(there, redeem(place.id, carol, f"b{number}"))
            )
            assert sorted(codes([*mine, *theirs])) == ["already_redeemed", "applied"]
    assert await connection.fetchval("SELECT count(*) FROM claim_redemptions") == 20
    await assert_sound(database_url)


async def test_redemption_against_cancellation_either_wins_and_never_both(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    places = [claim(alice, 5, f"k{n}") for n in range(20)]
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(new_writer(database_url)) for _ in range(2)]
        await commit(here, topup(alice, 100, "t"), *places)
        for number, place in enumerate(places):
            redeemed, cancelled = await asyncio.gather(
                commit(here, redeem(place.id, bob, f"r{number}")), commit(there, cancel(place.id, f"c{number}"))
            )
            assert sorted(codes([*redeemed, *cancelled])) == ["applied", "claim_closed"]
    assert await connection.fetchval("SELECT held FROM wallets WHERE id = $1", alice) == 0
    await assert_sound(database_url)


async def test_a_redemption_whose_claim_is_merged_away_while_it_waits_begins_anew(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, carol, _ = ledger.wallets
    place = claim(alice, 5, "k")
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(new_writer(database_url)) for _ in range(2)]
        await commit(here, topup(alice, 100, "t"), place)
        await connection.execute("BEGIN")
        await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
        merging = asyncio.create_task(commit(here, merge(alice, carol, "m")))
        watch = await asyncpg.connect(database_url)
        await until_waiting(watch, "Lock", sessions=1)
        redeeming = asyncio.create_task(commit(there, redeem(place.id, bob, "r")))
        await until_waiting(watch, "Lock", sessions=2)
        await connection.execute("ROLLBACK")
        assert codes([*await merging, *await redeeming]) == ["applied", "applied"]
        await watch.close()
    assert await balances(connection, ledger) == [0, 5, 95, 0]
    await assert_sound(database_url)


async def test_a_lost_answer_to_a_redemption_is_found_again_and_consumes_one_use(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    place = claim(alice, 5, "k", uses=9, once_per_user=True)
    async with new_writer(database_url) as sure:
        await commit(sure, topup(alice, 100, "t"))
    async with proxy_to(database_url) as proxy, new_writer(proxy.dsn) as writer:
        for request in (place, redeem(place.id, bob, "r")):
            trap = proxy.trap(is_commit, let_through=True)
            waiting = asyncio.create_task(writer.commit([request]))
            await soon(trap.answered.wait())
            trap.cut()
            [answer] = await soon(waiting)
            assert isinstance(answer, Applied)
            assert answer.posted.id == request.id
    assert await balances(connection, ledger) == [95, 5, 0, 0]
    assert await connection.fetchval("SELECT count(*) FROM claim_redemptions") == 1


async def test_a_refund_of_a_redemption_takes_from_the_wallet_and_gives_no_use_back(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    place, taken = claim(alice, 5, "k", uses=2, once_per_user=True), "r"
    await commit(writer, promotional(alice, 20, "t"), place)
    [applied] = await commit(writer, redeem(place.id, bob, taken))
    assert codes(await commit(writer, refund(applied.posted.id, "b"))) == ["applied"]
    assert codes(await commit(writer, redeem(place.id, bob, "s"))) == ["already_redeemed"]
    assert await balances(connection, ledger) == [20, 0, 0, 0]
    assert await connection.fetchval("SELECT remaining FROM lots WHERE wallet_id = $1", alice) == 20
    await assert_sound(database_url)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE claims SET code_hash = sha256('x')",
        "DELETE FROM claims",
        "TRUNCATE claims",
        "UPDATE claim_redemptions SET user_id = claim_id",
        "DELETE FROM claim_redemptions",
    ],
)
async def test_terms_and_redemptions_cannot_be_changed(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, sql: str
) -> None:
    alice, bob, *_ = ledger.wallets
    place = claim(alice, 5, "k", once_per_user=True)
    await commit(writer, topup(alice, 100, "t"), place, redeem(place.id, bob, "r"))
    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute(sql)
    assert refused.value.sqlstate == "WL001"


async def test_no_two_claims_have_one_code(connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter) -> None:
    alice, *_ = ledger.wallets
    await commit(writer, topup(alice, 100, "t"), claim(alice, 5, "k", code_hash=bytes(32)))
    with pytest.raises(InvariantViolated, match="claims_code_hash_uq"):
        await commit(writer, claim(alice, 5, "l", code_hash=bytes(32)))
    assert await connection.fetchval("SELECT count(*) FROM holds") == 1
