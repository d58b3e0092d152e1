"""Starts and stops the processes of the embedded PostgreSQL."""

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
# The only environment variables that are passed on: PG* would change the settings, and others may hold secrets.
ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def launched(
    command: Sequence[str | Path], *, account: Account, lock: int, log: Path | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` as `account`, in a session of its own. It ends when this process ends.

    Without its own session, Ctrl-C would stop the server while the service still answers accepted requests.
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
    """Shut down fast. If that takes too long, shut down immediately: nothing is lost, since the next start recovers."""
    for order in (signal.SIGINT, signal.SIGQUIT):
        server.send_signal(order)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS_MAX)
            return
    server.kill()
    server.wait()


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a client program of PostgreSQL to its end, as the user of this process."""
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
