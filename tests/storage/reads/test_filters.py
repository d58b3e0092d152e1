"""Filters find what they say, page by page to the end, along an index that has its rows in the order of the list."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.posting import database_of, make_asset, make_wallets, spend, topup, transfer, writer_of
from wallet.ledger.model import Posted
from wallet.ledger.outcomes import Applied
from wallet.ledger.requests import PlaceHold, Post
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.places import LinePlace, Place, ReferencePlace
from wallet.storage.reads.resources import ReadStore, UserFilter, WalletFilter
from wallet.storage.reads.walks import TransactionFilter, Walk, track_of
from wallet.storage.rows.ids import first_id_at


class House(NamedTuple):
    """A ledger with GOLD and two user wallets."""

    store: ReadStore
    writer: BatchWriter
    connection: asyncpg.Connection
    treasury: UUID
    alice: UUID
    bob: UUID

    async def post(self, *posts: Post) -> list[Posted]:
        """One batch each, in order."""
        answers = [answer for each in posts for answer in await self.writer.commit([each])]
        assert all(isinstance(answer, Applied) for answer in answers), answers
        return [answer.posted for answer in answers]  # type: ignore[union-attr]

    async def walked(self, *, limit: int = 2, rows_max: int = 3, **wanted: Any) -> list[Posted]:
        """All that a filter finds, newest first, by walks of few rows."""
        before: Place | None = None
        found: list[Posted] = []
        while True:
            rows, before = await self.store.transactions(
                TransactionFilter(**wanted), before=before, limit=limit, lines_max=rows_max
            )
            found += rows
            if before is None:
                return found


@pytest.fixture
async def house(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[House]:
    system = await make_asset(connection, "GOLD")
    alice, bob = await make_wallets(connection, "GOLD", 2)
    writer = writer_of(database_url)
    async with await database_of(database_url).pool("reads", connections_max=1) as pool:
        yield House(ReadStore(ShardPool(pool, seconds_max=30)), writer, connection, system["treasury"], alice, bob)
    await writer.close()


def with_metadata(post: Post, **members: Any) -> Post:
    return post._replace(metadata=json.dumps(members, separators=(",", ":"), ensure_ascii=False))


def general(alice: UUID, bob: UUID, type_: str) -> Post:
    return transfer(alice, bob, 1)._replace(type=type_, asset_code=None)


# Results


async def test_a_walk_finds_every_transaction_wanted_once_and_newest_first(house: House) -> None:
    alice, bob = house.alice, house.bob
    posted = await house.post(
        *(topup(alice, 9) for _ in range(4)),
        *(general(alice, bob, "swap") for _ in range(3)),
        *(spend(bob, 1) for _ in range(2)),
        *(with_metadata(topup(alice, 1), tenant="t1", n=each) for each in range(4)),
        with_metadata(spend(alice, 1), tenant="t1"),
        *(transfer(alice, bob, 1) for _ in range(2)),
    )
    newest_first = posted[::-1]
    of_bob = [each for each in newest_first if bob in {entry.wallet_id for entry in each.entries}]
    since, until = posted[3].created_at, posted[9].created_at
    for limit, rows_max in ((1, 1), (2, 3), (3, 100), (100, 2)):
        sizes = {"limit": limit, "rows_max": rows_max}
        assert await house.walked(**sizes) == newest_first
        for type_ in ("topup", "swap", "spend", "nothing"):
            assert await house.walked(type=type_, **sizes) == [each for each in newest_first if each.type == type_]
        assert await house.walked(wallet_id=bob, **sizes) == of_bob
        assert await house.walked(wallet_id=bob, type="transfer", **sizes) == newest_first[:2]
        assert await house.walked(member=("tenant", "t1"), **sizes) == newest_first[2:7]
        assert await house.walked(member=("tenant", "t1"), type="spend", **sizes) == newest_first[2:3]
        in_time = {"since": since, "until": until, **sizes}
        expected = posted[3:9][::-1]
        assert await house.walked(**in_time) == expected
        assert await house.walked(type="swap", **in_time) == [each for each in expected if each.type == "swap"]
        assert await house.walked(wallet_id=bob, **in_time) == [each for each in of_bob if each in expected]
        assert await house.walked(member=("tenant", "t1"), since=posted[10].created_at, **sizes) == newest_first[2:6]


async def test_an_unlocked_wallet_lists_its_transactions_too(house: House) -> None:
    posted = await house.post(*(topup(house.alice, 1) for _ in range(5)), spend(house.alice, 1))
    assert await house.walked(wallet_id=house.treasury) == posted[:5][::-1]
    assert await house.walked(wallet_id=house.treasury, until=posted[2].created_at) == posted[:2][::-1]


async def test_a_wallet_lists_hold_steps_and_a_transaction_with_several_lines_once(house: House) -> None:
    first, second = await house.post(topup(house.alice, 9), topup(house.alice, 9))
    placed, merged = uuid4(), uuid4()
    for id_, positions in ((placed, [3]), (merged, [4, 5, 6])):
        await house.connection.execute(
            "INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type,"
            " fingerprint) VALUES (1, now(), now(), 0, $1, 'api', $1::uuid::text, 'hold', '\\x01')",
            id_,
        )
        await house.connection.execute(
            "INSERT INTO hold_steps (position, held_change, held_after, captured, released, created_at, shard,"
            " wallet_id, hold_id, transaction_id, kind) SELECT p, 0, 0, 0, 0, now(), 0, $2, $1, $1, 'place'"
            " FROM unnest($3::bigint[]) AS p",
            id_,
            house.alice,
            positions,
        )
    for limit, rows_max in ((1, 1), (2, 2), (1, 9), (9, 9)):
        found = await house.walked(wallet_id=house.alice, limit=limit, rows_max=rows_max)
        assert [each.id for each in found] == [merged, placed, second.id, first.id]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("a", ["a", "a-1", "a-2", "a\U0010ffff", "a\U0010ffffx"]),
        ("a-", ["a-1", "a-2"]),
        ("a\U0010ffff", ["a\U0010ffff", "a\U0010ffffx"]),
        ("\U0010ffff", ["\U0010ffff", "\U0010ffff2"]),
        ("%", ["%"]),
        ("_", []),
        ("A", []),
        ("\ud7ff", ["\ud7ff1"]),
    ],
)
async def test_a_prefix_finds_what_begins_with_it_in_order(house: House, prefix: str, expected: list[str]) -> None:
    references = ["a", "a-1", "a-2", "a\U0010ffff", "a\U0010ffffx", "b", "%", "\U0010ffff", "\U0010ffff2", "\ud7ff1"]
    await house.post(*(topup(house.alice, 1)._replace(reference_id=each) for each in references))
    found = await house.walked(reference_prefix=prefix)
    assert [each.reference_id for each in found] == expected


async def test_a_prefix_finds_one_reference_in_all_origins(house: House) -> None:
    await house.post(*(topup(house.alice, 1)._replace(reference_id="r", origin=each) for each in ("service", "api")))
    found = await house.walked(reference_prefix="r", limit=1)
    assert [each.origin for each in found] == ["api", "service"]


@pytest.mark.parametrize(
    ("key", "value", "is_found"),
    [
        ("text", "ü \"'%", True),
        ("text", "Ü \"'%", False),
        ("empty", "", True),
        ("number", "1.50", True),
        ("number", "1.5", False),
        ("true", "true", True),
        ("true", "1", False),
        ("nothing", "null", False),
        ("nothing", "", False),
        ("list", "[1]", False),
        ("object", '{"inner":1}', False),
        ("inner", "1", False),
        ("longest", "x" * 255, True),
        ("longer", "x" * 256, False),
        ("k" * 255, "1", True),
        ("k" * 256, "1", False),
    ],
)
async def test_members_that_are_text_numbers_or_booleans_are_found_as_they_were_written(
    house: House, key: str, value: str, is_found: bool
) -> None:
    metadata = (
        f'{{"empty":"","inner":{{"inner":1}},"list":[1],"longer":"{"x" * 256}","longest":"{"x" * 255}","nothing":null,'
        f'"number":1.50,"object":{{"inner":1}},"text":"ü \\"\'%","true":true,"{"k" * 255}":1,"{"k" * 256}":1}}'
    )
    posted = await house.post(topup(house.alice, 1)._replace(metadata=metadata))
    assert await house.walked(member=(key, value)) == (posted if is_found else [])


async def test_a_time_range_begins_with_its_first_instant_and_ends_before_its_last(house: House) -> None:
    posted = await house.post(*(topup(house.alice, 1) for _ in range(3)))
    at = [each.created_at for each in posted]
    assert await house.walked(since=at[1]) == posted[:0:-1]
    assert await house.walked(until=at[1]) == posted[:1]
    tick = timedelta(microseconds=1)
    assert await house.walked(since=at[1], until=at[1] + tick) == [posted[1]]
    assert await house.walked(since=at[1] + tick, until=at[2]) == []
    ends = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    for wallet in (None, house.alice):
        assert await house.walked(wallet_id=wallet, since=ends[0], until=ends[1]) == posted[::-1]


async def test_a_time_range_is_by_the_ledgers_clock_and_not_by_the_one_that_makes_ids(house: House) -> None:
    (before,) = await house.post(topup(house.alice, 1))
    await house.connection.execute("UPDATE sandbox_clock SET advanced = interval '40 days'")
    (after,) = await house.post(topup(house.alice, 1))
    between = before.created_at + timedelta(days=20)
    assert after.created_at > between
    for wallet in (None, house.alice, house.treasury):
        assert await house.walked(wallet_id=wallet, since=between) == [after]
        assert await house.walked(wallet_id=wallet, until=between) == [before]


def test_ids_of_an_instant_begin_with_its_milliseconds() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert str(first_id_at(at)) == "019c13ec-9e00-0000-0000-000000000000"
    assert first_id_at(datetime(1, 1, 1, tzinfo=UTC)) == UUID(int=0)
    assert first_id_at(at - timedelta(microseconds=1)) < first_id_at(at)


async def test_a_wallets_members_follow_its_metadata(house: House) -> None:
    async def found(key: str, value: str) -> bool:
        wallets = await house.store.wallets(WalletFilter(member=(key, value)), before=None, limit=9)
        return [each.id for each in wallets] == [house.alice]

    for metadata, expected in (
        ('{"a":"1","b":2}', {("a", "1"): True, ("b", "2"): True}),
        ('{"a":"2","b":2}', {("a", "1"): False, ("a", "2"): True, ("b", "2"): True}),
        (None, {("a", "2"): False, ("b", "2"): False}),
        ('{"a":"1"}', {("a", "1"): True}),
        ("{}", {("a", "1"): False}),
    ):
        await house.connection.execute("UPDATE wallets SET metadata = $2 WHERE id = $1", house.alice, metadata)
        assert {member: await found(*member) for member in expected} == expected


async def test_refunds_are_those_of_the_original_with_their_amounts(house: House) -> None:
    original, *refunds = await house.post(topup(house.alice, 9), spend(house.alice, 2), spend(house.alice, 3))
    assert await house.store.refunds_of(original.id) == (0, 0, ())
    await house.connection.execute("ALTER TABLE transactions DISABLE TRIGGER ALL")
    await house.connection.execute(
        "UPDATE transactions SET refund_of = $1 WHERE id = ANY($2)", original.id, [each.id for each in refunds]
    )
    await house.connection.execute("INSERT INTO refund_states VALUES (5, 2, 0, $1)", original.id)
    amount, times, found = await house.store.refunds_of(original.id)
    assert (amount, times) == (5, 2)
    assert [(each.id, each.amount) for each in found] == [(refunds[1].id, 3), (refunds[0].id, 2)]


# How it is found: no list may read, or sort, what it does not show

ROWS = 100_000
WALLET = UUID("00000000-0000-0000-0001-000000000007")
FILL = f"""
ALTER TABLE transactions DISABLE TRIGGER ALL;
ALTER TABLE ledger_entries DISABLE TRIGGER ALL;
INSERT INTO users (created_at, shard, id, name, metadata)
SELECT now(), 0, ('00000000-0000-0000-0002-' || lpad(i::text, 12, '0'))::uuid, 'name ' || i % 5,
       '{{"plan":"' || i % 3 || '"}}'
  FROM generate_series(0, 9999) AS i;
INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind, label, metadata)
SELECT now(), 1, 0, true, ('00000000-0000-0000-0001-' || lpad(i::text, 12, '0'))::uuid,
       ('00000000-0000-0000-0002-' || lpad((i / 2000)::text, 12, '0'))::uuid, 'user', 'label ' || i % 5,
       '{{"region":"eu"}}'
  FROM generate_series(0, 9999) AS i;
INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint, metadata)
SELECT i, at, at, 0,
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid,
       'api', CASE WHEN i % 3 = 0 THEN 'order-' || i ELSE md5(i::text) END,
       CASE WHEN i % 1000 = 0 THEN 'exchange' WHEN i % 2 = 0 THEN 'topup' ELSE 'spend' END, '\\x01',
       CASE WHEN i % 3 = 0 THEN '{{"channel":"web","order":"' || i || '"}}' END
  FROM generate_series(1, {ROWS}) AS i, LATERAL (SELECT '2026-01-01Z'::timestamptz + i * interval '1 minute') AS t (at);
INSERT INTO ledger_entries (
    position, amount, balance_after, created_at, asset_id, shard, direction, leg, wallet_id, transaction_id
)
SELECT seq, 1, 1, created_at, 1, 0, 1, 0, ('00000000-0000-0000-0001-' || lpad(wallet::text, 12, '0'))::uuid, id
  FROM transactions, LATERAL (SELECT CASE WHEN seq % 2 = 0 THEN 7 ELSE seq % 10000 END) AS w (wallet);
