"""Every statement of the write path finds rows by key, also by a plan that was made when there was hardly a row."""

import re
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Final

import asyncpg
import pytest

from tests.storage.ledgers import insert_ledger, make_database, make_ledger
from wallet.storage.batch.commit import prepare
from wallet.storage.connections.sql_files import load_statements

ROWS_FEW, ROWS_MANY = 8, 20_000

STATEMENTS: Final = {
    name: sql
    for file_name in ("batch/commit.sql", "batch/load_special.sql", "batch/write_special.sql", "rows/posted.sql")
    for name, sql in load_statements(file_name).items()
    if name not in ("prepare_lock", "begin_and_lock", "sign_of_life", "commit", "rollback")
}

GROW: Final = """
    INSERT INTO wallets (created_at, asset_id, shard, locked, id, kind, closed_at, merged_into)
    SELECT now(), 1, 0, true, gen_random_uuid(), 'user', now(), CASE WHEN n % 10 = 0 THEN gen_random_uuid() END
      FROM generate_series(1, {rows}) AS n;
    INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint)
    SELECT n, now(), now(), 0, gen_random_uuid(), 'api', gen_random_uuid(), 'spend', ''
      FROM generate_series(1, {rows}) AS n;
    INSERT INTO ledger_entries (position, amount, created_at, asset_id, shard, direction, leg, wallet_id,
                                transaction_id)
    SELECT n, 1, now(), 1, 0, 1 - 2 * leg, leg, gen_random_uuid(), md5('t' || n)::uuid
      FROM generate_series(1, {rows}) AS n, generate_series(0, 1) AS leg;
    INSERT INTO holds (amount, created_at, expires_at, asset_id, shard, capture_at_expiry, id, wallet_id,
                       target_wallet_id, status, slice_lots, slice_amounts)
    SELECT 1, now(), now(), 1, 0, true, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'open', '{{}}', '{{}}'
      FROM generate_series(1, {rows}) AS n;
    INSERT INTO lots (amount, remaining, opened_at, asset_id, shard, priority, id, wallet_id, opened_by, category)
    SELECT 1, 1, now(), 1, 0, 50, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'paid'
      FROM generate_series(1, {rows}) AS n;
    INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)
    SELECT 1, now(), 1, 0, true, gen_random_uuid(), sha256(gen_random_uuid()::text::bytea)
      FROM generate_series(1, {rows}) AS n;
    INSERT INTO claim_redemptions (shard, claim_id, user_id, transaction_id)
    SELECT 0, gen_random_uuid(), gen_random_uuid(), gen_random_uuid() FROM generate_series(1, {rows}) AS n;
    INSERT INTO refund_states (shard, original_id) SELECT 0, gen_random_uuid() FROM generate_series(1, {rows}) AS n;
    INSERT INTO wallet_events (seq, position, created_at, shard, wallet_id, id, kind, changes)
    SELECT n, 1, now(), 0, gen_random_uuid(), gen_random_uuid(), 'change', '{{}}' FROM generate_series(1, {rows}) AS n;
    INSERT INTO programmes (amount, created_at, asset_id, shard, priority, id, per, category)
    SELECT 1, now(), 1, 0, 50, gen_random_uuid(), 'day', 'paid' FROM generate_series(1, {rows}) AS n;
    INSERT INTO programme_wallets (anchor_at, next_at, shard, programme_id, wallet_id)
    SELECT now(), now(), 0, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, {rows}) AS n;
"""


