"""Measure how long the largest requests keep the event loop: python -m tests.stalls"""

import asyncio
from contextlib import ExitStack

from tests.http.conftest import add_demo_data
from tests.postgres import Servers
from tests.stalls.measuring import stalls


async def _report(database_url: str) -> None:
    found = []
    async for stall in stalls(database_url):
        print(stall, flush=True)
        found.append(stall)
    print(f"\nthe longest:\n{max(found, key=lambda stall: stall.seconds)}")


def main() -> None:
    with ExitStack() as stack:
        database_url = stack.enter_context(Servers(stack).default().database())
        add_demo_data(database_url)
        asyncio.run(_report(database_url))


if __name__ == "__main__":
    main()
