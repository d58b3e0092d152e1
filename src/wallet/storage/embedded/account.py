"""The system user that the embedded PostgreSQL runs as. PostgreSQL refuses root, so root starts it as another user."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wallet.errors import SettingsInvalid

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user of the server's processes and files. `dropped`: this process is root, and the user is another one."""

    uid: int
    gid: int
    name: str
    dropped: bool

    def can_run(self, command: Sequence[str | Path]) -> bool:
        """Whether this user can execute `command`, and it exits with 0 within 10 s."""
        try:
            # The user may have no access to root's working folder, which PostgreSQL 15 must be able to read.
            done = subprocess.run(  # noqa: S603
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10,
                check=False,
                user=self.uid if self.dropped else None,
                group=self.gid if self.dropped else None,
                extra_groups=[] if self.dropped else None,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        return self.can_run(["/bin/sh", "-c", 'test -x "$1"', "sh", folder])


def account_for(data_dir: Path) -> Account:
    """The user of this process. For root it is the owner of `data_dir` if not root, else `postgres` or `nobody`.

    Raises SettingsInvalid if there is no such user, or the folder belongs to a different user.
    """
    owner = data_dir.stat().st_uid if data_dir.is_dir() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise SettingsInvalid(
                f"the data folder {data_dir} belongs to the user {_name(owner)}: run as that user, "
                "or set WALLET_DATA_DIR to a folder of your own"
            )
        return Account(uid=os.geteuid(), gid=os.getegid(), name=_name(os.geteuid()), dropped=False)
    if owner:
        return _dropped_to(owner)
    for name in CANDIDATES:
        with suppress(KeyError):
            return _dropped_to(pwd.getpwnam(name).pw_uid)
    raise SettingsInvalid(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: "
        "run as an ordinary user, or set DATABASE_URL"
    )


def _dropped_to(uid: int) -> Account:
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid  # Not the folder's group: that may be root's.
    return Account(uid=uid, gid=gid, name=_name(uid), dropped=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
