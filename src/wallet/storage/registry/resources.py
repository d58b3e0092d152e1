"""Makes users, wallets and assets, each exactly once, however often and from whichever processes it is requested.

A request for an existing resource gets it as it is now if it is the request that made it, and AlreadyExists if it
differs. It is compared with the first request, so later changes of the resource make no difference.
"""

from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from wallet.errors import AlreadyExists, InvariantViolated, NotFound, ensure
from wallet.ledger.model import AssetId, WalletId, WalletKind
from wallet.storage.connections.pooled import ShardPool, Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.connections.transactions import in_transaction
from wallet.storage.reads.resources import AssetSummary, User, Wallet, find_asset, find_user, find_wallet
from wallet.storage.rows.ids import IdSource

_SQL: Final = load_statements("registry/resources.sql")

Resource = TypeVar("Resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Generic[Resource]):
    """A resource that exists now. `existed`: it existed before."""

    resource: Resource
    existed: bool


class LotPolicy(NamedTuple):
    """The policy of an asset for lots."""

    draw_order: str = "expiring_first"
    on_refund_to_expired: str = "grace"
    grace_seconds: int = 30 * 24 * 3600


POLICY_DEFAULT: Final = LotPolicy()


class Resources(Store):
    """Makes resources. Every method is one database transaction.

    Methods raise AlreadyExists, StorageUnavailable (nothing was made) and OutcomeUnknown (the resource may have been
    made; ask again with the same id). Metadata is canonical JSON text.
    """

    def __init__(self, pool: ShardPool) -> None:
        super().__init__(pool)
        self._ids = IdSource(pool.shard)

    async def create_user(
        self, *, name: str, metadata: str | None = None, user_id: UUID | None = None
    ) -> Created[User]:
        id_ = self._ids.new_id() if user_id is None else user_id

        async def create(shard: Shard) -> Created[User]:
            inserted = await shard.fetchrow(_SQL["insert_user"], id_, name, metadata)
            user = _found(await find_user(shard, id_))
            if (user.name, user.metadata) != (name, metadata):
                raise AlreadyExists(f"user {id_} exists and has another name or other metadata")
            return Created(resource=user, existed=inserted is None)

        return await in_transaction(self._pool, create)

    async def create_wallet(
        self,
        *,
        asset_code: str | None = None,
        asset_id: AssetId | None = None,
        user_id: UUID | None = None,
        label: str | None = None,
        metadata: str | None = None,
        wallet_id: WalletId | None = None,
    ) -> Created[Wallet]:
        """A wallet of kind user. The asset is named by its upper-case code, its id, or both.

        Raises NotFound for an asset or user that does not exist.
        """
        ensure(asset_code is not None or asset_id is not None, "a wallet is asked for, and no asset")
        id_ = self._ids.new_id() if wallet_id is None else wallet_id

        async def create(shard: Shard) -> Created[Wallet]:
            asset = await shard.connection.fetchval(_SQL["find_asset_id"], asset_code, asset_id)
            if asset is None:
                raise NotFound("asset_not_found", f"there is no asset {asset_id if asset_code is None else asset_code}")
            if user_id is not None and await find_user(shard, user_id) is None:
                raise NotFound("user_not_found", f"there is no user {user_id}")
            # A client that gives no id cannot ask for this wallet again, so nothing will be compared.
            is_kept = wallet_id is not None
            described = (asset, user_id, label, metadata)
            inserted = await shard.fetchrow(_SQL["insert_wallet"], id_, *described, is_kept)
            wallet = _found(await find_wallet(shard, id_))
            if inserted is None:
                await _ensure_same_wallet(shard, wallet, described)
            return Created(resource=wallet, existed=inserted is None)

        return await in_transaction(self._pool, create)

    async def create_asset(
        self,
        *,
        code: str,
        scale: int = 0,
        max_supply: int | None = None,
        policy: LotPolicy = POLICY_DEFAULT,
        asset_id: AssetId | None = None,
        treasury_wallet_id: WalletId | None = None,
        revenue_wallet_id: WalletId | None = None,
        breakage_wallet_id: WalletId | None = None,
    ) -> Created[AssetSummary]:
        """Make an asset and its three system wallets. `code` is upper-case. Ids that are not given are made."""
        fields = (code, scale, max_supply, *policy)
        wallets = (treasury_wallet_id, revenue_wallet_id, breakage_wallet_id)

        async def create(shard: Shard) -> Created[AssetSummary]:
            await shard.connection.execute(_SQL["lock_assets"])
            in_the_way = await shard.connection.fetch(_SQL["find_assets_in_the_way"], code, asset_id)
            if not in_the_way:
                made = await self._insert_asset(shard, fields, asset_id, wallets)
                return Created(resource=_found(await find_asset(shard, made)), existed=False)
            existing = in_the_way[0]
            if len(in_the_way) > 1 or not _is_as_described(existing, fields, (asset_id, *wallets)):
                raise AlreadyExists(f"asset {code} cannot be made: its code or id is taken by another one")
            return Created(resource=_found(await find_asset(shard, existing["id"])), existed=True)

        return await in_transaction(self._pool, create)

    async def change_asset(
        self,
        asset_id: AssetId,
        *,
        draw_order: str | None = None,
        on_refund_to_expired: str | None = None,
        grace_seconds: int | None = None,
    ) -> AssetSummary:
        """Change an asset's policy for all later decisions. A field that is None stays. Raises NotFound."""
        policy = (draw_order, on_refund_to_expired, grace_seconds)

        async def change(shard: Shard) -> AssetSummary:
            if await shard.connection.fetchval(_SQL["change_asset"], asset_id, *policy) is None:
                raise NotFound("asset_not_found", f"there is no asset {asset_id}")
            return _found(await find_asset(shard, asset_id))

        return await in_transaction(self._pool, change)

    async def _insert_asset(
        self,
        shard: Shard,
        fields: tuple[object, ...],
        asset_id: AssetId | None,
        wallets: tuple[WalletId | None, ...],
    ) -> AssetId:
        ids = [self._ids.new_id() if given is None else given for given in wallets]
        row = await shard.fetchrow(_SQL["insert_asset"], asset_id, *fields, *ids)
        if row["id"] is None or row["wallets"] != len(ids):
            raise AlreadyExists(f"asset {fields[0]} cannot be made: an id of its system wallets is taken")
        await shard.connection.execute(_SQL["move_asset_ids_on"])
        made: AssetId = row["id"]
        return made


async def _ensure_same_wallet(shard: Shard, wallet: Wallet, described: tuple[object, ...]) -> None:
    was = await shard.fetchrow(_SQL["find_wallet_creation"], wallet.id)
    label, metadata = (wallet.label, wallet.metadata) if was is None else (was["label"], was["metadata"])
    existing = (wallet.asset_id, wallet.user_id, label, metadata)
    if wallet.kind is not WalletKind.USER or existing != described:
        raise AlreadyExists(f"wallet {wallet.id} exists and is another one")


def _found(resource: Resource | None) -> Resource:
    """The resource that was inserted, or the committed one that was in its way. Resources cannot be deleted."""
    if resource is None:
        raise InvariantViolated("a resource that was just made, or was in the way, is not there")
    return resource


def _is_as_described(asset: Any, fields: tuple[object, ...], ids: tuple[object, ...]) -> bool:
    """Whether an asset's row is what a request describes, with its cap, its first policy, and the given ids."""
    made_by = POLICY_DEFAULT if asset["made_draw_order"] is None else _made_policy(asset)
    if (asset["code"], asset["scale"], asset["max_supply"], *made_by) != fields:
        return False
    there = (asset["id"], asset["treasury_wallet_id"], asset["revenue_wallet_id"], asset["breakage_wallet_id"])
    return all(given is None or given == each for given, each in zip(ids, there, strict=True))


def _made_policy(asset: Any) -> LotPolicy:
    return LotPolicy(asset["made_draw_order"], asset["made_on_refund_to_expired"], asset["made_grace_seconds"])
