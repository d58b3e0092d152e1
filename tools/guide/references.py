"""Follows each reference of a built site: within it, to a file and a place that are there; what a page loads, never
out of it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from wallet.http.open.guide import guide_pages
from wallet.http.open.pages import GUIDE

_LOADS: Final = frozenset({"audio", "embed", "iframe", "img", "input", "link", "object", "script", "source", "video"})
_CSS_REFERENCE: Final = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass(slots=True)
class _Page:
    """links: what a reader may follow. loads: what a browser fetches by itself. forbidden: what it would not run."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = _Page()
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.ids |= {given[name] for name in ("id", "name") if name in given}
        found = self.page.loads if tag in _LOADS else self.page.links
        found += [given[name] for name in ("href", "src", "data", "poster", "action") if name in given]
        self.page.loads += [each.split()[0] for each in given.get("srcset", "").split(",") if each.strip()]
        self.page.loads += _css_references(given.get("style", ""))
        self.page.forbidden += [f"{tag} with {name}" for name in given if name.startswith("on")]
        self._is_script = tag == "script" and "src" not in given and given.get("type") != "application/json"

    def handle_data(self, data: str) -> None:
        if self._is_script and data.strip():
            self.page.forbidden.append(f"a script in the page: {data.strip()[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False


def broken(site: Path) -> Sequence[str]:
    """A line for each thing that is wrong."""
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    served = guide_pages(site)
    pages = {name: _read(path) for name, path in files.items() if name.endswith(".html")}
    return [
        *(f"{name}: the service does not serve it" for name in files if GUIDE + name not in served),
        *(f"{name}: {each}" for name, page in pages.items() for each in _wrong_in(name, page, files, pages)),
        *(
            f"{name}: loads {each}"
            for name, path in files.items()
            if path.suffix == ".css"
            for each in _css_references(path.read_text("utf-8"))
            if _is_outside(each) or _target(name, each) not in files
        ),
    ]


def _read(path: Path) -> _Page:
    reader = _Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    return reader.page


def _wrong_in(name: str, page: _Page, files: Mapping[str, Path], pages: Mapping[str, _Page]) -> Iterator[str]:
    yield from page.forbidden
    for reference in page.loads:
        if _is_outside(reference) or _target(name, reference) not in files:
            yield f"loads {reference}"
    for reference in page.links:
        if urlsplit(reference).scheme in ("https", "http"):
            continue
        target, anchor = _target(name, reference), unquote(urlsplit(reference).fragment)
        if _is_outside(reference) or target not in files:
            yield f"links to {reference}, which is not there"
        elif anchor and anchor not in pages[target].ids:
            yield f"links to {reference}, and that page has no such place"


def _is_outside(reference: str) -> bool:
    parts = urlsplit(reference)
    return bool(parts.scheme or parts.netloc) or parts.path.startswith("/")


def _target(name: str, reference: str) -> str:
    """The file that a reference of a file names, both as paths in the site."""
    path = unquote(urlsplit(reference).path)
    if not path:
        return name
    return os.path.normpath(os.path.join(os.path.dirname(name), path, "index.html" if path.endswith("/") else ""))


def _css_references(css: str) -> list[str]:
    found = [first or second for first, second in _CSS_REFERENCE.findall(css)]
    return [each for each in found if not each.startswith(("data:", "#"))]
