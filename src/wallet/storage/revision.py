"""Which schema this code needs, and whether a database has it. For start and readiness.

Every worker imports this module: it stays free of Alembic and SQLAlchemy, which cost memory.
"""

from typing import Final

import asyncpg

from wallet.storage.statements import load_statements

_APPLIED_REVISION: Final = load_statements("migrate.sql")["applied_revision"]

# The newest file in sql/migrations/versions, without its suffix. A test compares it with Alembic's head.
EXPECTED_REVISION: Final = "0006_joining"


async def is_current(connection: asyncpg.Connection) -> bool:
    """Tell whether every migration of this code is applied. Raises what the driver raises.

    A newer schema counts as current: migrations only expand what older code uses, so while a new version is
    rolled out (or rolled back) the old one stays ready. Revisions are numbered, so text order is their order.
    Not to be called inside a database transaction: on an empty database it would abort it.
    """
    try:
        revision = await connection.fetchval(_APPLIED_REVISION)
    except asyncpg.UndefinedTableError:
        return False
    return revision is not None and revision >= EXPECTED_REVISION
