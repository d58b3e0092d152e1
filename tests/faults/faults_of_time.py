"""Faults that stop processes, or time itself, and let them go on."""

import asyncio
import os
import re
import signal
import time

from tests.faults.history import Verdict
from tests.faults.proxy import Link, Message, Mode, locks_wallets
from tests.faults.rig import POLL_SECONDS, TRAP_SECONDS_MAX, Rig

_LEADER = """
SELECT pid FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) = 119182681466226
"""
_IS_THERE = "SELECT pid FROM pg_stat_activity WHERE pid = $1 AND xact_start IS NOT NULL"
_WATERMARK = "SELECT seq FROM watermarks WHERE shard = 0"
JUMP_SECONDS = 300
"""Longer than the shortest holds of the clients live, shorter than the others."""


async def freeze_worker(rig: Rig) -> None:
    """One that has just locked wallets. While it still stands, its locks go and others move those wallets; it wakes up
    amid a database transaction that is gone."""
    stopped: list[int] = []
    backends: list[int] = []

    def freeze(link: Link, _: Message) -> None:
        worker = rig.service.worker_of(link)
        assert worker is not None, "a connection without a worker"
        assert link.backend_pid is not None
        os.kill(worker, signal.SIGSTOP)
        stopped.append(worker)
        backends.append(link.backend_pid)

    trap = await rig.sprung(locks_wallets, Mode.ACT_ON_ANSWER, act=freeze)
    begun_at = time.monotonic()
    try:
        while await rig.postgres.ask(_IS_THERE, backends[0]):
            assert time.monotonic() - begun_at < TRAP_SECONDS_MAX, "a stopped worker keeps its locks"
            await asyncio.sleep(POLL_SECONDS)
        rig.notes["locks_of_a_stopped_worker_seconds"] = time.monotonic() - begun_at
        locked = [each for each in rig.traffic.wallets if each.encode() in trap.message]
        for wallet in locked:
            tried = await rig.traffic.top_up(wallet)
            assert tried.verdict is Verdict.ACKNOWLEDGED, f"while a worker is stopped: {tried.content}"
        assert locked, f"no wallet of ours is locked by {re.sub(rb'[^ -~]', b'.', trap.message)!r}"
        await rig.pause((0.0, 1.0))
    finally:
        rig.service.wake_all()
        rig.whole()


async def freeze_leader(rig: Rig) -> None:
    """The worker that leads the keepers. Another takes over, and it wakes up beside that one."""
    leader = await _leader(rig, but_not=None)
    link = next((each for each in rig.proxy.links if each.backend_pid == leader), None)
    worker = None if link is None else rig.service.worker_of(link)
    assert worker is not None, "the leader is no worker"
    os.kill(worker, signal.SIGSTOP)
    begun_at = time.monotonic()
    try:
        successor = await _leader(rig, but_not=leader)
        rig.notes["new_leader_seconds"] = time.monotonic() - begun_at
    finally:
        rig.service.wake_all()
    watermark = (await rig.postgres.ask(_WATERMARK))[0]["seq"]
    await rig.pause((1.0, 2.0))
    assert await _leader(rig, but_not=None) == successor, "who woke up leads again"
    assert (await rig.postgres.ask(_WATERMARK))[0]["seq"] >= watermark, "the watermark went back"


async def _leader(rig: Rig, *, but_not: int | None) -> int:
    give_up_at = time.monotonic() + TRAP_SECONDS_MAX
    while True:
        found = [row["pid"] for row in await rig.postgres.ask(_LEADER)]
        assert len(found) <= 1, f"two lead: {found}"
        if found and found[0] != but_not:
            return int(found[0])
        assert time.monotonic() < give_up_at, "nobody leads"
        await asyncio.sleep(0.1)


async def freeze_postgres(rig: Rig) -> None:
    """All of its processes."""
    await rig.pause((0.0, 0.5))
    rig.postgres.freeze()
    try:
        await rig.pause(rig.pace.freeze_seconds)
    finally:
        rig.postgres.thaw()


async def jump_clock(rig: Rig) -> None:
    """The ledger's clock jumps forward, and back again. Not the machine's: the offset that the database adds to it."""
    await _set_clock(rig, JUMP_SECONDS)
    try:
        await rig.traffic.acknowledged_more(rig.pace.acknowledged_between)
    finally:
        await _set_clock(rig, 0)


async def _set_clock(rig: Rig, seconds: int) -> None:
    await rig.postgres.ask("UPDATE sandbox_clock SET advanced = make_interval(secs => $1)", seconds)
