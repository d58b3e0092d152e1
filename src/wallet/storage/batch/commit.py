"""One batch, one database transaction: lock, load, decide, write, commit.

The number of round trips is constant, whatever the size of the batch. Between BEGIN and COMMIT there is nothing but SQL
and apply_batch. The writer (storage.batch.writer) reacts to a batch that fails.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from wallet.errors import BadData, GroupTooLarge, NotAtOnce, StaleContext
from wallet.ledger.apply import apply_batch
from wallet.ledger.audit import Salts
from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds, Decision
from wallet.ledger.footprint import wallets_implied
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Outcome
from wallet.ledger.requests import Request
from wallet.storage.batch.due_steps import DUE_STEPS_MAX, ManyDue
from wallet.storage.batch.load import Loaded, load
from wallet.storage.batch.long_work import Work, at_once
from wallet.storage.batch.wallets_to_lock import Pointed, WalletsToLock, find_more, find_wallets_to_lock
from wallet.storage.batch.write import write_decision
from wallet.storage.chain.leaves import read_salts
from wallet.storage.connections.database import (
    LockTimedOut,
    SequenceBehind,
    driver_errors,
)
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.connections.transactions import commit, roll_back
from wallet.storage.rows.asset_cache import AssetCache

_SQL = load_statements("batch/commit.sql")

BEGINNINGS_MAX: Final = 4
"""How often a batch begins at most, because its holds and originals point at wallets that it had not locked."""

WALLETS_READ_LEAST: Final = 256
"""From so many wallets on, one statement locks and reads them, which takes one round trip more; fewer wallets are
looked up with the references.
"""

CONNECTION_KEPT: Final = (StaleContext, BadData, LockTimedOut, ManyDue, SequenceBehind, GroupTooLarge, NotAtOnce)
"""After these errors the connection can be used again. After any other error, and after a cancellation, its state is
unknown, and it must be closed without another statement: the server may have stopped for good.
"""

StepSeconds = dict[str, float]
"""Seconds by step: lock (with BEGIN), load, decide, write, commit."""


async def commit_batch(
    shard: Shard,
    batch: Sequence[Request],
    *,
    batch_id: UUID,
    assets: AssetCache,
    salts: Salts,
    commit_seconds_max: float,
    steps: StepSeconds,
    pointed: Pointed | None = None,
    due_steps_max: int = DUE_STEPS_MAX,
    work: Work = at_once,
    bounds: Bounds = DEFAULT_BOUNDS,
    group_lines_at_once: int | None = None,
) -> Sequence[Outcome]:
    """Decide and store a batch, and answer its outcomes in order.

    Raises OutcomeUnknown if COMMIT was sent and no clean answer came. All other errors say that nothing was stored:
    StaleContext, BadData, ManyDue, StorageUnavailable. The connection must be given up unless the error is one of
    CONNECTION_KEPT. `pointed` is filled with the wallets that the batch's holds and originals bring in. `work`: runs
    long computations. `group_lines_at_once`: for a group of more lines NotAtOnce is raised.
    """
    clock = _Laps(steps)
    try:
        with driver_errors():
            names = await find_wallets_to_lock(shard, batch, assets, {} if pointed is None else pointed)
            loaded = await _lock_and_load(shard, batch, assets, names, clock, due_steps_max, bounds)
        with driver_errors():
            context = loaded.context
            if group_lines_at_once is not None:
                context = context._replace(group_lines_at_once=group_lines_at_once)
            decision: Decision = await work(shard.connection, apply_batch, batch, context, loaded.decided_at)
            clock.lap("decide")
            await write_decision(shard, batch, loaded, decision, batch_id=batch_id, salts=salts, work=work)
            clock.lap("write")
    except CONNECTION_KEPT:
        await roll_back(shard.connection)
        raise
    await commit(shard.connection, commit_seconds_max)
    clock.lap("commit")
    return decision.outcomes


async def _lock_and_load(
    shard: Shard,
    batch: Sequence[Request],
    assets: AssetCache,
    names: WalletsToLock,
    clock: "_Laps",
    due_steps_max: int,
    bounds: Bounds,
) -> Loaded:
    """Begin, and begin again while loaded rows belong to wallets, or point at wallets, that were not locked."""
    for _ in range(BEGINNINGS_MAX):
        are_read = len(names.locked) >= WALLETS_READ_LEAST
        ids = "" if are_read else ",".join(map(str, names.locked))
        tag = await shard.connection.execute(_SQL["begin_and_lock"].format(shard=shard.number, ids=ids))
        locked = await shard.fetch(_SQL["lock_and_read"], list(names.locked)) if are_read else None
        clock.lap("lock")
        loaded = await load(shard, batch, assets, names, locked, due_steps_max, bounds)
        clock.lap("load")
        missing = [] if loaded.is_plain else names.lacks(wallets_implied(loaded.context))
        # A wallet may have been made since the locks were taken: then more are loaded than the tag `SELECT n` says.
        is_locked = are_read or tag == f"SELECT {sum(state.locked for state in loaded.context.wallets.values())}"
        if is_locked and not missing:
            return loaded
        # Another lock now would be out of order, so the batch begins again.
        await roll_back(shard.connection)
        if missing:
            await find_more(shard, names, missing)
    raise StaleContext("the wallets to lock changed each time")


class _Laps:
    """Adds the time since the last lap to a named step."""

    def __init__(self, steps: StepSeconds) -> None:
        self._steps = steps
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._steps[step] = self._steps.get(step, 0.0) + now - self._last
        self._last = now


async def find_busy(shard: Shard, wallets: Iterable[WalletId]) -> set[WalletId]:
    """Those of the wallets that another session has locked at this moment. Not within a transaction."""
    with driver_errors():
        return {row["id"] for row in await shard.fetch(_SQL["find_busy"], list(wallets))}


async def prepare(connection: asyncpg.Connection) -> Salts:
    """Make a new connection ready for commit_batch, or end it and raise StorageUnavailable. All connections to one
    database always get the same salts.
    """
    with driver_errors():
        try:
            await connection.execute(_SQL["prepare_lock"])
            return await read_salts(connection)
        except BaseException:
            connection.terminate()
            raise