INSERT INTO metadata_members (shard, owner_kind, owner_id, key, value)
SELECT t.shard, 't', t.id, member.key, member.value FROM transactions AS t, filterable_members(t.metadata) AS member;
INSERT INTO hold_steps (
    position, held_change, held_after, captured, released, created_at, shard, wallet_id, hold_id, transaction_id, kind
)
SELECT 1, 0, 0, 0, 0, now(), 0, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'place'
  FROM generate_series(1, 20000);
INSERT INTO refund_states (refunded, refunds, shard, original_id)
SELECT 1, 1, 0, gen_random_uuid() FROM generate_series(1, 20000);
INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)
SELECT 1, now(), 1, 0, false, gen_random_uuid(), sha256(i::text::bytea) FROM generate_series(1, 20000) AS i;
INSERT INTO holds (
    amount, captured, created_at, expires_at, asset_id, shard, capture_at_expiry, id, wallet_id, status, slice_lots,
    slice_amounts
)
SELECT 1, CASE WHEN i % 1000 = 0 THEN 0 ELSE 1 END, now(), now(), 1, 0, false, gen_random_uuid(), wallet,
       CASE WHEN i % 1000 = 0 THEN 'open' ELSE 'captured' END, '{{}}', '{{}}'
  FROM generate_series(1, 20000) AS i,
       LATERAL (SELECT CASE WHEN i % 10 = 0 THEN '{WALLET}'::uuid ELSE gen_random_uuid() END) AS w (wallet);
