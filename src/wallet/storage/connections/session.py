"""What a session must be like before anything is asked on it: on a safe server, set up as it was asked for, and ours.

A pooler between us and the server may leave out what the start packet asks for, the role and the time-outs included,
and may give the server's side of a connection to others between database transactions. So the server itself is asked,
in one question per connection (docs/adr/0026).
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
"""How often two connections take turns before they are believed to have a server process each."""

_DIRECTLY: Final = "use session mode (PgBouncer: pool_mode = session), or connect to PostgreSQL directly"

# How the driver fails where the server's side of a connection changes between two messages.
_CHANGED_MEANWHILE: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)

# What the server is not asked about: names, and what is between it and whatever is connected to it.
_UNCHECKED: Final = ("application_name", "role", "tcp_")

_OF_OPTIONS: Final = re.compile(r"(?:-c\s*|--)search_path=((?:\\.|\S)*)")

Connect = Callable[[], Awaitable[asyncpg.Connection]]


async def configure(
    connection: asyncpg.Connection, asked: Mapping[str, str], *, dsn: str, connect_another: Connect | None = None
) -> bool:
    """See to it that a new connection is as asked for. `asked`: the settings it was opened with, beside those of `dsn`.

    What a pooler has left out is set by statements. `connect_another`: have it found out as well whether a pooler gives
    this connection's server process to others; for one connection of a program, because it takes a second one.
    Answers whether the server is a standby.

    Raises SettingsInvalid for an unsafe server, and for a pooler that cannot be worked with; else what the driver does.
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
            f"a pooler stands between, and leaves out what each session is started with ({', '.join(left_out)}): "
            f"{_DIRECTLY}"
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
    """A process that answers on two connections in turn, or is not the same in the next one, belongs to neither."""
    another = await connect_another()
    try:
        for _ in range(TURNS):
            if not await _is_served_by(connection, pid) or await _is_served_by(another, pid):
                raise _is_shared()
    finally:
        another.terminate()


async def _is_served_by(connection: asyncpg.Connection, pid: int) -> bool:
    # Without a prepared statement, which would not be there in the next process.
    tag: str = await connection.execute(_SQL["is_served_by"].format(pid=pid))
    return tag.endswith(" 1")


def _is_shared() -> SettingsInvalid:
    return SettingsInvalid(
        "a pooler stands between, and gives the server's side of a connection to others between transactions: "
        f"prepared statements, settings and locks would be lost: {_DIRECTLY}"
    )


def _search_path(dsn: str) -> dict[str, str]:
    """The search path that a database URL asks for, if it does: elsewhere there may be another ledger."""
    given = server_settings_of(dsn, named="the database's URL", environment=os.environ)
    by_options = [re.sub(r"\\(.)", r"\1", value) for value in _OF_OPTIONS.findall(given.get("options", ""))]
    # As the server does it: of several the last, and a setting of its own before options.
    found = [*by_options, *([given["search_path"]] if "search_path" in given else [])]
    return {"search_path": found[-1]} if found else {}
