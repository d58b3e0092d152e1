"""The documentation site: how pages are staged, and what fails its build."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.guide.__main__ import CONFIGURATION, build, install
from tools.guide.finishing import finish
from tools.guide.references import broken
from tools.guide.staging import relinked, stage, unlisted
from wallet.http.open.guide import guide_pages

PLACES = {
    "docs/index.md": "index.md",
    "docs/keys.md": "keys.md",
    "docs/openapi.json": "openapi.json",
    "docs/adr/0001-a.md": "adr/0001-a.md",
    "README.md": "overview.md",
}
CONFIGURED = """
site_name: A site
docs_dir: docs
site_dir: build/guide
use_directory_urls: false
theme:
  font: false
nav:
  - Home: index.md
  - Keys: keys.md
"""


class TestStaging:
    @pytest.mark.parametrize(
        ("source", "text", "relinked_text"),
        [
            ("docs/keys.md", "[a](adr/0001-a.md#b)", "[a](adr/0001-a.md#b)"),
            ("docs/keys.md", "[the document](openapi.json)", "[the document](openapi.json)"),
            ("docs/keys.md", "[fast](../README.md#how-fast)", "[fast](overview.md#how-fast)"),
            ("docs/adr/0001-a.md", "[over two\nlines](../../README.md)", "[over two\nlines](../overview.md)"),
            ("README.md", "[keys](docs/keys.md) and [all](docs/keys.md#x)", "[keys](keys.md) and [all](keys.md#x)"),
            ("docs/keys.md", "[a law](../tests/laws.py)", "a law (`tests/laws.py`)"),
            ("docs/keys.md", "[tests/laws.py](../tests/laws.py)", "`tests/laws.py`"),
            ("docs/keys.md", "[`tests/laws.py`](../tests/laws.py)", "`tests/laws.py`"),
            ("docs/keys.md", "[a](#b), [c](https://example.org/x.md)", "[a](#b), [c](https://example.org/x.md)"),
            ("docs/keys.md", "[a folder](../tests)", "a folder (`tests`)"),
            ("docs/keys.md", "`[a](../tests/laws.py)`", "`[a](../tests/laws.py)`"),
            ("docs/keys.md", "```\n[a](../x.py)\n```\n[b](../x.py)", "```\n[a](../x.py)\n```\nb (`x.py`)"),
        ],
    )
    def test_a_reference_is_written_anew_for_its_place(
        self, source: str, text: str, relinked_text: str, tmp_path: Path
    ) -> None:
        built(tmp_path, {"x.py": "", "tests/laws.py": ""})
        assert relinked(text, source=source, places=PLACES, repository=tmp_path) == relinked_text

    @pytest.mark.parametrize("target", ["nothing.md", "../nothing.py", "../../outside.py"])
    def test_a_reference_to_nothing_stays_for_the_build_to_find(self, target: str, tmp_path: Path) -> None:
        built(tmp_path, {"outside.py": ""})
        text = f"[a]({target})"
        assert relinked(text, source="docs/keys.md", places=PLACES, repository=tmp_path / "repository") == text

    def test_pages_of_the_root_and_links_are_staged_as_pages(self, tmp_path: Path) -> None:
        repository = tmp_path / "repository"
        (repository / "docs").mkdir(parents=True)
        (repository / "elsewhere.md").write_text("# Errors")
        (repository / "docs" / "errors.md").symlink_to("../elsewhere.md")
        (repository / "docs" / "picture.bmp").write_text("no page")
        (repository / "README.md").write_text("[errors](docs/errors.md)")
        assert stage(repository, tmp_path / "staged") == ["errors.md", "overview.md"]
        assert not (tmp_path / "staged" / "errors.md").is_symlink()
        assert (tmp_path / "staged" / "overview.md").read_text() == "[errors](errors.md)"

    def test_a_page_without_a_place_in_the_navigation_is_named(self) -> None:
        pages = ["index.md", "keys.md", "new.md", "openapi.json", "adr/0001-a.md", "adr/README.md"]
        assert unlisted(pages, CONFIGURED) == ["new.md", "adr/README.md"]


def built(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class TestReferences:
    GOOD: Mapping[str, str] = {
        "index.html": '<script src="assets/a.js"></script><script type="application/json">{}</script><a href="adr/">'
        '<a href="adr/0001-a.html#why">why</a><a href="#top" id="top"></a><a href="https://example.org/">elsewhere</a>',
        "adr/0001-a.html": '<link rel="stylesheet" href="../assets/a.css"><h1 id="why"></h1><a href="./../index.html">',
        "adr/index.html": "",
        "assets/a.js": "",
        "assets/a.css": "p { background: url('data:image/svg+xml,(x)') } i { background: url(icon.png) }",
        "assets/icon.png": "",
    }

    def test_a_site_that_holds_together_is_taken(self, tmp_path: Path) -> None:
        assert broken(built(tmp_path, self.GOOD)) == []

    @pytest.mark.parametrize(
        ("name", "text", "wrong"),
        [
            ("index.html", '<a href="nothing.html">', "index.html: links to nothing.html, which is not there"),
            ("index.html", '<a href="adr/nothing/">', "index.html: links to adr/nothing/, which is not there"),
            ("index.html", '<a href="/docs">', "index.html: links to /docs, which is not there"),
            ("index.html", '<a href="../../docs">', "index.html: links to ../../docs, which is not there"),
            ("index.html", '<a href="#gone">', "index.html: links to #gone, and that page has no such place"),
            ("index.html", '<a href="adr/0001-a.html#gone">',
             "index.html: links to adr/0001-a.html#gone, and that page has no such place"),
            ("index.html", '<a href="javascript:f()">', "index.html: links to javascript:f(), which is not there"),
            ("index.html", '<script src="https://cdn.example/a.js"></script>', "index.html: loads https://cdn.example/a.js"),
            ("index.html", '<script src="//cdn.example/a.js"></script>', "index.html: loads //cdn.example/a.js"),
            ("index.html", '<link rel="preconnect" href="https://fonts.example">', "index.html: loads https://fonts.example"),
            ("index.html", '<img src="nothing.png">', "index.html: loads nothing.png"),
            ("index.html", '<img srcset="assets/icon.png 1x, https://cdn.example/i.png 2x">',
             "index.html: loads https://cdn.example/i.png"),
            ("index.html", '<p style="background: url(https://cdn.example/i.png)">',
             "index.html: loads https://cdn.example/i.png"),
            ("index.html", "<script>f()</script>", "index.html: a script in the page: f()"),
            ("index.html", '<p onclick="f()">', "index.html: p with onclick"),
            ("assets/a.css", "@import 'https://fonts.example/a.css';", "assets/a.css: loads https://fonts.example/a.css"),
            ("assets/a.css", "p { background: url(nothing.png) }", "assets/a.css: loads nothing.png"),
            ("movie.mp4", "", "movie.mp4: the service does not serve it"),
        ],
    )  # fmt: skip
    def test_what_does_not_hold_is_named(self, tmp_path: Path, name: str, text: str, wrong: str) -> None:
        assert broken(built(tmp_path, {**self.GOOD, name: text})) == [wrong]


def repository(folder: Path, page: str) -> Path:
    return built(folder / "repository", {CONFIGURATION: CONFIGURED, "docs/index.md": page, "docs/keys.md": "# Keys\n"})


class TestBuild:
    def test_what_is_built_is_what_the_service_serves(self, tmp_path: Path) -> None:
        site = build(repository(tmp_path, "# Home\n\n[Keys](keys.md#keys)\n"), tmp_path)
        install(site, tmp_path / "installed")
        install(site, tmp_path / "installed")
        files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
        served = {path.removeprefix("/docs/guide/") for path in guide_pages(tmp_path / "installed")}
        assert {"index.html", "keys.html", "search.json"} <= files <= served
        assert not {"404.html", "sitemap.xml"} & files

    @pytest.mark.parametrize(
        "page", ["[Keys](nothing.md)", "[Keys](keys.md#nothing)", "![](https://cdn.example/picture.png)"]
    )
    def test_a_broken_reference_fails_it(self, tmp_path: Path, page: str) -> None:
        with pytest.raises(SystemExit) as ended:
            build(repository(tmp_path, f"# Home\n\n{page}\n"), tmp_path)
        assert ended.value.code

    def test_a_page_that_nothing_leads_to_fails_it(self, tmp_path: Path) -> None:
        new = built(repository(tmp_path, "# Home\n"), {"docs/new.md": "# New\n"})
        with pytest.raises(SystemExit, match=r"has no place for: new\.md"):
            build(new, tmp_path)


def test_scripts_of_pages_become_files(tmp_path: Path) -> None:
    settings = '<script type="application/json">{}</script>'
    page = f'<script>f("a")</script>{settings}'
    site = built(tmp_path, {"index.html": page, "adr/a.html": page, "assets/javascripts/LICENSE": "MIT"})
    finish(site)
    (script,) = (site / "assets" / "javascripts").glob("*.js")
    assert script.read_text() == 'f("a")'
    for name, to_root in (("index.html", ""), ("adr/a.html", "../")):
        source = f"{to_root}assets/javascripts/{script.name}"
        assert (site / name).read_text() == f'<script src="{source}"></script>{settings}'
    assert broken(site) == []
