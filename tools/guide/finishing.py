"""Brings the files that the generator made into the form in which the service serves them.

The service's pages run no script that stands in a page, so each of these becomes a file of its own.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import Final

# The service answers 404 with a problem, and does not say where its pages are to be found.
_NOT_SERVED: Final = ("404.html", "sitemap.xml")
_SCRIPTS: Final = Path("assets") / "javascripts"
_LICENCE: Final = _SCRIPTS / "LICENSE"
_INLINE_SCRIPT: Final = re.compile(r"<script>(.+?)</script>", re.DOTALL)


def finish(site: Path) -> None:
    """Change the files of a site in place."""
    for name in _NOT_SERVED:
        (site / name).unlink(missing_ok=True)
    # The licence of what browsers are sent goes along, by a name that says what type it has.
    (site / _LICENCE).rename((site / _LICENCE).with_name("LICENSE.txt"))
    for page in site.rglob("*.html"):
        page.write_text(_with_scripts_in_files(page.read_text("utf-8"), page, site), "utf-8")


def _with_scripts_in_files(html: str, page: Path, site: Path) -> str:
    to_root = "../" * (len(page.relative_to(site).parts) - 1)

    def moved(match: re.Match[str]) -> str:
        script = match[1].encode()
        file = _SCRIPTS / f"inline.{sha256(script).hexdigest()[:8]}.js"
        (site / file).write_bytes(script)
        return f'<script src="{to_root}{file.as_posix()}"></script>'

    return _INLINE_SCRIPT.sub(moved, html)
