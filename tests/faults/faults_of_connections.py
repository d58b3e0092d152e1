"""Faults of what is between the service and PostgreSQL: lost, late, cut in the middle, slow."""

import asyncio

from tests.faults.proxy import Link, Message, Mode, is_commit
from tests.faults.rig import Rig

TIMES = 4
"""A lost COMMIT costs little time, so it is lost that often in a row."""


async def _at_commits(rig: Rig, mode: Mode) -> None:
    for _ in range(TIMES):
        await rig.sprung(is_commit, mode)
        await rig.traffic.acknowledged_more(5)


async def lose_commit(rig: Rig) -> None:
    """Before it was forwarded."""
    await _at_commits(rig, Mode.DROP)


async def lose_commit_answer(rig: Rig) -> None:
    """After it was forwarded and done."""
    await _at_commits(rig, Mode.DROP_ANSWER)


async def cut_commit(rig: Rig) -> None:
    """In the middle of the message."""
    await _at_commits(rig, Mode.HALVE)


async def cut_commit_answer(rig: Rig) -> None:
    """In the middle of the answer."""
    await _at_commits(rig, Mode.HALVE_ANSWER)


async def delay_commit_answer(rig: Rig) -> None:
    """So long that clients ask again meanwhile."""
    await rig.sprung(is_commit, Mode.HOLD_ANSWER, seconds=rig.choose.uniform(*rig.pace.freeze_seconds))


async def lose_commit_answer_and_database(rig: Rig) -> None:
    """After it was done, and nobody can be asked what became of it: perhaps for longer than the service asks."""

    def go_away(_link: Link, _message: Message) -> None:
        rig.proxy.is_away = True

    try:
        await rig.sprung(is_commit, Mode.DROP_ANSWER, act=go_away)
        rig.proxy.cut()
        await rig.pause((0.2 * rig.pace.unknown_seconds, 1.5 * rig.pace.unknown_seconds))
    finally:
        rig.proxy.is_away = False


async def cut_everything(rig: Rig) -> None:
    """Every connection at once, and nobody gets through for a while."""
    rig.proxy.is_away = True
    rig.proxy.cut()
    try:
        await rig.pause(rig.pace.away_seconds)
    finally:
        rig.proxy.is_away = False


async def stall_everything(rig: Rig) -> None:
    """Connections stay, and nothing passes."""
    rig.proxy.is_open.clear()
    try:
        await rig.pause(rig.pace.freeze_seconds)
    finally:
        rig.proxy.is_open.set()


async def slow_database(rig: Rig) -> None:
    """Every message and every answer takes its time."""
    rig.proxy.delay_seconds = rig.choose.uniform(0.01, 0.05)
    try:
        await asyncio.sleep(rig.pace.freeze_seconds[1])
    finally:
        rig.proxy.delay_seconds = 0.0
