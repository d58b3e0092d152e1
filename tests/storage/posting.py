"""A small ledger for tests: assets, users and wallets by plain SQL, movements by real batches."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import asyncpg

from wallet.ledger.model import Direction, WalletKind
from wallet.ledger.outcomes import Applied, Refused
from wallet.ledger.requests import Leg, Post
from wallet.settings import Settings
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.database import Database
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.rows.ids import IdSource

_IDS = IdSource()
_THEN = datetime(2020, 1, 1, tzinfo=UTC)


def database_of(dsn: str, **settings: object) -> Database:
    return Database(dsn=dsn, settings=Settings(**settings))


def writer_of(dsn: str) -> BatchWriter:
    return BatchWriter(database_of(dsn), AssetCache(), observe=lambda items, steps: None)


async def make_asset(connection: asyncpg.Connection, code: str, *, max_supply: int | None = None) -> dict[str, UUID]:
    """Create an asset with its system wallets; answer these by kind."""
    wallets = {kind: _IDS.new_id() for kind in ("treasury", "revenue", "breakage")}
    asset_id = await connection.fetchval(
        "INSERT INTO assets (scale, code, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id,"
        " created_at) VALUES (0, $1, $2, $3, $4, $5, $6) RETURNING id",
        code,
        max_supply,
        *wallets.values(),
        _THEN,
    )
    for kind, wallet_id in wallets.items():
        is_capped = kind == "treasury" and max_supply is not None
        await connection.execute(
            "INSERT INTO wallets (overdraft_limit, created_at, asset_id, shard, locked, hot, id, kind)"
            " VALUES ($1, $2, $3, 0, $4, $4, $5, $6)",
            max_supply if is_capped else 0,
            _THEN,
            asset_id,
            is_capped,
            wallet_id,
            kind,
        )
    return wallets


async def make_wallets(connection: asyncpg.Connection, code: str, count: int) -> list[UUID]:
    """Create a user with so many wallets in an asset."""
    user_id, ids = _IDS.new_id(), [_IDS.new_id() for _ in range(count)]
    await connection.execute("INSERT INTO users (created_at, shard, id, name) VALUES ($1, 0, $2, 'A')", _THEN, user_id)
    await connection.execute(
        "INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind)"
        " SELECT $1, assets.id, 0, true, wallet_id, $2, 'user'"
        "   FROM assets, unnest($3::uuid[]) AS wallet_id WHERE code = $4",
        _THEN,
        user_id,
        ids,
        code,
    )
    return ids


def topup(wallet: UUID, amount: int, code: str = "GOLD") -> Post:
    return _post("topup", WalletKind.TREASURY, wallet, amount, code)


def spend(wallet: UUID, amount: int, code: str = "GOLD") -> Post:
    return _post("spend", wallet, WalletKind.REVENUE, amount, code)


def transfer(source: UUID, target: UUID, amount: int, code: str = "GOLD") -> Post:
    return _post("transfer", source, target, amount, code)


def _post(type_: str, source: UUID | WalletKind, target: UUID | WalletKind, amount: int, code: str) -> Post:
    id_ = _IDS.new_id()
    return Post(
        id=id_,
        origin="api",
        reference_id=str(id_),
        fingerprint=b"\x01" + sha256(id_.bytes).digest()[:16],
        type=type_,
        legs=(Leg(source, Direction.DEBIT, amount), Leg(target, Direction.CREDIT, amount)),
        asset_code=code,
        metadata=json.dumps({}),
    )


async def commit_all(writer: BatchWriter, *batches: Sequence[Post]) -> None:
    """Commit batches one after another; each request must be applied, or refused by a rule."""
    for batch in batches:
        for answer in await writer.commit(batch):
            assert isinstance(answer, Applied | Refused), answer
