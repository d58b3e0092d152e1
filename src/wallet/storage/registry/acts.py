"""Administrative acts in the database. A trigger refuses every change of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from wallet.storage.connections.pooled import ShardPool, Store
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.rows.ids import IdSource

_SQL: Final = load_statements("registry/acts.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAct:
    """An act that somebody asks for. asked: canonical JSON text.

    key_id: None on the command line and in development mode.
    """

    actor: str
    act: str
    key_id: UUID | None = None
    subject: str | None = None
    asked: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(NewAct):
    """An act as it is recorded. status: that of its answer; None: the act was interrupted, or is running."""

    id: UUID
    asked_at: datetime
    status: int | None
    answered_at: datetime | None


class ActStore(Store):
    """Administrative acts, and their answers."""

    def __init__(self, pool: ShardPool) -> None:
        super().__init__(pool)
        self._ids = IdSource(pool.shard)

    async def asked(self, act: NewAct) -> UUID:
        """Record an act durably, and answer its id."""
        id_ = self._ids.new_id()
        await self._ask("insert_act", id_, act.key_id, act.actor, act.act, act.subject, act.asked, act.request_id)
        return id_

    async def answered(self, act_id: UUID, status: int) -> None:
        """Record the status of an act's answer. The first one stays."""
        await self._ask("insert_answer", act_id, status)

    async def acts(self, *, before: UUID | None, limit: int) -> Sequence[Act]:
        """Acts, newest first."""
        return [Act(**row) for row in await self._ask("list_acts", before, limit)]

    async def _ask(self, statement: str, *parameters: object) -> Any:
        return await self._pool.ask(lambda shard: shard.connection.fetch(_SQL[statement], *parameters))
