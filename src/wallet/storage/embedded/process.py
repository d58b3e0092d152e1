"""How a process of the embedded PostgreSQL begins and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wallet.storage.embedded.account import Account

STOP_SECONDS_MAX = 60.0  # the last checkpoint
RUN_SECONDS_MAX = 60.0
# Nothing else of ours: PG* would change what is asked for, and the rest may hold secrets.
ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def launched(
    command: Sequence[str | Path], *, account: Account, lock: int, log: Path | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` as `account`, tied to this process's life, in a session of its own.

    A session of its own, or Ctrl-C would stop the server while the service still answers what it accepted.
    """
    options = [f"parent={os.getpid()}"]
    if account.dropped:
        options += [f"uid={account.uid}", f"gid={account.gid}"]
    if log:
        options.append(f"log={log}")
    child = Path(__file__).with_name("child.py")
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", child, *options, "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout else None,
        env=_environment(),
        cwd="/",
        start_new_session=True,
        pass_fds=(lock,),
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown; immediate if that takes too long, which loses nothing either: the next start recovers."""
    for order in (signal.SIGINT, signal.SIGQUIT):
        server.send_signal(order)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS_MAX)
            return
    server.kill()
    server.wait()


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a client program of PostgreSQL to its end, as ourselves."""
    return subprocess.run(  # noqa: S603
        command,
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ} | {"LC_ALL": "C"}
