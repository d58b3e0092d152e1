"""The role that the service takes in the database, and the grants that it has there (schema/grants.sql).

In small installations, the login of DATABASE_URL may own the tables. The service takes the role nevertheless, so that
no statement of ours can change history. A login that owns nothing is safer (docs/operations.md).
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import asyncpg

from wallet.errors import SettingsInvalid
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.schema.revision import applied_revision, is_later

_SQL: Final = load_statements("schema/grants.sql")

_DIGEST: Final = hashlib.sha256("\n".join(f"{name}\n{text}" for name, text in _SQL.items()).encode()).digest()


async def are_given(connection: asyncpg.Connection, role: str, login: str | None = None) -> bool:
    """Whether the role has the grants of this release, and this login (None: that of the session) may take it.

    The schema must be current. If it is that of a later release, so are the grants; both include ours. Raises the
    driver's errors.
    """
    given: bool = await connection.fetchval(
        _SQL["are_given"], role, _DIGEST, login, await _is_a_later_release_s(connection)
    )
    return given


async def _is_a_later_release_s(connection: asyncpg.Connection) -> bool:
    revision = await applied_revision(connection)
    return revision is not None and is_later(revision)


async def give(connection: asyncpg.Connection, role: str, logins: Iterable[str]) -> None:
    """Make the role if it does not exist, give it its grants in this database, and let the logins take it.

    All of this happens, or nothing. Raises the driver's errors: the login must own the tables, and may have to make
    roles. Raises SettingsInvalid if the schema is that of a later release: our grants would take rights away that its
    processes need.
    """
    if await _is_a_later_release_s(connection):
        raise SettingsInvalid(
            f"the schema is a later release's, and the role {role!r} has no grants there, or a login may not take it: "
            "run `wallet migrate` of that release"
        )
    name = _quoted(role)
    async with connection.transaction():
        await connection.execute(_SQL["make_role"].format(role=name, literal=_literal(role)))
        await connection.execute(_SQL["let_see_sessions"].format(role=name))
        await connection.execute(_SQL["give_grants"].format(role=name))
        for login in logins:
            if not await connection.fetchval(_SQL["needs_no_leave"], login, role):
                await connection.execute(_SQL["let_take"].format(role=name, login=_quoted(login)))
        await connection.execute(_SQL["note_grants"], role, _DIGEST)


async def login_of_session(connection: asyncpg.Connection) -> str:
    """The login of the session, whatever role it has taken since."""
    login: str = await connection.fetchval(_SQL["login_of_session"])
    return login


async def login_owns_tables(connection: asyncpg.Connection) -> bool:
    """Whether the login behind this session could change history, whatever role the session has taken."""
    owns: bool = await connection.fetchval(_SQL["login_owns_tables"])
    return owns


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    # The server's own form of a literal, in which a backslash has no meaning.
    return "'" + text.replace("'", "''") + "'"
