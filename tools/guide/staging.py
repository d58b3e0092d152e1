"""The pages of the site, in one folder: those of docs/, and those that stand in the root of the repository.

A reference from one of these to another is written anew for its place in the site. A reference to another file of the
repository cannot be followed there: its text stays, and the file's path behind it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

DOCS: Final = "docs"
ROOT_PAGES: Final[Mapping[str, str]] = {
    "README.md": "overview.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
"""Pages in the root of the repository, and what each is in the site. A README would be the site's first page."""

_SUFFIXES: Final = frozenset({".md", ".json"})
_DECISION: Final = re.compile(r"adr/\d+-.*\.md")
# Code keeps its brackets, in fences and between backticks.
_CODE_OR_LINK: Final = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)[`~]*$"
    r"|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


def stage(repository: Path, folder: Path) -> Sequence[str]:
    """Write all pages into a folder; their paths in the site."""
    places = dict(_places(repository))
    for source, place in places.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (repository / source).read_text("utf-8")
        if place.endswith(".md"):
            text = relinked(text, source=source, places=places, repository=repository)
        target.write_text(text, "utf-8")
    return sorted(places.values())


def _places(repository: Path) -> Iterator[tuple[str, str]]:
    """Each file's path in the repository, and in the site."""
    for path in sorted((repository / DOCS).rglob("*")):
        if path.is_file() and path.suffix in _SUFFIXES:
            place = path.relative_to(repository / DOCS).as_posix()
            yield f"{DOCS}/{place}", place
    for source, place in ROOT_PAGES.items():
        if (repository / source).is_file():
            yield source, place


def unlisted(pages: Sequence[str], configuration: str) -> Sequence[str]:
    """The pages that the configuration's navigation does not name. Decisions are in a list of their own."""
    named = set(re.findall(r": (\S+\.md)$", configuration, re.MULTILINE))
    return [page for page in pages if page.endswith(".md") and page not in named and not _DECISION.fullmatch(page)]


def relinked(text: str, *, source: str, places: Mapping[str, str], repository: Path) -> str:
    """A page's Markdown with its references as they are in the site.

    source: its path in the repository. places: where in the site each file of the repository is that has a place there.
    A reference to nothing stays as it is, for the build to find.
    """

    def link(match: re.Match[str]) -> str:
        if match["target"] is None:
            return match[0]
        parts = urlsplit(match["target"])
        if parts.scheme or parts.netloc or not parts.path:
            return match[0]
        path = os.path.normpath(PurePosixPath(source).parent / parts.path)
        if path in places:
            place = os.path.relpath(places[path], PurePosixPath(places[source]).parent)
            return f"[{match['text']}]({parts._replace(path=place).geturl()})"
        if path.startswith("..") or not (repository / path).exists():
            return match[0]
        text = match["text"]
        if text.strip("`") == path:
            return f"`{path}`"
        return text if path in text else f"{text} (`{path}`)"

    return _CODE_OR_LINK.sub(link, text)
