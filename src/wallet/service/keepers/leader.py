"""Background work, with one leader among all processes: the watermark, the audit chain (sealing), snapshots of system
wallets, pruning, first statistics, and beside them what falls due (service.due.keeper).

Nothing here is needed for money to move or for a balance to be exact; all of it may come late. So a keeper never
stops for an error: it gives up its connection, and with it the leadership, and tries again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wallet.errors import WalletError
from wallet.service.due.keeper import DueKeeper
from wallet.service.keepers.sealer import Sealer
from wallet.storage.connections.database import Database, close
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.leadership import can_lead, limit_idleness
from wallet.storage.upkeep.pruning import PRUNED_MAX, prune_declines
from wallet.storage.upkeep.snapshots import append_snapshots
from wallet.storage.upkeep.statistics import analyze_outgrown
from wallet.storage.upkeep.watermark import Blocker, Fence, find_blockers, move_watermark, read_progress, set_fence

LEAD_SECONDS: Final = 1.0
"""How often a process tries to become the leader, and to connect again."""
SNAPSHOT_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 60.0
STATISTICS_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 10.0
"""After so long without a word the server ends a keeper's session, so that another process can lead."""
BLOCKED_LOG_SECONDS: Final = 10.0

Clock: TypeAlias = Callable[[], float]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperReport:
    """For metrics. In a process that does not lead, the age is 0, there are no blockers, and the seq may be old.

    fence_age_seconds: time since the watermark last covered the last seq known; it grows when something holds
    the fence back, and is about the fence's interval otherwise.
    seal_lag_*: batches that the audit chain does not cover yet, stable or not, and the age of the oldest of them.
    """

    is_leader: bool
    watermark_seq: int
    fence_age_seconds: float
    seal_lag_batches: int
    seal_lag_seconds: float
    blockers: tuple[Blocker, ...]


