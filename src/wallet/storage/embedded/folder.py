"""The folders of the embedded PostgreSQL: the data folder and the folder of the socket. No process is started here.

This module changes the owner or mode only of the data folder itself and of folders that it has made.
"""

import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from wallet.errors import SettingsInvalid
from wallet.storage.embedded.account import Account, account_for

UNFINISHED = "wallet-initdb-unfinished"
LOG = "server.log"
"""The server's log. Every database that was made here has one; a database without it was made by others."""
# The clone that this file belongs to; None if the package is installed elsewhere.
_SOURCE = Path(__file__).resolve().parents[4]
CLONE = _SOURCE if (_SOURCE / "pyproject.toml").is_file() and (_SOURCE / "src/wallet").is_dir() else None
SOCKET_PATH_BYTES_MAX = 100  # 103 on macOS, 107 on Linux, and some room
SOCKET_FALLBACK = Path("/tmp")  # noqa: S108 - the name below is checked for owner and mode; TMPDIR may be long


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """The content of `postmaster.pid`. `socket_dir` is None if the server has no Unix socket."""

    pid: int
    port: int
    socket_dir: Path | None
    status: str


def default_data_dir(clone: Path | None = CLONE) -> Path:
    """The data folder unless a setting names one: a folder inside the clone, so that each clone has its own data.

    As root, if the server's user cannot enter the clone: a folder under /var/lib/wallet that is named after the clone.
    """
    is_root = os.geteuid() == 0
    if clone is None:
        return Path("/var/lib/wallet/pg") if is_root else _home() / ".local/share/wallet/pg"
    below = clone / ".data/pg"
    if not is_root or below.exists() or account_for(below).can_enter(clone):
        return below
    digest = hashlib.sha256(os.fsencode(clone)).hexdigest()[:12]
    return Path("/var/lib/wallet") / f"{clone.name}-{digest}" / "pg"


def remove_database(data_dir: Path) -> None:
    """Remove a folder that holds a database, complete or not. No process may use it."""
    content = os.listdir(data_dir)
    if content and "PG_VERSION" not in content and UNFINISHED not in content:
        raise SettingsInvalid(f"{data_dir} holds no database, so nothing in it is removed")
    if content and not _is_made_here(data_dir):
        raise SettingsInvalid(f"the database in {data_dir} was not made by `wallet dev`, so nothing in it is removed")
    shutil.rmtree(data_dir)


def _is_made_here(data_dir: Path) -> bool:
    if (data_dir / UNFINISHED).is_dir():
        return True
    # A start that was interrupted between moving the old log away and opening a new one leaves only the old one.
    return (data_dir / "PG_VERSION").is_file() and any((data_dir / log).is_file() for log in (LOG, f"{LOG}.1"))


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user number without a name, as in a container, and no HOME
        raise SettingsInvalid("there is no home folder for a database: set DATABASE_URL, or WALLET_DATA_DIR") from None


def prepare_data_dir(data_dir: Path) -> Account:
    """Make the folder unless it exists, and return the account that it belongs to.

    Raises SettingsInvalid if it cannot be made, holds something else, or the server's user cannot enter it.
    """
    try:
        account = account_for(data_dir)
        for folder in reversed(data_dir.parents):
            make_folder(folder, mode=0o755)
        make_folder(data_dir, mode=0o700)
        content = os.listdir(data_dir)
        if content and "PG_VERSION" not in content and UNFINISHED not in content:
            raise SettingsInvalid(
                f"{data_dir} is not empty and holds no database: set WALLET_DATA_DIR to a new or an empty folder"
            )
        if content and not _is_made_here(data_dir):
            raise SettingsInvalid(
                f"the database in {data_dir} was not made by `wallet dev`: set WALLET_DATA_DIR to a new or an empty "
                "folder, or DATABASE_URL to the server of that database"
            )
        if data_dir.stat().st_uid != account.uid:
            if "PG_VERSION" in content:
                raise SettingsInvalid(
                    f"the data in {data_dir} belongs to root, whom PostgreSQL refuses: "
                    f"run `chown -R {account.name} {data_dir}`"
                )
            os.chown(data_dir, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise SettingsInvalid(
            f"cannot use the data folder {data_dir} ({error.strerror}): "
            "set WALLET_DATA_DIR to a folder that you may write to"
        ) from error
    if account.dropped and not account.can_enter(data_dir):
        raise SettingsInvalid(
            f"the user {account.name}, as whom root runs PostgreSQL, cannot enter {data_dir}: "
            "set WALLET_DATA_DIR to a folder outside private ones, such as /var/lib/wallet/pg"
        )
    return account


def make_folder(folder: Path, *, mode: int) -> None:
    """Make `folder` with exactly this mode, whatever the umask is. An existing folder stays as it is."""
    umask = os.umask(0)
    try:
        if not folder.exists():
            folder.mkdir(mode=mode, exist_ok=True)
    finally:
        os.umask(umask)


def major_of(data_dir: Path) -> int | None:
    """The major version that wrote the data; None if there is no data yet."""
    try:
        return int((data_dir / "PG_VERSION").read_text().strip())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SettingsInvalid(
            f"{data_dir}/PG_VERSION is not a version: {data_dir} is damaged or no data folder"
        ) from error


def begin_initdb(data_dir: Path, account: Account) -> Path:
    """An empty folder inside `data_dir` for initdb. Removes what an earlier, interrupted initdb has left."""
    if (data_dir / UNFINISHED).exists():  # initdb was not finished, so there is no data: PG_VERSION arrives last
        # The marker is removed last: without it, the rest would count as another program's files.
        for left in sorted(data_dir.iterdir(), key=lambda each: each.name == UNFINISHED):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    data_dir.chmod(0o700)
    unfinished = data_dir / UNFINISHED
    unfinished.mkdir(mode=0o700)
    # Follow no link: the folder belongs to another user, who could put a link there while root works in it.
    os.chown(unfinished, account.uid, account.gid, follow_symlinks=False)
    return unfinished


def finish_initdb(data_dir: Path, account: Account) -> None:
    """Move the files that initdb made to their place, PG_VERSION last: a folder with PG_VERSION is complete."""
    unfinished = data_dir / UNFINISHED
    # Made before the folder is a database, so that every database has a log. O_EXCL follows no link.
    log = os.open(unfinished / LOG, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchown(log, account.uid, account.gid)
    finally:
        os.close(log)
    for entry in sorted(unfinished.iterdir(), key=lambda each: each.name == "PG_VERSION"):
        entry.rename(data_dir / entry.name)
    unfinished.rmdir()


def socket_dir_for(data_dir: Path, account: Account) -> Path:
    """The data folder itself, which is private, unless its path is too long or too unusual for a socket."""
    if len(os.fsencode(data_dir / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES_MAX and re.fullmatch(
        r"[\w./+@-]+", str(data_dir), re.ASCII
    ):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = SOCKET_FALLBACK / f"wallet-{account.uid}-{digest}"
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
            raise SettingsInvalid(f"{folder} is in the way of the database's socket: remove it") from None
    return folder


def read_postmaster_file(data_dir: Path) -> PostmasterFile | None:
    """The content of the file; None if there is none or it is incomplete. A killed server leaves an old file behind."""
    try:
        lines = [line.strip() for line in (data_dir / "postmaster.pid").read_text().splitlines()]
        pid, port, socket_dir, status = lines[0], lines[3], lines[4], lines[7]
        return PostmasterFile(int(pid), int(port), Path(socket_dir) if socket_dir else None, status)
    except (FileNotFoundError, IndexError, ValueError):
        return None
