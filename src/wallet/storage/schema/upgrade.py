"""Lets Alembic apply our migrations, which are plain SQL files, over a connection of our own driver.

Only `migrate` and the files in migrations import this module, because Alembic and SQLAlchemy are big.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import asyncpg
from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from wallet.storage.connections.sql_files import load_statements

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_WAIT_BRIEFLY: Final = load_statements("schema/migrate.sql")["wait_briefly"]


def alembic_config(migrations: Path = MIGRATIONS) -> Config:
    """Alembic's configuration, which other projects keep in alembic.ini."""
    config = Config()
    # A percent sign in the path would be taken for interpolation.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


async def upgrade(connection: asyncpg.Connection, *, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply every missing migration and answer their names in order. Closes `connection`.

    Only one may run in a process, because Alembic keeps its context in globals. `migrate` has a lock meanwhile. Raises
    the driver's errors, never SQLAlchemy's wrappers of them.
    """

    async def the_connection() -> asyncpg.Connection:
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=the_connection, poolclass=NullPool)
    config = alembic_config(migrations)
    applied: list[str] = []
    config.attributes["applied"] = applied  # filled by env.py
    try:
        async with engine.connect() as adapted:
            await adapted.run_sync(_run_alembic, config)
    except DBAPIError as error:
        raise error.driver_exception or error from error
    return applied


def _run_alembic(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection  # read by env.py
    command.upgrade(config, "head")


def revision_beside(file: str) -> tuple[str, str | None, Callable[[], None], Callable[[], NoReturn]]:
    """The four names that Alembic expects of a revision (revision, down_revision, upgrade, downgrade), for a .py with
    its .sql beside it. The revisions are in the order of the file names.
    """
    sql = Path(file).with_suffix(".sql")
    earlier = [each.stem for each in sorted(sql.parent.glob("*.sql")) if each.stem < sql.stem]

    def upgrade() -> None:
        # SQLAlchemy runs this, so that it opens the database transaction in which it also stores the revision.
        op.execute(_WAIT_BRIEFLY)
        adapter: Any = op.get_bind().connection.dbapi_connection
        # The driver's own execute takes a whole file; a prepared statement takes one statement.
        adapter.run_async(lambda connection: connection.execute(sql.read_text(encoding="utf-8")))

    def downgrade() -> NoReturn:
        raise NotImplementedError("migrations go forward only: write a new one, or restore a backup")

    return sql.stem, (earlier[-1] if earlier else None), upgrade, downgrade
