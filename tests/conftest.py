"""Fixtures that more than one folder of tests uses. Each test has a database of its own."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import asyncpg
import pytest
from hypothesis import settings

from tests.postgres import POSTGRES_VERSIONS, Server, Servers, postgres_bindirs

# A shell that starts the tests in the background ignores SIGINT for them, and every process started here would inherit
# that: a test that ends one by SIGINT would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same on every machine: without this, Hypothesis makes a seed of each test's name where CI is set, and what that
# seed tries depends on which modules are loaded. A failure prints how to repeat it. No time is judged.
settings.register_profile("wallet", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("wallet")


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Servers]:
    """The servers of this session; they end with it."""
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(scope="session")
def postgres(postgres_servers: Servers) -> Server:
    """The server that tests use unless the version is their subject."""
    return postgres_servers.default()


@pytest.fixture(params=POSTGRES_VERSIONS, ids=lambda version: f"postgres{version}")
def each_postgres(request: pytest.FixtureRequest, postgres_servers: Servers) -> Server:
    """Runs the test once per promised version of PostgreSQL; skips, saying so, where one is not at hand."""
    version: int = request.param
    if version not in postgres_bindirs():
        pytest.skip(f"PostgreSQL {version} is not at hand: found {list(postgres_bindirs())}")
    return postgres_servers.of_version(version)


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """A fresh, migrated database."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture
def empty_database_url(postgres: Server) -> Iterator[str]:
    """A fresh database without a table."""
    with postgres.database(migrated=False) as dsn:
        yield dsn


@pytest.fixture
def each_empty_database_url(each_postgres: Server) -> Iterator[str]:
    """A fresh database without a table on every promised version of PostgreSQL in turn."""
    with each_postgres.database(migrated=False) as dsn:
        yield dsn


@pytest.fixture
def each_database_url(each_postgres: Server) -> Iterator[str]:
    """A fresh, migrated database on every promised version of PostgreSQL in turn."""
    with each_postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database_url`, in autocommit."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