INSERT INTO lots (amount, remaining, opened_at, asset_id, shard, priority, id, wallet_id, opened_by, category)
SELECT 1, CASE WHEN i % 1000 = 0 THEN 1 ELSE 0 END, now(), 1, 0, 50, gen_random_uuid(), wallet, gen_random_uuid(),
       'paid'
  FROM generate_series(1, 20000) AS i,
       LATERAL (SELECT CASE WHEN i % 10 = 0 THEN '{WALLET}'::uuid ELSE gen_random_uuid() END) AS w (wallet);
"""
_FROM, _TO = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled_database_url(postgres: Server) -> Iterator[str]:
    """A database with ROWS transactions, of which every third has metadata and every second is of one wallet."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def filled(filled_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    owner = await asyncpg.connect(filled_database_url)
    if not await owner.fetchval("SELECT count(*) FROM transactions"):
        await owner.execute(FILL)
        await owner.execute("VACUUM ANALYZE")
    await owner.close()
    # As the service's own: what the plans of reads go by.
    connection = await database_of(filled_database_url).connect("plans")
    yield connection
    await connection.close()


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)


_OWN = [WALLET, UUID(int=WALLET.int + 1)]
# The clause that lets each transaction be shown once.
_ONCE = {"ledger_entries_transaction_ix", "hold_steps_transaction_ix"}
_LINES = {"ledger_entries_pk", "hold_steps_pk", "transactions_pk"}
_IN_TIME = {"since": _FROM, "until": _TO}


