"""Facts about processes from Linux: children, memory, and whose a connection is."""

import os
import re
from contextlib import suppress
from pathlib import Path

_TCP_LOCAL = re.compile(r"^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) .. \S+ \S+ \S+\s+\d+\s+\d+ (\d+)")


def children_of(pid: int) -> list[int]:
    """Empty if there is no such process any more."""
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def is_worker(pid: int) -> bool:
    """Whether it is a worker of the service, and not another child of its supervisor."""
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def rss_mib(pid: int) -> float | None:
    with suppress(OSError):
        if found := re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return int(found[1]) / 1024
    return None


def owner_of(local_port: int, remote_port: int, candidates: list[int]) -> int | None:
    """The process, of these, that has the connection on loopback between these ports, with `local_port` as its own
    end.
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        found = _TCP_LOCAL.match(line)
        if found and (int(found[1], 16), int(found[2], 16)) == (local_port, remote_port):
            return next((pid for pid in candidates if f"socket:[{found[3]}]" in _open_files(pid)), None)
    return None


def _open_files(pid: int) -> set[str]:
    files = set()
    with suppress(OSError):
        for each in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                files.add(os.readlink(f"/proc/{pid}/fd/{each}"))
    return files
