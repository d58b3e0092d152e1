"""A script that replaces itself by a command, which then ends when the process that started it ends:

    python -I -S child.py [parent=PID] [uid=N gid=N] [log=FILE] [tie=watchdog] -- COMMAND...

The command keeps the process id of the script. It gets SIGINT (PostgreSQL: fast shutdown) when `parent` has ended, for
any reason. The script imports the standard library only, before it changes the user, because the new user may not be
able to read files of this package. No module imports it.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
WATCHDOG_INTERVAL_SECONDS = 0.2


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    options = dict(each.split("=", 1) for each in arguments[:split])
    parent = int(options["parent"])
    # A shell makes a background job ignore SIGINT, and an ignored signal stays ignored after exec.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if "uid" in options:
        os.setgroups([])
        os.setgid(int(options["gid"]))
        os.setuid(int(options["uid"]))
    if options.get("tie") == "watchdog" or sys.platform != "linux":
        _start_watchdog(parent)
    else:
        _ask_for_signal()
    if os.getppid() != parent:  # the parent ended before the tie was made, so no signal will come
        sys.exit(1)
    if "log" in options:
        _redirect_output(options["log"])
    os.execvp(arguments[split + 1], arguments[split + 1 :])  # noqa: S606 - no shell is the point


def _ask_for_signal() -> None:
    """Ask Linux for SIGINT when the parent ends. Called after setuid, which would clear the request."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGINT)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def _start_watchdog(parent: int) -> None:
    """For kernels without such a request: a child of the command sends it SIGINT when the parent is gone."""
    command = os.getpid()
    if os.fork():
        return
    os.closerange(0, 256)  # above all the lock on the data folder, which must not outlive the command
    os.setsid()
    while os.getppid() == command:
        if not _is_alive(parent):
            os.kill(command, signal.SIGINT)
            break
        time.sleep(WATCHDOG_INTERVAL_SECONDS)
    os._exit(0)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists, and belongs to another user
    return True


def _redirect_output(log: str) -> None:
    """Send output to `log`, opened as the new user. The log of the previous run is kept as `log`.1."""
    if os.path.exists(log):
        os.replace(log, f"{log}.1")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
