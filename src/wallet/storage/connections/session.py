"""Checks each new session before it is used: the server must be safe, the settings as asked for, and no pooler may
share the session with other clients.

A pooler between the service and PostgreSQL may drop settings of the start packet, among them the role and the
time-outs, and may give the server process of a connection to other clients between database transactions. So
PostgreSQL itself is asked, in one query per connection (docs/adr/0026).
"""

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import asyncpg

from wallet.errors import SettingsInvalid
from wallet.storage.connections.destination import server_settings_of
from wallet.storage.connections.sql_files import load_statements

_SQL: Final = load_statements("connections/session.sql")

TURNS: Final = 10
"""How often two connections are asked in turn before each is believed to have a server process of its own."""

_DIRECTLY: Final = "use session mode (PgBouncer: pool_mode = session), or connect to PostgreSQL directly"

# The driver's errors if the server process of a connection changes between two messages.
_CHANGED_MEANWHILE: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)

# The settings that are not compared: names, and those of the TCP connection, which a pooler has on its own side.
_UNCHECKED: Final = ("application_name", "role", "tcp_")

_OF_OPTIONS: Final = re.compile(r"(?:-c\s*|--)search_path=((?:\\.|\S)*)")

Connect = Callable[[], Awaitable[asyncpg.Connection]]


async def configure(
    connection: asyncpg.Connection, asked: Mapping[str, str], *, dsn: str, connect_another: Connect | None = None
) -> bool:
    """Make sure that a new connection has its settings. `asked`: those that it was opened with, besides those of `dsn`.

    Statements set what a pooler has dropped. `connect_another`: also find out whether a pooler gives this connection's
    server process to other clients; this needs a second connection, so a program does it once.
    Returns whether the server is a standby.

    Raises SettingsInvalid for an unsafe server, and for a pooler that the service cannot work with. Otherwise raises
    what the driver raises.
    """
    settings = {"client_encoding": "UTF8"} | _search_path(dsn) | dict(asked)
    wanted = {name: value for name, value in settings.items() if not name.startswith(_UNCHECKED)}
    try:
        row = await _look(connection, wanted)
        _ensure_safe(row)
        if connect_another is not None and connection.get_server_pid() != row["pid"]:
            await _ensure_not_shared(connection, row["pid"], connect_another)
        if left_out := _left_out(row, asked):
            values = [asked["role"] if name == "role" else wanted[name] for name in left_out]
            await connection.fetch(_SQL["set_as_asked"], left_out, values)
            left_out = _left_out(await _look(connection, wanted), asked)
    except _CHANGED_MEANWHILE as error:
        raise _is_shared() from error
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        raise SettingsInvalid(
            f"the database has no role {asked.get('role')!r}, or this login may not take it: run `wallet migrate` "
            "(see WALLET_DATABASE_ROLE)"
        ) from None
    if left_out:
        raise SettingsInvalid(
            f"a pooler stands between, and leaves out settings of each session ({', '.join(left_out)}): {_DIRECTLY}"
        )
    return bool(row["is_standby"])


async def _look(connection: asyncpg.Connection, wanted: Mapping[str, str]) -> Any:
    return await connection.fetchrow(_SQL["look_at_session"], list(wanted), list(wanted.values()))


def _ensure_safe(row: Any) -> None:
    for setting in ("fsync", "full_page_writes"):
        if row[setting] != "on":
            raise SettingsInvalid(f"the database runs with {setting} = {row[setting]}: it would lose money in a crash")
    if row["encoding"] != "UTF8":
        raise SettingsInvalid(
            f"the database's encoding is {row['encoding']}, which cannot store every text: "
            "make one with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
        )


def _left_out(row: Any, asked: Mapping[str, str]) -> list[str]:
    role = [] if asked.get("role", row["role"]) == row["role"] else ["role"]
    return [*row["left_out"], *role]


async def _ensure_not_shared(connection: asyncpg.Connection, pid: int, connect_another: Connect) -> None:
    """Raise SettingsInvalid if another connection reaches the same server process, or this one leaves its process."""
    another = await connect_another()
    try:
        for _ in range(TURNS):
            if not await _is_served_by(connection, pid) or await _is_served_by(another, pid):
                raise _is_shared()
    finally:
        another.terminate()


async def _is_served_by(connection: asyncpg.Connection, pid: int) -> bool:
    # Without a prepared statement, which would not exist in another server process.
    tag: str = await connection.execute(_SQL["is_served_by"].format(pid=pid))
    return tag.endswith(" 1")


def _is_shared() -> SettingsInvalid:
    return SettingsInvalid(
        "a pooler stands between, and gives the server process of a connection to other clients between transactions: "
        f"prepared statements, settings and locks would be lost: {_DIRECTLY}"
    )


def _search_path(dsn: str) -> dict[str, str]:
    """The search path that a database URL asks for, if any. Another path could lead to another ledger."""
    given = server_settings_of(dsn, named="the database's URL", environment=os.environ)
    by_options = [re.sub(r"\\(.)", r"\1", value) for value in _OF_OPTIONS.findall(given.get("options", ""))]
    # As PostgreSQL does it: the last of several counts, and a parameter of the URL wins over options.
    found = [*by_options, *([given["search_path"]] if "search_path" in given else [])]
    return {"search_path": found[-1]} if found else {}
