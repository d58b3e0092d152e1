"""Loads the states that a batch is decided on, after its wallets were locked.

One statement is enough for plain wallets and requests; storage.batch.load_special reads the rest for the others.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds, Context
from wallet.ledger.footprint import is_plain, singles
from wallet.ledger.kinds import has_reference
from wallet.ledger.model import Posted, ReferenceKey, TransactionId, WalletId, WalletKind, WalletState
from wallet.ledger.requests import Refund, Request
from wallet.storage.batch.due_steps import DUE_STEPS_MAX
from wallet.storage.batch.load_special import load_special
from wallet.storage.batch.wallets_to_lock import WalletsToLock
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.posted import load_posted

_SQL = load_statements("batch/commit.sql")
_KIND_BY_NAME: Final = {kind.value: kind for kind in WalletKind}


class Loaded(NamedTuple):
    """A context, and the instant to decide it at. `is_plain`: no wallet and no request needed more than its row."""

    context: Context
    decided_at: datetime
    is_plain: bool


async def load(
    shard: Shard,
    batch: Sequence[Request],
    assets: AssetCache,
    names: WalletsToLock,
    locked: Sequence[asyncpg.Record] | None = None,
    due_steps_max: int = DUE_STEPS_MAX,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Loaded:
    """Everything that a batch is decided on. The context tells which wallets are missing, if one was merged meanwhile.

    locked: the wallets as lock_and_read has answered them; None: they are read now. Raises ManyDue (load_special).
    """
    references = _references(batch)
    rows = await shard.fetch(
        _SQL["load"],
        list(names.locked) if locked is None else [],
        [origin for origin, _ in references],
        [reference for _, reference in references],
    )
    decided_at: datetime = rows[0][0]
    known_ids: Sequence[TransactionId] | None = rows[0][1]
    states = dict(names.unlocked)
    special: list[WalletId] = []
    if locked is None:
        locked = [row[2:] for row in rows if row[2] is not None]
    for (
        id_,
        asset_id,
        kind,
        is_locked,
        balance,
        held,
        version,
        overdraft_limit,
        max_balance,
        last,
        is_special,
    ) in locked:
        states[id_] = WalletState(
            id_, asset_id, _KIND_BY_NAME[kind], is_locked, balance, held, version, overdraft_limit, max_balance, last
        )
        if is_special:
            special.append(id_)
        # The database's clock may be set back, but time never runs backwards along a wallet's versions.
        if last is not None and last > decided_at:
            decided_at = last
    await _load_strangers(shard, states, assets, names)
    known = await _load_known(shard, known_ids) if known_ids else {}
    context = Context(states, names.assets, known, shard.number, assets.by_id, bounds=bounds)
    if not special and all(map(is_plain, batch)):
        return Loaded(context, decided_at, is_plain=True)
    context = await load_special(shard, batch, context, special, decided_at, due_steps_max)
    if late := _known_too_early(batch, context):
        ids = (await shard.fetch(_SQL["load"], [], *zip(*late, strict=True)))[0][1]
        known = await _load_known(shard, ids) if ids else {}
        context = context._replace(known={**context.known, **known})
    return Loaded(context, decided_at, is_plain=False)


def _known_too_early(batch: Sequence[Request], context: Context) -> Sequence[ReferenceKey]:
    """The references of refunds whose originals have no locked wallet. Two tries of one refund may race there: this one
    may have waited for the other at the original's refund state, after references were looked up. Their references are
    looked up again, so that the other try's refund is not taken for a different one.
    """
    return [
        (request.origin, request.reference_id)
        for request in singles(batch)
        if type(request) is Refund
        and (original := context.originals.get(request.original_id)) is not None
        and not any(
            entry.wallet_id in context.wallets and context.wallets[entry.wallet_id].locked
            for entry in original.posted.entries
        )
    ]


def _references(batch: Sequence[Request]) -> Mapping[ReferenceKey, None]:
    return {(request.origin, request.reference_id): None for request in singles(batch) if has_reference(request)}


async def _load_strangers(
    shard: Shard,
    states: dict[WalletId, WalletState],
    assets: AssetCache,
    names: WalletsToLock,
) -> None:
    # Wallets that are neither locked nor known system wallets: those of an asset that another process made, or none.
    if strange := names.locked.keys() - states.keys():
        await assets.load_wallets(shard, strange)
        for wallet_id in strange:
            if (unlocked := assets.unlocked(wallet_id)) is not None:
                states[wallet_id] = unlocked
    # Answers name the codes of these assets.
    if foreign := {state.asset_id for state in states.values()} - assets.by_id.keys():
        await assets.load_ids(shard.connection, foreign)


async def _load_known(shard: Shard, ids: Sequence[TransactionId]) -> Mapping[ReferenceKey, Posted]:
    rows = await shard.fetch(_SQL["load_known"], ids)
    known = await load_posted(shard, rows)
    return {(posted.origin, posted.reference_id): posted for posted in known}
