"""How much memory the workers take, over the run."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SAMPLE_SECONDS = 1.0
WARM_SECONDS = 20.0
"""A worker younger than that is still taking what it needs."""


@dataclass(frozen=True, slots=True)
class Quarter:
    """RSS of workers that are warm, in MiB, within one quarter of the run. None without a sample."""

    median_mib: float | None
    max_mib: float | None


class Memory:
    """Samples the workers' RSS once per second."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int, float]] = []
        self._first_seen: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, look: Callable[[], Mapping[int, float]]) -> None:
        self._task = asyncio.create_task(self._sample(look))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sample(self, look: Callable[[], Mapping[int, float]]) -> None:
        while True:
            now = time.monotonic()
            for pid, mib in look().items():
                self._first_seen.setdefault(pid, now)
                if now - self._first_seen[pid] >= WARM_SECONDS:
                    self._samples.append((now, pid, mib))
            await asyncio.sleep(SAMPLE_SECONDS)

    def quarters(self, begun_at: float, ended_at: float) -> list[Quarter]:
        """The four quarters of the run, in order."""
        quarters = []
        for number in range(4):
            begin = begun_at + (ended_at - begun_at) * number / 4
            end = begun_at + (ended_at - begun_at) * (number + 1) / 4
            found = [mib for at, _, mib in self._samples if begin <= at < end]
            if found:
                quarters.append(Quarter(round(statistics.median(found), 1), round(max(found), 1)))
            else:
                quarters.append(Quarter(None, None))
        return quarters

    @property
    def samples(self) -> int:
        return len(self._samples)

    @property
    def workers_seen(self) -> int:
        return len(self._first_seen)

    @property
    def longest_life_seconds(self) -> float:
        """Of one worker, as far as it was sampled."""
        lives = [at - self._first_seen[pid] for at, pid, _ in self._samples]
        return round(max(lives, default=0.0), 1)
