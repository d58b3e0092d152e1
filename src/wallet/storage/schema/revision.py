"""The revision of the schema that this code needs, and whether a database has it. For start and readiness.

Every worker imports this module: it stays free of Alembic and SQLAlchemy, which cost memory.
"""

import re
from typing import Final

import asyncpg

from wallet.storage.connections.sql_files import load_statements

_APPLIED_REVISION: Final = load_statements("schema/migrate.sql")["applied_revision"]

VERSION_TABLE: Final = "wallet_alembic_version"
"""A name of our own: another application in the same schema may use that of the library, alembic_version."""

# The newest file in migrations/versions, without its suffix. A test compares it with Alembic's head.
EXPECTED_REVISION: Final = "0009_shard_first"

_NUMBERED: Final = re.compile(r"(\d{4})_\w+")


async def applied_revision(connection: asyncpg.Connection) -> str | None:
    """The newest applied migration; None in an empty database. Raises the driver's errors.

    Do not call it inside a database transaction: in an empty database it would abort that.
    """
    try:
        revision: str | None = await connection.fetchval(_APPLIED_REVISION)
    except asyncpg.UndefinedTableError:
        return None
    return revision


def is_later(revision: str) -> bool:
    """Whether a migration is one of a later release: its number is higher than that of any we know."""
    numbered = _NUMBERED.fullmatch(revision)
    return numbered is not None and int(numbered[1]) > int(EXPECTED_REVISION[:4])


async def is_current(connection: asyncpg.Connection) -> bool:
    """Tell whether every migration of this code is applied. Raises as applied_revision does.

    A later release's schema counts as current: migrations only expand what older code uses, so while a new version is
    rolled out (or rolled back) the old one stays ready.
    """
    revision = await applied_revision(connection)
    return revision is not None and (revision == EXPECTED_REVISION or is_later(revision))
