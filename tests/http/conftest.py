"""The application with and without its fast lane. A module's tests share a database, which has the demo data."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack

import asyncpg
import pytest
import pytest_asyncio

from tests.http.client import LANES, Api, running_api
from tests.postgres import Server
from wallet.service.demo import make_demo_data
from wallet.settings import Settings
from wallet.storage.connections.database import Database

Lanes = Mapping[str, Api]


@pytest.fixture(scope="module")
def demo_database_url(postgres: Server) -> Iterator[str]:
    """A database with the demo data."""
    with postgres.database() as dsn:
        add_demo_data(dsn)
        yield dsn


@pytest.fixture(scope="module")
def equal_database_urls(postgres: Server) -> Iterator[Sequence[str]]:
    """Three databases in the same state."""
    with ExitStack() as stack:
        made = [stack.enter_context(postgres.database()) for _ in range(3)]
        for each in made:
            add_demo_data(each)
        yield made


def add_demo_data(dsn: str) -> None:
    asyncio.run(make_demo_data(Database(dsn=dsn, settings=Settings())))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lanes(demo_database_url: str) -> AsyncIterator[Lanes]:
    """The application on one database, once per lane: hot requests are answered by calls of the server's protocol, by
    the fast lane, or by the framework.
    """
    async with (
        running_api(demo_database_url, **LANES["direct"]) as direct,
        running_api(demo_database_url, **LANES["fast lane"]) as fast,
        running_api(demo_database_url, **LANES["framework"]) as framework,
    ):
        yield {"direct": direct, "fast lane": fast, "framework": framework}


@pytest.fixture(params=LANES)
def api(request: pytest.FixtureRequest, lanes: Lanes) -> Api:
    """Runs the test once per lane."""
    return lanes[request.param]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ledger(demo_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database behind `api`."""
    connection = await asyncpg.connect(demo_database_url)
    yield connection
    await connection.close()
