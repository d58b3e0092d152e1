"""A wallet at any instant: exact on both axes whatever clocks did, final only when nothing can come, found by key."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.posting import database_of, topup, writer_of
from tests.storage.reads.timeline import START, Timeline, after, make_timeline
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.reads.statement_lines import Opened, StatementLine, StatementStore, last_line_after
from wallet.storage.reads.wallet_at import Axis, BalanceAt, HistoryStore

MICROSECOND = timedelta(microseconds=1)
EFFECTIVE, POSTED = Axis.EFFECTIVE, Axis.POSTED


class House(NamedTuple):
    store: HistoryStore
    statements: StatementStore
    time: Timeline
    alice: UUID
    bob: UUID
    treasury: UUID
    url: str

    async def at(self, wallet_id: UUID, at: datetime, axis: Axis = POSTED) -> BalanceAt:
        found = await self.store.balance_at(wallet_id, at, axis)
        assert found is not None
        return found

    async def balance(self, wallet_id: UUID, at: datetime, axis: Axis = POSTED) -> int:
        return (await self.at(wallet_id, at, axis)).balance


@pytest.fixture
async def house(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[House]:
    time = await make_timeline(connection)
    async with await database_of(database_url).pool("reads", connections_max=2) as pool:
        shard = ShardPool(pool, seconds_max=30)
        yield House(
            HistoryStore(shard), StatementStore(shard), time, *time.users, time.system["treasury"], database_url
        )


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session beside."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def ledger_now(connection: asyncpg.Connection) -> datetime:
    now: datetime = await connection.fetchval("SELECT ledger_now()")
    return now


# The past


async def test_an_instant_is_inclusive_to_the_microsecond(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(10))
    for wallet_id, balance in ((house.alice, 100), (house.treasury, -100)):
        assert await house.balance(wallet_id, after(10)) == balance
        assert await house.balance(wallet_id, after(10) - MICROSECOND) == 0


async def test_a_wallet_without_a_past_was_empty(house: House) -> None:
    for wallet_id, version in ((house.alice, 0), (house.treasury, None)):
        found = await house.at(wallet_id, START)
        assert (found.balance, found.held, found.available, found.version) == (0, 0, 0, version)


async def test_a_wallet_that_does_not_exist_is_none(house: House) -> None:
    assert await house.store.balance_at(uuid4(), START, POSTED) is None
    assert await house.statements.open(uuid4(), since=None, until=None, axis=POSTED) is None


async def test_hold_steps_and_events_share_the_positions(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(1))
    await house.time.hold(house.alice, 30, after(2))
    await house.time.event(house.alice, '{"label":"x"}', after(3))
    await house.time.hold(house.alice, -10, after(4))
    await house.time.post(house.alice, house.bob, 5, after(5))
    seen = [await house.at(house.alice, after(second)) for second in range(7)]
    assert [(each.version, each.balance, each.held, each.available) for each in seen] == [
        (0, 0, 0, 0), (1, 100, 0, 100), (2, 100, 30, 70), (3, 100, 30, 70), (4, 100, 20, 80), (5, 95, 20, 75),
        (5, 95, 20, 75),
    ]  # fmt: skip


async def test_available_goes_by_the_overdraft_limit_of_then(house: House, connection: asyncpg.Connection) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(1))
    await house.time.event(house.alice, '{"overdraft_limit":50}', after(2))
    await house.time.event(house.alice, '{"label":"\\"overdraft_limit\\":7"}', after(3))
    await house.time.event(house.alice, '{"overdraft_limit":null}', after(4))
    await connection.execute("UPDATE wallets SET overdraft_limit = 9 WHERE id = $1", house.alice)
    available = [(await house.at(house.alice, after(second))).available for second in range(1, 5)]
    assert available == [100, 150, 150, 100]


async def test_a_limit_that_no_event_ever_set_has_always_been(house: House, connection: asyncpg.Connection) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(1))
    await connection.execute("UPDATE wallets SET overdraft_limit = 9 WHERE id = $1", house.alice)
    assert (await house.at(house.alice, after(1))).available == 109


async def test_on_the_effective_axis_an_entry_counts_from_when_it_took_effect(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(10), effective_at=after(5))
    for wallet_id, sign in ((house.alice, 1), (house.treasury, -1)):
        balances = [await house.balance(wallet_id, after(second), EFFECTIVE) for second in (4, 5, 9, 10, 11)]
        assert balances == [0, 100 * sign, 100 * sign, 100 * sign, 100 * sign]
        assert await house.balance(wallet_id, after(9)) == 0
        found = await house.at(wallet_id, after(10), EFFECTIVE)
        assert (found.held, found.available, found.version, found.is_final) == (None, None, None, False)


@pytest.mark.parametrize("seed", range(4))
async def test_any_past_is_read_as_an_obvious_sum_reads_it(
    house: House, connection: asyncpg.Connection, seed: int
) -> None:
    """The clock jumps back and forth, entries are backdated, snapshots are taken whenever."""
    chance = random.Random(seed)
    time, wallets = house.time, house.time.wallets
    instants = {START}
    clock = 1_000.0
    for _ in range(120):
        clock += chance.choice((0.001, 0.5, 3, -2, -200, 200))
        effective_at = after(clock - chance.choice((0.0005, 7, 400))) if chance.random() < 0.3 else None
        if chance.random() < 0.15:
            await time.hold(chance.choice(time.users), chance.randint(1, 9), after(clock))
            continue
        source, target = chance.sample(wallets, 2)
        at = await time.post(source, target, chance.randint(1, 50), after(clock), effective_at=effective_at)
        instants |= {at, at - MICROSECOND, effective_at or at}
        if chance.random() < 0.2:
            await time.snapshot(chance.choice(list(time.system.values())))
    for at in chance.sample(sorted(instants), 25):
        for axis in Axis:
            found = [await house.at(wallet_id, at, axis) for wallet_id in wallets]
            effective = axis is EFFECTIVE
            assert [each.balance for each in found] == [
                time.balance_at(each, at, effective=effective) for each in wallets
            ]
            assert sum(each.balance for each in found) == 0
            if not effective:
                assert [each.held for each in found] == [time.held_at(each, at) for each in wallets]


async def test_system_balances_may_be_beyond_63_bits(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 2**63 - 1, after(1))
    await house.time.post(house.treasury, house.bob, 2**63 - 1, after(2))
    assert await house.balance(house.treasury, after(2)) == 2 * (1 - 2**63)


# Batches that can still come


async def test_an_instant_is_not_final_while_a_batch_that_may_be_of_it_runs(
    house: House, other: asyncpg.Connection
) -> None:
    """An open writer, by its own steps: xid, locks, clock, rows, and only then its commit."""
    time = Timeline(other, house.time.system, house.time.users)
    writing = other.transaction()
    await writing.start()
    await other.execute("SELECT pg_current_xact_id()")
    before_decision = await ledger_now(other)
    decided_at = await time.post(house.treasury, house.alice, 100, await ledger_now(other))
    now = await ledger_now(other)
    for wallet_id in (house.alice, house.treasury):
        for at in (before_decision, decided_at, now):
            found = await house.at(wallet_id, at)
            assert (found.balance, found.is_final) == (0, False)
    await writing.commit()
    for wallet_id, balance in ((house.alice, 100), (house.treasury, -100)):
        found = await house.at(wallet_id, now)
        assert (found.balance, found.is_final) == (balance, True)


async def test_what_was_before_a_running_batch_began_is_final(house: House, other: asyncpg.Connection) -> None:
    at = await ledger_now(other)
    await asyncio.sleep(0.001)
    async with other.transaction():
        await other.execute("SELECT pg_current_xact_id()")
        for wallet_id in (house.alice, house.treasury):
            assert (await house.at(wallet_id, at)).is_final
    assert not (await house.at(house.alice, at, EFFECTIVE)).is_final


async def test_many_writers_never_make_a_final_balance_wrong(house: House) -> None:
    """Law: what is answered as final is the same for ever."""
    writers = [writer_of(house.url) for _ in range(3)]
    answers: list[BalanceAt] = []
    ended = asyncio.Event()

    async def write(writer: Any) -> None:
        for _ in range(60):
            await writer.commit([topup(house.alice, 1), topup(house.bob, 1)])

    async def read(wallet_id: UUID) -> None:
        connection = await asyncpg.connect(house.url)
        while not ended.is_set():
            at = await ledger_now(connection)
            for back in (0, 0.0005, 0.002, 0.02):
                answers.append(await house.at(wallet_id, at - timedelta(seconds=back)))  # noqa: PERF401
        await connection.close()

    reading = [asyncio.create_task(read(each)) for each in (house.alice, house.treasury)]
    await asyncio.gather(*map(write, writers))
    ended.set()
    await asyncio.gather(*reading)
    for writer in writers:
        await writer.close()
    final = [each for each in answers if each.is_final]
    assert len(final) > 10
    assert {each.wallet_id for each in final} == {house.alice, house.treasury}
    for each in final:
        assert await house.balance(each.wallet_id, each.as_of) == each.balance


async def test_a_later_entry_of_the_wallet_itself_makes_it_final_whoever_runs(
    house: House, other: asyncpg.Connection
) -> None:
    async with other.transaction():
        await other.execute("SELECT pg_current_xact_id()")
        at = await house.time.post(house.treasury, house.alice, 100, await ledger_now(other))
        assert (await house.at(house.alice, at - MICROSECOND)).is_final
        assert not (await house.at(house.alice, at)).is_final
        assert not (await house.at(house.treasury, at - MICROSECOND)).is_final


async def test_who_runs_in_another_database_holds_nothing_back(house: House, postgres: Server) -> None:
    elsewhere = await asyncpg.connect(postgres.dsn)
    async with elsewhere.transaction():
        await elsewhere.execute("SELECT pg_current_xact_id()")
        assert (await house.at(house.treasury, await ledger_now(house.time.connection))).is_final
    await elsewhere.close()


async def test_the_future_is_never_final(house: House) -> None:
    found = await house.at(house.treasury, await ledger_now(house.time.connection) + timedelta(hours=1))
    assert not found.is_final
    assert found.now < found.as_of


async def test_the_sandbox_clock_counts(house: House, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE sandbox_clock SET advanced = interval '2 days'")
    at = await ledger_now(connection)
    found = await house.at(house.treasury, at)
    assert found.is_final
    assert found.now >= at


# Due steps


async def test_a_wallet_is_due_when_the_ledgers_clock_says_so(house: House, connection: asyncpg.Connection) -> None:
    assert not await house.store.is_due(house.alice)
    assert not await house.store.is_due(uuid4())
    await connection.execute("UPDATE wallets SET next_due_at = now() + interval '1 day' WHERE id = $1", house.alice)
    assert not await house.store.is_due(house.alice)
    await connection.execute("UPDATE sandbox_clock SET advanced = interval '2 days'")
    assert await house.store.is_due(house.alice)


# Statements


async def opened(
    house: House, wallet_id: UUID, since: float | None, until: float | None, axis: Axis = POSTED
) -> Opened:
    found = await house.statements.open(
        wallet_id, since=None if since is None else after(since), until=None if until is None else after(until),
        axis=axis,
    )  # fmt: skip
    assert found is not None
    return found


async def all_lines(house: House, statement: Opened, *, limit: int) -> Sequence[StatementLine]:
    summary, bounds, last_line = statement
    lines: list[StatementLine] = []
    while page := await house.statements.lines(summary.wallet_id, summary.period, bounds, last_line, limit=limit):
        assert len(page) <= limit
        lines += page
        for line in page:
            last_line = last_line_after(last_line, line, summary.period.axis)
    return lines


async def test_a_statement_has_what_was_before_what_happened_and_what_was_then(house: House) -> None:
    for second, amount in ((1, 100), (2, 10), (3, 1)):
        await house.time.post(house.treasury, house.alice, amount, after(second))
    await house.time.hold(house.alice, 5, after(3))
    await house.time.post(house.alice, house.bob, 20, after(4), type_="transfer", reference_id="gift")
    await house.time.post(house.alice, house.bob, 2, after(5))
    statement = await opened(house, house.alice, 2, 5)
    summary = statement.summary
    assert (summary.opening_balance, summary.closing_balance) == (100, 91)
    assert (summary.credits, summary.debits, summary.is_final) == (11, 20, True)
    lines = await all_lines(house, statement, limit=2)
    assert [(line.direction * line.amount, line.balance_after) for line in lines] == [(10, 110), (1, 111), (-20, 91)]
    last = lines[-1]
    assert (last.reference_id, last.type, last.counterparty_wallet_id) == ("gift", "transfer", house.bob)
    assert last.created_at == last.effective_at == after(4)


async def test_an_empty_period_opens_and_closes_alike(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(1))
    for since, until, balance in ((1, 1, 0), (2, 2, 100), (None, 1, 0), (2, None, 100)):
        statement = await opened(house, house.alice, since, until)
        assert (statement.summary.opening_balance, statement.summary.closing_balance) == (balance, balance)
        assert not await all_lines(house, statement, limit=9)


async def test_the_beginning_of_time_is_a_time(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(1))
    first = datetime.min.replace(tzinfo=START.tzinfo)
    for wallet_id in (house.alice, house.treasury):
        for axis in Axis:
            statement = await house.statements.open(wallet_id, since=first, until=None, axis=axis)
            assert statement is not None
            assert statement.summary.opening_balance == 0
            assert len(await all_lines(house, statement, limit=9)) == 1


async def test_on_the_effective_axis_lines_are_in_order_of_effect_with_the_balance_of_then(house: House) -> None:
    await house.time.post(house.treasury, house.alice, 100, after(10))
    await house.time.post(house.treasury, house.alice, 10, after(11), effective_at=after(5))
    await house.time.post(house.alice, house.bob, 1, after(12), effective_at=after(10))
    await house.time.post(house.treasury, house.alice, 7, after(30), effective_at=after(12))
    statement = await opened(house, house.alice, 5, 13, EFFECTIVE)
    summary = statement.summary
    assert (summary.opening_balance, summary.closing_balance, summary.is_final) == (0, 116, False)
    assert (summary.credits, summary.debits) == (117, 1)
    lines = await all_lines(house, statement, limit=1)
    assert [(line.direction * line.amount, line.balance_after) for line in lines] == [
        (10, 10), (100, 110), (-1, 109), (7, 116),
    ]  # fmt: skip


async def test_what_is_posted_meanwhile_does_not_move_the_pages(house: House) -> None:
    for second in range(1, 6):
        await house.time.post(house.treasury, house.alice, 1, after(second))
    for axis in Axis:
        statement = await opened(house, house.alice, None, 100, axis)
        await house.time.post(house.treasury, house.alice, 50, after(6), effective_at=after(4))
        lines = await all_lines(house, statement, limit=2)
        assert lines[-1].balance_after == statement.summary.closing_balance == sum(line.amount for line in lines)


@pytest.mark.parametrize("seed", range(3))
async def test_any_statement_adds_up(house: House, seed: int) -> None:
    chance = random.Random(seed)
    time, clock = house.time, 1_000.0
    for _ in range(80):
        clock += chance.choice((0.001, 0.5, 3, -2, -100, 100))
        effective_at = after(clock - chance.choice((0.0005, 7, 300))) if chance.random() < 0.4 else None
        source, target = chance.sample(time.wallets, 2)
        await time.post(source, target, chance.randint(1, 50), after(clock), effective_at=effective_at)
    for wallet_id in time.wallets:
        for axis in Axis:
            instants = sorted(
                {getattr(fact, "effective_at" if axis is EFFECTIVE else "created_at") for fact in time.facts}
            )
            since, until = sorted(chance.sample(instants, 2))
            statement = await house.statements.open(wallet_id, since=since, until=until, axis=axis)
            assert statement is not None
            summary = statement.summary
            lines = await all_lines(house, statement, limit=chance.choice((1, 3, 50)))
            wanted = [
                fact for fact in time.facts if fact.wallet_id == wallet_id
                and since <= (fact.effective_at if axis is EFFECTIVE else fact.created_at) < until
            ]  # fmt: skip
            assert sorted(line.position for line in lines) == sorted(fact.position for fact in wanted)
            assert summary.opening_balance + sum(fact.change for fact in wanted) == summary.closing_balance
            assert summary.credits == sum(fact.change for fact in wanted if fact.change > 0)
            assert summary.debits == -sum(fact.change for fact in wanted if fact.change < 0)
            if wallet_id in time.users:
                balance = summary.opening_balance
                for line in lines:
                    balance += line.direction * line.amount
                    assert line.balance_after == balance
                    key = line.effective_at if axis is EFFECTIVE else line.created_at
                    assert since <= key < until
            else:
                assert all(line.balance_after is None for line in lines)


async def test_sums_are_left_out_where_there_are_too_many_lines(house: House) -> None:
    for second in range(1, 5):
        await house.time.post(house.treasury, house.alice, 1, after(second))
    house.statements.summed_max = 3
    for axis in Axis:
        statement = await opened(house, house.alice, None, 100, axis)
        assert (statement.summary.credits, statement.summary.debits) == (None, None)
        assert statement.summary.closing_balance == 4


# Found by key

_FEW, _MANY = 1_000, 100_000

_LONG_HISTORY = """
    WITH posted AS (
        INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint)
        SELECT n, $4::timestamptz + n * interval '1 second',
               $4::timestamptz + n * interval '1 second' - CASE WHEN n % 10 = 0 THEN interval '1 ms' ELSE '0' END,
               0, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'api', n::text, 'topup', '\\x01'
          FROM generate_series(1, $3::integer) AS n
        RETURNING seq, created_at, effective_at, id
    ),
    batched AS (
        INSERT INTO batches (seq, created_at, transactions, shard, id)
        SELECT seq, created_at, 1, 0, id FROM posted
    ),
    netted AS (
        INSERT INTO system_deltas (seq, shard, wallet_id, amount) SELECT seq, 0, $1, -1 FROM posted
    ),
    backdated AS (
        INSERT INTO backdated_entries (effective_at, created_at, position, change, shard, wallet_id, transaction_id)
        SELECT effective_at, created_at, seq, 1, 0, $2, id FROM posted WHERE effective_at < created_at
    )
    INSERT INTO ledger_entries
           (position, amount, balance_after, created_at, asset_id, shard, direction, leg, wallet_id, transaction_id)
    SELECT CASE side WHEN 1 THEN seq ELSE seq << 20 | 1 END, 1, CASE side WHEN 1 THEN seq END, created_at, 1, 0, side,
           (side + 1) / 2, CASE side WHEN 1 THEN $2::uuid ELSE $1::uuid END, id
      FROM posted, (VALUES (1), (-1)) AS sides (side)
