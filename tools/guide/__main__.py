"""`python -m tools.guide`: builds the documentation site, refuses it if a reference is broken, and installs it.

With --check it installs nothing. The steps: copy the pages into a folder of their own (staging), let Zensical make HTML
of them, bring that into the form that the service serves (finishing), follow each reference of each page (references).
Nothing is fetched.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tools.guide.finishing import finish
from tools.guide.references import broken
from tools.guide.staging import stage, unlisted
from wallet.http.open.guide import BUILT

CHECK: Final = "--check"
ROOT: Final = Path(__file__).parents[2]
CONFIGURATION: Final = "mkdocs.yml"
SITE: Final = Path("build") / "guide"
"""The folder of the site, below that of the configuration, which says so, too."""

_COLOUR: Final = re.compile(r"\x1b\[[\d;]*m")


def main() -> None:
    wrong = [each for each in sys.argv[1:] if each != CHECK]
    if wrong:
        sys.exit(f"usage: python -m tools.guide [{CHECK}], not {wrong[0]}")
    with TemporaryDirectory(prefix="wallet-guide-") as folder:
        site = build(ROOT, Path(folder))
        if CHECK in sys.argv:
            print("the documentation site can be built")
            return
        install(site, BUILT)
    print(f"wrote {BUILT.relative_to(ROOT)}: served at /docs/guide/ by the next `make run` or `wallet serve`")


def build(repository: Path, folder: Path) -> Path:
    """The folder of the repository's site, built in an empty folder. Ends the process if anything is wrong with it."""
    shutil.copy(repository / CONFIGURATION, folder)
    pages = stage(repository, folder / "docs")
    if left_out := unlisted(pages, (repository / CONFIGURATION).read_text("utf-8")):
        sys.exit(f"{CONFIGURATION} has no place for: {', '.join(left_out)}")
    site = folder / SITE
    complaint = _make_html(folder)
    if not site.is_dir():
        sys.exit(complaint or "Zensical has built no site")
    finish(site)
    # A line for each broken reference is easier to read than the generator's complaint about the same.
    if complaint := "\n".join(broken(site)) or complaint:
        sys.exit(complaint)
    return site


def _make_html(folder: Path) -> str:
    """The complaint of Zensical; empty if it is content with every page."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    ended = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    said = _COLOUR.sub("", ended.stdout + ended.stderr).strip()
    return (said.partition("Traceback")[0].strip() or said) if ended.returncode else ""


def install(site: Path, target: Path) -> None:
    """Put a site in the place of the one before, whole or not at all."""
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(site, new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


if __name__ == "__main__":
    main()
