"""The watch over the event loop: what it measures, and how seldom it speaks."""

import asyncio
import logging
import time

import pytest

from wallet.service.loop_watch import LOOK_SECONDS, STALL_SECONDS_MAX, LoopWatch

STALL_SECONDS = 3 * STALL_SECONDS_MAX


async def looks(seen: list[float], count: int) -> None:
    """Wait until the watch has looked so often again."""
    until = len(seen) + count
    async with asyncio.timeout(30):
        while len(seen) < until:  # noqa: ASYNC110  # the watch tells a callback
            await asyncio.sleep(LOOK_SECONDS / 2)


async def test_a_loop_that_stands_still_is_measured_and_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[float] = []
    watch = LoopWatch(seen.append)
    watch.start()
    with caplog.at_level(logging.WARNING, "wallet.service.loop_watch"):
        await looks(seen, 2)
        for _ in range(2):
            time.sleep(STALL_SECONDS)  # noqa: ASYNC251  # the loop stands still
            await looks(seen, 2)
    watch.close()
    assert sum(late >= STALL_SECONDS - 2 * LOOK_SECONDS for late in seen) >= 2
    (line,) = caplog.messages
    assert "the event loop stood still for" in line


async def test_a_watch_that_was_closed_looks_no_more() -> None:
    seen: list[float] = []
    watch = LoopWatch(seen.append)
    watch.start()
    await looks(seen, 1)
    watch.close()
    count = len(seen)
    await asyncio.sleep(5 * LOOK_SECONDS)
    assert len(seen) == count
