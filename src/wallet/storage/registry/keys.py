"""API keys in the database: made, listed, revoked, and found for authentication.

The database has only the SHA-256 of a key. That is enough: a key has 256 random bits, so nobody can try all keys
(docs/adr/0019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from wallet.errors import InvariantViolated, NotFound
from wallet.ledger.model import WalletId
from wallet.storage.connections.pooled import ShardPool, Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.connections.transactions import in_transaction
from wallet.storage.reads.resources import find_user
from wallet.storage.rows.ids import IdSource

_SQL: Final = load_statements("registry/keys.sql")

QUESTION_SECONDS_MAX: Final = 0.8
"""How long one query about keys may take: an answer that is more than a second old is no longer valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Everything about a key but the key itself. `scopes` are texts. At most one of user_id and wallet_ids is set.

    requests_per_second: None: as many as the settings allow. last_used_at: to within a minute.
    """

    id: UUID
    name: str
    prefix: str
    scopes: Sequence[str]
    origin: str
    user_id: UUID | None
    wallet_ids: Sequence[WalletId] | None
    requests_per_second: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """The terms of a new key. `origin`: None for a key with an origin of its own, which is named after its id."""

    name: str
    scopes: Sequence[str]
    origin: str | None
    user_id: UUID | None = None
    wallet_ids: Sequence[WalletId] | None = None
    expires_in_seconds: int | None = None
    requests_per_second: int | None = None


class FoundKey(NamedTuple):
    """A key as authentication needs it. expires_in_seconds: from now; None: never."""

    id: UUID
    name: str
    hash: bytes
    scopes: Sequence[str]
    origin: str
    user_id: UUID | None
    wallet_ids: Sequence[WalletId] | None
    requests_per_second: int | None
    is_revoked: bool
    expires_in_seconds: float | None

    @property
    def is_usable(self) -> bool:
        return not self.is_revoked and (self.expires_in_seconds is None or self.expires_in_seconds > 0)


class Revoked(NamedTuple):
    """The keys that were revoked lately, and the database's clock, which the next query gives."""

    now: datetime
    ids: Sequence[UUID]


class KeyStore(Store):
    """The keys of a service. Methods that change something raise OutcomeUnknown, too."""

    def __init__(self, pool: ShardPool) -> None:
        super().__init__(pool)
        self._ids = IdSource(pool.shard)

    async def create(self, terms: KeyTerms, *, prefix: str, key_hash: bytes) -> ApiKey:
        """Raises NotFound for a user or wallet that does not exist."""
        id_ = self._ids.new_id()
        origin = f"key:{id_}" if terms.origin is None else terms.origin

        async def create(shard: Shard) -> ApiKey:
            await _ensure_bound_to_what_exists(shard, terms)
            await shard.connection.execute(
                _SQL["insert_key"],
                id_,
                terms.name,
                prefix,
                key_hash,
                terms.scopes,
                origin,
                terms.user_id,
                terms.wallet_ids,
                terms.expires_in_seconds,
                terms.requests_per_second,
            )
            row = await shard.connection.fetchrow(_SQL["list_keys"], id_, None, None, 1)
            if row is None:
                raise InvariantViolated("a key that was just made is not there")
            return ApiKey(**row)

        return await in_transaction(self._pool, create)

    async def key(self, key_id: UUID) -> ApiKey:
        """Raises NotFound."""
        return _found(await self._list(key_id, None, None, 1), key_id)

    async def key_by_prefix(self, prefix: str) -> ApiKey:
        """Raises NotFound."""
        return _found(await self._list(None, prefix, None, 1), prefix)

    async def keys(self, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Keys, newest first, revoked and expired ones included."""
        return await self._list(None, None, before, limit)

    async def revoke(self, key_id: UUID) -> ApiKey:
        """Revoke a key, and answer it. A revoked key stays as it is. Raises NotFound."""

        async def revoke(shard: Shard) -> ApiKey:
            await shard.connection.fetchrow(_SQL["revoke_key"], key_id)
            rows = await shard.connection.fetch(_SQL["list_keys"], key_id, None, None, 1)
            return _found([ApiKey(**row) for row in rows], key_id)

        return await in_transaction(self._pool, revoke)

    async def is_any_usable(self) -> bool:
        """Whether there is a key that is neither revoked nor expired."""
        is_there: bool = await self._ask("is_any_key_usable", fetch="fetchval")
        return is_there

    async def find(self, prefix: str) -> FoundKey | None:
        """The key with this prefix. The caller has to compare its hash."""
        row = await self._ask("find_key_by_prefix", prefix, fetch="fetchrow")
        return None if row is None else FoundKey(**row)

    async def load(self, ids: Sequence[UUID]) -> Sequence[FoundKey]:
        return [FoundKey(**row) for row in await self._ask("load_keys", ids)]

    async def revoked_since(self, clock: datetime | None) -> Revoked:
        """The keys that were revoked since a time. `clock`: that of the last answer."""
        row = await self._ask("find_revoked", clock, fetch="fetchrow")
        return Revoked(row["now"], row["revoked"])

    async def note_use(self, ids: Sequence[UUID]) -> None:
        """Record that these keys were used just now."""
        await self._ask("note_use", ids)

    async def _list(self, key_id: UUID | None, prefix: str | None, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        rows = await self._ask("list_keys", key_id, prefix, before, limit)
        return [ApiKey(**row) for row in rows]

    async def _ask(self, statement: str, *parameters: object, fetch: str = "fetch") -> Any:
        return await self._pool.ask(lambda shard: getattr(shard.connection, fetch)(_SQL[statement], *parameters))


async def _ensure_bound_to_what_exists(shard: Shard, terms: KeyTerms) -> None:
    if terms.user_id is not None and await find_user(shard, terms.user_id) is None:
        raise NotFound("user_not_found", f"there is no user {terms.user_id}")
    if terms.wallet_ids is not None:
        missing = await shard.fetchval(_SQL["find_missing_wallets"], terms.wallet_ids)
        if missing is not None:
            raise NotFound("wallet_not_found", f"there is no wallet {missing}")


def _found(keys: Sequence[ApiKey], named: object) -> ApiKey:
    if not keys:
        raise NotFound("key_not_found", f"there is no key {named}")
    return keys[0]
