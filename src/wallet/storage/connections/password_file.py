"""Reads the password file of PostgreSQL's clients: lines of host:port:database:user:password; the first match wins.

https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

import logging
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final

from wallet.errors import SettingsInvalid

_log = logging.getLogger(__name__)

_LINE: Final = re.compile(r"((?:\\.|[^:\\])*):" * 4 + "(.*)")


def find_password(named: str, *, hosts: Collection[str], port: int, database: str, user: str) -> str | None:
    """The password for this login, if the file has one. `hosts`: the names of the server.

    `named`: the file's path; empty: ~/.pgpass, if it exists. Raises SettingsInvalid if the named file cannot be used.
    """
    wanted: tuple[Collection[str], ...] = (hosts, (str(port),), (database,), (user,))
    for line in _lines(named):
        found = None if line.startswith("#") else _LINE.fullmatch(line)
        if found is None:
            continue
        *parts, password = found.groups()
        if all(part == "*" or _plain(part) in any_of for part, any_of in zip(parts, wanted, strict=True)):
            return _plain(password)
    return None


def _lines(named: str) -> list[str]:
    path = Path(named) if named else Path(os.path.expanduser("~"), ".pgpass")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return _unusable(named, f"the password file {path} is no file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            return _unusable(named, f"the password file {path} may be read by others: run chmod 600 on it")
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        return _unusable(named, f"the password file {path} cannot be read: {error.strerror}")
    except ValueError:
        return _unusable(named, f"the password file {path} is not text in UTF-8")


def _unusable(named: str, why: str) -> list[str]:
    if named:
        raise SettingsInvalid(why)
    # The operator did not name ~/.pgpass, and the server may need no password. Most often the file does not exist.
    _log.debug("%s", why)
    return []


def _plain(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part)
