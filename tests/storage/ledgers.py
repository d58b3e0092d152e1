"""A small ledger to test the write path on: one asset, users' wallets without money, and requests about them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg

from wallet.ledger.audit import Salts
from wallet.ledger.model import ORIGIN_SERVICE, Asset, LotCategory, WalletKind, WalletState
from wallet.ledger.outcomes import Applied, Outcome
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Group,
    LotTerms,
    Merge,
    Options,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Single,
    Void,
)
from wallet.service.writes.claim_commands import ClaimCommands
from wallet.service.writes.commands import Commands
from wallet.settings import Settings
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.database import Database
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

SALTS: Final = Salts(b"of tests that look at no leaf")

SECONDS_MAX: Final = 20.0
"""How long a test waits for what must happen before it fails."""

Result = TypeVar("Result")
_IDS: Final = IdSource()
_COMMANDS: Final = Commands()
_CLAIM_COMMANDS: Final = ClaimCommands()


@dataclass(frozen=True, slots=True)
class Ledger:
    """An asset without a cap, and wallets of one user each."""

    asset: Asset
    wallets: tuple[UUID, ...]

    def states(self) -> list[WalletState]:
        """Every wallet of a ledger where nothing has happened yet, system wallets first."""
        system = [
            WalletState(self.asset.system_wallet(kind), self.asset.id, kind, locked=False)
            for kind in (WalletKind.TREASURY, WalletKind.REVENUE, WalletKind.BREAKAGE)
        ]
        return system + [WalletState(each, self.asset.id, WalletKind.USER, locked=True) for each in self.wallets]


def make_ledger(wallets: int = 2, *, asset_id: int = 1, code: str = "GOLD") -> Ledger:
    asset = Asset(asset_id, code, 2, None, _IDS.new_id(), _IDS.new_id(), _IDS.new_id())
    return Ledger(asset, tuple(_IDS.new_id() for _ in range(wallets)))


async def insert_ledger(connection: asyncpg.Connection, ledger: Ledger) -> Ledger:
    """Store the asset, its system wallets, a user per wallet and the wallets, all of them empty."""
    asset, users = ledger.asset, [_IDS.new_id() for _ in ledger.wallets]
    await connection.execute(
        "INSERT INTO assets (id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())",
        *asset,
    )
    await connection.execute("SELECT setval('assets_id_seq', (SELECT max(id) FROM assets))")
    await connection.execute(
        "INSERT INTO users (created_at, shard, id, name) SELECT clock_timestamp(), 0, id, 'somebody'"
        " FROM unnest($1::uuid[]) AS id",
        users,
    )
    states, no_user = ledger.states(), [None] * 3
    await connection.execute(
        "INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind)"
        " SELECT clock_timestamp(), $1, 0, w.locked, w.id, w.user_id, w.kind"
        " FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::bool[]) AS w (id, user_id, kind, locked)",
        asset.id,
        [state.id for state in states],
        no_user + users,
        [state.kind.value for state in states],
        [state.locked for state in states],
    )
    return ledger


@asynccontextmanager
async def new_ledger(dsn: str, wallets: int = 2) -> AsyncIterator[tuple[asyncpg.Connection, Ledger]]:
    """A ledger in an empty database, and a connection to look at it with."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection, await insert_ledger(connection, make_ledger(wallets))
    finally:
        await connection.close()


def topup(wallet: UUID, amount: int, reference_id: str) -> Post:
    return _COMMANDS.wallet_movement(
        "topup", wallet_id=wallet, asset_code="GOLD", amount=amount, reference_id=reference_id, metadata=None
    )


def spend(wallet: UUID, amount: int, reference_id: str) -> Post:
    return _COMMANDS.wallet_movement(
        "spend", wallet_id=wallet, asset_code="GOLD", amount=amount, reference_id=reference_id, metadata=None
    )


def transfer(source: UUID, target: UUID, amount: int, reference_id: str) -> Post:
    return _COMMANDS.transfer(
        from_wallet_id=source,
        to_wallet_id=target,
        asset_code="GOLD",
        amount=amount,
        reference_id=reference_id,
        metadata=None,
    )


