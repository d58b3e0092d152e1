"""One batch, one database transaction: lock, load, decide, write, commit.

A constant number of round trips whatever the batch size. Between BEGIN and COMMIT there is nothing but SQL and
apply_batch. What to do when it does not go through is the writer's business (storage.writer).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from wallet.errors import BadData, OutcomeUnknown, StaleContext, ensure
from wallet.ledger.apply import KINDS, Decision, apply_batch
from wallet.ledger.model import (
    Asset,
    Context,
    Posted,
    ReferenceKey,
    Request,
    TransactionId,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.outcomes import Outcome, Refused
from wallet.storage.assets import AssetCache
from wallet.storage.database import CONNECTION_LOST, LockTimedOut, driver_errors, is_fatal, translated
from wallet.storage.postings import load_posted
from wallet.storage.statements import load_statements

_SQL = load_statements("commit.sql")
_KIND_BY_NAME: Final = {kind.value: kind for kind in WalletKind}

CONNECTION_KEPT: Final = (StaleContext, BadData, LockTimedOut)
"""After these the connection is as good as new. After anything else, a cancellation included, nothing is known of it,
and it must be given up without asking it anything: the server may be stopped for good."""

StepSeconds = dict[str, float]
"""Seconds by step: lock (with BEGIN), load, decide, write, commit."""


async def commit_batch(
    connection: asyncpg.Connection,
    batch: Sequence[Request],
    *,
    batch_id: UUID,
    shard: int,
    assets: AssetCache,
    commit_seconds_max: float,
    steps: StepSeconds,
) -> Sequence[Outcome]:
    """Decide and store a batch, and answer its outcomes in order.

    Raises OutcomeUnknown once COMMIT was sent and no clean answer came. Everything else that is raised says that
    nothing was stored: StaleContext, BadData, StorageUnavailable. The connection must be given up unless it is one of
    CONNECTION_KEPT.
    """
    clock = _Laps(steps)
    try:
        with driver_errors():
            named = _wallets_named(batch, assets, await _assets_named(connection, batch, assets))
            await connection.execute(_SQL["begin_and_lock"].format(shard=shard, ids=",".join(map(str, named.locked))))
            clock.lap("lock")
            context, decided_at = await _load(connection, batch, shard, assets, named)
            clock.lap("load")
        decision = apply_batch(batch, context, decided_at)
        clock.lap("decide")
        with driver_errors():
            if decision.posted:
                await _write_batch(connection, decision, batch_id, shard, decided_at)
            if len(decision.posted) < len(batch):
                await _write_declines(connection, batch, decision, shard, decided_at)
            clock.lap("write")
    except CONNECTION_KEPT:
        await _roll_back(connection)
        raise
    await commit(connection, commit_seconds_max)
    clock.lap("commit")
    return decision.outcomes


class _Laps:
    """Adds the time since the last lap to a named step."""

    def __init__(self, steps: StepSeconds) -> None:
        self._steps = steps
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._steps[step] = self._steps.get(step, 0.0) + now - self._last
        self._last = now


async def _assets_named(
    connection: asyncpg.Connection, batch: Sequence[Request], assets: AssetCache
) -> Mapping[str, Asset]:
    """The assets that exist now, of those the batch names. Not the live cache: others add to it meanwhile, and an asset
    that appeared between two steps would be known to one and not to the other.
    """
    codes = {request.asset_code for request in batch if request.asset_code is not None}
    if missing := codes - assets.by_code.keys():
        await assets.load_codes(connection, missing)
    return {code: assets.by_code[code] for code in codes if code in assets.by_code}


class _Named(NamedTuple):
    """What a batch names: assets by code, wallets that are never locked by id, and the ids of all others."""

    assets: Mapping[str, Asset]
    unlocked: dict[WalletId, WalletState]
    locked: dict[WalletId, None]


def _wallets_named(batch: Sequence[Request], cache: AssetCache, assets: Mapping[str, Asset]) -> _Named:
    named = _Named(assets, {}, {})
    for request in batch:
        for wallet_id in KINDS[type(request)].wallets_named(request, assets):
            if (unlocked := cache.unlocked(wallet_id)) is not None:
                named.unlocked[wallet_id] = unlocked
            else:
                named.locked[wallet_id] = None
    return named


async def _load(
    connection: asyncpg.Connection, batch: Sequence[Request], shard: int, assets: AssetCache, named: _Named
) -> tuple[Context, datetime]:
    keys = {(request.origin, request.reference_id): None for request in batch}
    rows = await connection.fetch(
        _SQL["load"],
        shard,
        list(named.locked),
        [origin for origin, _ in keys],
        [reference for _, reference in keys],
    )
    decided_at: datetime = rows[0][0]
    known_ids: Sequence[TransactionId] | None = rows[0][1]
    states = dict(named.unlocked)
    for row in rows:
        _, _, id_, asset_id, kind, locked, balance, held, version, overdraft_limit, max_balance, last_entry_at = row
        if id_ is None:
            break
        states[id_] = WalletState(
            id_,
            asset_id,
            _KIND_BY_NAME[kind],
            locked,
            balance,
            held,
            version,
            overdraft_limit,
            max_balance,
            last_entry_at,
        )
        # The database's clock may be set back; along a wallet's versions, time does not.
        if last_entry_at is not None and last_entry_at > decided_at:
            decided_at = last_entry_at
    await _load_strangers(connection, states, shard, assets, named)
    known = await _load_known(connection, shard, known_ids) if known_ids else {}
    return Context(states, named.assets, known), decided_at


async def _load_strangers(
    connection: asyncpg.Connection,
    states: dict[WalletId, WalletState],
    shard: int,
    assets: AssetCache,
    named: _Named,
) -> None:
    # Neither locked nor a system wallet that we know: one of an asset that another process made, or nothing.
    if strange := named.locked.keys() - states.keys():
        await assets.load_wallets(connection, shard, strange)
        for wallet_id in strange:
            if (unlocked := assets.unlocked(wallet_id)) is not None:
                states[wallet_id] = unlocked
    # Whoever writes the answer needs their codes.
    if foreign := {state.asset_id for state in states.values()} - assets.by_id.keys():
        await assets.load_ids(connection, foreign)


async def _load_known(
    connection: asyncpg.Connection, shard: int, ids: Sequence[TransactionId]
) -> Mapping[ReferenceKey, Posted]:
    rows = await connection.fetch(_SQL["load_known"], shard, ids)
    known = await load_posted(connection, _SQL["load_entries"], shard, rows)
    return {(posted.origin, posted.reference_id): posted for posted in known}


async def find_held(connection: asyncpg.Connection, wallets: Iterable[WalletId], shard: int) -> set[WalletId]:
    """Which of these wallets another session holds at this moment. Not within a transaction."""
    with driver_errors():
        return {row["id"] for row in await connection.fetch(_SQL["find_held"], shard, list(wallets))}


async def _write_batch(
    connection: asyncpg.Connection, decision: Decision, batch_id: UUID, shard: int, decided_at: datetime
) -> None:
    posted, states, deltas = decision.posted, decision.states, decision.deltas
    entries = [entry for transaction in posted for entry in transaction.entries]
    transaction_ids, legs, wallet_ids, asset_ids, directions, amounts, versions, balances = zip(*entries, strict=True)
    row = await connection.fetchrow(
        _SQL["write_batch"],
        shard,
        batch_id,
        decided_at,
        [transaction.id for transaction in posted],
        [transaction.origin for transaction in posted],
        [transaction.reference_id for transaction in posted],
        [transaction.type for transaction in posted],
        [transaction.fingerprint for transaction in posted],
        [transaction.metadata for transaction in posted],
        transaction_ids,
        legs,
        wallet_ids,
        asset_ids,
        [direction * amount for direction, amount in zip(directions, amounts, strict=True)],
        versions,
        balances,
        list(states),
        [state.balance for state in states.values()],
        [state.version for state in states.values()],
        list(deltas),
        list(deltas.values()),
    )
    asked = (len(posted), len(entries), len(states), len(deltas))
    written = (row["transactions"], row["entries"], row["wallets"], row["deltas"])
    ensure(written == asked, f"asked to write {asked} rows, wrote {written}")


async def _write_declines(
    connection: asyncpg.Connection, batch: Sequence[Request], decision: Decision, shard: int, at: datetime
) -> None:
    declined = [
        (
            request.origin,
            request.reference_id,
            request.type,
            outcome.code.value,
            outcome.wallet_id,
            outcome.required,
            outcome.available,
        )
        for request, outcome in zip(batch, decision.outcomes, strict=True)
        if isinstance(outcome, Refused)
    ]
    if declined:
        await connection.execute(_SQL["write_declines"], shard, at, *zip(*declined, strict=True))


async def _roll_back(connection: asyncpg.Connection) -> None:
    try:
        await connection.execute(_SQL["rollback"])
    except (*CONNECTION_LOST, asyncpg.PostgresError):
        connection.terminate()


async def commit(connection: asyncpg.Connection, seconds_max: float) -> None:
    """COMMIT, and be sure of it. Raises OutcomeUnknown when it was sent and not confirmed in time."""
    warnings: list[Any] = []

    def note(_: Any, message: Any) -> None:
        warnings.append(message)

    with driver_errors():  # A connection known to be lost by now has sent no COMMIT.
        connection.add_log_listener(note)
    try:
        async with asyncio.timeout(seconds_max):
            tag = await connection.execute(_SQL["commit"])
    except asyncpg.PostgresError as error:
        if is_fatal(error):
            raise OutcomeUnknown("the session ended while committing") from error
        raise translated(error) from error
    except CONNECTION_LOST as error:
        raise OutcomeUnknown("the connection was lost while committing") from error
    finally:
        if not connection.is_closed():
            connection.remove_log_listener(note)
    if tag == "ROLLBACK":
        raise StaleContext("the database transaction had failed before COMMIT")
    # Under synchronous replication a warning is how the server says that no standby has confirmed.
    if warnings or tag != "COMMIT":
        raise OutcomeUnknown("the commit was not confirmed")


async def prepare(connection: asyncpg.Connection) -> None:
    """Make a new connection ready for commit_batch, or end it and raise StorageUnavailable."""
    with driver_errors():
        try:
            await connection.execute(_SQL["prepare_lock"])
        except BaseException:
            connection.terminate()
            raise
