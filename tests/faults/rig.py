"""Everything of a run in one place: the volume, PostgreSQL, the proxy, the service and its clients."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.faults.checks import Checker
from tests.faults.database import Postgres
from tests.faults.history import History
from tests.faults.memory import Memory
from tests.faults.model import Line
from tests.faults.proxy import Link, Message, Mode, Proxy, Trap, proxy_to
from tests.faults.service import ServiceControl
from tests.faults.traffic import Connection, Traffic
from tests.faults.volume import Volume
from wallet.storage.verify.chain import verify_with_chain

WORKERS = 2
WALLETS = 6
OPENING_BALANCE = 2_000
STREAK = 5
"""So many connections one after another must find the service ready before it counts as recovered."""
# No measurements: they end a run that would hang.
RECOVERY_SECONDS_MAX = 120.0
TRAP_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02

_LINES = """
SELECT l.wallet_id, l.position, l.is_step, l.change, l.after, l.kind, l.captured, l.released, l.hold_id,
       t.id, t.origin, t.reference_id
  FROM (
        SELECT wallet_id, position, false AS is_step, direction * amount AS change, balance_after AS after, '' AS kind,
               0 AS captured, 0 AS released, NULL::uuid AS hold_id, transaction_id
          FROM ledger_entries
         WHERE shard = 0 AND wallet_id = $1 AND position > $2
        UNION ALL
        SELECT wallet_id, position, true, held_change, held_after, kind, captured, released, hold_id, transaction_id
          FROM hold_steps
         WHERE shard = 0 AND wallet_id = $1 AND position > $2
       ) AS l
  LEFT JOIN transactions AS t ON t.shard = 0 AND t.id = l.transaction_id
 ORDER BY l.position
"""
_WALLETS = "SELECT id, balance, held, version FROM wallets WHERE shard = 0 AND id = ANY($1::uuid[])"
_THERE = "SELECT reference_id FROM transactions WHERE shard = 0 AND reference_id = ANY($1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a run goes. `settings`: the service's, as environment variables."""

    clients: int
    pace_seconds: float
    answer_seconds: float
    freeze_seconds: tuple[float, float]
    away_seconds: tuple[float, float]
    acknowledged_between: int
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def unknown_seconds(self) -> float:
        """For how long the service asks what became of a COMMIT."""
        return float(self.settings.get("WALLET_UNKNOWN_SECONDS_MAX", "10"))


