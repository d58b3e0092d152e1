"""Finds the assets that a batch names and the wallets that it has to lock, before anything is locked.

Requests name most of the wallets themselves. Holds and originals point at more wallets, and merged wallets at others.
These are looked up, and may change until the locks are taken; then storage.batch.commit begins again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

from wallet.errors import GroupTooLarge
from wallet.ledger.footprint import is_plain, singles
from wallet.ledger.kinds import footprint_of, wallets_named
from wallet.ledger.model import Asset, HoldId, TransactionId, WalletId, WalletState
from wallet.ledger.requests import Group, PlaceClaim, PlaceHold, Post, Request
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.asset_cache import AssetCache

_SQL = load_statements("batch/load_special.sql")

Pointed: TypeAlias = dict[HoldId | TransactionId, set[WalletId]]
"""By hold or original, the wallets that a request which names it must lock, as far as was seen."""


POINTED_MAX: Final = 40_000
"""The wallets that the holds and originals of one batch may point at, counted once for each of these: those of 400
refunds of a hundred entries. With more, a batch of several requests is halved, and a group is refused.
"""


class WalletsToLock:
    """The assets of a batch by code, its wallets that are never locked by id, and the ids of all its other wallets."""

    def __init__(self, assets: Mapping[str, Asset], cache: AssetCache) -> None:
        self.assets = assets
        self.unlocked: dict[WalletId, WalletState] = {}
        self.locked: dict[WalletId, None] = {}
        self._cache = cache

    def add(self, wallets: Iterable[WalletId]) -> None:
        for wallet_id in wallets:
            if (unlocked := self._cache.unlocked(wallet_id)) is not None:
                self.unlocked[wallet_id] = unlocked
            else:
                self.locked[wallet_id] = None

    def lacks(self, wallets: Iterable[WalletId]) -> list[WalletId]:
        """Those of these wallets that are not among the wallets to lock."""
        return [each for each in wallets if each not in self.locked and each not in self.unlocked]


async def find_wallets_to_lock(
    shard: Shard, batch: Sequence[Request], cache: AssetCache, pointed: Pointed
) -> WalletsToLock:
    """The wallets to lock and load. `pointed` is filled with the wallets that holds and originals point at."""
    names = WalletsToLock(await _assets_named(shard.connection, batch, cache), cache)
    # Nearly all batches have only Posts, which name all their wallets; the others need one look-up.
    if all(type(request) is Post for request in batch):
        for request in batch:
            names.add(wallets_named(request, names.assets))
        return names
    found = footprint_of(batch, names.assets)
    names.add(found.wallets)
    if found.holds or found.originals:
        await _resolve(shard, names, pointed, found.holds, found.originals, ())
    return names


async def find_more(shard: Shard, names: WalletsToLock, wallets: Sequence[WalletId]) -> None:
    """Add wallets that were found to be needed, and the wallets that they point at in turn."""
    names.add(wallets)
    await _resolve(shard, names, {}, (), (), wallets)


def wallets_of(request: Request, assets: Mapping[str, Asset], pointed: Pointed) -> Sequence[WalletId]:
    """The wallets that a request needs locked, as far as this is known without asking the database."""
    if is_plain(request):
        return wallets_named(request, assets)
    found = footprint_of((request,), assets)
    ids: list[UUID] = [*found.holds, *found.originals]
    return found.wallets + [wallet_id for each in ids for wallet_id in pointed.get(each, ())]


def wallets_locked(request: Request, cache: AssetCache) -> Collection[WalletId] | None:
    """The wallets that a request has locked; None if that is not known without asking the database."""
    if type(request) is Group:
        of_items = [wallets_locked(item, cache) for item in request.items]
        return None if None in of_items else [wallet_id for wallets in of_items for wallet_id in wallets or ()]
    if not isinstance(request, Post | PlaceHold | PlaceClaim):
        return None
    if request.asset_code is not None and request.asset_code not in cache.by_code:
        return None
    return [each for each in wallets_named(request, cache.by_code) if cache.unlocked(each) is None]


async def _assets_named(
    connection: asyncpg.Connection, batch: Sequence[Request], cache: AssetCache
) -> Mapping[str, Asset]:
    """Those assets of the batch that exist now. This is a copy of the cache, to which others add meanwhile: an asset
    that appeared between two steps would be known to one of them only.
    """
    codes = {code for request in singles(batch) if (code := getattr(request, "asset_code", None)) is not None}
    if missing := codes - cache.by_code.keys():
        await cache.load_codes(connection, missing)
    return {code: cache.by_code[code] for code in codes if code in cache.by_code}


async def _resolve(
    shard: Shard,
    names: WalletsToLock,
    pointed: Pointed,
    holds: Sequence[HoldId],
    originals: Sequence[TransactionId],
    wallets: Sequence[WalletId],
) -> None:
    rows = await shard.fetch(_SQL["resolve"], holds, originals, wallets, POINTED_MAX + 1)
    if len(rows) > POINTED_MAX:
        raise GroupTooLarge(f"The holds and originals that it names have more than {POINTED_MAX} wallets")
    for named_id, wallet_id in rows:
        names.add((wallet_id,))
        pointed.setdefault(named_id, set()).add(wallet_id)