def again(request: Single) -> Any:
    """The request as the caller sends it a second time: another id, all else the same."""
    return request._replace(id=_IDS.new_id())


def commands() -> Commands:
    """The commands that make all other requests."""
    return _COMMANDS


def promotional(wallet: UUID, amount: int, reference_id: str, **terms: Any) -> Post:
    """A top-up that opens a lot."""
    return topup(wallet, amount, reference_id)._replace(options=Options(lot=LotTerms(LotCategory.PROMOTIONAL, **terms)))


def hold(wallet: UUID, amount: int, reference_id: str, **more: Any) -> PlaceHold:
    return _COMMANDS.hold(
        wallet_id=wallet, asset_code="GOLD", amount=amount, reference_id=reference_id, metadata=None, **more
    )


def capture(hold_id: UUID, reference_id: str, **more: Any) -> Capture:
    return _COMMANDS.capture(hold_id=hold_id, reference_id=reference_id, metadata=None, **more)


def void(hold_id: UUID, reference_id: str) -> Void:
    return _COMMANDS.void(hold_id=hold_id, reference_id=reference_id, metadata=None)


def claim(wallet: UUID, amount: int, reference_id: str, **more: Any) -> PlaceClaim:
    hash_ = sha256(reference_id.encode()).digest()
    fields: dict[str, Any] = {"reference_id": reference_id, "metadata": None, "code_hash": hash_, **more}
    return _CLAIM_COMMANDS.claim_place(wallet_id=wallet, asset_code="GOLD", amount=amount, **fields)


def redeem(claim_id: UUID, wallet: UUID, reference_id: str, **more: Any) -> RedeemClaim:
    fields: dict[str, Any] = {"reference_id": reference_id, "metadata": None, **more}
    return _CLAIM_COMMANDS.claim_redeem(claim_id=claim_id, wallet_id=wallet, **fields)


def cancel(claim_id: UUID, reference_id: str) -> CancelClaim:
    return _CLAIM_COMMANDS.claim_cancel(claim_id=claim_id, reference_id=reference_id, metadata=None)


def refund(transaction_id: UUID, reference_id: str, **more: Any) -> Refund:
    return _COMMANDS.refund(transaction_id=transaction_id, reference_id=reference_id, metadata=None, **more)


def merge(source: UUID, target: UUID, reference_id: str) -> Merge:
    return _COMMANDS.merge(source=source, target=target, reference_id=reference_id, metadata=None)


def change(wallet: UUID, type_: str = "change", **changes: Any) -> ChangeWallet:
    return _COMMANDS.change_wallet(type_, wallet_id=wallet, changes=tuple(changes.items()))


def settle(wallet: UUID) -> Settle:
    id_ = _IDS.new_id()
    return Settle(id_, ORIGIN_SERVICE, str(id_), wallet)


def group(*items: Any, dry_run: bool = False) -> Group:
    id_ = _IDS.new_id()
    return Group(id_, "api", str(id_), items, options=Options(dry_run=dry_run))


async def advance(connection: asyncpg.Connection, **by: float) -> None:
    """Move the ledger's clock ahead, as a sandbox does."""
    await connection.execute("UPDATE sandbox_clock SET advanced = advanced + $1", timedelta(**by))


def make_database(dsn: str, **settings: Any) -> Database:
    return Database(dsn=dsn, settings=Settings(database_url=dsn, **settings))


@asynccontextmanager
async def new_writer(dsn: str, **settings: Any) -> AsyncIterator[BatchWriter]:
    writer = make_writer(make_database(dsn, **settings))
    try:
        yield writer
    finally:
        await writer.close()


def make_writer(database: Database) -> BatchWriter:
    return BatchWriter(database, AssetCache(), observe=lambda _items, _steps: None)


async def post(writer: BatchWriter, *requests: Request) -> None:
    """Commit requests all of which must be applied."""
    answers = await soon(writer.commit(requests))
    assert all(isinstance(answer, Applied) for answer in answers), answers


async def soon(awaited: Awaitable[Result]) -> Result:
    """The result of something that must end, or the test fails."""
    return await asyncio.wait_for(awaited, SECONDS_MAX)


