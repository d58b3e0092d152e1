"""Making users, wallets and assets: each exactly once, however often and from wherever it is asked for.

A request that names what exists already, in the same words, gets what exists; in other words, AlreadyExists.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg

from wallet.errors import AlreadyExists, FieldError, InvariantViolated, Malformed, NotFound, OutcomeUnknown
from wallet.ledger.model import AssetId, WalletId, WalletKind
from wallet.storage.commit import commit
from wallet.storage.database import CONNECTION_LOST, driver_errors
from wallet.storage.ids import IdSource
from wallet.storage.reads import AssetSummary, User, Wallet, ask, find_asset, find_user, find_wallet
from wallet.storage.statements import load_statements

_SQL: Final = load_statements("resources.sql")

Resource = TypeVar("Resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Generic[Resource]):
    """A resource that is there now. `existed`: it was there before."""

    resource: Resource
    existed: bool


class Resources:
    """Creates in one shard. Every method is one database transaction.

    Raises AlreadyExists, StorageUnavailable (nothing was made) and OutcomeUnknown (ask again with the same id; it
    may have been made).
    """

    def __init__(self, pool: asyncpg.Pool, *, seconds_max: float, shard: int = 0) -> None:
        self._pool = pool
        self._seconds_max = seconds_max
        self._shard = shard
        self._ids = IdSource()

    async def create_user(self, *, name: str, user_id: UUID | None = None) -> Created[User]:
        id_ = self._ids.new_id(self._shard) if user_id is None else user_id

        async def create(connection: asyncpg.Connection) -> Created[User]:
            inserted = await connection.fetchrow(_SQL["insert_user"], self._shard, id_, name)
            user = _found(await find_user(connection, self._shard, id_))
            if user.name != name:
                raise AlreadyExists(f"user {id_} exists and has another name")
            return Created(resource=user, existed=inserted is None)

        return await self._in_transaction(create)

    async def create_wallet(
        self,
        *,
        asset_code: str | None = None,
        asset_id: AssetId | None = None,
        user_id: UUID | None = None,
        label: str | None = None,
        wallet_id: WalletId | None = None,
    ) -> Created[Wallet]:
        """A wallet of kind user. The asset is named by its upper-case code, its id, or both.

        Raises NotFound for an asset or user that does not exist, Malformed if no asset is named.
        """
        if asset_code is None and asset_id is None:
            raise Malformed([FieldError("asset_code", "is required, unless asset_type_id is there")])
        id_ = self._ids.new_id(self._shard) if wallet_id is None else wallet_id

        async def create(connection: asyncpg.Connection) -> Created[Wallet]:
            asset = await connection.fetchval(_SQL["find_asset_id"], asset_code, asset_id)
            if asset is None:
                raise NotFound("asset_not_found", f"there is no asset {asset_id if asset_code is None else asset_code}")
            if user_id is not None and await find_user(connection, self._shard, user_id) is None:
                raise NotFound("user_not_found", f"there is no user {user_id}")
            inserted = await connection.fetchrow(_SQL["insert_wallet"], self._shard, id_, asset, user_id, label)
            wallet = _found(await find_wallet(connection, self._shard, id_))
            described = (WalletKind.USER, asset, user_id, label)
            if (wallet.kind, wallet.asset_id, wallet.user_id, wallet.label) != described:
                raise AlreadyExists(f"wallet {id_} exists and is another one")
            return Created(resource=wallet, existed=inserted is None)

        return await self._in_transaction(create)

    async def create_asset(
        self,
        *,
        code: str,
        scale: int = 0,
        max_supply: int | None = None,
        asset_id: AssetId | None = None,
        treasury_wallet_id: WalletId | None = None,
        revenue_wallet_id: WalletId | None = None,
        breakage_wallet_id: WalletId | None = None,
    ) -> Created[AssetSummary]:
        """An asset and its three system wallets. `code` is upper-case. Ids that are not given are made."""
        fields = (code, scale, max_supply)
        wallets = (treasury_wallet_id, revenue_wallet_id, breakage_wallet_id)

        async def create(connection: asyncpg.Connection) -> Created[AssetSummary]:
            await connection.execute(_SQL["lock_assets"])
            in_the_way = await connection.fetch(_SQL["find_assets_in_the_way"], code, asset_id)
            if not in_the_way:
                made = await self._insert_asset(connection, fields, asset_id, wallets)
                return Created(resource=_found(await find_asset(connection, self._shard, made)), existed=False)
            existing = in_the_way[0]
            if len(in_the_way) > 1 or not _is_as_described(existing, (asset_id, *fields, *wallets)):
                raise AlreadyExists(f"asset {code} cannot be made: its code or id is taken by another one")
            return Created(resource=_found(await find_asset(connection, self._shard, existing["id"])), existed=True)

        return await self._in_transaction(create)

    async def _insert_asset(
        self,
        connection: asyncpg.Connection,
        fields: tuple[str, int, int | None],
        asset_id: AssetId | None,
        wallets: tuple[WalletId | None, ...],
    ) -> AssetId:
        ids = [self._ids.new_id(self._shard) if given is None else given for given in wallets]
        row = await connection.fetchrow(_SQL["insert_asset"], self._shard, asset_id, *fields, *ids)
        if row["id"] is None or row["wallets"] != len(ids):
            raise AlreadyExists(f"asset {fields[0]} cannot be made: an id of its system wallets is taken")
        if asset_id is not None:
            await connection.execute(_SQL["move_asset_ids_on"])
        made: AssetId = row["id"]
        return made

    async def _in_transaction(
        self, create: Callable[[asyncpg.Connection], Awaitable[Created[Resource]]]
    ) -> Created[Resource]:
        async def run(connection: asyncpg.Connection) -> Created[Resource]:
            async with asyncio.timeout(self._seconds_max):
                # A connection that is dead already is noticed here, and `ask` replaces it.
                await connection.execute(_SQL["begin"])
                try:
                    with driver_errors():
                        created = await create(connection)
                except BaseException:
                    await _roll_back(connection)
                    raise
            try:
                await commit(connection, self._seconds_max)
            except CONNECTION_LOST as error:  # a pooled connection that is lost answers nothing, not even that
                raise OutcomeUnknown("the connection was lost while committing") from error
            return created

        return await ask(self._pool, run)


async def _roll_back(connection: asyncpg.Connection) -> None:
    with suppress(*CONNECTION_LOST, asyncpg.PostgresError):
        async with asyncio.timeout(1):
            await connection.execute(_SQL["rollback"])


def _found(resource: Resource | None) -> Resource:
    """What was inserted, or was in the way and committed, and cannot be deleted."""
    if resource is None:
        raise InvariantViolated("a resource that was just made, or was in the way, is not there")
    return resource


def _is_as_described(asset: Any, described: tuple[object, ...]) -> bool:
    """Whether an asset's row is what a request describes: cap included, ids only where they are given."""
    id_, code, scale, max_supply, *wallets = described
    if (asset["code"], asset["scale"], asset["max_supply"]) != (code, scale, max_supply):
        return False
    there = (asset["id"], asset["treasury_wallet_id"], asset["revenue_wallet_id"], asset["breakage_wallet_id"])
    return all(given is None or given == each for given, each in zip((id_, *wallets), there, strict=True))
