"""Programmes and attachments, what is found to be due, and the sandbox's clock: on a real database, without batches."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.posting import database_of, make_asset, make_wallets
from wallet.errors import AlreadyExists, NotFound, StorageUnavailable
from wallet.ledger.model import LotCategory
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.connections.shard import Shard
from wallet.storage.registry.programmes import Attached, Programme, ProgrammeStore, Terms
from wallet.storage.upkeep.clock import advance_clock, read_clock, try_lock_clock
from wallet.storage.upkeep.due import (
    find_due_grants,
    find_due_wallets,
    find_first_grant,
    look_ahead,
    stop_attachments,
)

THEN = datetime(2024, 1, 31, 12, tzinfo=UTC)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2999, 1, 1, tzinfo=UTC)


def terms(**fields: Any) -> Terms:
    plain: dict[str, Any] = {
        "asset_code": "GOLD",
        "amount": 10,
        "per": "day",
        "rollover_max": None,
        "expires_in_seconds": None,
        "category": LotCategory.PROMOTIONAL,
        "priority": 50,
        "ends_at": None,
    }
    return Terms(**plain | fields)


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[ProgrammeStore]:
    database = database_of(database_url, lock_timeout_ms=50)
    pool = await database.pool("test", connections_max=2)
    yield ProgrammeStore(ShardPool(pool, seconds_max=10))
    pool.terminate()


@pytest_asyncio.fixture
async def wallets(connection: asyncpg.Connection) -> list[UUID]:
    """Three wallets of GOLD, ascending."""
    await make_asset(connection, "GOLD")
    return sorted(await make_wallets(connection, "GOLD", 3))


async def made(store: ProgrammeStore, **fields: Any) -> Programme:
    return (await store.create(terms(**fields))).resource


async def attached(store: ProgrammeStore, programme: Programme, wallet: UUID) -> Attached:
    answer = await store.attach(programme.id, wallet)
    assert not isinstance(answer, Refused), answer
    return answer.resource


async def let_be_due(connection: asyncpg.Connection, wallet: UUID, at: datetime | None) -> None:
    await connection.execute("UPDATE wallets SET next_due_at = $2 WHERE id = $1", wallet, at)


async def let_start(connection: asyncpg.Connection, attachment: Attached, at: datetime) -> None:
    await connection.execute(
        "UPDATE programme_wallets SET next_at = $3 WHERE programme_id = $1 AND wallet_id = $2",
        attachment.programme_id,
        attachment.wallet_id,
        at,
    )


# Programmes


async def test_a_programme_is_read_as_it_was_made(store: ProgrammeStore, wallets: list[UUID]) -> None:
    wanted = terms(
        amount=2**63 - 1, per="month", rollover_max=0, expires_in_seconds=60, category=LotCategory.PAID, priority=0,
        ends_at=FAR_AHEAD,
    )  # fmt: skip
    created = await store.create(wanted)
    assert not created.existed
    assert created.resource.terms == wanted
    assert not created.resource.is_over
    assert await store.programme(created.resource.id) == created.resource


async def test_the_same_id_and_terms_are_the_same_programme(store: ProgrammeStore, wallets: list[UUID]) -> None:
    id_ = uuid4()
    first = await store.create(terms(), programme_id=id_)
    again = await store.create(terms(), programme_id=id_)
    assert (first.existed, again.existed) == (False, True)
    assert again.resource == first.resource


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 11}, {"per": "week"}, {"rollover_max": 0}, {"expires_in_seconds": 1}, {"priority": 51},
        {"category": LotCategory.PAID}, {"ends_at": FAR_AHEAD}, {"asset_code": "IRON"},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
async def test_an_id_belongs_to_one_programme(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID], other: dict[str, Any]
) -> None:
    await make_asset(connection, "IRON")
    id_ = uuid4()
    await store.create(terms(), programme_id=id_)
    with pytest.raises(AlreadyExists):
        await store.create(terms(**other), programme_id=id_)


async def test_a_programme_needs_an_asset(store: ProgrammeStore) -> None:
    with pytest.raises(NotFound) as raised:
        await store.create(terms(asset_code="NONE"))
    assert raised.value.code == "asset_not_found"


async def test_programmes_are_listed_by_id(store: ProgrammeStore, wallets: list[UUID]) -> None:
    ids = sorted([(await made(store)).id for _ in range(3)])
    assert [each.id for each in await store.programmes(after=None, limit=2)] == ids[:2]
    assert [each.id for each in await store.programmes(after=ids[1], limit=2)] == ids[2:]


async def test_a_programme_ends_when_it_is_ended_first(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store, ends_at=FAR_AHEAD)
    ended = await store.end(programme.id)
    assert ended.is_over
    assert await store.end(programme.id) == ended
    assert ended.terms.ends_at is not None
    assert ended.terms.ends_at < FAR_AHEAD


async def test_a_programme_that_was_ended_is_still_the_one_that_was_asked_for(
    store: ProgrammeStore, wallets: list[UUID]
) -> None:
    for ends_at in (None, FAR_AHEAD):
        programme = await made(store, ends_at=ends_at)
        ended = await store.end(programme.id)
        again = await store.create(terms(ends_at=ends_at), programme_id=programme.id)
        assert (again.resource, again.existed) == (ended, True)
        with pytest.raises(AlreadyExists):
            await store.create(terms(ends_at=LONG_AGO), programme_id=programme.id)


async def test_what_does_not_exist_is_not_found(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store)
    for question in (
        store.programme(uuid4()),
        store.end(uuid4()),
        store.attach(uuid4(), wallets[0]),
        store.detach(programme.id, wallets[0]),
        store.attached(programme.id, wallets[0]),
    ):
        with pytest.raises(NotFound) as raised:
            await question
        assert raised.value.code == "programme_not_found"


# Attachments


async def test_the_first_period_starts_when_a_wallet_is_attached(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store)
    before = (await read_clock(connection)).now
    attachment = await attached(store, programme, wallets[0])
    assert before <= attachment.anchor_at <= (await read_clock(connection)).now
    assert (attachment.next_at, attachment.next_period) == (attachment.anchor_at, 0)
    assert attachment.ended_at is None


async def test_attaching_again_changes_nothing(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store)
    first = await store.attach(programme.id, wallets[0])
    again = await store.attach(programme.id, wallets[0])
    assert not isinstance(first, Refused)
    assert not isinstance(again, Refused)
    assert (first.existed, again.existed) == (False, True)
    assert again.resource == first.resource


async def test_a_detached_wallet_is_granted_nothing_more(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store)
    await attached(store, programme, wallets[0])
    detached = await store.detach(programme.id, wallets[0])
    assert detached.ended_at is not None
    assert detached.next_at is None
    assert await store.detach(programme.id, wallets[0]) == detached


async def test_a_wallet_that_is_attached_again_begins_anew(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store)
    first = await attached(store, programme, wallets[0])
    await connection.execute("UPDATE programme_wallets SET next_period = 7")
    await store.detach(programme.id, wallets[0])
    again = await attached(store, programme, wallets[0])
    assert again.anchor_at > first.anchor_at
    assert (again.next_period, again.next_at, again.ended_at) == (0, again.anchor_at, None)


async def test_a_programme_that_has_ended_starts_no_period(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store, ends_at=LONG_AGO)
    assert (await attached(store, programme, wallets[0])).next_at is None


async def test_a_period_after_the_end_is_not_shown(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme = await made(store)
    attachment = await attached(store, programme, wallets[0])
    await store.end(programme.id)
    assert (await store.attached(programme.id, wallets[0])).next_at == attachment.next_at
    other = await made(store, ends_at=FAR_AHEAD)
    assert (await attached(store, other, wallets[0])).next_at is not None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE wallets SET closed_at = now() WHERE id = $1", RefusalCode.WALLET_CLOSED),
        (
            "UPDATE wallets SET closed_at = now(), merged_into = gen_random_uuid() WHERE id = $1",
            RefusalCode.WALLET_MERGED,
        ),
        (
            "UPDATE wallets SET asset_id = (SELECT id FROM assets WHERE code = 'IRON') WHERE id = $1",
            RefusalCode.ASSET_MISMATCH,
        ),
    ],
)
async def test_only_an_open_wallet_of_the_asset_is_attached(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID], change: str, code: RefusalCode
) -> None:
    await make_asset(connection, "IRON")
    programme = await made(store)
    await connection.execute(change, wallets[0])
    refused = await store.attach(programme.id, wallets[0])
    assert isinstance(refused, Refused)
    assert (refused.code, refused.wallet_id) == (code, wallets[0])
    assert await store.attached_wallets(programme.id, after=None, limit=9) == []


async def test_no_system_wallet_and_no_strange_one_is_attached(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store)
    treasury = await connection.fetchval("SELECT treasury_wallet_id FROM assets")
    for wallet, code in ((treasury, RefusalCode.SYSTEM_WALLET), (uuid4(), RefusalCode.WALLET_NOT_FOUND)):
        refused = await store.attach(programme.id, wallet)
        assert isinstance(refused, Refused)
        assert refused.code is code


async def test_attaching_and_detaching_wait_for_whoever_has_the_wallet(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store)
    await attached(store, programme, wallets[1])
    async with connection.transaction():
        await connection.execute("SELECT FROM wallets FOR NO KEY UPDATE")
        with pytest.raises(StorageUnavailable):
            await store.attach(programme.id, wallets[0])
        with pytest.raises(StorageUnavailable):
            await store.detach(programme.id, wallets[1])
    assert (await attached(store, programme, wallets[0])).ended_at is None


async def test_the_wallets_of_a_programme_are_listed_by_id(store: ProgrammeStore, wallets: list[UUID]) -> None:
    programme, other = await made(store), await made(store)
    for wallet in reversed(wallets):
        await attached(store, programme, wallet)
    await attached(store, other, wallets[0])
    await store.detach(programme.id, wallets[1])
    listed = await store.attached_wallets(programme.id, after=None, limit=2)
    assert [(each.wallet_id, each.ended_at is None) for each in listed] == [(wallets[0], True), (wallets[1], False)]
    rest = await store.attached_wallets(programme.id, after=wallets[1], limit=2)
    assert [each.wallet_id for each in rest] == wallets[2:]


# Due steps


async def test_where_nothing_is_due_there_is_nothing_to_see(
    connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    outlook = await look_ahead(Shard(connection))
    assert (outlook.oldest_at, outlook.next_at, outlook.is_anything_due) == (None, None, False)
    assert await find_due_wallets(Shard(connection), without=(), limit=9) == []
    assert await find_due_grants(Shard(connection), without=(), limit=9) == []


async def test_the_outlook_is_over_wallets_and_periods(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    attachment = await attached(store, await made(store), wallets[0])
    await let_start(connection, attachment, THEN)
    await let_be_due(connection, wallets[1], THEN + timedelta(days=1))
    await let_be_due(connection, wallets[2], FAR_AHEAD)
    outlook = await look_ahead(Shard(connection))
    assert (outlook.oldest_at, outlook.next_at, outlook.is_anything_due) == (THEN, FAR_AHEAD, True)
    await let_start(connection, attachment, FAR_AHEAD - timedelta(days=1))
    outlook = await look_ahead(Shard(connection))
    assert outlook.oldest_at == THEN + timedelta(days=1)
    assert outlook.next_at == FAR_AHEAD - timedelta(days=1)


async def test_due_wallets_come_the_longest_due_first(connection: asyncpg.Connection, wallets: list[UUID]) -> None:
    for days, wallet in zip((2, 0, 1), wallets, strict=True):
        await let_be_due(connection, wallet, THEN + timedelta(days=days))
    found = await find_due_wallets(Shard(connection), without=(), limit=2)
    assert [each.id for each in found] == [wallets[1], wallets[2]]
    assert found[0].due_at == THEN
    found = await find_due_wallets(Shard(connection), without=[wallets[1]], limit=2)
    assert [each.id for each in found] == [wallets[2], wallets[0]]


async def test_a_wallet_that_will_be_due_is_not_due(connection: asyncpg.Connection, wallets: list[UUID]) -> None:
    await let_be_due(connection, wallets[0], FAR_AHEAD)
    assert await find_due_wallets(Shard(connection), without=(), limit=9) == []
    await advance_clock(connection, FAR_AHEAD)
    assert [each.id for each in await find_due_wallets(Shard(connection), without=(), limit=9)] == wallets[:1]


async def test_due_periods_come_the_longest_due_first_with_all_that_a_grant_needs(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store, rollover_max=7, expires_in_seconds=60, priority=3)
    for days, wallet in zip((2, 0, 1), wallets, strict=True):
        await let_start(connection, await attached(store, programme, wallet), THEN + timedelta(days=days))
    found = await find_due_grants(Shard(connection), without=[wallets[2]], limit=2)
    assert [(each.wallet_id, each.starts_at) for each in found] == [
        (wallets[1], THEN),
        (wallets[0], THEN + timedelta(days=2)),
    ]
    due = found[0]
    assert (due.programme_id, due.period, due.asset_code, due.amount) == (programme.id, 0, "GOLD", 10)
    assert (due.rollover_max, due.expires_in_seconds, due.priority) == (7, 60, 3)
    assert (due.category, due.is_over) == (LotCategory.PROMOTIONAL, False)


async def test_periods_after_the_end_are_found_once_and_stopped(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    programme = await made(store, ends_at=THEN)
    first, second = [await attached(store, programme, wallet) for wallet in wallets[:2]]
    await let_start(connection, first, THEN - timedelta(microseconds=1))
    await let_start(connection, second, THEN)
    found = await find_due_grants(Shard(connection), without=(), limit=9)
    assert [each.is_over for each in found] == [False, True]
    await stop_attachments(Shard(connection), found)
    assert await find_due_grants(Shard(connection), without=(), limit=9) == found[:1]


async def test_stopping_waits_for_nobody(
    database_url: str, store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    attachment = await attached(store, await made(store, ends_at=FAR_AHEAD), wallets[0])
    await connection.execute("UPDATE programmes SET ends_at = $1", THEN)
    await let_start(connection, attachment, THEN)
    found = await find_due_grants(Shard(connection), without=(), limit=9)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM programme_wallets FOR UPDATE")
        await stop_attachments(Shard(connection), found)
    await other.close()
    assert await find_due_grants(Shard(connection), without=(), limit=9) == found


async def test_only_a_first_period_is_found_as_one(
    store: ProgrammeStore, connection: asyncpg.Connection, wallets: list[UUID]
) -> None:
    attachment = await attached(store, await made(store), wallets[0])
    key = {"programme_id": attachment.programme_id, "wallet_id": attachment.wallet_id}
    found = await find_first_grant(Shard(connection), **key)
    assert found is not None
    assert (found.period, found.starts_at) == (0, attachment.anchor_at)
    await connection.execute("UPDATE programme_wallets SET next_period = 1")
    assert await find_first_grant(Shard(connection), **key) is None


# The clock


async def test_the_clock_of_a_new_database_is_real(connection: asyncpg.Connection) -> None:
    assert (await read_clock(connection)).offset_seconds == 0


async def test_the_clock_goes_forward_to_an_instant_and_runs_on(connection: asyncpg.Connection) -> None:
    reading = await advance_clock(connection, FAR_AHEAD)
    assert FAR_AHEAD <= reading.now < FAR_AHEAD + timedelta(minutes=1)
    again = await read_clock(connection)
    assert again.now > reading.now
    assert again.offset_seconds == reading.offset_seconds > 0


async def test_the_clock_never_goes_back(connection: asyncpg.Connection) -> None:
    ahead = await advance_clock(connection, FAR_AHEAD)
    for earlier in (LONG_AGO, FAR_AHEAD - timedelta(days=1)):
        reading = await advance_clock(connection, earlier)
        assert reading.now > ahead.now
        assert reading.offset_seconds == ahead.offset_seconds


@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
async def test_the_clock_does_not_depend_on_where_its_reader_is(connection: asyncpg.Connection, zone: str) -> None:
    await advance_clock(connection, FAR_AHEAD)
    await connection.execute(f"SET timezone TO '{zone}'")
    ahead = await connection.fetchval("SELECT extract(EPOCH FROM ledger_now() - clock_timestamp())")
    offset = (await read_clock(connection)).offset_seconds
    assert abs(float(ahead) - offset) < 1


async def test_one_session_at_a_time_advances_the_clock(database_url: str, connection: asyncpg.Connection) -> None:
    other = await asyncpg.connect(database_url)
    assert await try_lock_clock(other)
    assert not await try_lock_clock(connection)
    await other.close()
    async with asyncio.timeout(20):
        while not await try_lock_clock(connection):
            pass
