"""The result of a run, as JSON."""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checks import Counts
from tests.faults.memory import Quarter


@dataclass(slots=True, kw_only=True)
class Report:
    """One run, or what there is of one that was interrupted (not `is_whole`). Durations in seconds. By kind of fault,
    `recovery`: from when nothing was broken any more, or what had ended was told to start, until the service served;
    `silence`: the longest time without an acknowledged movement, the fault's own time included.
    """

    seed: int
    minutes: float | None
    conditions: dict[str, Any]
    seconds: float = 0.0
    is_whole: bool = False
    injected: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    recovery: dict[str, list[float]] = field(default_factory=dict)
    silence: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, list[float]] = field(default_factory=dict)
    requests: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    overtaken: list[str] = field(default_factory=list)
    verified: int = 0
    last_verify_seconds: float = 0.0
    memory: list[Quarter] = field(default_factory=list)
    workers_seen: int = 0
    longest_life_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def memory_growth(self) -> float | None:
        """The last quarter's median by the second's; None where one has no sample."""
        if len(self.memory) < 4 or not self.memory[1].median_mib or not self.memory[3].median_mib:
            return None
        return round(self.memory[3].median_mib / self.memory[1].median_mib, 3)

    def as_object(self) -> dict[str, Any]:
        recovery = {kind: _summary(seconds) for kind, seconds in sorted(self.recovery.items())}
        silence = {kind: _summary(seconds) for kind, seconds in sorted(self.silence.items())}
        notes = {name: _summary(values) for name, values in sorted(self.notes.items())}
        sums = {"recovery": recovery, "silence": silence, "notes": notes}
        return asdict(self) | sums | {"memory_growth": self.memory_growth()}

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_object(), indent=2) + "\n")

    def lines(self) -> list[str]:
        """For people."""
        counts = self.counts
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, "
            f"{sum(self.injected.values())} faults of {len(self.injected)} kinds",
            f"requests {self.requests}: {self.answers}",
            f"movements: {counts.acknowledged} acknowledged, {counts.refused} refused, "
            f"{counts.unknown_applied} unknown and there, {counts.unknown_not_applied} unknown and not there, "
            f"{counts.refused_then_applied} refused while an earlier try was under way and then there",
            f"lost {counts.lost}, doubled {counts.doubled}, refused and there {counts.refused_and_there}; "
            f"verified {self.verified} times",
        ]
        for kind, seconds in sorted(self.recovery.items()):
            said = _summary(seconds)
            silent = _summary(self.silence[kind])
            lines.append(
                f"  {kind}: {said['count']} times, recovered in {said['median']} s, at most {said['max']} s; "
                f"nothing acknowledged for {silent['median']} s, at most {silent['max']} s"
            )
        lines += [f"  {name}: {_summary(values)}" for name, values in sorted(self.notes.items())]
        lines += [f"  SKIPPED {kind}: {why}" for kind, why in self.skipped.items()]
        lines.append(
            f"memory by quarter: {[each.median_mib for each in self.memory]} MiB, growth {self.memory_growth()}"
        )
        return lines


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "count": len(values),
        "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
    }


def conditions(**more: Any) -> dict[str, Any]:
    """The conditions that the figures depend on."""
    return {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release(), **more}