"""


async def add_long_history(connection: asyncpg.Connection, house: House, entries: int) -> None:
    """So many top-ups of one wallet, a second apart, every tenth of them backdated a little; and much beside it."""
    await connection.execute(_LONG_HISTORY, house.treasury, house.alice, entries, START)
    await connection.execute(
        "UPDATE wallets SET version = $2, balance = $2, last_entry_at = $3 WHERE id = $1",
        house.alice, entries, after(entries),
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO system_snapshots (upto_seq, created_at, shard, wallet_id, balance)"
        " SELECT n, now(), 0, $1, -n FROM generate_series(1000, $2, 1000) AS n",
        house.treasury, entries,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO hold_steps (position, held_change, held_after, captured, released, created_at, shard, wallet_id,"
        " hold_id, transaction_id, kind) SELECT n, 1, n, 0, 0, $2, 0, $1, $1, $1, 'place'"
        "   FROM generate_series(1, $3, 2) AS n",
        house.bob, START, entries // 5,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO wallet_events (seq, position, created_at, shard, wallet_id, id, kind, changes)"
        " SELECT n, n, $2, 0, $1, gen_random_uuid(), 'change', '{}' FROM generate_series(2, $3, 2) AS n",
        house.bob, START, entries // 5,
    )  # fmt: skip
    await connection.execute("VACUUM ANALYZE")


async def test_instants_and_pages_are_looked_up_by_key(house: House, connection: asyncpg.Connection) -> None:
    await add_long_history(connection, house, _MANY)
    sql = {**load_statements("reads/wallet_at.sql"), **load_statements("reads/statement_lines.sql")}
    middle, at = _MANY // 2, after(_MANY / 2)
    near_end = after(_MANY - 5)
    questions = {
        "find_position": (0, house.alice, _MANY, at),
        "find_state": (0, house.alice, middle, 0),
        "find_seq": (0, at),
        "find_zone": (0, at, middle),
        "find_unlocked_balance": (0, house.treasury, at, middle, middle + 1),
        "sum_backdated": (0, house.alice, at),
        "list_lines": (0, house.alice, middle, _MANY, at, near_end, False, 21),
        "list_backdated_lines": (0, house.alice, at, 0, near_end, _MANY, 21),
    }
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    await connection.execute("SET max_parallel_workers_per_gather = 0")  # as in a snapshot
    questions_on_the_effective_axis = {"list_lines": (0, house.alice, middle, _MANY, at, near_end, True, 21)}
    for name, parameters in [*questions.items(), *questions_on_the_effective_axis.items()]:
        plan = await connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {sql[name]}", *parameters)
        text = "\n".join(row[0] for row in plan)
        assert "Seq Scan" not in text, f"{name}\n{text}"
        rows = [int(float(line.split("rows=")[-1].split()[0])) for line in text.splitlines() if "actual rows" in line]
        assert max(rows) <= 10_000, f"{name}\n{text}"


async def test_a_long_history_is_read_right(house: House, connection: asyncpg.Connection) -> None:
    await add_long_history(connection, house, _FEW)
    for second in (0, 1, 500, 999, 1_000, 5_000):
        expected = min(second, _FEW)
        assert await house.balance(house.alice, after(second)) == expected
        assert await house.balance(house.treasury, after(second)) == -expected
    statement = await opened(house, house.alice, 300, 601, EFFECTIVE)
    lines = await all_lines(house, statement, limit=50)
    assert [line.position for line in lines] == list(range(301, 601)), "a backdated one is before its second"
    assert statement.summary.opening_balance == 300


async def test_on_the_posted_axis_backdated_lines_are_paged_like_all(house: House) -> None:
    for second in range(1, 6):
        await house.time.post(house.treasury, house.alice, 1, after(second), effective_at=after(second - 1))
    statement = await opened(house, house.alice, None, 100)
    assert [line.position for line in await all_lines(house, statement, limit=2)] == [1, 2, 3, 4, 5]
