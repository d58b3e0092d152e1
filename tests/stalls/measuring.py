"""Asks the largest requests there are, one after another, and tells how long each kept the event loop."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.http.client import running_api
from tests.stalls.asking import ask
from tests.stalls.largest import LARGEST, LAST
from tests.stalls.turns import watched
from tests.stalls.world import made
from wallet.http.server.serve import spare_the_collector


@dataclass(frozen=True, kw_only=True)
class Stall:
    """The result of one request. `seconds`: the longest turn of the loop's thread, in its processor time."""

    route: str
    name: str
    statuses: tuple[int, ...]
    status: int
    size: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds * 1000:7.1f} ms  {self.route} {self.name}: {self.status}, {self.size} bytes"


async def stalls(database_url: str) -> AsyncIterator[Stall]:
    """One for each request, on a migrated database with the demo data."""
    async with running_api(database_url, sandbox=True) as api:
        world = await made(api)
        spare_the_collector()
        for route in [*(route for route in LARGEST if route not in LAST), *LAST]:
            for asked in LARGEST[route](world):
                async with watched() as turns:
                    status, size = await ask(api.app, asked)
                yield Stall(
                    route=route, name=asked.name, statuses=asked.statuses, status=status, size=size,
                    seconds=turns.longest_seconds,
                )  # fmt: skip
