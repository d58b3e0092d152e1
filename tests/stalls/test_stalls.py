"""No request keeps the event loop from everybody else: the largest that each route takes is asked.

The bound is three times what is meant, for machines that are slow, and for what others do to the processor's caches.
`python -m tests.stalls` says what it is here.
"""

import asyncio
import json
import time
from pathlib import Path

from tests.stalls.largest import LARGEST
from tests.stalls.measuring import stalls
from tests.stalls.turns import watched
from wallet.service.loop_watch import STALL_SECONDS_MAX

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
TIMES_LONGER = 3


def test_every_route_of_the_document_is_asked() -> None:
    paths = json.loads(DOCUMENT.read_text("utf-8"))["paths"]
    methods = ("get", "post", "put", "patch", "delete")
    routes = {f"{method.upper()} {path}" for path, of_path in paths.items() for method in of_path if method in methods}
    assert LARGEST.keys() == routes


async def test_the_largest_requests_are_answered_and_leave_the_event_loop_to_others(demo_database_url: str) -> None:
    found = [stall async for stall in stalls(demo_database_url)]
    assert {stall.route for stall in found} == LARGEST.keys()
    assert [str(stall) for stall in found if stall.status not in stall.statuses] == []
    assert [str(stall) for stall in found if stall.seconds > TIMES_LONGER * STALL_SECONDS_MAX] == []


async def test_a_long_turn_is_seen_and_waiting_is_none() -> None:
    async with watched() as turns:
        worked_until = time.thread_time() + 0.2
        while time.thread_time() < worked_until:
            pass
    assert turns.longest_seconds >= 0.2
    async with watched() as turns:
        await asyncio.sleep(0.2)
        time.sleep(0.2)  # noqa: ASYNC251  # it stands still, and does not work
    assert turns.longest_seconds < 0.1