class WalkedList(NamedTuple):
    """A list of transactions: its filter, the wallets it is over, and where its page begins."""

    wanted: TransactionFilter
    own: Sequence[UUID] | None = None
    before: Place | None = None


def walked(*, own: Sequence[UUID] | None = None, before: Place | None = None, **wanted: Any) -> WalkedList:
    return WalkedList(TransactionFilter(**wanted), own, before)


WALKS: dict[str, tuple[WalkedList, set[str]]] = {
    "newest": (walked(), {"transactions_pk"}),
    "a hot type": (walked(type="spend"), {"transactions_pk"}),
    "a time": (walked(**_IN_TIME), {"transactions_pk"}),
    "a reference": (walked(reference_id="order-3"), {"transactions_reference_uq"}),
    "a prefix": (walked(reference_prefix="order-"), {"transactions_reference_uq"}),
    "a prefix, further on": (
        walked(reference_prefix="order-", before=ReferencePlace("order-500", "api")),
        {"transactions_reference_uq"},
    ),
    "a rare type": (walked(type="exchange"), {"transactions_type_ix"}),
    "a rare type in a time": (walked(type="exchange", **_IN_TIME), {"transactions_type_ix"}),
    "a type that there is not": (walked(type="nothing"), {"transactions_type_ix"}),
    "a common member": (walked(member=("channel", "web")), {"metadata_members_pk", "transactions_pk"}),
    "a unique member": (walked(member=("order", "300")), {"metadata_members_pk", "transactions_pk"}),
    "a member in a time": (walked(member=("channel", "web"), **_IN_TIME), {"metadata_members_pk", "transactions_pk"}),
    "a wallet": (walked(wallet_id=WALLET), _LINES),
    "a wallet, of a type": (walked(wallet_id=WALLET, type="topup"), _LINES),
    "some wallets": (walked(own=_OWN), _LINES | _ONCE),
    "some wallets, of a type with a member": (
        walked(own=_OWN, type="topup", member=("channel", "web")),
        _LINES | _ONCE | {"metadata_members_pk"},
    ),
    "some wallets, further on, in a time": (
        walked(own=_OWN, before=LinePlace(_TO, WALLET, 99), **_IN_TIME),
        _LINES | _ONCE,
    ),
}
PLANS: dict[str, tuple[str, str, Sequence[Any], set[str]]] = {
    "an instant of some wallets": ("entries", "find_reach", (_OWN, _FROM), {"ledger_entries_pk"}),
    "entries of some wallets": (
        "entries",
        "list_entries_of_wallets",
        (_OWN, [2**63 - 1] * 2, None, None, None, 21, 0),
        {"ledger_entries_pk"},
    ),
    "some wallets, by reference": (
        "walks",
        "list_transactions_with_reference",
        ("order-3", _OWN, 200),
        {"transactions_reference_uq", *_ONCE},
    ),
    "refunds": (
        "listings",
        "list_refunds",
        (uuid4(), 200),
        {"transactions_refund_ix", "refund_states_pk", "ledger_entries_transaction_ix"},
    ),
    "users": ("resources", "list_users", (None, 21), {"users_pk"}),
    "users of a name": ("resources", "list_users_by_name", ("name 3", None, 21), {"users_name_ix"}),
    "users with a member": (
        "resources",
        "list_users_by_metadata",
        ("plan", "1", None, 21),
        {"metadata_members_pk", "users_pk"},
    ),
    "wallets": ("resources", "list_wallet_ids", (None, 21), {"wallets_pk"}),
    "wallets of a user": (
        "resources",
        "list_wallet_ids_by_user",
        (UUID("00000000-0000-0000-0002-000000000001"), None, 21),
        {"wallets_user_ix"},
    ),
    "wallets of a label": ("resources", "list_wallet_ids_by_label", ("label 3", None, 21), {"wallets_label_ix"}),
    "wallets with a member": (
        "resources",
        "list_wallet_ids_by_metadata",
        ("region", "eu", None, 21),
        {"metadata_members_pk"},
    ),
    "wallets among some, with a member": (
        "resources",
        "list_wallet_ids_among",
        (_OWN, None, None, "region", "eu", None, 21),
        {"wallets_pk", "metadata_members_pk"},
    ),
    "holds": ("holdings", "list_holds", (WALLET, None, None, 21), {"holds_wallet_ix", "claims_pk"}),
    "lots": ("holdings", "list_lots", (WALLET, None, 21), {"lots_wallet_ix"}),
    "open holds": ("holdings", "list_open_holds", (WALLET, None, 21), {"holds_open_ix", "claims_pk"}),
    "live lots": ("holdings", "list_live_lots", (WALLET, None, 21), {"lots_live_ix"}),
}
SORTED = {
    "open holds": "those of one wallet are few",
    "live lots": "those of one wallet are few",
    "refunds": "those of one transaction are few",
    "a reference": "one in each origin",
    "some wallets": "the lines of each are few",
    "some wallets, of a type with a member": "the lines of each are few",
    "some wallets, further on, in a time": "the lines of each are few",
    "an instant of some wallets": "as many as wallets",
    "entries of some wallets": "those of each are few",
    "wallets among some, with a member": "as many as wallets",
}
ROWS_READ_MAX = 300


