"""Programmes, and the wallets attached to them: made, ended, attached, detached, and read.

Batches post the grants of a programme (storage.batch.commit); storage.upkeep.due finds the periods that are due.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from wallet.errors import AlreadyExists, NotFound
from wallet.ledger.model import AssetId, LotCategory, ProgrammeId, WalletId, WalletKind
from wallet.ledger.outcomes import Refused
from wallet.ledger.rules.programmes import Candidate, first_refusal_attach
from wallet.storage.connections.pooled import ShardPool, Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.connections.transactions import in_transaction
from wallet.storage.registry.resources import Created
from wallet.storage.rows.ids import IdSource
from wallet.storage.upkeep.due import DueGrant, find_first_grant

_SQL: Final = load_statements("registry/programmes.sql")
_FIND_ASSET_ID: Final = load_statements("registry/resources.sql")["find_asset_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a programme. `asset_code` is upper-case.

    per: day, week or month. rollover_max: the unspent credit that may remain when a period begins; None: any.
    expires_in_seconds: the expiry of each grant, from the start of its period; None: never. ends_at: no period starts
    then or later.
    """

    asset_code: str
    amount: int
    per: str
    rollover_max: int | None
    expires_in_seconds: int | None
    category: LotCategory
    priority: int
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """A programme. `is_over`: no period starts any more."""

    id: ProgrammeId
    asset_id: AssetId
    terms: Terms
    created_at: datetime
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A wallet that is attached to a programme, or was.

    next_at: when period number `next_period` starts, None if none will. ended_at: when it was detached.
    """

    programme_id: ProgrammeId
    wallet_id: WalletId
    anchor_at: datetime
    next_period: int
    next_at: datetime | None
    ended_at: datetime | None


class ProgrammeStore(Store):
    """Programmes and attachments. Methods that change something raise OutcomeUnknown, too: ask again."""

    def __init__(self, pool: ShardPool) -> None:
        super().__init__(pool)
        self._ids = IdSource(pool.shard)

    async def create(self, terms: Terms, *, programme_id: ProgrammeId | None = None) -> Created[Programme]:
        """A programme. Raises NotFound for an asset that does not exist, AlreadyExists if the id is another's."""
        id_ = self._ids.new_id() if programme_id is None else programme_id

        async def create(shard: Shard) -> Created[Programme]:
            asset_id = await shard.connection.fetchval(_FIND_ASSET_ID, terms.asset_code, None)
            if asset_id is None:
                raise NotFound("asset_not_found", f"there is no asset {terms.asset_code}")
            inserted = await shard.fetchrow(
                _SQL["insert_programme"],
                id_,
                asset_id,
                terms.amount,
                terms.per,
                terms.rollover_max,
                terms.expires_in_seconds,
                terms.category.value,
                terms.priority,
                terms.ends_at,
            )
            programme = await find_programme(shard, id_)
            if not _is_as_described(programme, terms):
                raise AlreadyExists(f"programme {id_} exists and is another one")
            return Created(resource=programme, existed=inserted is None)

        return await in_transaction(self._pool, create)

    async def end(self, programme_id: ProgrammeId) -> Programme:
        """Let no further period start. An ended programme stays as it is. Raises NotFound."""

        async def end(shard: Shard) -> Programme:
            await shard.fetchrow(_SQL["end_programme"], programme_id, await _read_clock(shard))
            return await find_programme(shard, programme_id)

        return await in_transaction(self._pool, end)

    async def attach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Created[Attached] | Refused:
        """Attach an open user's wallet of the programme's asset, from now on. Raises NotFound.

        A wallet that is attached already stays as it is.
        """

        async def attach(shard: Shard) -> Created[Attached] | Refused:
            wallet = _candidate(await shard.fetchrow(_SQL["lock_wallet"], wallet_id))
            programme = await find_programme(shard, programme_id)
            refused = first_refusal_attach(
                wallet_id, wallet, asset_id=programme.asset_id, asset_code=programme.terms.asset_code
            )
            if refused is not None:
                return refused
            made = await shard.fetchrow(_SQL["attach"], programme_id, wallet_id, await _read_clock(shard))
            attached = await find_attached(shard, programme_id, wallet_id)
            return Created(resource=attached, existed=made is None)

        return await in_transaction(self._pool, attach)

    async def detach(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        """Grant no further period to the wallet. A detached wallet stays as it is. Raises NotFound."""

        async def detach(shard: Shard) -> Attached:
            await shard.fetchrow(_SQL["lock_wallet"], wallet_id)
            await shard.fetchrow(_SQL["detach"], programme_id, wallet_id, await _read_clock(shard))
            return await find_attached(shard, programme_id, wallet_id)

        return await in_transaction(self._pool, detach)

    async def programme(self, programme_id: ProgrammeId) -> Programme:
        """Raises NotFound."""
        return await self._pool.ask(lambda shard: find_programme(shard, programme_id))

    async def programmes(self, *, after: ProgrammeId | None, limit: int) -> Sequence[Programme]:
        """Programmes, by ascending id."""
        rows = await self._pool.fetch(_SQL["list_programmes"], None, after, limit)
        return [_programme(row) for row in rows]

    async def attached(self, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
        """The attachment. Raises NotFound if the wallet was never attached, or a merge moved the attachment to another
        wallet.
        """
        return await self._pool.ask(lambda shard: find_attached(shard, programme_id, wallet_id))

    async def first_grant(self, programme_id: ProgrammeId, wallet_id: WalletId) -> DueGrant | None:
        """The first period of an attachment, unless it has been granted."""
        return await self._pool.ask(
            lambda shard: find_first_grant(shard, programme_id=programme_id, wallet_id=wallet_id)
        )

    async def attached_wallets(
        self,
        programme_id: ProgrammeId,
        *,
        after: WalletId | None,
        limit: int,
        among: Sequence[WalletId] | None = None,
    ) -> Sequence[Attached]:
        """The attachments of a programme by ascending wallet, detached ones included. `among`: only these wallets."""
        if among is None:
            rows = await self._pool.fetch(_SQL["list_attachments"], programme_id, None, after, limit)
        else:
            rows = await self._pool.fetch(_SQL["list_attachments_among"], programme_id, among, after, limit)
        return [Attached(**row) for row in rows]


async def find_programme(shard: Shard, programme_id: ProgrammeId) -> Programme:
    """Raises NotFound."""
    row = await shard.fetchrow(_SQL["list_programmes"], programme_id, None, 1)
    if row is None:
        raise NotFound("programme_not_found", f"there is no programme {programme_id}")
    return _programme(row)


async def find_attached(shard: Shard, programme_id: ProgrammeId, wallet_id: WalletId) -> Attached:
    """Raises NotFound."""
    row = await shard.fetchrow(_SQL["list_attachments"], programme_id, wallet_id, None, 1)
    if row is None:
        raise NotFound("programme_not_found", f"wallet {wallet_id} is not attached to programme {programme_id}")
    return Attached(**row)


async def _read_clock(shard: Shard) -> datetime:
    now: datetime = await shard.connection.fetchval(_SQL["read_clock"])
    return now


def _programme(row: Any) -> Programme:
    fields: dict[str, Any] = dict(row)
    own = {name: fields.pop(name) for name in ("id", "asset_id", "created_at", "is_over")}
    return Programme(terms=Terms(**{**fields, "category": LotCategory(fields["category"])}), **own)


def _is_as_described(programme: Programme, terms: Terms) -> bool:
    """Whether a programme is the one that a request describes. The request for an ended programme may have a later
    end.
    """
    ended_at = programme.terms.ends_at
    if programme.is_over and ended_at is not None and (terms.ends_at is None or terms.ends_at > ended_at):
        terms = replace(terms, ends_at=ended_at)
    return programme.terms == terms


def _candidate(row: Any) -> Candidate | None:
    if row is None:
        return None
    return Candidate(row["asset_id"], WalletKind(row["kind"]), row["closed_at"] is not None, row["merged_into"])
