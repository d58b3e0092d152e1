"""Wallets at any instant: their balances on both axes, and whether a balance at an instant can still change.

Lines of statements are in storage.reads.statement_lines.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple

from wallet.ledger.model import WalletId
from wallet.storage.connections.pooled import Store
from wallet.storage.connections.shard import Shard
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("reads/wallet_at.sql")

SEQ_BITS: Final = 20
"""The position of an entry of an unlocked wallet is its batch's seq << SEQ_BITS, and its place in the batch."""


class Axis(Enum):
    """The meaning of an instant: when entries were posted, or when the caller said that they took effect."""

    POSTED = "posted"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAt:
    """A wallet's numbers at an instant. `held`, `available` and `version` are None on the effective axis.

    is_final: no later posting can change them. It is never true on the effective axis. now: the ledger's clock when it
    was read; numbers at a later instant are no answer.
    """

    wallet_id: WalletId
    asset_code: str
    scale: int
    balance: int
    held: int | None
    available: int | None
    version: int | None
    as_of: datetime
    merged_into: WalletId | None
    is_final: bool
    now: datetime


class Subject(NamedTuple):
    """The wallet as it is in the snapshot. `seq_max` is None on locked wallets."""

    id: WalletId
    asset_code: str
    scale: int
    kind: str
    locked: bool
    version: int
    last_entry_at: datetime | None
    overdraft_limit: int
    merged_into: WalletId | None
    now: datetime
    seq_max: int | None

    @property
    def position_max(self) -> int:
        """The last position of this wallet in the snapshot."""
        return self.version if self.seq_max is None else ((self.seq_max + 1) << SEQ_BITS) - 1


class View(NamedTuple):
    """A wallet in a snapshot. `is_final`: the snapshot has everything that can ever be at or before the given
    instant.
    """

    subject: Subject
    is_final: bool


class Cut(NamedTuple):
    """An instant among a wallet's positions: entries up to `whole` are all at or before it, those after `last` never.

    Both are the same number except on unlocked wallets, on which batches in between may be in another order than that
    of time.
    """

    at: datetime | None
    whole: int
    last: int


BEFORE_ALL: Final = Cut(None, 0, 0)


class HistoryStore(Store):
    """Raises StorageUnavailable when the database cannot answer in time."""

    async def is_due(self, wallet_id: WalletId) -> bool:
        """Whether the wallet has a due step that is not posted yet. False if there is no such wallet."""
        rows = await self._pool.fetch(_SQL["find_due"], wallet_id)
        return bool(rows and rows[0]["is_due"])

    async def balance_at(self, wallet_id: WalletId, at: datetime, axis: Axis) -> BalanceAt | None:
        """The balance by everything at or before `at` on that axis; None: there is no such wallet."""

        async def read(shard: Shard) -> BalanceAt | None:
            async with view_of(shard, wallet_id, at) as view:
                return None if view is None else await _balance_at(shard, view, at, axis)

        return await self._pool.ask(read)


@asynccontextmanager
async def view_of(shard: Shard, wallet_id: WalletId, at: datetime) -> AsyncIterator[View | None]:
    """A snapshot of the ledger to look at a wallet in, open while the context is; None: there is no such wallet."""
    connection = shard.connection
    try:
        await connection.execute(_SQL["begin_snapshot"])
        subject = await _find_subject(shard, wallet_id)
        is_final = subject is not None and _is_past(subject, at)
        if subject is not None and not is_final:
            await connection.execute(_SQL["end_snapshot"])
            fence = await connection.fetchrow(_SQL["take_fence"])
            excused = await connection.fetchval(_SQL["find_excused"], at)
            await connection.execute(_SQL["begin_snapshot"])
            is_stable: bool = await connection.fetchval(_SQL["find_stable"], fence["xid"], excused)
            is_final = is_stable and at < fence["fenced_at"]
            subject = await _find_subject(shard, wallet_id)
        yield None if subject is None else View(subject, is_final)
        await connection.execute(_SQL["end_snapshot"])
    except BaseException:
        # The pool hands connections on as they are, and this one has a database transaction open.
        connection.terminate()
        raise


def just_before(instant: datetime | None) -> datetime | None:
    """The last earlier instant that a database can tell from this one; None: there is none, or none was given."""
    try:
        return None if instant is None else instant - timedelta(microseconds=1)
    except OverflowError:
        return None


async def find_place(shard: Shard, subject: Subject, at: datetime | None) -> Cut:
    """The place of an instant among the wallet's positions. None: before all of them."""
    if at is None:
        return BEFORE_ALL
    if subject.locked:
        if subject.last_entry_at is None or subject.last_entry_at <= at:
            return Cut(at, subject.version, subject.version)
        position = await shard.fetchval(_SQL["find_position"], subject.id, subject.version, at)
        return Cut(at, position, position)
    near = await shard.fetchval(_SQL["find_seq"], at)
    zone = await shard.fetchrow(_SQL["find_zone"], at, near)
    return Cut(at, (zone["low"] << SEQ_BITS) - 1, ((zone["high"] + 1) << SEQ_BITS) - 1)


async def find_balance(shard: Shard, subject: Subject, place: Cut, axis: Axis) -> tuple[int, int, int]:
    """Balance, held and overdraft limit at that place. The last two have a meaning on the posted axis only."""
    balance, held, overdraft_limit = 0, 0, 0
    if subject.locked:
        state = await shard.fetchrow(_SQL["find_state"], subject.id, place.whole, subject.overdraft_limit)
        balance, held, overdraft_limit = state
    elif place.at is not None:
        low, high = (place.whole + 1) >> SEQ_BITS, place.last >> SEQ_BITS
        balance = int(await shard.fetchval(_SQL["find_unlocked_balance"], subject.id, place.at, low, high))
    if axis is Axis.EFFECTIVE and place.at is not None:
        balance += int(await shard.fetchval(_SQL["sum_backdated"], subject.id, place.at))
    return balance, held, overdraft_limit


async def _find_subject(shard: Shard, wallet_id: WalletId) -> Subject | None:
    row: Any = await shard.fetchrow(_SQL["find_subject"], wallet_id)
    return None if row is None else Subject(*row)


def _is_past(subject: Subject, at: datetime) -> bool:
    """Whether the wallet itself shows that nothing more can come: no batch is before the last line of its wallets."""
    return subject.locked and subject.last_entry_at is not None and subject.last_entry_at > at


async def _balance_at(shard: Shard, view: View, at: datetime, axis: Axis) -> BalanceAt:
    subject = view.subject
    place = await find_place(shard, subject, at)
    balance, held, overdraft_limit = await find_balance(shard, subject, place, axis)
    posted = axis is Axis.POSTED
    return BalanceAt(
        wallet_id=subject.id,
        asset_code=subject.asset_code,
        scale=subject.scale,
        balance=balance,
        held=held if posted else None,
        available=balance - held + overdraft_limit if posted else None,
        version=place.whole if posted and subject.locked else None,
        as_of=at,
        merged_into=subject.merged_into,
        # An entry of tomorrow may say that it took effect today.
        is_final=view.is_final and posted,
        now=subject.now,
    )
