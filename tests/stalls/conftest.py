"""A database with the demo data."""

from collections.abc import Iterator

import pytest

from tests.http.conftest import add_demo_data
from tests.postgres import Server


@pytest.fixture(scope="module")
def demo_database_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as dsn:
        add_demo_data(dsn)
        yield dsn