@dataclass(slots=True, kw_only=True)
class Rig:
    """The parts that a fault may break. `notes`: what it has measured, by name; a run's report has them. `whole_at`:
    when nothing was broken any more, or what had ended was told to start.
    """

    volume: Volume
    postgres: Postgres
    proxy: Proxy
    service: ServiceControl
    traffic: Traffic
    checker: Checker
    history: History
    memory: Memory
    pace: Pace
    choose: random.Random
    notes: dict[str, float] = field(default_factory=dict)
    whole_at: float = 0.0
    verify_seconds: float = 0.0
    verified_at: float = 0.0
    verified: int = 0

    async def sprung(
        self,
        is_it: Callable[[Message], bool],
        mode: Mode,
        *,
        seconds: float = 0.0,
        act: Callable[[Link, Message], None] | None = None,
    ) -> Trap:
        """Wait until traffic has run into this trap."""
        trap = self.proxy.trap(Trap(is_it, mode, seconds=seconds, act=act))
        async with asyncio.timeout(TRAP_SECONDS_MAX):
            await trap.sprung.wait()
        return trap

    def whole(self) -> None:
        """Note that everything broken is whole again, or about to start again: from now on it is the service's to
        recover.
        """
        self.whole_at = time.monotonic()

    async def pause(self, span: tuple[float, float]) -> None:
        await asyncio.sleep(self.choose.uniform(*span))

    async def recovered(self) -> float:
        """Seconds from `whole_at` until the service serves again: ready, and a new movement goes through at the first
        try, seen by several new connections in a row.
        """
        streak, since = 0, self.whole_at
        while streak < STREAK:
            assert time.monotonic() - self.whole_at < RECOVERY_SECONDS_MAX, "the service does not recover"
            connection = self.traffic.new_connection()
            try:
                is_well = await self._is_ready(connection) and await self.traffic.probe(connection)
            finally:
                await connection.close()
            if not is_well:
                streak = 0
                await asyncio.sleep(POLL_SECONDS)
            else:
                since = time.monotonic() if streak == 0 else since
                streak += 1
        await self.service.all_workers()
        return since - self.whole_at

    async def _is_ready(self, connection: Connection) -> bool:
        _, answer = await connection.ask("GET", "/readyz")
        return answer is not None and answer.status == 200

    async def check(self, *, always_verify: bool) -> list[str]:
        """All that is wrong, once everybody has come to rest. The ledger is verified if that is not too dear by now."""
        await self.traffic.pause()
        try:
            return await self._check(always_verify=always_verify)
        finally:
            self.traffic.resume()

    async def _check(self, *, always_verify: bool) -> list[str]:
        await self._read_balances()
        absent = self.checker.must_be_absent(self.history)
        connection = await asyncpg.connect(self.postgres.dsn, timeout=30)
        try:
            # One snapshot: what expires is posted at any time, and so is what a client has given up.
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                lines: list[Line] = []
                for model in self.checker.models.values():
                    lines += [_line(row) for row in await connection.fetch(_LINES, model.wallet, model.now.version)]
                there = {row["reference_id"] for row in await connection.fetch(_THERE, absent)}
                states = await connection.fetch(_WALLETS, self.traffic.wallets)
        finally:
            await connection.close()
        found = self.checker.check(self.history, lines)
        found += [f"{each}: every answer said that nothing was applied, and it is there" for each in there]
        for row in states:
            now = self.checker.models[str(row["id"])].now
            if (row["balance"], row["held"], row["version"]) != (now.balance, now.held, now.version):
                found.append(f"the wallet's row is {dict(row)}, and its lines come to {now}")
        if "the writer stops" in self.service.new_log():
            found.append("a writer has stopped: see the service's log")
        # Verifying reads all there is; in a long run that must not become most of it.
        if always_verify or time.monotonic() - self.verified_at > 10 * self.verify_seconds:
            found += await self._verify()
        return found

    async def _read_balances(self) -> None:
        """As the service answers them, now that nobody moves anything: they are checked like those the clients read."""
        connection = self.traffic.new_connection()
        for wallet in self.traffic.wallets:
            await self.traffic.read(wallet, connection)
        await connection.close()

    async def _verify(self) -> list[str]:
        begun_at = time.monotonic()
        report, _ = await verify_with_chain(self.postgres.dsn, on_progress=lambda _progress: None)
        self.verified += 1
        self.verified_at = time.monotonic()
        self.verify_seconds = self.verified_at - begun_at
        return [] if report.is_sound else [f"wallet verify: {each}" for each in report.findings]


def _line(row: Any) -> Line:
    wallet, version, is_step, change, after, kind, captured, released, hold_id, transaction, origin, reference = row
    return Line(
        str(wallet), version, is_step, change, after, kind, captured, released,
        None if hold_id is None else str(hold_id), str(transaction), str(origin), str(reference),
    )  # fmt: skip


@asynccontextmanager
async def rigged(volume: Volume, postgres: Postgres, pace: Pace, *, seed: str) -> AsyncIterator[Rig]:
    """Start it all with traffic under way, and end it all, whatever happened."""
    try:
        await postgres.start()
        async with proxy_to(postgres.socket_dir) as proxy:
            service = ServiceControl(proxy.dsn, proxy_port=proxy.port, workers=WORKERS, settings=pace.settings)
            history, memory = History(), Memory()
            traffic = Traffic(
                lambda: service.address,
                history,
                seed=seed,
                clients=pace.clients,
                pace_seconds=pace.pace_seconds,
                answer_seconds=pace.answer_seconds,
            )
            try:
                await service.start()
                await traffic.open_wallets(WALLETS, OPENING_BALANCE)
                memory.start(lambda: service.memory_mib)
                traffic.start()
                yield Rig(
                    volume=volume,
                    postgres=postgres,
                    proxy=proxy,
                    service=service,
                    traffic=traffic,
                    checker=Checker(traffic.wallets),
                    history=history,
                    memory=memory,
                    pace=pace,
                    choose=random.Random(f"{seed}-faults"),
                )
            finally:
                proxy.disarm()
                proxy.is_away, proxy.delay_seconds = False, 0.0
                proxy.is_open.set()
                await traffic.stop()
                await memory.stop()
                postgres.thaw()
                await service.stop()
    finally:
        postgres.stop()