@pytest.fixture
async def writing(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection set up as writers set up theirs."""
    connection = await make_database(database_url).connect("test", finds_by_key=True)
    await prepare(connection)
    yield connection
    connection.terminate()


async def _plan(writing: asyncpg.Connection, name: str, types: list[str]) -> str:
    """The plan of a statement as this very session has prepared it and would execute it now."""
    values = {"uuid": "gen_random_uuid()", "timestamp with time zone": "now()", "bytea": "NULL"}
    arguments = ", ".join("'{}'" if each.endswith("[]") else values.get(each, "0") for each in types)
    rows = await writing.fetch(f'EXPLAIN (COSTS off) EXECUTE "{name}"({arguments})')
    return "\n".join(row[0] for row in rows)


def _reads_too_much(plan: str) -> list[str]:
    """The lines of a plan that read a table, or all that a shard has of one."""
    lines = plan.splitlines()
    whole = [
        line.strip()
        for before, line in pairwise(["", *lines])
        # All that a shard has of watermarks is a row.
        if re.search(r"Seq Scan|Index Cond: \(shard = [^)]*\)$", line) and "using watermarks_pk" not in before
    ]
    # An index that is read without a condition.
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if re.search(r"Index (Only )?Scan", line) and "Index Cond" not in following:
            whole.append(line.strip())
    return whole


UNTIL_ANALYSED: Final = {
    "write_batch",
    "load_spent",
    "write_special",
    "name_wallets",
    "move_attachments",
    "advance_attachments",
}
"""Statements that read a whole index while nothing is known about a table: the server takes a shard for a small part of
it. Its own ANALYZE, a minute after the first rows at the latest, ends such plans.
"""


@pytest.mark.parametrize("is_analysed", [True, False], ids=["known to be small", "nothing is known"])
async def test_plans_made_when_there_was_hardly_a_row_find_rows_by_key(
    connection: asyncpg.Connection, writing: asyncpg.Connection, is_analysed: bool
) -> None:
    await insert_ledger(connection, make_ledger(2))
    await connection.execute(GROW.format(rows=ROWS_FEW))
    if is_analysed:
        await connection.execute("VACUUM ANALYZE")
    prepared = {"lock_wallets": ("lock_wallets", ["smallint", "uuid[]"])}
    kept = []  # what nobody has any more the driver closes
    for name, sql in STATEMENTS.items():
        statement = await writing.prepare(sql)
        types = await writing.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1", statement.get_name()
        )
        prepared[name] = (statement.get_name(), types)
        kept.append(statement)
    for each in prepared.values():
        await _plan(writing, *each)
    await connection.execute(GROW.format(rows=ROWS_MANY))
    plans = {name: await _plan(writing, *each) for name, each in prepared.items()}
    wrong = {name: lines for name, plan in plans.items() if (lines := _reads_too_much(plan))}
    if not is_analysed:
        wrong = {name: lines for name, lines in wrong.items() if name not in UNTIL_ANALYSED}
    assert not wrong, "\n".join(plans[name] for name in wrong)
    assert "Index Cond: ((shard = $1) AND (id = ANY ($2)))" in plans["lock_wallets"]
    assert "transactions_reference_uq" in plans["load"]


@pytest.mark.parametrize("is_analysed", [True, False], ids=["known to be small", "nothing is known"])
async def test_what_is_due_is_read_at_the_beginning_of_its_index(
    connection: asyncpg.Connection, writing: asyncpg.Connection, is_analysed: bool
) -> None:
    await insert_ledger(connection, make_ledger(2))
    await connection.execute(GROW.format(rows=ROWS_FEW))
    if is_analysed:
        await connection.execute("VACUUM ANALYZE")
    sql = load_statements("upkeep/due.sql")
    looks = {
        "look_ahead": (["smallint"], ["wallets_due_ix", "programme_wallets_due_ix"] * 2),
        "find_due_wallets": (["smallint", "uuid[]", "bigint"], ["wallets_due_ix"]),
        "find_due_grants": (["smallint", "uuid[]", "bigint"], ["programme_wallets_due_ix"]),
    }
    prepared = {name: await writing.prepare(sql[name]) for name in looks}
    for name, (types, _) in looks.items():
        await _plan(writing, prepared[name].get_name(), types)
    await connection.execute(GROW.format(rows=ROWS_MANY))
    for name, (types, indexes) in looks.items():
        plan = await _plan(writing, prepared[name].get_name(), types)
        begin = r"Limit\n(?:.*(?:InitPlan \d+|Result)\n)* *->  Index (?:Only )?Scan using (\w+)"
        assert re.findall(begin, plan) == indexes, plan


def test_a_plan_that_reads_too_much_is_told() -> None:
    assert _reads_too_much("Seq Scan on wallets")
    assert _reads_too_much("Index Scan using x on y\n  Index Cond: (shard = $1)\n  Filter: (id = $2)")
    assert _reads_too_much("Index Scan using x on y\n  Filter: (id = $2)")
    assert not _reads_too_much("Index Scan using x on y\n  Index Cond: ((shard = $1) AND (id = $2))")
