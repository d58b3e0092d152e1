"""Pages: their bounds, how they go on, and what is not found. On a real database, by way of storage.reads."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.storage.posting import commit_all, database_of, make_asset, make_wallets, spend, topup, writer_of
from wallet.errors import Malformed, NotFound
from wallet.ledger.model import HoldStatus
from wallet.service.reads.cursors import Cursors
from wallet.service.reads.filters import TransactionQuery, WalletQuery
from wallet.service.reads.lists import Reads
from wallet.service.reads.pages import Page, PageRequest, Pages
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.resources import ReadStore

Ask = Callable[[PageRequest], Coroutine[Any, Any, Page[Any]]]


class House(NamedTuple):
    """The reads of edges, over a ledger in which one wallet of a user had three top-ups and three refused spends."""

    reads: Reads
    user_id: UUID
    wallet_id: UUID
    store: ReadStore

    def reads_settled_by(self, settle: Callable[[UUID], Coroutine[Any, Any, None]]) -> Reads:
        return Reads(self.store, Pages(Cursors(b"k" * 32)), settle=settle)

    def list_named(self, name: str) -> Ask:
        """One of the lists, each of which has at least three rows."""
        return {
            "assets": self.reads.assets,
            "wallets_of_user": lambda page: self.reads.wallets_of_user(self.user_id, page),
            "transactions": self.reads.transactions,
            "ledger_entries": self.reads.ledger_entries,
            "entries_of_wallet": lambda page: self.reads.entries_of_wallet(self.wallet_id, page),
            "declines": lambda page: self.reads.declines("declined", page),
            "users": self.reads.users,
            "wallets": self.reads.wallets,
            "transactions of a wallet": lambda page: self.reads.transactions(
                page, TransactionQuery(wallet_id=self.wallet_id)
            ),
            "transactions of a type": lambda page: self.reads.transactions(page, TransactionQuery(type="topup")),
        }[name]


LISTS = (
    "assets", "wallets_of_user", "transactions", "ledger_entries", "entries_of_wallet", "declines", "users", "wallets",
    "transactions of a wallet", "transactions of a type",
)  # fmt: skip
WITH_OFFSET = ("transactions", "ledger_entries")


async def nothing_is_due(_: UUID) -> None:
    """Nothing falls due in these tests but where they say so."""


@pytest.fixture
async def house(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[House]:
    for code in ("GOLD", "TIN", "ZINC"):
        await make_asset(connection, code)
    wallet_id, *_ = await make_wallets(connection, "GOLD", 3)
    for _ in range(2):
        await make_wallets(connection, "TIN", 1)
    writer = writer_of(database_url)
    refused = [spend(wallet_id, 10**6)._replace(reference_id="declined") for _ in range(3)]
    await commit_all(writer, [topup(wallet_id, amount) for amount in (1, 2, 3)], refused)
    await writer.close()
    async with await database_of(database_url).pool("reads", connections_max=1) as pool:
        store = ReadStore(ShardPool(pool, seconds_max=30))
        reads = Reads(store, Pages(Cursors(await store.cursor_key())), settle=nothing_is_due)
        wallet = await reads.wallet(wallet_id)
        assert wallet.user_id is not None
        yield House(reads, wallet.user_id, wallet_id, store)


async def refused_field(asked: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(Malformed) as raised:
        await asked
    (error,) = raised.value.errors
    return error.field


@pytest.mark.parametrize("name", LISTS)
async def test_pages_add_up_to_the_list(house: House, name: str) -> None:
    ask = house.list_named(name)
    whole = await ask(PageRequest(limit=200))
    assert (whole.next, whole.has_more) == (None, False)
    page = await ask(PageRequest(limit=1))
    collected = list(page.data)
    while page.has_more:
        page = await ask(PageRequest(limit=1, cursor=page.next))
        collected += page.data
    assert page.next is None
    assert len(collected) >= 3
    assert collected == list(whole.data)


@pytest.mark.parametrize("name", WITH_OFFSET)
async def test_a_page_by_offset_goes_on_by_cursor(house: House, name: str) -> None:
    ask = house.list_named(name)
    whole = (await ask(PageRequest())).data
    page = await ask(PageRequest(limit=1, offset=1))
    following = await ask(PageRequest(limit=1, cursor=page.next))
    assert [*page.data, *following.data] == list(whole[1:3])


async def test_without_a_limit_a_page_has_twenty_rows(house: House, connection: asyncpg.Connection) -> None:
    for number in range(20):
        await make_asset(connection, f"COIN{number}")
    page = await house.reads.assets()
    assert (len(page.data), page.has_more) == (20, True)


@pytest.mark.parametrize("limit", [0, -1, 201, 2**70])
async def test_a_limit_out_of_bounds_is_malformed(house: House, limit: int) -> None:
    assert await refused_field(house.reads.assets(PageRequest(limit=limit))) == "limit"


@pytest.mark.parametrize("offset", [-1, 10_001, 2**70])
async def test_an_offset_out_of_bounds_is_malformed(house: House, offset: int) -> None:
    assert await refused_field(house.reads.transactions(PageRequest(offset=offset))) == "offset"


async def test_the_last_offset_allowed_is_answered(house: House) -> None:
    assert not (await house.reads.transactions(PageRequest(offset=10_000))).data


async def test_an_offset_that_is_too_large_points_to_the_cursor(house: House) -> None:
    with pytest.raises(Malformed, match="cursor"):
        await house.reads.ledger_entries(PageRequest(offset=10_001))


async def test_offset_and_cursor_together_are_malformed(house: House) -> None:
    cursor = (await house.reads.transactions(PageRequest(limit=1))).next
    assert await refused_field(house.reads.transactions(PageRequest(cursor=cursor, offset=0))) == "offset"


@pytest.mark.parametrize("name", sorted(set(LISTS) - set(WITH_OFFSET)))
async def test_lists_that_never_promised_an_offset_refuse_it(house: House, name: str) -> None:
    assert await refused_field(house.list_named(name)(PageRequest(offset=0))) == "offset"


@pytest.mark.parametrize("name", LISTS)
async def test_a_cursor_of_another_list_is_refused(house: House, name: str) -> None:
    other = house.list_named(LISTS[LISTS.index(name) - 1])
    cursor = (await other(PageRequest(limit=1))).next
    assert await refused_field(house.list_named(name)(PageRequest(cursor=cursor))) == "cursor"


async def test_a_cursor_of_another_wallet_is_refused(house: House) -> None:
    cursor = (await house.reads.entries_of_wallet(house.wallet_id, PageRequest(limit=1))).next
    asked = house.reads.entries_of_wallet(uuid4(), PageRequest(cursor=cursor))
    assert await refused_field(asked) == "cursor"


async def test_transactions_are_found_by_reference(house: House) -> None:
    newest = (await house.reads.transactions()).data[0]
    found = await house.reads.transactions(query=TransactionQuery(reference_id=newest.reference_id))
    assert list(found.data) == [newest]
    assert not (await house.reads.transactions(query=TransactionQuery(reference_id="unheard of"))).data


async def test_what_is_there_is_found(house: House) -> None:
    transaction = (await house.reads.transactions()).data[0]
    assert await house.reads.transaction(transaction.id) == transaction
    assert (await house.reads.user(house.user_id)).id == house.user_id
    asset = (await house.reads.assets()).data[0]
    assert await house.reads.asset(asset.id) == asset


@pytest.mark.parametrize("kind", ["user", "wallet", "transaction"])
async def test_what_is_not_there_is_not_found(house: House, kind: str) -> None:
    with pytest.raises(NotFound) as raised:
        await getattr(house.reads, kind)(uuid4())
    assert raised.value.code == f"{kind}_not_found"


@pytest.mark.parametrize("asset_id", [-1, 0, 99, 2**31, 2**70])
async def test_an_asset_that_is_not_there_is_not_found(house: House, asset_id: int) -> None:
    with pytest.raises(NotFound) as raised:
        await house.reads.asset(asset_id)
    assert raised.value.code == "asset_not_found"


async def test_a_list_of_something_that_is_not_there_is_not_found(house: House) -> None:
    with pytest.raises(NotFound) as of_user:
        await house.reads.wallets_of_user(uuid4())
    with pytest.raises(NotFound) as of_wallet:
        await house.reads.entries_of_wallet(uuid4())
    assert [of_user.value.code, of_wallet.value.code] == ["user_not_found", "wallet_not_found"]


async def test_an_empty_list_of_something_that_is_there_is_empty(house: House) -> None:
    empty = [each.id for each in (await house.reads.wallets_of_user(house.user_id)).data if each.id != house.wallet_id]
    page = await house.reads.entries_of_wallet(empty[0])
    assert (list(page.data), page.next, page.has_more) == ([], None, False)


async def test_what_is_read_of_a_wallet_is_settled_first(house: House, connection: asyncpg.Connection) -> None:
    settled: list[UUID] = []

    async def settle(wallet_id: UUID) -> None:
        settled.append(wallet_id)
        await connection.execute("UPDATE wallets SET next_due_at = NULL, version = 77 WHERE id = $1", wallet_id)

    reads = house.reads_settled_by(settle)
    wallet_id = house.wallet_id
    asked: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: reads.wallet(wallet_id),
        lambda: reads.wallets(query=WalletQuery(user_id=house.user_id)),
        lambda: reads.wallets_of_user(house.user_id),
        lambda: reads.holds(wallet_id),
        lambda: reads.lots(wallet_id),
        lambda: reads.entries_of_wallet(wallet_id),
        lambda: reads.transactions(query=TransactionQuery(wallet_id=wallet_id)),
    ]
    for ask in asked:
        await connection.execute("UPDATE wallets SET next_due_at = now(), version = 3 WHERE id = $1", wallet_id)
        answer = await ask()
        assert settled == [wallet_id]
        wallets = [each for each in getattr(answer, "data", [answer]) if getattr(each, "id", None) == wallet_id]
        assert all(each.version == 77 for each in wallets)
        settled.clear()


async def test_nothing_is_settled_where_a_wallet_or_hold_has_nothing_due(
    house: House, connection: asyncpg.Connection
) -> None:
    async def settle(_: UUID) -> None:
        raise AssertionError("settled")

    reads = house.reads_settled_by(settle)
    await connection.execute(
        "UPDATE wallets SET next_due_at = now() + interval '1 hour' WHERE id = $1", house.wallet_id
    )
    await reads.wallet(house.wallet_id)
    await reads.wallets()
    hold_id = uuid4()
    await connection.execute(
        "INSERT INTO holds (amount, created_at, asset_id, shard, capture_at_expiry, id, wallet_id, status, slice_lots,"
        " slice_amounts) VALUES (1, now(), 1, 0, false, $1, $2, 'open', '{}', '{}')",
        hold_id,
        house.wallet_id,
    )
    assert (await reads.hold(hold_id)).remaining == 1


async def test_a_hold_that_may_have_expired_is_settled_first(house: House, connection: asyncpg.Connection) -> None:
    hold_id = uuid4()

    async def settle(wallet_id: UUID) -> None:
        assert wallet_id == house.wallet_id
        await connection.execute("UPDATE holds SET released = 1, status = 'expired' WHERE id = $1", hold_id)

    await connection.execute(
        "INSERT INTO holds (amount, created_at, expires_at, asset_id, shard, capture_at_expiry, id, wallet_id, status,"
        " slice_lots, slice_amounts) VALUES (1, now(), now(), 1, 0, false, $1, $2, 'open', '{}', '{}')",
        hold_id,
        house.wallet_id,
    )
    assert (await house.reads_settled_by(settle).hold(hold_id)).status is HoldStatus.EXPIRED


@pytest.mark.parametrize(
    "query",
    [
        TransactionQuery(reference_id="a", type="topup"),
        TransactionQuery(reference_prefix="a", metadata={"a": "b"}),
        TransactionQuery(wallet_id=uuid4(), metadata={"a": "b"}),
        TransactionQuery(metadata={"a": "b", "c": "d"}),
    ],
)
async def test_filters_without_an_index_of_their_own_are_malformed(house: House, query: TransactionQuery) -> None:
    with pytest.raises(Malformed, match="cannot be combined"):
        await house.reads.transactions(query=query)
