"""Lists over some wallets: each transaction once, in one order whatever the pages, and nothing of any other wallet."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.storage.mixed_traffic import MixedTraffic
from tests.storage.posting import database_of, make_asset, make_wallets, topup, transfer, writer_of
from wallet.ledger.model import Posted
from wallet.ledger.outcomes import Applied
from wallet.ledger.requests import Capture, Merge, PlaceHold, Post, Request, Void
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.places import LinePlace, Place
from wallet.storage.reads.resources import ReadStore
from wallet.storage.reads.walks import TransactionFilter


class House(NamedTuple):
    store: ReadStore
    writer: BatchWriter
    wallets: Sequence[UUID]

    async def post(self, *requests: Request) -> list[Posted]:
        """One batch: all at one instant."""
        answers = await self.writer.commit(list(requests))
        assert all(isinstance(answer, Applied) for answer in answers), answers
        return [answer.posted for answer in answers]  # type: ignore[union-attr]


async def walked(
    store: ReadStore, own: Sequence[UUID], *, limit: int = 2, lines_max: int = 3, **wanted: Any
) -> list[Posted]:
    """All that is found, by walks of few lines."""
    before: Place | None = None
    found: list[Posted] = []
    while True:
        rows, before = await store.transactions(
            TransactionFilter(**wanted), own=own, before=before, limit=limit, lines_max=lines_max
        )
        found += rows
        if before is None:
            return found


@pytest.fixture
async def house(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[House]:
    await make_asset(connection, "GOLD")
    wallets = await make_wallets(connection, "GOLD", 4)
    writer = writer_of(database_url)
    async with await database_of(database_url).pool("reads", connections_max=1) as pool:
        yield House(ReadStore(ShardPool(pool, seconds_max=30)), writer, wallets)
    await writer.close()


def hold(wallet_id: UUID, amount: int, *, target: UUID | None = None) -> PlaceHold:
    id_ = uuid4()
    return PlaceHold(id_, "api", str(id_), b"\x01", wallet_id, "GOLD", amount, target)


def on_hold(kind: type[Capture] | type[Void], hold_id: UUID) -> Any:
    id_ = uuid4()
    return kind(id=id_, origin="api", reference_id=str(id_), fingerprint=b"\x01", hold_id=hold_id)


async def test_lines_of_one_instant_on_several_wallets_are_shown_once_each(house: House) -> None:
    first, second, third, _ = house.wallets
    posts: list[Post] = [topup(wallet, 100) for wallet in house.wallets]
    posts += [transfer(*pair, 1) for pair in ((first, second), (second, first), (second, third), (third, first))] * 2
    posts = [post._replace(id=uuid4(), reference_id=str(uuid4())) for post in posts]
    posted = await house.post(*posts)
    own = sorted((first, second))
    expected = {each.id for each in posted if {first, second} & {entry.wallet_id for entry in each.entries}}
    whole = await walked(house.store, own, limit=200, lines_max=200)
    assert len(whole) == len(expected)
    assert {each.id for each in whole} == expected
    for limit, lines_max in ((1, 1), (2, 3), (3, 5), (5, 2)):
        assert await walked(house.store, own, limit=limit, lines_max=lines_max) == whole
    for skip, lines_max in ((0, 2), (3, 2), (3, 99), (5, 99), (99, 2)):
        rows, end = await house.store.transactions(
            TransactionFilter(), own=own, limit=2, skip=skip, lines_max=lines_max
        )
        found = [*rows]
        if len(found) < 2 and end is not None:
            rest = await house.store.transactions(TransactionFilter(), own=own, before=end, limit=2 - len(found))
            found += rest.rows
        assert found == whole[skip : skip + 2]


async def test_steps_of_holds_are_shown_once_with_what_they_move(house: House) -> None:
    first, second, third, _ = house.wallets
    (funded,) = await house.post(topup(first, 100))
    (placed,) = await house.post(hold(first, 30, target=second))
    (captured,) = await house.post(on_hold(Capture, placed.id))
    (other,) = await house.post(hold(first, 20, target=third))
    (voided,) = await house.post(on_hold(Void, other.id))
    merge = Merge(uuid4(), "api", str(uuid4()), b"\x01", first, second)
    (open_hold,) = await house.post(hold(first, 5))
    (merged,) = await house.post(merge)
    everything = [funded, placed, captured, other, voided, open_hold, merged][::-1]
    for own in (sorted((first, second)), [first]):
        for limit, lines_max in ((1, 1), (2, 3), (9, 99)):
            found = await walked(house.store, own, limit=limit, lines_max=lines_max)
            assert [each.id for each in found] == [each.id for each in everything]
    of_second = await walked(house.store, [second])
    assert [each.id for each in of_second] == [merged.id, captured.id]
    until = merged.created_at
    assert len(await walked(house.store, [first], until=until)) == 6
    assert len(await walked(house.store, [first], until=until + timedelta(hours=1))) == 7
    since = open_hold.created_at
    assert [each.id for each in await walked(house.store, [first], since=since)] == [merged.id, open_hold.id]


async def test_a_reference_is_found_where_one_of_the_wallets_takes_part(house: House) -> None:
    first, second, third, fourth = house.wallets
    await house.post(*(topup(each, 100) for each in house.wallets))
    same = [
        transfer(source, target, 1)._replace(origin=origin, reference_id="same")
        for origin, source, target in (("a", first, second), ("b", third, fourth), ("c", third, first))
    ]
    posted = [(await house.post(each))[0] for each in same]
    found, _ = await house.store.transactions(TransactionFilter(reference_id="same"), own=[first], limit=9)
    assert found == [posted[2], posted[0]]
    assert await house.store.transactions(TransactionFilter(reference_id="other"), own=[first], limit=9) == ((), None)
    assert await walked(house.store, [first], reference_id="same") == found
    assert await walked(house.store, [fourth], reference_prefix="sam") == [posted[1]]


async def test_random_ledgers_are_walked_to_the_end(database_url: str, connection: asyncpg.Connection) -> None:
    traffic = MixedTraffic(database_url, connection, seed=20)
    await traffic.begin()
    await traffic.run(batches=25)
    rows = await connection.fetch(
        "SELECT DISTINCT wallet_id, transaction_id FROM ("
        " SELECT wallet_id, transaction_id FROM ledger_entries UNION ALL"
        " SELECT wallet_id, transaction_id FROM hold_steps) AS line"
    )
    async with await database_of(database_url).pool("reads", connections_max=1) as pool:
        store = ReadStore(ShardPool(pool, seconds_max=30))
        for own in (traffic.wallets["GOLD"][:3], [*traffic.wallets["GOLD"][3:6], *traffic.wallets["GEMS"][:2]]):
            expected = {row["transaction_id"] for row in rows if row["wallet_id"] in own}
            found = await walked(store, sorted(own), limit=5, lines_max=7)
            assert len(found) == len(expected)
            assert {each.id for each in found} == expected
            assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)
            entries = await _all_entries(store, sorted(own))
            assert {each.wallet_id for each in entries} <= set(own)
            whole = await connection.fetchval("SELECT count(*) FROM ledger_entries WHERE wallet_id = ANY($1)", own)
            assert len(entries) == len({(each.wallet_id, each.position) for each in entries}) == whole


async def _all_entries(store: ReadStore, own: Sequence[UUID]) -> list[Any]:
    entries: list[Any] = []
    before = None
    while page := await store.entries_of_wallets(own, before=before, limit=4, skip=0):
        entries += page
        before = LinePlace(page[-1].created_at, page[-1].wallet_id, page[-1].position)
    return entries
