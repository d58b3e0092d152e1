"""Atomic groups on the write path when things go wrong: a group is halved by nobody, and hurts nobody else."""

import asyncio

import asyncpg
import pytest

from tests.storage.ledgers import (
    Ledger,
    again,
    assert_books_balance,
    balances,
    group,
    insert_ledger,
    make_ledger,
    new_writer,
    references,
    soon,
    spend,
    topup,
    transfer,
)
from tests.storage.tcp_proxy import is_commit, proxy_to
from wallet.errors import BadData, StorageUnavailable
from wallet.ledger.outcomes import Applied, Grouped, Refused, Replayed
from wallet.ledger.requests import Group
from wallet.storage.batch.writer import OutcomeOrError


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(4))


def kinds(answer: OutcomeOrError) -> list[type]:
    assert isinstance(answer, Grouped), answer
    return [type(each) for each in answer.outcomes]


def same_again(request: Group) -> Group:
    return request._replace(items=tuple(again(item) for item in request.items))  # type: ignore[arg-type]


async def test_a_value_that_only_the_database_refuses_fails_its_group_and_no_neighbour(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    bad = group(topup(alice, 1, "in the bad group"), topup(alice, 1, "with\0nul"), topup(bob, 1, "in it, too"))
    good = group(topup(alice, 2, "a"), transfer(alice, bob, 1, "b"))
    async with new_writer(database_url) as writer:
        answers = await soon(writer.commit([topup(bob, 5, "first"), good, bad, topup(bob, 5, "last")]))
    assert [type(answer) for answer in answers] == [Applied, Grouped, BadData, Applied]
    assert sorted(await references(connection)) == ["a", "b", "first", "last"]
    await assert_books_balance(connection)


async def test_a_wallet_held_by_another_session_stops_the_groups_that_name_it(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, carol, _ = ledger.wallets
    batch = [group(topup(bob, 1, "1"), topup(alice, 1, "2")), group(topup(bob, 1, "3"), topup(carol, 1, "4"))]
    async with new_writer(database_url, lock_timeout_ms=50) as writer:
        async with connection.transaction():
            await connection.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", alice)
            answers = await soon(writer.commit(batch))
        assert isinstance(answers[0], StorageUnavailable)
        assert kinds(answers[1]) == [Applied, Applied]
        first, second = await soon(writer.commit([same_again(each) for each in batch]))
    assert (kinds(first), kinds(second)) == ([Applied, Applied], [Replayed, Replayed])
    await assert_books_balance(connection)


@pytest.mark.parametrize("reached", [True, False], ids=["it had reached the server", "it never did"])
async def test_a_lost_answer_to_the_commit_of_a_group_is_asked_for(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str, reached: bool
) -> None:
    alice, bob, *_ = ledger.wallets
    known = topup(alice, 1, "known")
    async with proxy_to(database_url) as proxy, new_writer(proxy.dsn) as writer:
        await soon(writer.commit([known]))
        trap = proxy.trap(is_commit, let_through=reached)
        request = group(topup(alice, 10, "a"), transfer(alice, bob, 6, "b"), again(known))
        answers = asyncio.create_task(writer.commit([request]))
        await soon((trap.answered if reached else trap.sprung).wait())
        trap.cut()
        assert kinds((await soon(answers))[0]) == [Applied, Applied, Replayed]
    assert (await balances(connection, ledger))[:2] == [5, 6]
    await assert_books_balance(connection)


async def test_the_same_group_in_two_processes_at_once_is_applied_once(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    # To system wallets only, so that nothing but the references stands between them.
    asset = ledger.asset
    request = group(*(topup(asset.revenue, 1, f"{number}") for number in range(50)))
    async with new_writer(database_url) as one, new_writer(database_url) as two:
        for _ in range(2):
            answers = await soon(asyncio.gather(one.commit([request]), two.commit([same_again(request)])))
    assert {kind for answer in answers for kind in kinds(answer[0])} <= {Applied, Replayed}
    assert sorted(await references(connection)) == sorted(f"{number}" for number in range(50))
    await assert_books_balance(connection)


async def test_a_refused_group_leaves_one_decline_and_its_neighbours_alone(
    connection: asyncpg.Connection, ledger: Ledger, database_url: str
) -> None:
    alice, bob, *_ = ledger.wallets
    refused = group(topup(alice, 10, "a"), spend(bob, 6, "b"), spend(bob, 7, "c"))
    async with new_writer(database_url) as writer:
        before, answer, after = await soon(writer.commit([topup(bob, 5, "before"), refused, spend(bob, 5, "after")]))
    assert (type(before), type(after)) == (Applied, Applied)
    assert kinds(answer) == [Refused] * 3
    assert sorted(await references(connection)) == ["after", "before"]
    declined = await connection.fetch("SELECT reference_id FROM declines")
    assert [row["reference_id"] for row in declined] == ["b"]
    await assert_books_balance(connection)
