"""One measured run and what many of them say together."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PERCENTILES = (0, 1, 2, 5, *range(10, 95, 5), 95, 97, 98, 99, 99.5, 99.9, 100)
FLUSH_FACTOR_MAX = 3.0
"""A run whose flush probe is further than this from the usual one (either way) is discarded."""
OTHERS_SHARE_MAX = 0.1
"""Of all cores. A run during which strangers used more of the machine is discarded."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """The result of a run of either part. CPU may cover more than the latencies do (pgbench), so it has its own
    count.
    """

    seconds: float
    accepted: int
    latencies_us: Sequence[float]
    cpu_seconds: dict[str, float]
    """By who spent it: service, postgres, load."""
    cpu_accepted: int
    cpu_window_seconds: float
    machine_cpu_seconds: float
    """Of everything on the machine, in the time that `cpu_seconds` covers."""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """A run in its place: what it was, in which round, on what disk, and its figures."""

    name: str
    round: int
    connections: int
    flush_us: float
    per_second: float
    latency_ms: dict[str, float]
    """By percentile, as text."""
    cpu_us: dict[str, float]
    """Per accepted request, by who spent it."""
    cores_busy: dict[str, float]
    """By who kept them busy; "others" are strangers on the machine, and whoever took its cores away."""
    details: dict[str, Any]
    discarded: str = ""
    """Why it does not count; empty if it does."""

    @property
    def cpu_us_of_the_system(self) -> float:
        """Service and PostgreSQL, without the load generator."""
        return self.cpu_us.get("service", 0.0) + self.cpu_us.get("postgres", 0.0)


def run_of(name: str, measured: Measured, *, round: int, connections: int, flush_us: float) -> Run:
    """The figures of a run. Raises RuntimeError if nothing was accepted in it."""
    if measured.accepted == 0:
        raise RuntimeError(f"{name}: nothing was accepted ({measured.details})")
    ordered = sorted(measured.latencies_us)
    last = len(ordered) - 1
    return Run(
        name=name,
        round=round,
        connections=connections,
        flush_us=flush_us,
        per_second=measured.accepted / measured.seconds,
        latency_ms={f"{p:g}": ordered[round_half(last * p / 100)] / 1_000 for p in PERCENTILES},
        cpu_us={who: s / measured.cpu_accepted * 1e6 for who, s in measured.cpu_seconds.items()},
        cores_busy=_cores_busy(measured),
        details=measured.details,
    )


def _cores_busy(measured: Measured) -> dict[str, float]:
    others = max(measured.machine_cpu_seconds - sum(measured.cpu_seconds.values()), 0.0)
    seconds = {**measured.cpu_seconds, "others": others}
    return {who: value / measured.cpu_window_seconds for who, value in seconds.items()}


def round_half(value: float) -> int:
    return int(value + 0.5)


def mark_discarded(runs: Sequence[Run], *, cores: int) -> float:
    """Discard the runs that were disturbed; the usual flush in microseconds (the median)."""
    usual = statistics.median(run.flush_us for run in runs)
    for run in runs:
        if not usual / FLUSH_FACTOR_MAX <= run.flush_us <= usual * FLUSH_FACTOR_MAX:
            run.discarded = f"a flush took {run.flush_us:.0f} µs, usually {usual:.0f} µs"
        elif run.cores_busy["others"] > OTHERS_SHARE_MAX * cores:
            run.discarded = f"others used {run.cores_busy['others']:.2f} cores"
    return usual


class Runs:
    """The runs that count, asked by name."""

    def __init__(self, runs: Sequence[Run], *, keep_disturbed: bool = False) -> None:
        self._kept = [run for run in runs if keep_disturbed or not run.discarded]

    def named(self, name: str) -> list[Run]:
        return [run for run in self._kept if run.name == name]

    def median(self, name: str, figure: Callable[[Run], float]) -> float | None:
        """The median of a figure over the runs of that name, or None if there is none."""
        values = [figure(run) for run in self.named(name)]
        return statistics.median(values) if values else None

    def ratio(self, name: str, against: str, figure: Callable[[Run], float]) -> float | None:
        """The median over the rounds of a figure against the same figure of another run in the same round.

        Runs minutes apart drift by a fifth and more; two in one round do not. None if no round has both.
        """
        others = {run.round: run for run in self.named(against)}
        ratios = [figure(run) / figure(others[run.round]) for run in self.named(name) if run.round in others]
        return statistics.median(ratios) if ratios else None

    def typical(self, name: str) -> Run | None:
        """The run with the median throughput."""
        runs = sorted(self.named(name), key=lambda run: run.per_second)
        return runs[len(runs) // 2] if runs else None
