"""The documentation site, below /docs/guide/, where `make docs` has built it.

The service reads all files when it starts. A request's path is a key of the table that it makes of them, and never the
name of a file, so no path leads out of the folder.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wallet.http.open.pages import GUIDE, OpenPage, OpenPages, redirect
from wallet.http.open.representations import Made, Representation

BUILT: Final = Path(__file__).parent / "static" / "guide"
"""The folder into which `make docs` puts the site."""

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
"""By the end of a file's name. A file of another type is not served; `make docs` refuses to build one."""

BYTES_MAX: Final = 16 * 1024 * 1024
"""All files together, as every process holds them. Files beyond it are not served; `make docs` refuses them, too."""

_INDEX: Final = "index.html"


def guide_pages(folder: Path, *, bytes_max: int = BYTES_MAX) -> OpenPages:
    """The pages of a site by path; none where no site has been built."""
    pages: dict[str, OpenPage] = {}
    for name, body in _files(folder, bytes_max):
        page = _page(MEDIA_TYPES[Path(name).suffix], body)
        pages[GUIDE + name] = page
        if name.rpartition("/")[2] == _INDEX:
            pages[GUIDE + name.removesuffix(_INDEX)] = page
    if GUIDE in pages:
        pages[GUIDE.rstrip("/")] = redirect("guide/")
    return pages


def _page(media_type: str, body: bytes) -> OpenPage:
    return Made(lambda: Representation(media_type, body))


def _files(folder: Path, bytes_max: int) -> Iterator[tuple[str, bytes]]:
    """Each regular file of a known type: its path below the folder, and its content. Links are not followed."""
    bytes_left = bytes_max
    for place, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(place, name) for name in sorted(names)):
            body = _content(path, bytes_left) if path.suffix in MEDIA_TYPES else None
            if body is not None:
                bytes_left -= len(body)
                yield path.relative_to(folder).as_posix(), body


def _content(path: Path, bytes_max: int) -> bytes | None:
    """None for a file that is not served. One that cannot be read must not keep the service from starting."""
    try:
        is_served = path.is_file() and not path.is_symlink() and path.stat().st_size <= bytes_max
        return path.read_bytes() if is_served else None
    except OSError:
        return None
