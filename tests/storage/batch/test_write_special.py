"""All that a batch can come to beside plain movements: stored, found again, and answered again as it was at first."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

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
    new_ledger,
    new_writer,
    promotional,
    references,
    refund,
    settle,
    soon,
    spend,
    topup,
    transfer,
    void,
)
from wallet.ledger.model import HoldStatus
from wallet.ledger.outcomes import Applied, Grouped, Predicted, RefusalCode, Refused, Replayed, Settled
from wallet.ledger.requests import Options, Request
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.rows.ids import IdSource

IDS = IdSource()


@pytest.fixture
async def ledger(connection: asyncpg.Connection) -> Ledger:
    return await insert_ledger(connection, make_ledger(4))


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[BatchWriter]:
    async with new_writer(database_url) as writer:
        yield writer


async def commit(writer: BatchWriter, *batch: Request) -> list[Any]:
    return list(await soon(writer.commit(batch)))


async def row_of(connection: asyncpg.Connection, wallet: UUID) -> Any:
    return await connection.fetchrow("SELECT * FROM wallets WHERE id = $1", wallet)


async def counts(connection: asyncpg.Connection) -> dict[str, int]:
    tables = (
        "batches", "transactions", "ledger_entries", "holds", "hold_steps", "lots", "lot_moves", "wallet_events",
        "refund_states", "backdated_entries", "declines", "system_deltas",
    )  # fmt: skip
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_a_batch_of_everything_is_stored_and_every_answer_is_repeated_as_it_was(each_database_url: str) -> None:
    async with new_ledger(each_database_url, 4) as (connection, ledger), new_writer(each_database_url) as writer:
        await _everything_and_again(connection, ledger, writer)


async def _everything_and_again(connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter) -> None:
    alice, bob, carol, dora = ledger.wallets
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    first = [
        promotional(alice, 100, "lot", expires_in_seconds=3600),
        topup(alice, 50, "main")._replace(options=Options(effective_at=long_ago)),
        hold(alice, 120, "held", target=bob, expires_in_seconds=60),
        hold(alice, 10, "held too", expires_in_seconds=600, capture_at_expiry=True),
        spend(alice, 500, "up to")._replace(options=Options(up_to=True)),
        transfer(alice, bob, 1_000, "too much"),
        topup(carol, 40, "carol"),
        change(carol, label="savings", limit_day=30, overdraft_limit=5),
        change(carol, metadata='{"a":1}'),
        spend(carol, 20, "counts"),
        spend(carol, 20, "beyond"),
        merge(dora, bob, "merged"),
    ]
    answers = await commit(writer, *first)
    assert [type(each) for each in answers] == [Applied] * 5 + [Refused] + [Applied] * 4 + [Refused, Applied]
    assert [answers[5].code, answers[10].code] == [RefusalCode.INSUFFICIENT_FUNDS, RefusalCode.LIMIT_EXCEEDED]
    await assert_books_balance(connection)
    second = [
        capture(answers[2].posted.id, "part", amount=110),
        refund(answers[4].posted.id, "refunded", amount=5),
        commands().increase(hold_id=answers[3].posted.id, amount=2, reference_id="more", metadata=None),
        commands().extend(hold_id=answers[3].posted.id, expires_in_seconds=9, reference_id="later", metadata=None),
        void(answers[2].posted.id, "void"),
        group(topup(bob, 1, "g1"), hold(bob, 1, "g2"), topup(bob, 1, "g1")),
        change(dora, "reopen"),
    ]
    more = await commit(writer, *second)
    assert [type(each) for each in more] == [Applied] * 5 + [Grouped, Refused]
    await assert_books_balance(connection)
    stored = await counts(connection)
    # This very try, and a try of the same by the same caller.
    repeated = await commit(writer, *first, *second)
    for one, other in zip([*answers, *more], repeated, strict=True):
        if not isinstance(one, Refused):
            assert one == other or [each.posted for each in one.outcomes] == [each.posted for each in other.outcomes]
    fresh = [again(each) for each in (*first, *second) if each.type not in ("change", "reopen", "group")]
    replayed = [each for each in await commit(writer, *fresh) if not isinstance(each, Refused)]
    assert replayed == [
        Replayed(each.posted)
        for each in (*answers, *more)
        if isinstance(each, Applied) and each.posted.type != "change"
    ]
    after = await counts(connection)
    assert after["declines"] > stored["declines"]
    assert {**after, "declines": 0} == {**stored, "declines": 0}
    await assert_books_balance(connection)


async def test_holds_and_lots_are_stored_in_their_final_state(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    asked = [promotional(alice, 30, "a", expires_in_seconds=3600), topup(alice, 30, "b"), hold(alice, 40, "h")]
    lot, _, held = await commit(writer, *asked)
    [captured] = await commit(writer, capture(held.posted.id, "c", amount=25))
    assert captured.posted.details.hold.remaining == 15
    row = await connection.fetchrow("SELECT * FROM holds")
    assert (row["id"], row["wallet_id"], row["status"]) == (held.posted.id, alice, "open")
    assert (row["amount"], row["captured"], row["released"]) == (40, 25, 0)
    [lot_id] = lot.posted.details.opened
    assert (row["slice_lots"], row["slice_amounts"]) == ([lot_id, None], [5, 10])
    row = await connection.fetchrow("SELECT * FROM lots")
    assert (row["id"], row["remaining"], row["held"], row["opened_by"]) == (lot_id, 5, 5, lot.posted.id)
    wallet = await row_of(connection, alice)
    assert (wallet["balance"], wallet["held"], wallet["lot_balance"], wallet["version"]) == (35, 15, 5, 5)
    assert wallet["next_due_at"] == lot.posted.created_at + timedelta(hours=1)
    await assert_books_balance(connection)


async def test_a_wallets_changes_are_columns_and_events(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    changed, _ = await commit(
        writer,
        change(alice, label="first", metadata='{"n":1}', limit_month=9, freeze_incoming=True, max_balance=7),
        change(alice, label="second", overdraft_limit=3),
    )
    row = await row_of(connection, alice)
    assert (row["label"], row["metadata"], row["limit_month"], row["limit_day"]) == ("second", '{"n":1}', 9, None)
    assert (row["freeze_incoming"], row["freeze_outgoing"]) == (True, False)
    assert (row["max_balance"], row["overdraft_limit"], row["version"]) == (7, 3, 2)
    events = await connection.fetch("SELECT * FROM wallet_events ORDER BY position")
    assert (events[0]["position"], events[0]["kind"], events[0]["id"]) == (1, "change", changed.posted.id)
    assert events[1]["changes"] == '{"label":"second","overdraft_limit":3}'
    assert await connection.fetchval("SELECT count(*) FROM batches WHERE transactions = 0") == 1
    closed, reopened = await commit(writer, change(bob, "close"), change(alice, label=None, max_balance=None))
    assert (await row_of(connection, bob))["closed_at"] == closed.posted.created_at
    row = await row_of(connection, alice)
    assert (row["label"], row["max_balance"]) == (None, None)
    assert isinstance(reopened, Applied)
    await commit(writer, change(bob, label="still closed"))
    assert (await row_of(connection, bob))["closed_at"] == closed.posted.created_at
    *_, again_closed = await commit(writer, change(bob, "reopen"), change(bob, "close"))
    assert (await row_of(connection, bob))["closed_at"] == again_closed.posted.created_at
    await commit(writer, change(bob, "reopen"))
    assert (await row_of(connection, bob))["closed_at"] is None
    await assert_books_balance(connection)


async def test_a_limit_given_in_a_batch_judges_what_follows_by_what_was_spent_before(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    await commit(writer, topup(alice, 100, "money"), spend(alice, 60, "before"))
    _, refused, applied = await commit(
        writer, change(alice, limit_day=70), spend(alice, 11, "beyond"), spend(alice, 10, "within")
    )
    assert refused.code is RefusalCode.LIMIT_EXCEEDED
    assert isinstance(applied, Applied)
    [refused] = await commit(writer, spend(alice, 1, "one more"))
    assert refused.code is RefusalCode.LIMIT_EXCEEDED
    await advance(connection, days=1)
    assert [type(each) for each in await commit(writer, spend(alice, 1, "one more"))] == [Applied]


async def test_effective_times_are_stored_and_their_entries_listed(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    at = datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)
    await commit(writer, topup(alice, 10, "now"), topup(bob, 10, "then")._replace(options=Options(effective_at=at)))
    rows = await connection.fetch("SELECT * FROM backdated_entries ORDER BY change")
    assert [(row["wallet_id"], row["change"], row["effective_at"]) for row in rows] == [
        (ledger.asset.treasury, -10, at),
        (bob, 10, at),
    ]
    await assert_books_balance(connection)


async def test_dry_runs_leave_nothing_at_all(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    [money] = await commit(writer, topup(alice, 10, "money"))
    before = await counts(connection), await references(connection)
    dry = Options(dry_run=True)
    answers = await commit(
        writer,
        topup(alice, 5, "a")._replace(options=dry),
        spend(alice, 50, "b")._replace(options=dry),
        hold(alice, 5, "c")._replace(options=dry),
        refund(money.posted.id, "d")._replace(options=dry),
        merge(alice, bob, "e")._replace(options=dry),
        group(spend(alice, 1, "f"), spend(alice, 10, "g"), dry_run=True),
        group(refund(money.posted.id, "h"), dry_run=True),
    )
    assert [type(each) for each in answers] == [Predicted, Refused, *[Predicted] * 3, Grouped, Grouped]
    assert (await counts(connection), await references(connection)) == before


async def test_of_a_refused_group_only_the_first_refusal_is_recorded(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    known = topup(alice, 5, "known")
    await commit(writer, known)
    [grouped] = await commit(
        writer, group(again(known), topup(bob, 5, "fine"), spend(alice, 6, "no"), spend(alice, 7, "nor this"))
    )
    assert isinstance(grouped, Grouped)
    assert grouped.is_refused
    rows = await connection.fetch("SELECT reference_id, code FROM declines")
    assert [tuple(row) for row in rows] == [("no", "insufficient_funds")]
    assert await references(connection) == ["known"]


async def test_what_is_due_is_posted_even_if_nothing_else_is(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    _, _, held, other = await commit(
        writer,
        promotional(alice, 10, "lot", expires_in_seconds=30),
        topup(alice, 20, "main"),
        hold(alice, 15, "h", expires_in_seconds=60, target=bob, capture_at_expiry=True),
        hold(alice, 5, "o", expires_in_seconds=90),
    )
    assert await commit(writer, settle(alice)) == [Settled()]
    assert len(await references(connection)) == 4
    await advance(connection, seconds=60)
    # Asked at the target, which is where the money goes.
    [refused] = await commit(writer, spend(bob, 16, "too much"))
    assert refused.available == 15
    assert (await balances(connection, ledger))[:2] == [15, 15]
    row = await connection.fetchrow("SELECT * FROM holds WHERE id = $1", held.posted.id)
    assert (row["status"], row["captured"]) == ("captured", 15)
    wallet = await row_of(connection, alice)
    assert wallet["next_due_at"] == other.posted.details.hold.expires_at
    assert (await row_of(connection, bob))["next_due_at"] is None
    assert (await references(connection))[-1] == f"hold:{held.posted.id}:expiry"
    await assert_books_balance(connection)


async def test_a_capture_at_expiry_that_is_refused_is_recorded(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    _, held, _ = await commit(
        writer,
        topup(alice, 10, "money"),
        hold(alice, 10, "h", target=bob, expires_in_seconds=60, capture_at_expiry=True),
        change(bob, freeze_incoming=True),
    )
    await advance(connection, seconds=60)
    assert await commit(writer, settle(alice)) == [Settled()]
    row = await connection.fetchrow("SELECT reference_id, code, wallet_id FROM declines")
    assert tuple(row) == (f"hold:{held.posted.id}:expiry", "wallet_frozen", bob)
    assert await connection.fetchval("SELECT status FROM holds") == "expired"
    await assert_books_balance(connection)


async def test_a_merge_takes_holds_lots_and_what_is_due_along(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, dora = ledger.wallets
    _, _, spent, held, aimed = await commit(
        writer,
        promotional(alice, 50, "lot", expires_in_seconds=3600),
        topup(carol, 10, "carol"),
        spend(alice, 20, "spent"),
        hold(alice, 5, "h"),
        hold(carol, 10, "aimed", target=alice, expires_in_seconds=60, capture_at_expiry=True),
    )
    await commit(writer, merge(alice, bob, "m1"))
    await commit(writer, merge(bob, dora, "m2"))
    row = await row_of(connection, alice)
    assert (row["merged_into"], row["balance"], row["held"], row["lot_balance"]) == (bob, 0, 0, 0)
    assert await connection.fetchval("SELECT wallet_id FROM holds WHERE id = $1", held.posted.id) == dora
    assert await connection.fetchval("SELECT wallet_id FROM lots") == dora
    [refused] = await commit(writer, topup(alice, 1, "to the old one"))
    assert refused.code is RefusalCode.WALLET_MERGED
    # Hold steps and refunds follow; a hold into what was merged is due where that has gone.
    captured, refunded = await commit(writer, capture(held.posted.id, "c"), refund(spent.posted.id, "r"))
    assert isinstance(captured, Applied)
    assert isinstance(refunded, Applied)
    assert (await balances(connection, ledger))[:4] == [0, 0, 10, 45]
    await advance(connection, seconds=60)
    assert await commit(writer, settle(dora)) == [Settled()]
    assert (await balances(connection, ledger))[:4] == [0, 0, 0, 55]
    assert await connection.fetchval("SELECT status FROM holds WHERE id = $1", aimed.posted.id) == "captured"
    await assert_books_balance(connection)


async def test_a_wallet_that_a_hold_is_aimed_at_cannot_be_closed_even_by_way_of_a_merge(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, carol, _ = ledger.wallets
    await commit(writer, topup(alice, 10, "money"), hold(alice, 10, "h", target=bob), merge(bob, carol, "m"))
    [refused] = await commit(writer, change(carol, "close"))
    assert refused.code is RefusalCode.WALLET_NOT_EMPTY


async def test_a_chain_of_holds_that_are_due_is_settled_from_either_end(
    connection: asyncpg.Connection, database_url: str, writer: BatchWriter
) -> None:
    chain = await insert_ledger(connection, make_ledger(12, asset_id=1))
    due: dict[str, Any] = {"expires_in_seconds": 60, "capture_at_expiry": True}
    pairs = list(zip(chain.wallets, chain.wallets[1:], strict=False))
    await commit(writer, *(topup(source, 1, f"m{n}") for n, (source, _) in enumerate(pairs)))
    await commit(writer, *(hold(source, 1, f"h{n}", target=target, **due) for n, (source, target) in enumerate(pairs)))
    await advance(connection, seconds=60)
    assert await commit(writer, settle(chain.wallets[-1])) == [Settled()]
    assert await balances(connection, chain) == [0] + [1] * 11
    assert await connection.fetchval("SELECT count(*) FROM holds WHERE status = 'captured'") == 11
    await assert_books_balance(connection)


async def test_a_refund_goes_back_into_the_lots_it_was_drawn_from(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice, bob, *_ = ledger.wallets
    _, _, moved = await commit(
        writer, promotional(alice, 10, "lot", expires_in_seconds=60), topup(alice, 10, "main"),
        transfer(alice, bob, 15, "t"),
    )  # fmt: skip
    [back] = await commit(writer, refund(moved.posted.id, "r", amount=7))
    assert isinstance(back, Applied)
    rows = await connection.fetch("SELECT remaining FROM lots WHERE wallet_id = $1", alice)
    assert [row["remaining"] for row in rows] == [2]
    [rest] = await commit(writer, refund(moved.posted.id, "rest"))
    assert isinstance(rest, Applied)
    state = await connection.fetchrow("SELECT refunded, refunds FROM refund_states")
    assert tuple(state) == (15, 2)
    assert (await balances(connection, ledger))[:2] == [20, 0]
    await assert_books_balance(connection)


async def test_an_original_of_the_same_batch_is_refunded_as_any_other(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    original = topup(alice, 10, "o")
    batch = [original, refund(original.id, "r1", amount=6), refund(original.id, "r2", amount=6)]
    answers = await commit(writer, *batch)
    assert [type(each) for each in answers] == [Applied, Applied, Refused]
    assert tuple(await connection.fetchrow("SELECT refunded, refunds FROM refund_states")) == (6, 1)
    assert (await commit(writer, *batch))[:2] == answers[:2]
    [rest] = await commit(writer, refund(original.id, "r3"))
    assert rest.posted.entries[0].amount == 4
    await assert_books_balance(connection)


@pytest.mark.parametrize("policy", ["grace", "forfeit", "to_main"])
async def test_what_an_asset_says_of_refunds_is_read_each_time(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter, policy: str
) -> None:
    alice = ledger.wallets[0]
    _, spent = await commit(writer, promotional(alice, 10, "l", expires_in_seconds=60), spend(alice, 10, "s"))
    await advance(connection, seconds=60)
    await connection.execute("UPDATE assets SET on_refund_to_expired = $1, grace_seconds = 77", policy)
    [back] = await commit(writer, refund(spent.posted.id, "r"))
    wallet = await row_of(connection, alice)
    assert (wallet["balance"], wallet["lot_balance"]) == {"grace": (10, 10), "forfeit": (0, 0), "to_main": (10, 0)}[
        policy
    ]
    if policy == "grace":
        assert wallet["next_due_at"] == back.posted.created_at + timedelta(seconds=77)
    if policy == "forfeit":
        assert back.posted.details.forfeited == 10
    assert await commit(writer, again(refund_request(back, spent))) == [Replayed(back.posted)]
    await assert_books_balance(connection)


def refund_request(back: Applied, spent: Applied) -> Any:
    return refund(spent.posted.id, back.posted.reference_id)


async def test_main_first_is_read_where_the_lot_is_opened_in_the_same_batch(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    await connection.execute("UPDATE assets SET draw_order = 'main_first'")
    await commit(writer, topup(alice, 10, "main"), promotional(alice, 10, "lot"), spend(alice, 10, "spent"))
    wallet = await row_of(connection, alice)
    assert (wallet["balance"], wallet["lot_balance"]) == (10, 10)
    await assert_books_balance(connection)


async def test_a_forced_refund_goes_below_the_limit(
    connection: asyncpg.Connection, ledger: Ledger, writer: BatchWriter
) -> None:
    alice = ledger.wallets[0]
    money, _ = await commit(writer, topup(alice, 10, "money"), spend(alice, 10, "spent"))
    refused, forced = await commit(writer, refund(money.posted.id, "r"), refund(money.posted.id, "f", force=True))
    assert refused.code is RefusalCode.INSUFFICIENT_FUNDS
    assert isinstance(forced, Applied)
    assert (await balances(connection, ledger))[0] == -10
    # The present rows only grow in number.
    await commit(writer, topup(alice, 4, "more"))
    assert (await balances(connection, ledger))[0] == -6
    await assert_books_balance(connection)


async def test_the_answers_are_the_same_however_requests_are_batched(
    connection: asyncpg.Connection, writer: BatchWriter
) -> None:
    ledger = await insert_ledger(connection, make_ledger(6))

    def requests(wallets: Sequence[UUID], name: str) -> list[Any]:
        alice, bob, carol = wallets
        held = hold(alice, 20, f"{name} h", target=bob, expires_in_seconds=60)
        return [
            promotional(alice, 30, f"{name} a", expires_in_seconds=3600),
            topup(alice, 10, f"{name} b"),
            change(alice, limit_day=15),
            held,
            spend(alice, 21, f"{name} c"),
            capture(held.id, f"{name} d", amount=8),
            transfer(alice, bob, 8, f"{name} e"),
            spend(alice, 3, f"{name} f"),
            void(held.id, f"{name} g"),
            spend(alice, 7, f"{name} i"),
            merge(bob, carol, f"{name} j"),
            spend(carol, 16, f"{name} k"),
            spend(carol, 17, f"{name} l"),
        ]

    def shape(answer: Any) -> Any:
        return (
            answer.code
            if isinstance(answer, Refused)
            else [(e.version, e.balance_after) for e in answer.posted.entries]
        )

    at_once = [shape(each) for each in await commit(writer, *requests(ledger.wallets[:3], "x"))]
    one_by_one = [shape((await commit(writer, each))[0]) for each in requests(ledger.wallets[3:], "y")]
    assert at_once == one_by_one
    assert sum(isinstance(each, RefusalCode) for each in at_once) >= 2
    for table in ("holds", "lots"):
        rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY id")
        assert len(rows) % 2 == 0
    await assert_books_balance(connection)


async def test_a_hold_that_is_nobodys_is_not_found(ledger: Ledger, writer: BatchWriter) -> None:
    answers = await commit(writer, capture(IDS.new_id(), "a"), refund(IDS.new_id(), "b"), void(IDS.new_id(), "c"))
    assert [each.code for each in answers] == [
        RefusalCode.HOLD_NOT_FOUND, RefusalCode.TRANSACTION_NOT_FOUND, RefusalCode.HOLD_NOT_FOUND
    ]  # fmt: skip


async def test_the_status_of_a_hold_that_is_over_is_told(ledger: Ledger, writer: BatchWriter) -> None:
    alice = ledger.wallets[0]
    _, held = await commit(writer, topup(alice, 10, "money"), hold(alice, 10, "h"))
    _, refused = await commit(writer, void(held.posted.id, "v"), capture(held.posted.id, "c"))
    assert refused.code is RefusalCode.HOLD_CLOSED
    assert ("hold_status", HoldStatus.VOIDED.value) in refused.members
