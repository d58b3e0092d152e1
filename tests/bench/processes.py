"""CPU time and memory of process trees, from /proc. Linux only."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on (state first), or None if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the name in brackets may hold anything


def parent_of(pid: int) -> int:
    """The parent's pid. Raises ProcessLookupError if `pid` is gone."""
    fields = _stat_fields(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return int(fields[1])


def tree_of(root_pid: int) -> list[int]:
    """`root_pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, rest = [], [root_pid]
    while rest:
        pid = rest.pop()
        found.append(pid)
        rest.extend(children.get(pid, ()))
    return found


def cpu_seconds(root_pid: int) -> float:
    """CPU time of a process tree so far: its living processes and the children they have buried.

    Processes come and go (one backend per connection): a buried one is in its parent's cutime and cstime, a living
    one in its own utime and stime, so nothing is lost or counted twice.
    """
    ticks = 0
    for pid in tree_of(root_pid):
        if fields := _stat_fields(pid):
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / _TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """CPU time that anything on this machine has used so far, and what the host took from it."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(value) for value in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def memory_bytes_max(pids: Iterable[int]) -> dict[str, int]:
    """Over the given processes: the largest peak RSS and the largest PSS of now."""
    peak_rss, pss = 0, 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        peak_rss = max(peak_rss, _kilobytes(status, "VmHWM:") * 1024)
        pss = max(pss, _kilobytes(rollup, "Pss:") * 1024)
    return {"rss_peak": peak_rss, "pss": pss}


def _kilobytes(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)
