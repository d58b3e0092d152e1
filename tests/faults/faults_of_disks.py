"""Faults of the volume that the database is on."""

import asyncio
import time
from contextlib import suppress

import asyncpg

from tests.faults.rig import POLL_SECONDS, Rig

# No measurement: the full disk was not noticed, or PostgreSQL does not know what to do.
FULL_SECONDS_MAX = 60.0


async def fill_disk(rig: Rig) -> None:
    """Until tables cannot grow. Then there is space again."""
    rig.volume.fill()
    try:
        before = rig.traffic.seen["not now"] + rig.traffic.seen["unknown"]
        give_up_at = time.monotonic() + FULL_SECONDS_MAX
        while rig.traffic.seen["not now"] + rig.traffic.seen["unknown"] < before + 10:
            assert time.monotonic() < give_up_at, "nobody notices that the disk is full"
            await asyncio.sleep(POLL_SECONDS)
    finally:
        rig.volume.free()
        rig.whole()
    await _start_if_ended(rig)


async def fill_disk_under_wal(rig: Rig) -> None:
    """Until not even the log can grow, by which PostgreSQL panics. Then there is space again."""
    rig.volume.fill()
    try:
        with suppress(asyncpg.PostgresError, OSError, asyncpg.InterfaceError):
            for _ in range(20):  # beyond the segments that it keeps for later
                await rig.postgres.ask("SELECT pg_switch_wal(), pg_logical_emit_message(false, 'fault', 'fault')")
        await rig.pause(rig.pace.away_seconds)
    finally:
        rig.volume.free()
        rig.whole()
    await _start_if_ended(rig)


async def _start_if_ended(rig: Rig) -> None:
    """Start PostgreSQL again if it could not recover for lack of space and has ended, as an operator would."""
    await asyncio.sleep(0.2)
    rig.notes["postgres_had_ended"] = float(not rig.postgres.is_running)
    if not rig.postgres.is_running:
        rig.whole()
        await rig.postgres.start()
