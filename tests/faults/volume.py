"""The volume that the database's files are on: a small one in memory where that is permitted, which can be full."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILL_TRIES = 20


class Volume:
    """`folder` is on a file system of its own unless `why_not` says why that could not be."""

    def __init__(self, folder: Path, mib: int, *, why_not: str | None) -> None:
        self.folder = folder
        self.why_not = why_not
        self._mib = mib

    def fill(self) -> None:
        """Leave not one free page."""
        for _ in range(FILL_TRIES):
            said = self._resize(str(self._used()))
            if said is None:
                return
        raise RuntimeError(f"the volume could not be made full: {said}")  # what is used grew each time

    def free(self) -> None:
        """Give back the space that `fill` took."""
        if said := self._resize(f"{self._mib}m"):
            raise RuntimeError(f"the volume could not be given space again: {said}")

    def _used(self) -> int:
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def _resize(self, size: str) -> str | None:
        return _said(["mount", "-o", f"remount,size={size}", str(self.folder)])


@contextmanager
def volume(mib: int, *, on_disk: bool) -> Iterator[Volume]:
    """A volume of that size, gone at the end. `on_disk`: a folder among the temporary files, which is never full."""
    with tempfile.TemporaryDirectory(prefix="wf-", ignore_cleanup_errors=True) as parent:
        os.chmod(parent, 0o755)  # as root, the server runs as somebody else, who must get through here
        folder = Path(parent) / "v"
        folder.mkdir(mode=0o755)
        why_not = "the database is on a disk, as was asked for" if on_disk else _mount(folder, mib)
        try:
            yield Volume(folder, mib, why_not=why_not)
        finally:
            # Lazily if need be: what a killed server left open must not keep the mount.
            if why_not is None and _said(["umount", str(folder)]):
                _said(["umount", "--lazy", str(folder)])


def _mount(folder: Path, mib: int) -> str | None:
    if os.geteuid() != 0:
        return "mounting a small volume takes root"
    said = _said(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(folder)])
    return None if said is None else f"a small volume could not be mounted: {said}"


def _said(command: list[str]) -> str | None:
    """The complaint of the command; None if it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