async def until(is_so: Callable[[], Awaitable[Any]]) -> None:
    """Ask again and again until it is so."""
    give_up_at = time.monotonic() + SECONDS_MAX
    while not await is_so():
        assert time.monotonic() < give_up_at, "it never came to be"
        await asyncio.sleep(0.005)


async def until_waiting(connection: asyncpg.Connection, event_type: str, *, sessions: int = 1) -> list[int]:
    """Wait until so many sessions of this database wait for such an event (pg_stat_activity); their pids."""
    pids: list[int] = []

    async def are_waiting() -> bool:
        await connection.execute("SELECT pg_stat_clear_snapshot()")  # else one view for a whole database transaction
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND $1 IN (wait_event_type, wait_event) AND pid <> pg_backend_pid()",
            event_type,
        )
        pids[:] = [row["pid"] for row in rows]
        return len(pids) >= sessions

    await until(are_waiting)
    return pids


async def balances(connection: asyncpg.Connection, ledger: Ledger) -> list[int]:
    """The wallets' rows, in the ledger's order."""
    rows = await connection.fetch("SELECT id, balance FROM wallets WHERE id = ANY($1)", list(ledger.wallets))
    by_id = {row["id"]: row["balance"] for row in rows}
    return [by_id[each] for each in ledger.wallets]


async def references(connection: asyncpg.Connection) -> list[str]:
    """The references of all transactions, in the order in which they were posted."""
    rows = await connection.fetch("SELECT reference_id FROM transactions ORDER BY seq, id")
    return [row["reference_id"] for row in rows]


async def assert_books_balance(connection: asyncpg.Connection) -> None:
    """Laws 1, 2 and 4 of the ledger, over all that is stored."""
    wrong = {name: await connection.fetchval(f"SELECT count(*) FROM ({sql}) AS wrong") for name, sql in _LAWS.items()}
    assert not any(wrong.values()), wrong


_LINES: Final = """
    SELECT shard, wallet_id, position, created_at, direction * amount AS change, 0 AS held_change, balance_after,
           NULL::bigint AS held_after
      FROM ledger_entries
    UNION ALL
    SELECT shard, wallet_id, position, created_at, 0, held_change, NULL, held_after FROM hold_steps
    UNION ALL
    SELECT shard, wallet_id, position, created_at, 0, 0, NULL, NULL FROM wallet_events"""

