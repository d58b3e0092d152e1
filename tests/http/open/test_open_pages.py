"""The open routes: made once, sent as it is, and not sent at all to who has it already."""

import asyncio
import gzip
import json
import threading
from typing import Any

import pytest
from httpx import Response

from tests.http.client import Api, code_of, running_api
from tests.http.conftest import Lanes
from wallet.bootstrap import make_app
from wallet.http.open.pages import METRICS_SECONDS, OpenPage, metrics_page, open_pages
from wallet.http.open.representations import Made, Representation, takes_gzip
from wallet.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEPT = (
    "/openapi.json", "/docs", "/docs/errors", "/docs/page.js", "/docs/assets/swagger-ui.css",
    "/docs/assets/swagger-ui-bundle.js", "/docs/assets/favicon-32x32.png",
)  # fmt: skip
SMALL = ("/docs/page.js", "/docs/assets/favicon-32x32.png")
COMPRESSED = [path for path in KEPT if path not in SMALL]
GZIP = {"accept-encoding": "gzip"}
PLAIN = {"accept-encoding": "identity"}


async def raw(api: Api, path: str, headers: dict[str, str]) -> tuple[Response, bytes]:
    """The answer and the bytes of its body, as they were sent."""
    async with api.http.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([chunk async for chunk in answer.aiter_raw()])


class TestKept:
    @pytest.mark.parametrize("path", KEPT)
    async def test_who_has_it_is_told_that_it_has(self, api: Api, path: str) -> None:
        whole = await api.get(path, headers=PLAIN)
        etag = whole.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', f'W/"a,b" , W/{etag}', "*", " * "):
            answer = await api.get(path, headers={**PLAIN, "if-none-match": known})
            assert (answer.status_code, answer.content) == (304, b""), known
            assert "content-length" not in answer.headers
            assert answer.headers["etag"] == etag
            assert answer.headers["cache-control"] == whole.headers["cache-control"] == "no-cache"
            assert answer.headers.get("vary") == whole.headers.get("vary")

    @pytest.mark.parametrize("path", KEPT)
    async def test_who_has_another_gets_it(self, api: Api, path: str) -> None:
        etag = (await api.get(path, headers=PLAIN)).headers["etag"]
        for known in ('"other"', f"{etag[:-2]}0", etag.strip('"'), "", "**"):
            answer = await api.get(path, headers={**PLAIN, "if-none-match": known})
            assert (answer.status_code, len(answer.content) > 0) == (200, True), known

    @pytest.mark.parametrize("path", COMPRESSED)
    async def test_each_encoding_has_its_own_validator(self, api: Api, path: str) -> None:
        plain, compressed = [(await raw(api, path, headers))[0].headers["etag"] for headers in (PLAIN, GZIP)]
        assert plain != compressed
        assert (await api.get(path, headers={**GZIP, "if-none-match": plain})).status_code == 200
        assert (await api.get(path, headers={**GZIP, "if-none-match": compressed})).status_code == 304

    @pytest.mark.parametrize("path", COMPRESSED)
    async def test_it_is_compressed_for_who_takes_it(self, api: Api, path: str) -> None:
        plain, body = await raw(api, path, PLAIN)
        compressed, fewer = await raw(api, path, GZIP)
        assert (plain.headers.get("content-encoding"), compressed.headers["content-encoding"]) == (None, "gzip")
        assert gzip.decompress(fewer) == body
        assert len(fewer) < len(body)
        for answer, sent in ((plain, body), (compressed, fewer)):
            assert int(answer.headers["content-length"]) == len(sent)
            assert answer.headers["vary"] == "accept-encoding"

    @pytest.mark.parametrize("path", SMALL)
    async def test_what_does_not_get_smaller_is_not_compressed(self, api: Api, path: str) -> None:
        answer, _ = await raw(api, path, GZIP)
        assert not {"content-encoding", "vary"} & set(answer.headers)

    @pytest.mark.parametrize("path", KEPT)
    @pytest.mark.parametrize("headers", [PLAIN, GZIP])
    async def test_head_is_get_without_the_body(self, api: Api, path: str, headers: dict[str, str]) -> None:
        got, _ = await raw(api, path, headers)
        head = await api.send("HEAD", path, headers=headers)
        names = ("content-type", "content-length", "content-encoding", "etag", "vary", "cache-control")
        assert [head.headers.get(name) for name in names] == [got.headers.get(name) for name in names]
        known = {**headers, "if-none-match": got.headers["etag"]}
        assert (await api.send("HEAD", path, headers=known)).status_code == 304

    @pytest.mark.parametrize("path", [*KEPT, "/", "/docs/", "/healthz"])
    async def test_both_lanes_answer_the_same(self, lanes: Lanes, path: str) -> None:
        for headers in (PLAIN, GZIP, {"if-none-match": "*"}, {"idempotency-key": "r"}):
            given = {**headers, "x-request-id": "same"}
            first, *others = [await api.send("GET", path, headers=given) for api in lanes.values()]
            for other in others:
                assert (first.status_code, first.headers.raw, first.content) == (
                    other.status_code, other.headers.raw, other.content,
                )  # fmt: skip

    @pytest.mark.parametrize("path", ["/docs/nothing", "/docs/openapi.json", "/docs/assets", "/docs/assets/LICENSE"])
    async def test_there_is_nothing_else(self, api: Api, path: str) -> None:
        assert code_of(await api.get(path)) == (404, "not_found")

    async def test_who_asks_for_a_page_of_a_page_is_refused(self, api: Api) -> None:
        assert code_of(await api.get("/docs?x=1")) == (400, "invalid_request")

    async def test_the_document_is_the_one_that_is_made(self, api: Api) -> None:
        _, compressed = await raw(api, "/openapi.json", GZIP)
        assert json.loads(gzip.decompress(compressed)) == (await api.get("/openapi.json", headers=PLAIN)).json()


