"""Commands as the tests run them: how one ended, and a service that a command started, as a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from wallet.settings import Settings

START_SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    output: str
    errors: str


Wallet = Callable[..., Ended]
"""Runs `wallet` with these arguments and, by keyword, environment variables."""


def variables_set() -> list[str]:
    """The variables of this process's environment that would set an option of a command."""
    settings = {each.metadata["env"] for each in fields(Settings)}
    return [name for name in os.environ if name.removesuffix("_FILE") in settings or name.startswith("WALLET_")]


@contextmanager
def started(*arguments: str, lines: int, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Yield a `wallet` process of its own session and the first `lines` of its output; kill it in the end.

    Fewer lines are yielded if it ended before. Nothing but `environment` sets a setting, but that `serve` is in
    development mode, where no key is needed, unless it says otherwise.
    """
    if arguments[0] == "serve":
        environment = {"WALLET_DEVELOPMENT": "1"} | environment
    inherited = {name: value for name, value in os.environ.items() if name not in variables_set()}
    process = subprocess.Popen(
        [sys.executable, "-c", "from wallet.cli.main import main; main()", *arguments],
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # A process that hangs would otherwise be waited for.
    too_late = threading.Timer(START_SECONDS_MAX, process.kill)
    too_late.start()
    try:
        assert process.stdout is not None
        yield process, [line.rstrip("\n") for _ in range(lines) if (line := process.stdout.readline())]
    finally:
        too_late.cancel()
        process.kill()
        process.communicate()


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Send what a terminal sends: SIGINT to every process of the command's group."""
    os.killpg(process.pid, signal.SIGINT)
