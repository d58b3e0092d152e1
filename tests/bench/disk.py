"""How fast the disk is right now: durable commits cannot be faster than its flush."""

import os
import statistics
import tempfile
import time
from pathlib import Path

_WRITES = 100
_BLOCK = b"\0" * 8192


def flush_us(folder: Path) -> float:
    """The median time of writing and flushing 8 kB in `folder`, in microseconds, over a hundred times."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(_BLOCK)  # allocated first: the WAL is recycled files, not growing ones
        os.fsync(file.fileno())
        times = []
        for _ in range(_WRITES):
            started_at = time.perf_counter_ns()
            os.pwrite(file.fileno(), _BLOCK, 0)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter_ns() - started_at) / 1_000)
    return statistics.median(times)


def wait_for_usual_flush(folder: Path, *, usual_us: float | None, tries: int = 4) -> float:
    """Probe until the flush is at most three times `usual_us`, with a second between tries; the last probe."""
    probe = flush_us(folder)
    while usual_us is not None and probe > 3 * usual_us and tries > 0:
        time.sleep(1)
        tries -= 1
        probe = flush_us(folder)
    return probe