class Explaining:
    """A connection that explains what it is asked, before it answers."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.explained: dict[str, list[str]] = {}

    async def fetch(self, sql: str, *parameters: Any) -> Any:
        explained = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *parameters)
        self.explained.setdefault(sql, []).append(explained)
        return await self._connection.fetch(sql, *parameters)

    async def fetchval(self, sql: str, *parameters: Any) -> Any:
        return await self._connection.fetchval(sql, *parameters)


@pytest.mark.parametrize("name", WALKS)
async def test_a_walk_reads_little_more_than_it_shows(filled: asyncpg.Connection, name: str) -> None:
    (wanted, own, before), indexes = WALKS[name]
    explaining = Explaining(filled)
    await Walk(Shard(explaining), wanted, own, None).page(before, 20, 0)
    ensure_little_is_read(name, explaining.explained[track_of(wanted, own).walk][0], indexes)


@pytest.mark.parametrize("name", PLANS)
async def test_a_list_reads_little_more_than_it_shows(filled: asyncpg.Connection, name: str) -> None:
    file_name, statement, parameters, indexes = PLANS[name]
    sql = load_statements(f"reads/{file_name}.sql")[statement]
    explained = await filled.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", 0, *parameters)
    ensure_little_is_read(name, explained, indexes)


def ensure_little_is_read(name: str, explained: str, indexes: set[str]) -> None:
    nodes = list(scans(json.loads(explained)[0]["Plan"]))
    # Assets are a handful.
    whole = {node["Relation Name"] for node in nodes if "Seq Scan" in node["Node Type"]} - {"assets"}
    assert not whole, explained
    assert {node["Index Name"] for node in nodes if "Index Name" in node} == indexes, explained
    if name not in SORTED:
        assert not [node["Node Type"] for node in nodes if "Sort" in node["Node Type"]], explained
    for node in nodes:
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert read <= ROWS_READ_MAX, explained


async def test_a_plain_movement_maintains_no_index_of_a_filter(filled: asyncpg.Connection) -> None:
    """The tables that a top-up without metadata writes to: four indexes on the hot path, as ADR 6 has them, and the
    audit chain's index of places, which gets a line per sixteen pages.
    """
    definitions = await filled.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('transactions', 'ledger_entries')"
    )
    whole = {row["indexname"] for row in definitions if not {"WHERE", "brin"} & {*row["indexdef"].split()}}
    assert whole == {
        "transactions_pk", "transactions_reference_uq", "ledger_entries_pk", "ledger_entries_transaction_ix",
    }  # fmt: skip
    types = next(row["indexdef"] for row in definitions if row["indexname"] == "transactions_type_ix")
    assert all(type_ in types for type_ in ("topup", "bonus", "spend", "transfer"))


async def test_a_wallets_last_hold_step_is_in_the_time_up_to_later(house: House) -> None:
    """No entry stands after it that would say where that time ends."""
    (funded,) = await house.post(topup(house.alice, 9))
    placed = [(await house.writer.commit([hold(house.alice, 1)]))[0] for _ in range(2)]
    later = placed[1].posted.created_at + timedelta(hours=1)
    ids = [placed[1].posted.id, placed[0].posted.id, funded.id]
    assert [each.id for each in await house.walked(wallet_id=house.alice, until=later)] == ids


def hold(wallet_id: UUID, amount: int) -> PlaceHold:
    id_ = uuid4()
    return PlaceHold(id_, "api", str(id_), b"\x01", wallet_id, "GOLD", amount)


async def test_filters_of_users_and_wallets_page_to_the_end(house: House) -> None:
    ids = [uuid4() for _ in range(5)]
    for id_ in ids:
        await house.connection.execute(
            "INSERT INTO users (created_at, shard, id, name, metadata) VALUES (now(), 0, $1, 'N', '{\"a\":1}')", id_
        )
        await house.connection.execute(
            "INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind, label, metadata)"
            " SELECT now(), id, 0, true, $1, $2, 'user', 'L', '{\"a\":1}' FROM assets LIMIT 1",
            id_,
            ids[0],
        )
    expected = sorted(ids, reverse=True)
    lists = [
        *((house.store.users, wanted) for wanted in (UserFilter(name="N"), UserFilter(member=("a", "1")))),
        *(
            (house.store.wallets, wanted)
            for wanted in (WalletFilter(label="L"), WalletFilter(user_id=ids[0]), WalletFilter(member=("a", "1")))
        ),
    ]
    for ask, wanted in lists:
        found: list[Any] = []
        while page := await ask(wanted, before=found[-1].id if found else None, limit=2):  # type: ignore[arg-type]
            found += page
        assert [each.id for each in found] == expected
    everybody = await house.store.users(UserFilter(), before=None, limit=99)
    assert {each.id for each in everybody} > set(ids)
    every_wallet = await house.store.wallets(WalletFilter(), before=None, limit=99)
    assert [each.id for each in every_wallet] == sorted((each.id for each in every_wallet), reverse=True)
    assert len(every_wallet) == 10
