"""A ledger whose past is made up: batches at chosen instants, written as a batch writes them, and what they come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from tests.storage.posting import make_asset, make_wallets
from wallet.storage.rows.ids import IdSource

START = datetime(2026, 1, 1, tzinfo=UTC)
_IDS = IdSource()


def after(seconds: float) -> datetime:
    """So long after the beginning."""
    return START + timedelta(seconds=seconds)


class Fact(NamedTuple):
    """An entry as the oracle remembers it."""

    wallet_id: UUID
    position: int
    change: int
    created_at: datetime
    effective_at: datetime


@dataclass
class Timeline:
    """GOLD with its unlocked system wallets, and users' wallets. Writes rows, and remembers every fact."""

    connection: asyncpg.Connection
    system: Mapping[str, UUID]
    users: Sequence[UUID]
    facts: list[Fact] = field(default_factory=list)
    held: list[tuple[UUID, int, int, datetime]] = field(default_factory=list)
    versions: dict[UUID, int] = field(default_factory=dict)
    balances: dict[UUID, int] = field(default_factory=dict)
    last_at: dict[UUID, datetime] = field(default_factory=dict)

    @property
    def wallets(self) -> list[UUID]:
        return [*self.users, *self.system.values()]

    async def post(
        self, source: UUID, target: UUID, amount: int, clock: datetime, *, effective_at: datetime | None = None,
        type_: str = "transfer", reference_id: str | None = None,
    ) -> datetime:  # fmt: skip
        """One batch with one transaction, decided by a clock that says this; answer its created_at."""
        at = self._decided_at((source, target), clock)
        effective = min(effective_at or at, at)
        seq = await self.connection.fetchval("SELECT nextval('batch_seq')")
        id_ = _IDS.new_id()
        await self.connection.execute(
            "INSERT INTO batches (seq, created_at, transactions, shard, id) VALUES ($1, $2, 1, 0, $3)", seq, at, id_
        )
        await self.connection.execute(
            "INSERT INTO transactions (seq, created_at, effective_at, shard, id, origin, reference_id, type,"
            " fingerprint) VALUES ($1, $2, $3, 0, $4, 'api', $5, $6, $7)",
            seq, at, effective, id_, reference_id or str(id_), type_, b"\x01" + bytes(16),
        )  # fmt: skip
        rows, deltas = [], []
        for leg, (wallet_id, change) in enumerate(((source, -amount), (target, amount))):
            if wallet_id in self.users:
                position = self._next_version(wallet_id, at)
                self.balances[wallet_id] = self.balances.get(wallet_id, 0) + change
                balance_after = self.balances[wallet_id]
                await self._save(wallet_id)
            else:
                position, balance_after = (seq << 20) + leg + 1, None
                deltas.append((seq, wallet_id, change))
            rows.append((position, amount, balance_after, at, 1 if change > 0 else -1, leg, wallet_id, id_))
            self.facts.append(Fact(wallet_id, position, change, at, effective))
        await self.connection.execute(
            "INSERT INTO ledger_entries (position, amount, balance_after, created_at, asset_id, shard, direction, leg,"
            " wallet_id, transaction_id) SELECT e.*, 1, 0, r.direction, r.leg, r.wallet_id, r.id"
            "   FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::smallint[],"
            "               $6::smallint[], $7::uuid[], $8::uuid[])"
            "     AS r (position, amount, balance_after, at, direction, leg, wallet_id, id),"
            "   LATERAL (SELECT r.position, r.amount, r.balance_after, r.at) AS e",
            *zip(*rows, strict=True),
        )
        for delta in deltas:
            await self.connection.execute("INSERT INTO system_deltas (seq, shard, wallet_id, amount)"
                                          " VALUES ($1, 0, $2, $3)", *delta)  # fmt: skip
        if effective < at:
            await self.connection.executemany(
                "INSERT INTO backdated_entries (effective_at, created_at, position, change, shard, wallet_id,"
                " transaction_id) VALUES ($1, $2, $3, $4, 0, $5, $6)",
                [(effective, at, fact.position, fact.change, fact.wallet_id, id_) for fact in self.facts[-2:]],
            )
        return at

    async def hold(self, wallet_id: UUID, change: int, clock: datetime) -> None:
        """A hold step that changes what is held."""
        at = self._decided_at((wallet_id,), clock)
        position = self._next_version(wallet_id, at)
        held = sum(each[2] for each in self.held if each[0] == wallet_id) + change
        self.held.append((wallet_id, position, change, at))
        await self.connection.execute(
            "INSERT INTO hold_steps (position, held_change, held_after, captured, released, created_at, shard,"
            " wallet_id, hold_id, transaction_id, kind) VALUES ($1, $2, $3, 0, 0, $4, 0, $5, $6, $6, 'place')",
            position, change, held, at, wallet_id, _IDS.new_id(),
        )  # fmt: skip
        await self._save(wallet_id)
        await self.connection.execute("UPDATE wallets SET held = $2 WHERE id = $1", wallet_id, held)

    async def event(self, wallet_id: UUID, changes: str, clock: datetime) -> None:
        """A wallet event with these changes, as canonical JSON text."""
        at = self._decided_at((wallet_id,), clock)
        await self.connection.execute(
            "INSERT INTO wallet_events (seq, position, created_at, shard, wallet_id, id, kind, changes)"
            " VALUES (1, $1, $2, 0, $3, $4, 'change', $5)",
            self._next_version(wallet_id, at), at, wallet_id, _IDS.new_id(), changes,
        )  # fmt: skip
        await self._save(wallet_id)

    async def snapshot(self, wallet_id: UUID) -> None:
        """The keeper's work for an unlocked wallet: its balance by all batches there are."""
        await self.connection.execute(
            "INSERT INTO system_snapshots (upto_seq, created_at, shard, wallet_id, balance)"
            " SELECT (SELECT max(seq) FROM batches), now(), 0, $1,"
            "        coalesce((SELECT sum(amount) FROM system_deltas WHERE wallet_id = $1), 0)"
            " ON CONFLICT DO NOTHING",
            wallet_id,
        )

    def balance_at(self, wallet_id: UUID, at: datetime, *, effective: bool = False) -> int:
        """The slow, obvious answer."""
        return sum(
            fact.change
            for fact in self.facts
            if fact.wallet_id == wallet_id and (fact.effective_at if effective else fact.created_at) <= at
        )

    def held_at(self, wallet_id: UUID, at: datetime) -> int:
        return sum(change for wallet, _, change, created_at in self.held if wallet == wallet_id and created_at <= at)

    def _decided_at(self, wallets: Sequence[UUID], clock: datetime) -> datetime:
        return max([clock, *(self.last_at[each] for each in wallets if each in self.last_at)])

    def _next_version(self, wallet_id: UUID, at: datetime) -> int:
        self.versions[wallet_id] = self.versions.get(wallet_id, 0) + 1
        self.last_at[wallet_id] = at
        return self.versions[wallet_id]

    async def _save(self, wallet_id: UUID) -> None:
        await self.connection.execute(
            "UPDATE wallets SET balance = $2, version = $3, last_entry_at = $4 WHERE id = $1",
            wallet_id, self.balances.get(wallet_id, 0), self.versions[wallet_id], self.last_at[wallet_id],
        )  # fmt: skip


async def make_timeline(connection: asyncpg.Connection, *, users: int = 2) -> Timeline:
    system = await make_asset(connection, "GOLD")
    return Timeline(connection, system, await make_wallets(connection, "GOLD", users))