class Keepers:
    """The keepers of one process, on a connection of their own. `observe` is told a report after every round."""

    def __init__(
        self,
        database: Database,
        *,
        observe: Callable[[KeeperReport], None],
        now: Clock = time.monotonic,
        due: DueKeeper | None = None,
    ) -> None:
        self._database = database
        self._due = due
        self._observe = observe
        self._now = now
        self._interval = database.settings.fence_interval_seconds
        self._sealer = Sealer()
        self._shard: Shard | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_leader = False
        self._is_trouble_known = self._is_term_known = False
        self._watermark_seq = 0
        self._begin_term()

    def start(self) -> None:
        """Begin in the background. Errors there are logged, and the work is tried again."""
        self._tasks = [asyncio.create_task(self._run(), name="keepers")]
        if self._due is not None:
            self._tasks.append(asyncio.create_task(self._run_due(self._due), name="due keeper"))

    async def close(self) -> None:
        """Stop, and let another process lead. Any round may be cut short: each is one statement, or may come twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._give_up()

    @property
    def report(self) -> KeeperReport:
        lag = self._sealer.lag
        return KeeperReport(
            is_leader=self._is_leader,
            watermark_seq=self._watermark_seq,
            fence_age_seconds=self._now() - self._covered_at if self._is_leader else 0.0,
            seal_lag_batches=lag.batches,
            seal_lag_seconds=lag.seconds,
            blockers=self._blockers,
        )

    async def run_round(self) -> float:
        """Do what is due now, and answer the seconds until the next round. Never raises an ordinary error."""
        try:
            wait = await self._lead(shard) if (shard := await self._led()) else LEAD_SECONDS
            self._note_term()
            self._is_trouble_known = False
        except Exception as error:
            # Errors of every kind, a broken invariant too: money does not depend on this, and nobody else would notice.
            if not self._is_trouble_known:
                _log.warning("the keepers pause: %s", error, exc_info=None if isinstance(error, WalletError) else error)
                self._is_trouble_known = True
            await self._give_up()
            wait = LEAD_SECONDS
        self._observe(self.report)
        return wait

    async def _run(self) -> None:
        while True:
            wait = await self.run_round()
            await asyncio.sleep(wait)

    async def _run_due(self, due: DueKeeper) -> None:
        # Beside the other rounds, which must not wait for batches. A process that leads no more may post once more, and
        # that does no harm.
        try:
            while True:
                if self._is_leader:
                    wait = await due.run_round()
                else:
                    await due.close()
                    wait = LEAD_SECONDS
                await asyncio.sleep(wait)
        finally:
            await due.close()

    async def _led(self) -> Shard | None:
        """The shard, if this process leads now."""
        if self._shard is None:
            self._shard = Shard(await self._database.reconnect("keeper"), self._database.shard)
            await limit_idleness(self._shard.connection, max(IDLE_SECONDS, 4 * self._interval))
        if not self._is_leader and await can_lead(self._shard.connection):
            self._is_leader = True
            self._begin_term()
        return self._shard if self._is_leader else None

    def _note_term(self) -> None:
        """Once its first round has succeeded: a leader that can do nothing would say so every second."""
        if self._is_leader and not self._is_term_known:
            _log.info("this process leads the keepers")
        self._is_term_known = self._is_leader

    async def _give_up(self) -> None:
        self._is_leader = False
        # A fence is of no use on the server that the next connection may lead to.
        self._begin_term()
        shard, self._shard = self._shard, None
        await close(shard and shard.connection)

    def _begin_term(self) -> None:
        self._fence: Fence | None = None
        # Whether nothing was committed since the watermark was moved.
        self._is_idle = False
        self._fence_set_at = self._covered_at = self._now()
        self._blockers: tuple[Blocker, ...] = ()
        self._is_block_logged = False
        self._sealer.begin_term()
        self._snapshot_seq = -1
        self._snapshot_due_at = self._prune_due_at = self._statistics_due_at = self._now()

    async def _lead(self, shard: Shard) -> float:
        wait = await self._keep_watermark(shard)
        if await self._keep_chain(shard):
            wait = min(wait, self._interval / 10)
        await self._keep_snapshots(shard)
        await self._keep_declines(shard)
        await self._keep_statistics(shard)
        return wait

    async def _keep_watermark(self, shard: Shard) -> float:
        if self._fence is None:
            self._fence_set_at = self._now()
            progress = await read_progress(shard)
            self._watermark_seq = progress.watermark_seq
            self._is_idle = progress.last_seq <= progress.watermark_seq
            if self._is_idle:
                self._covered_at = self._fence_set_at
                return self._interval
            self._fence = await set_fence(shard.connection, seq=progress.last_seq)
        moved_to = await move_watermark(shard, self._fence)
        if moved_to is None:
            return await self._wait_at(self._fence, shard)
        self._watermark_seq = moved_to
        self._covered_at = self._fence_set_at
        self._fence, self._blockers, self._is_block_logged = None, (), False
        return self._interval

    async def _wait_at(self, fence: Fence, shard: Shard) -> float:
        waited = self._now() - self._fence_set_at
        if waited < self._interval:
            # Batches under way take milliseconds: look again soon, and name no session yet.
            return self._interval / 10
        self._blockers = await find_blockers(shard.connection, fence)
        if waited >= BLOCKED_LOG_SECONDS and not self._is_block_logged:
            self._is_block_logged = True
            names = "; ".join(map(str, self._blockers)) or "nobody that can be seen"
            _log.warning("the watermark has been held back for %.0f s by %s", waited, names)
        return self._interval

    async def _keep_chain(self, shard: Shard) -> bool:
        return await self._sealer.run_round(shard, watermark_seq=self._watermark_seq, is_idle=self._is_idle)

    async def _keep_snapshots(self, shard: Shard) -> None:
        if self._now() < self._snapshot_due_at or self._watermark_seq == self._snapshot_seq:
            return
        deltas_min = self._database.settings.snapshot_deltas_min
        seq = self._watermark_seq
        await append_snapshots(shard, deltas_min=deltas_min)
        self._snapshot_seq = seq
        self._snapshot_due_at = self._now() + SNAPSHOT_SECONDS

    async def _keep_declines(self, shard: Shard) -> None:
        if self._now() < self._prune_due_at:
            return
        pruned = await prune_declines(shard, days=self._database.settings.declines_days)
        # A full round: there may be more, and the next round is soon enough.
        self._prune_due_at = self._now() + (0 if pruned == PRUNED_MAX else PRUNE_SECONDS)

    async def _keep_statistics(self, shard: Shard) -> None:
        if self._now() < self._statistics_due_at:
            return
        await analyze_outgrown(shard.connection)
        self._statistics_due_at = self._now() + STATISTICS_SECONDS
