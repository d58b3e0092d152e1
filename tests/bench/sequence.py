"""The runs, in their order. Those that are compared alternate within a round."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.books import bytes_per_transaction, money_check, table_bytes
from tests.bench.bulk import BulkLoad
from tests.bench.disk import wait_for_usual_flush
from tests.bench.participants import Totals, Wallets, set_up_wallets
from tests.bench.plain import Plain, plain_design
from tests.bench.postgres import Database, Server
from tests.bench.runs import Measured, Run, run_of
from tests.bench.service import DATABASE, migrate, serving
from tests.bench.service_load import ServiceLoad

WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The runs that were asked for. Secondary runs, which no ratio of the first rows needs, are shorter."""

    seconds: float
    rounds: int
    wallets: int
    funded: int
    lines: int
    """Of an import."""
    parts: Sequence[str]
    """Of plain, service, workers, bulk."""

    @property
    def short_seconds(self) -> float:
        return max(self.seconds * 0.6, 1.0)


class Recorder:
    """Probes the disk before each run and keeps what the run gave."""

    def __init__(self, server: Server, folder: Path, say: Callable[[str], None]) -> None:
        self._server = server
        self._folder = folder
        self._say = say
        self.runs: list[Run] = []

    def begin_round(self) -> None:
        """So that no checkpoint falls into some runs of a round and not into others."""
        self._server.database.execute("CHECKPOINT")

    def record(self, name: str, round: int, connections: int, measure: Callable[[], Measured]) -> None:
        usual = min((run.flush_us for run in self.runs), default=None)
        flush = wait_for_usual_flush(self._folder, usual_us=usual)
        run = run_of(name, measure(), round=round, connections=connections, flush_us=flush)
        self.runs.append(run)
        self._say(
            f"  {name:22} {run.per_second:>9,.0f}/s  p50 {run.latency_ms['50']:8.2f} ms"
            f"  p99 {run.latency_ms['99']:8.2f} ms  flush {flush:.0f} µs"
        )


def carry_out(
    plan: Plan, server: Server, *, probe_folder: Path, log: Path, say: Callable[[str], None]
) -> tuple[list[Run], dict[str, Any]]:
    """All runs of the plan, and what is found besides: memory, bytes on disk, whether the money adds up."""
    recorder = Recorder(server, probe_folder, say)
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(plain_design(server)) if "plain" in plan.parts else None
        if {"service", "workers", "bulk"} & set(plan.parts):
            database = stack.enter_context(_service_database(server))
            _with_service(plan, server, database, plain, recorder, log, found)
        elif plain:
            for round in range(1, plan.rounds + 1):
                recorder.begin_round()
                _plain_runs(plan, plain, recorder, round)
        if plain:
            found["plain_money"] = plain.sums_up()
    return recorder.runs, found


@contextlib.contextmanager
def _service_database(server: Server) -> Iterator[Database]:
    database = server.database.created(DATABASE)
    try:
        migrate(database)
        yield database
    finally:
        server.database.dropped(DATABASE)


def _with_service(
    plan: Plan,
    server: Server,
    database: Database,
    plain: Plain | None,
    recorder: Recorder,
    log: Path,
    found: dict[str, Any],
) -> None:
    totals = Totals()
    with serving(database, workers=1, log=log) as service:
        wallets = set_up_wallets(service, database, totals, count=plan.wallets, funded=plan.funded)
        bytes_before = table_bytes(database)
        load = ServiceLoad(server, service, wallets, totals)
        bulk = BulkLoad(server, service, wallets, totals)
        for round in range(1, plan.rounds + 1):
            recorder.begin_round()
            if plain:
                _plain_runs(plan, plain, recorder, round)
            if "service" in plan.parts:
                _service_runs(plan, load, recorder, round)
            if "bulk" in plan.parts:
                _bulk_runs(plan, bulk, recorder, round)
        found["bytes"] = bytes_per_transaction(bytes_before, table_bytes(database))
        found["memory"] = service.memory()
        found["money"] = money_check(service, database, wallets, totals)
    if "workers" in plan.parts:
        _with_workers(plan, server, database, wallets, totals, recorder, log, found)


def _with_workers(
    plan: Plan,
    server: Server,
    database: Database,
    wallets: Wallets,
    totals: Totals,
    recorder: Recorder,
    log: Path,
    found: dict[str, Any],
) -> None:
    with serving(database, workers=WORKERS, log=log) as service:
        load = ServiceLoad(server, service, wallets, totals)
        for round in range(1, plan.rounds + 1):
            recorder.begin_round()
            for verb in ("topup", "transfer"):
                recorder.record(
                    f"workers-{verb}-64",
                    round,
                    64,
                    partial(load.run, verb, connections=64, seconds=plan.short_seconds),
                )
        found["memory_with_workers"] = service.memory()
        found["money"] = money_check(service, database, wallets, totals)


def _plain_runs(plan: Plan, plain: Plain, recorder: Recorder, round: int) -> None:
    recorder.record("plain-64", round, 64, partial(plain.run, clients=64, seconds=plan.seconds))
    recorder.record("plain-1", round, 1, partial(plain.run, clients=1, seconds=plan.short_seconds))
    if round == 1:
        for clients in (4, 16):
            recorder.record(
                f"plain-{clients}",
                round,
                clients,
                partial(plain.run, clients=clients, seconds=plan.short_seconds),
            )


def _service_runs(plan: Plan, load: ServiceLoad, recorder: Recorder, round: int) -> None:
    runs = [
        ("topup", 64, plan.seconds),
        ("topup", 1, plan.short_seconds),
        ("bonus", 64, plan.short_seconds),
        ("spend", 64, plan.short_seconds),
        ("topup", 16, plan.short_seconds),
        ("topup", 256, plan.short_seconds),
        ("balance", 64, plan.short_seconds),
    ]
    for verb, connections, seconds in runs:
        recorder.record(
            f"{verb}-{connections}",
            round,
            connections,
            partial(load.run, verb, connections=connections, seconds=seconds),
        )


def _bulk_runs(plan: Plan, bulk: BulkLoad, recorder: Recorder, round: int) -> None:
    for answers in ("all", "failures"):
        recorder.record(f"bulk-{answers}", round, 1, partial(bulk.run, lines=plan.lines, answers=answers))