async def bodies(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The bodies of an answer, the very objects."""
    sent: list[bytes] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    await app(
        {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "http_version": "1.1", "scheme": "http", "client": None, "server": None,
            "root_path": "",
        },
        receive,
        send,
    )  # fmt: skip
    return sent


@pytest.mark.parametrize("fast_lane", [True, False])
@pytest.mark.parametrize("path", KEPT)
async def test_each_request_is_sent_the_same_bytes_and_none_makes_or_compresses_them(
    path: str, fast_lane: bool
) -> None:
    # Not started: without a database there is nothing that it could ask.
    app = make_app(Settings(database_url="postgresql://", fast_lane=fast_lane))
    for headers in ([], [(b"accept-encoding", b"gzip")]):
        (first,), (second,) = await bodies(app, path, headers), await bodies(app, path, headers)
        assert first is second


class TestMaking:
    """Of what is made when it is first asked for."""

    class Counted:
        def __init__(self, *, fails: int = 0) -> None:
            self.threads: list[int] = []
            self.gate = threading.Event()
            self._fails = fails

        def __call__(self) -> Representation:
            self.threads.append(threading.get_ident())
            assert self.gate.wait(30)
            if len(self.threads) <= self._fails:
                raise OSError("there is no such file")
            return Representation("text/plain", b"made")

    async def test_it_is_made_once_for_all_who_ask_meanwhile_and_not_on_the_event_loop(self) -> None:
        make = self.Counted()
        made = Made(make)
        asking = [asyncio.create_task(made.answer([])) for _ in range(100)]
        await asyncio.sleep(0)
        make.gate.set()
        assert {(await each).body for each in asking} == {b"made"}
        assert (await made.answer([])).body == b"made"
        assert len(make.threads) == 1
        assert threading.get_ident() not in make.threads

    async def test_one_who_hangs_up_does_not_end_it_for_the_others(self) -> None:
        make = self.Counted()
        made = Made(make)
        first, second = asyncio.create_task(made.answer([])), asyncio.create_task(made.answer([]))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        make.gate.set()
        assert (await second).body == b"made"

    async def test_what_failed_is_tried_again_by_the_next(self) -> None:
        make = self.Counted(fails=1)
        make.gate.set()
        made = Made(make)
        with pytest.raises(OSError):
            await made.answer([])
        assert (await made.answer([])).body == b"made"

    async def test_what_lasts_no_time_is_made_for_each_that_comes_after(self) -> None:
        make = self.Counted()
        make.gate.set()
        made = Made(make, seconds=0)
        for _ in range(3):
            await made.answer([])
        assert len(make.threads) == 3

    async def test_nothing_is_made_before_it_is_asked_for(self) -> None:
        def never() -> bytes:
            raise AssertionError("it was made")

        assert open_pages(never, never)


class TestFigures:
    @staticmethod
    def page(made: list[int]) -> OpenPage:
        def exposition() -> bytes:
            made.append(threading.get_ident())
            return b"wallet_leader 1\n" * 100

        return metrics_page(exposition)

    async def test_they_are_made_at_most_once_a_second(self) -> None:
        made: list[int] = []
        page = self.page(made)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(50):
            await asyncio.gather(*(page.answer([]) for _ in range(20)))
        assert 1 <= len(made) <= 1 + (loop.time() - began) / METRICS_SECONDS

    async def test_they_are_not_to_be_kept_and_are_compressed_for_who_takes_it(self) -> None:
        page = self.page([])
        for headers, encoding in (([], None), ([(b"accept-encoding", b"gzip")], b"gzip")):
            answer = await page.answer([*headers, (b"if-none-match", b"*")])
            named = dict(answer.headers)
            assert (answer.status, named.get(b"content-encoding")) == (200, encoding)
            assert named[b"cache-control"] == b"no-store"
            assert b"etag" not in named


async def test_figures_with_a_port_of_their_own_are_not_on_the_services(demo_database_url: str) -> None:
    for fast_lane in (True, False):
        async with running_api(demo_database_url, metrics_port=1, fast_lane=fast_lane) as api:
            for headers in ({}, {"authorization": "Bearer wlt_x"}):
                assert code_of(await api.get("/metrics", headers=headers)) == (404, "not_found")
            assert "/metrics" not in (await api.json("/openapi.json"))["paths"]


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("GZip", True),
        ("x-gzip", True),
        ("*", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip ; q=0.5", True),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("identity;q=0, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=nonsense", False),
        ("gzip;q=nan", False),
        ("gzip;level=9", False),
        ("not-gzip", False),
        ("gzipped", False),
        ("gzip," + " " * 10_000, False),
    ],
)
async def test_gzip_is_for_who_takes_it_and_likes_it_no_less(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted.encode()) == takes
