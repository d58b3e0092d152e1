"""A measured load on the running service."""

import os
import random
from collections.abc import Callable

import uvloop

from tests.bench import loadgen, metrics, processes, traffic
from tests.bench.participants import ASSET, Totals, Wallets
from tests.bench.postgres import Server
from tests.bench.runs import Measured
from tests.bench.service import Service


class ServiceLoad:
    """Loads a running service and accounts for CPU, WAL, batches and acknowledged money."""

    def __init__(self, server: Server, service: Service, wallets: Wallets, totals: Totals) -> None:
        self._server = server
        self._service = service
        self._wallets = wallets
        self._totals = totals

    def _next_request(self, verb: str) -> Callable[[], bytes]:
        generator, key = random.Random(os.urandom(16)), self._service.key
        if verb == "balance":
            return traffic.balances(self._wallets.all, generator, key=key)
        if verb == "transfer":
            return traffic.random_pairs(self._wallets.funded, ASSET, generator, key=key)
        wallet_ids = self._wallets.funded if verb == "spend" else self._wallets.all
        return traffic.movements(verb, wallet_ids, ASSET, generator, key=key)

    def run(self, verb: str, *, connections: int, seconds: float, warmup_seconds: float = 1.0) -> Measured:
        """A closed loop of one verb: topup, bonus, spend, transfer or balance."""
        samples: list[dict[str, float]] = []

        def sample() -> None:
            samples.append(
                {
                    "service": processes.cpu_seconds(self._service.process.pid),
                    "postgres": processes.cpu_seconds(self._server.postmaster_pid),
                    "machine": processes.machine_cpu_seconds(),
                }
            )

        reads_only = verb == "balance"
        wal_before, metrics_before = self._server.wal(), self._service.metrics()
        result = uvloop.run(
            loadgen.drive(
                self._service.port,
                self._next_request(verb),
                connections=connections,
                accepted_status=200 if reads_only else 201,
                seconds=seconds,
                warmup_seconds=warmup_seconds,
                on_window_start=sample,
                on_window_end=sample,
            )
        )
        wal_after = self._server.wal()
        batches = metrics.batches(metrics.difference(self._service.metrics(), metrics_before))
        if not reads_only:
            self._totals.accepted[verb] = self._totals.accepted.get(verb, 0) + result.accepted * traffic.AMOUNT
            self._totals.unknown += result.unknown
        before, after = samples
        cpu_seconds = {who: after[who] - before[who] for who in before}
        machine_cpu_seconds = cpu_seconds.pop("machine")
        cpu_seconds["load"] = result.window_cpu_seconds
        return Measured(
            seconds=result.window_seconds,
            accepted=result.window_accepted,
            latencies_us=list(result.latencies_us),
            cpu_seconds=cpu_seconds,
            cpu_accepted=max(result.window_accepted, 1),
            machine_cpu_seconds=machine_cpu_seconds,
            cpu_window_seconds=result.window_seconds,
            details={
                "statuses": result.statuses,
                "unknown": result.unknown,
                "wal_bytes_per_request": (wal_after["bytes"] - wal_before["bytes"]) / max(result.accepted, 1),
                "wal_flushes_per_request": (wal_after["flushes"] - wal_before["flushes"]) / max(result.accepted, 1),
                "batches": batches,
            },
        )
