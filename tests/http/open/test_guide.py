"""The documentation site below /docs/guide/: files of one folder by exact paths, and nothing else."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from httpx import Response

from tests.http.client import Api, code_of, running_api
from wallet.http.open.guide import BYTES_MAX, MEDIA_TYPES, guide_pages
from wallet.http.open.pages import GUIDE

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAIN = {"accept-encoding": "identity"}
TEXT = "<h1>Guide</h1>" + "<p>A paragraph that gets smaller.</p>" * 200
FILES = {
    "index.html": TEXT,
    "ledger.html": f"<title>Movements</title>{TEXT}",
    "adr/index.html": TEXT,
    "assets/page.js": "'use strict'",
    "assets/page.css": "p {}",
    "assets/icon.png": "no picture",
    "assets/LICENSE.txt": "MIT",
    "search.json": "{}",
}
SECRET = "the secret of another folder"


class Site(NamedTuple):
    fast: Api
    framework: Api

    async def same(self, method: str, path: str, headers: dict[str, str] | None = None) -> Response:
        """The answer of both lanes, which is the same."""
        given = {**PLAIN, "x-request-id": "same", **(headers or {})}
        fast, framework = [await api.send(method, path, headers=given) for api in self]
        assert (fast.status_code, fast.headers.raw, fast.content) == (
            framework.status_code, framework.headers.raw, framework.content,
        )  # fmt: skip
        return fast

    async def raw(self, path: bytes) -> tuple[int, bytes]:
        """The answer of both lanes to a path that no client library would send."""
        fast, framework = [await _raw(api, path) for api in self]
        assert fast == framework
        return fast


async def _raw(api: Api, path: bytes) -> tuple[int, bytes]:
    answered: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        answered.append(message)

    scope = {
        "type": "http", "method": "GET", "path": re.sub(rb"%(..)", _decoded, path).decode("latin-1"), "raw_path": path,
        "query_string": b"", "headers": [(b"host", b"localhost"), (b"x-request-id", b"same")], "http_version": "1.1",
        "scheme": "http", "client": None, "server": None, "root_path": "",
    }  # fmt: skip
    await api.app(scope, receive, send)
    return answered[0]["status"], b"".join(each.get("body", b"") for each in answered)


def _decoded(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode())


def written(folder: Path, files: dict[str, str] = FILES) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(demo_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    place = tmp_path_factory.mktemp("place")
    written(place, {"secret.html": SECRET, "elsewhere/index.html": SECRET})
    folder = written(place / "site")
    (folder / "link.html").symlink_to(place / "secret.html")
    (folder / "elsewhere").symlink_to(place / "elsewhere")
    (folder / "broken.html").symlink_to(place / "nothing")
    os.mkfifo(folder / "pipe.html")
    written(folder, {"script.svg": SECRET, "page.html.bak": SECRET, ".hidden": SECRET, "name": SECRET})
    async with (
        running_api(demo_database_url, guide=folder, fast_lane=True) as fast,
        running_api(demo_database_url, guide=folder, fast_lane=False) as framework,
    ):
        yield Site(fast, framework)


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_as_what_it_is(site: Site, name: str) -> None:
    answer = await site.same("GET", GUIDE + name)
    assert (answer.status_code, answer.text) == (200, FILES[name])
    assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert ("content-security-policy" in answer.headers) == name.endswith(".html")


@pytest.mark.parametrize("name", FILES)
async def test_a_client_that_has_a_file_is_told_so(site: Site, name: str) -> None:
    etag = (await site.same("GET", GUIDE + name)).headers["etag"]
    answer = await site.same("GET", GUIDE + name, {"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_pages_are_compressed_for_a_client_that_takes_it(site: Site) -> None:
    answer = await site.same("GET", f"{GUIDE}ledger.html", {"accept-encoding": "gzip"})
    assert (answer.headers["content-encoding"], answer.text) == ("gzip", FILES["ledger.html"])


async def test_head_is_get_without_the_body_and_a_range_is_the_whole(site: Site) -> None:
    got = await site.same("GET", f"{GUIDE}ledger.html")
    head = await site.same("HEAD", f"{GUIDE}ledger.html")
    assert (head.status_code, head.headers.raw) == (200, got.headers.raw)
    part = await site.same("GET", f"{GUIDE}ledger.html", {"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (200, got.content)


async def test_a_folder_is_its_index(site: Site) -> None:
    for folder in ("", "adr/"):
        assert (await site.same("GET", GUIDE + folder)).text == FILES[f"{folder}index.html"]


async def test_the_site_without_its_slash_leads_to_it(site: Site) -> None:
    answer = await site.same("GET", GUIDE.rstrip("/"))
    # From /docs/guide a browser goes to /docs/guide/, below whatever prefix a proxy puts before it.
    assert (answer.status_code, answer.headers["location"]) == (302, "guide/")


async def test_only_reading_is_allowed(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await site.framework.send(method, f"{GUIDE}ledger.html")
        assert code_of(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "name",
    ["nothing.html", "adr", "adr/nothing.html", "index.html/", "ledger.html/", "assets/", "//", "LEDGER.html", "ledger",
     "link.html", "elsewhere/index.html", "elsewhere/", "broken.html", "pipe.html", "script.svg", "page.html.bak",
     ".hidden", "name"],
)  # fmt: skip
async def test_there_is_nothing_else(site: Site, name: str) -> None:
    status, body = await site.raw(GUIDE.encode() + name.encode())
    assert status == 404
    assert b'"code":"not_found"' in body
    assert SECRET.encode() not in body


@pytest.mark.parametrize(
    "path",
    [
        b"../secret.html", b"..%2fsecret.html", b"%2e%2e/secret.html", b"%2E%2E%2Fsecret.html", b"..%5csecret.html",
        b"%252e%252e%252fsecret.html", b"adr/../../secret.html", b"adr/../ledger.html", b"./ledger.html",
        b"/ledger.html", b"ledger.html%00", b"ledger.html%00.png", b"ledger.html%20", b"%ff%fe", b"..;/secret.html",
        b"....//secret.html", b"%c0%ae%c0%ae/secret.html", b"a/" * 2000 + b"ledger.html", b"ledger.html" * 500,
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_folder(site: Site, path: bytes) -> None:
    status, body = await site.raw(GUIDE.encode() + path)
    assert status == 404, body
    assert SECRET.encode() not in body


async def test_the_pages_are_counted_as_one_route(site: Site) -> None:
    await site.same("GET", f"{GUIDE}ledger.html")
    for api in site:
        routes = set(re.findall(r'route="(/docs/guide[^"]*)"', (await api.get("/metrics")).text))
        assert {f"{GUIDE}{{path}}"} <= routes <= {f"{GUIDE}{{path}}", GUIDE.rstrip("/")}


async def test_the_site_is_not_in_the_document(site: Site) -> None:
    assert not [path for path in (await site.fast.json("/openapi.json"))["paths"] if path.startswith("/docs")]


async def test_nothing_is_served_where_no_site_was_built(api: Api, demo_database_url: str, tmp_path: Path) -> None:
    for path in (GUIDE, GUIDE.rstrip("/"), f"{GUIDE}index.html"):
        assert code_of(await api.get(path)) == (404, "not_found")
    async with running_api(demo_database_url, guide=tmp_path / "nothing") as other:
        assert code_of(await other.get(GUIDE)) == (404, "not_found")


async def test_a_file_that_is_changed_later_is_served_as_it_was_at_the_start(
    demo_database_url: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "site")
    async with running_api(demo_database_url, guide=folder) as api:
        (folder / "ledger.html").unlink()
        (folder / "ledger.html").symlink_to("/etc/passwd")
        (folder / "index.html").unlink()
        for name in ("ledger.html", "index.html"):
            assert (await api.get(GUIDE + name)).text == FILES[name]


async def test_the_files_that_a_process_holds_have_a_bound(tmp_path: Path) -> None:
    folder = written(tmp_path, {"a.html": "a" * 60, "b.html": "b" * 60, "c.html": "c" * 40})
    with (tmp_path / "huge.html").open("wb") as huge:
        huge.truncate(BYTES_MAX + 1)
    assert guide_pages(folder, bytes_max=100).keys() == {f"{GUIDE}a.html", f"{GUIDE}c.html"}
    assert guide_pages(folder).keys() == {f"{GUIDE}{each}.html" for each in "abc"}
