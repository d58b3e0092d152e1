"""Under which conditions the figures were taken. A figure without them says nothing."""

import os
import platform
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.bench.postgres import Server
from wallet.settings import Settings

_PLACES = ("database_url", "data_dir", "pg_bindir", "host", "port")


def cores_usable() -> int:
    return len(os.sched_getaffinity(0))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _commit() -> str:
    """The commit this was run from, and whether the work tree differs from it."""
    here = Path(__file__).parent
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _service_settings() -> dict[str, str]:
    """The settings of the environment that change how the service works. Paths and addresses say nothing about
    speed.
    """
    names = [each.metadata["env"] for each in fields(Settings) if each.name not in _PLACES]
    return {name: os.environ[name] for name in names if name in os.environ}


def conditions(server: Server, *, seconds: float, rounds: int, wallets: int, funded: int) -> dict[str, Any]:
    """Machine, PostgreSQL and load, as the report states them."""
    return {
        "machine": {
            "cpu": _cpu_model(),
            "cores": cores_usable(),
            "memory_gib": round(_memory_gib(), 1),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "load_average_at_start": os.getloadavg()[0],
        },
        "postgresql": {
            name: value
            for name, value in server.settings.items()
            if name not in ("server_version_num", "data_directory")
        },
        "load": {
            "generator": "one process, closed loop, on the same cores",
            "seconds_per_run": seconds,
            "rounds": rounds,
            "wallets": wallets,
            "wallets_with_money": funded,
            "hot_wallet_share": "every top-up, bonus and spend touches the one treasury or revenue wallet",
            "reference": "36 random characters, each new",
            "idempotency": "on",
            "audit": "ledger with running balances; sealed chain not built yet",
        },
        "service_settings": _service_settings() or "defaults",
        "commit": _commit(),
    }