_LAWS: Final = {
    "each asset sums to zero": """
        SELECT asset_id FROM ledger_entries GROUP BY asset_id HAVING sum(direction * amount) <> 0""",
    "each wallet is the sum of its history": f"""
        SELECT id FROM wallets LEFT JOIN ({_LINES}) AS line ON wallet_id = id
         WHERE locked GROUP BY id, balance, version, held, last_entry_at
        HAVING balance <> coalesce(sum(change), 0) OR held <> coalesce(sum(held_change), 0)
            OR version <> count(wallet_id) OR last_entry_at < max(line.created_at)""",
    "each wallet holds what its open holds and lots say": """
        SELECT id FROM wallets WHERE locked AND (
            held <> coalesce((SELECT sum(amount - captured - released) FROM holds WHERE wallet_id = wallets.id), 0)
         OR lot_balance <> coalesce((SELECT sum(remaining) FROM lots WHERE wallet_id = wallets.id), 0))""",
    "each hold is the sum of its steps": """
        SELECT id FROM holds JOIN hold_steps ON hold_id = id GROUP BY id, holds.captured, holds.released, amount
        HAVING sum(hold_steps.captured) <> holds.captured OR sum(hold_steps.released) <> holds.released
            OR sum(held_change) <> amount - holds.captured - holds.released""",
    "each lot is the sum of its moves": """
        SELECT id FROM lots LEFT JOIN lot_moves ON lot_id = id GROUP BY id, remaining, held
        HAVING remaining <> coalesce(sum(change), 0) OR held <> coalesce(sum(held_change), 0)""",
    "what holds reserve of lots is held there": """
        SELECT id FROM lots LEFT JOIN (
            SELECT slice.lot_id, sum(slice.amount) AS amount
              FROM holds, unnest(slice_lots, slice_amounts) AS slice (lot_id, amount) GROUP BY slice.lot_id
        ) AS slices ON lot_id = id WHERE held <> coalesce(slices.amount, 0)""",
    "each system wallet is the sum of its deltas": """
        SELECT id FROM wallets WHERE NOT locked
           AND coalesce((SELECT sum(direction * e.amount) FROM ledger_entries AS e WHERE wallet_id = id), 0)
            <> coalesce((SELECT sum(d.amount) FROM system_deltas AS d WHERE wallet_id = id), 0)""",
    "versions have no gap, balances follow, time never runs backwards": f"""
        SELECT FROM (
            SELECT position, balance_after, held_after, line.created_at, row_number() OVER steps AS step,
                   sum(change) OVER steps AS running, sum(held_change) OVER steps AS held,
                   lag(line.created_at) OVER steps AS earlier
              FROM ({_LINES}) AS line JOIN wallets ON id = wallet_id AND locked
            WINDOW steps AS (PARTITION BY wallet_id ORDER BY position)
        ) AS e WHERE position <> step OR balance_after <> running OR held_after <> held OR created_at < earlier""",
    "each batch has the transactions it says": """
        SELECT seq FROM batches LEFT JOIN transactions USING (seq)
         GROUP BY seq, batches.transactions HAVING batches.transactions <> count(transactions.id)""",
    "each transaction has entries, steps or an event": """
        SELECT id FROM transactions WHERE details::json ->> 'skipped' IS NULL
           AND NOT EXISTS (SELECT FROM ledger_entries WHERE transaction_id = id)
           AND NOT EXISTS (SELECT FROM hold_steps WHERE transaction_id = id)
           AND NOT EXISTS (SELECT FROM wallet_events AS event WHERE event.id = transactions.id)""",
    "refunds add up to what their originals say": """
        SELECT original_id FROM refund_states LEFT JOIN transactions AS t ON refund_of = original_id
         GROUP BY original_id, refunded, refunds HAVING refunds <> count(t.id)""",
    "entries with another effective time are listed": """
        SELECT e.transaction_id FROM ledger_entries AS e JOIN transactions AS t ON t.id = e.transaction_id
          FULL JOIN backdated_entries AS b ON b.wallet_id = e.wallet_id AND b.position = e.position
         WHERE (b.effective_at IS NULL) <> (t.effective_at = t.created_at)
            OR b.effective_at <> t.effective_at OR b.change <> direction * amount OR b.created_at <> e.created_at""",
    "nothing due is later than a wallet says": """
        SELECT w.id FROM wallets AS w JOIN (
            SELECT wallet_id, expires_at FROM holds WHERE status = 'open'
            UNION ALL SELECT target_wallet_id, expires_at FROM holds WHERE status = 'open' AND capture_at_expiry
            UNION ALL SELECT wallet_id, expires_at FROM lots WHERE remaining > held
        ) AS due ON w.id = wallet_id AND merged_into IS NULL
         WHERE due.expires_at IS NOT NULL AND (next_due_at IS NULL OR next_due_at > due.expires_at)""",
}


def move_randomly(dsn: str, wallets: Sequence[UUID], seed: int, batches: int) -> None:
    """Two writers of a process of its own transfer back and forth among wallets. Raises if anything is not decided."""
    asyncio.run(_move_randomly(dsn, wallets, random.Random(seed), batches))


async def _move_randomly(dsn: str, wallets: Sequence[UUID], chance: random.Random, batches: int) -> None:
    async def move(writer: BatchWriter, name: str) -> None:
        for batch in range(batches):
            requests = [
                transfer(*chance.sample(wallets, 2), chance.randint(1, 40), f"{name}-{batch}-{item}")
                for item in range(chance.randint(1, 8))
            ]
            for answer in await writer.commit(requests):
                assert isinstance(answer, Outcome), answer

    async with new_writer(dsn) as first, new_writer(dsn) as second:
        prefix = f"{chance.random()}"
        await asyncio.gather(move(first, f"{prefix}-a"), move(second, f"{prefix}-b"))
