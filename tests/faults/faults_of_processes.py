"""Faults that end processes: workers, the service, backends and PostgreSQL."""

import os
import signal
from contextlib import suppress

from tests.faults.proxy import Link, Message, Mode, is_commit
from tests.faults.rig import Rig


async def kill_worker(rig: Rig) -> None:
    """At any time, or with a COMMIT on its way, or with the answer of one."""
    mode = rig.choose.choice([None, Mode.ACT_BEFORE, Mode.ACT_ON_ANSWER])
    if mode is None:
        await rig.pause((0.0, 0.5))
        _kill(rig.choose.choice(rig.service.workers))
        return

    def kill(link: Link, _: Message) -> None:
        worker = rig.service.worker_of(link)
        assert worker is not None, "a connection without a worker"
        _kill(worker)

    await rig.sprung(is_commit, mode, act=kill)


async def kill_service(rig: Rig) -> None:
    """All of it at once, and then it is started again."""
    await rig.pause((0.0, 0.5))
    await rig.service.kill_all()
    rig.whole()
    await rig.service.start()


async def kill_backend(rig: Rig) -> None:
    """One process of PostgreSQL, by whose death PostgreSQL ends all others and recovers by itself."""
    mode = rig.choose.choice([Mode.ACT_BEFORE, Mode.ACT_ON_ANSWER])

    def kill(link: Link, _: Message) -> None:
        assert link.backend_pid is not None
        _kill(link.backend_pid)

    await rig.sprung(is_commit, mode, act=kill)


async def shut_postgres_down(rig: Rig) -> None:
    """Immediate shutdown: no checkpoint, no goodbye. Then it is started again."""
    await rig.pause((0.0, 0.5))
    await rig.postgres.end(signal.SIGQUIT)
    await rig.pause(rig.pace.away_seconds)
    rig.whole()
    await rig.postgres.start()


async def kill_postgres(rig: Rig) -> None:
    """The postmaster, whose children find out by themselves. Then it is started again."""
    await rig.pause((0.0, 0.5))
    await rig.postgres.end(signal.SIGKILL)
    await rig.pause(rig.pace.away_seconds)
    rig.whole()
    await rig.postgres.start()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
