"""Statements of documents about the repository: the version, and the files they name."""

import re
from pathlib import Path

from wallet import __version__

ROOT = Path(__file__).parents[1]


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    releases = [heading.split(" - ")[0] for heading in headings if heading != "Unreleased"]
    assert releases[0] == __version__
