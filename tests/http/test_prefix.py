"""Behind a proxy that serves us below a prefix and takes it off: whatever we refer to is found there."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import pytest_asyncio

from tests.http.client import NOBODY, running_api
from wallet.errors import SettingsInvalid
from wallet.http.wire.problems import link_types_to
from wallet.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "http://localhost"
PUBLIC_URL = f"{HOST}/wallet"


class Proxy:
    """The effect of `location /wallet/ { proxy_pass http://…/; }`: below the prefix is the service, elsewhere
    nothing.
    """

    def __init__(self, app: Any, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(f"{self._prefix}/"):
            await send({"type": "http.response.start", "status": 502, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        stripped = {name: scope[name][len(self._prefix) :] for name in ("path", "raw_path")}
        await self._app({**scope, **stripped}, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fast lane", "framework"])
async def app(request: pytest.FixtureRequest, demo_database_url: str) -> AsyncIterator[Any]:
    async with running_api(demo_database_url, fast_lane=request.param == "fast lane") as api:
        yield api.app


@pytest_asyncio.fixture(params=["", "/wallet", "/deeper/down"], loop_scope="module")
async def client(request: pytest.FixtureRequest, app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Asks as a browser does that was given the prefix, and follows where it is sent."""
    proxy = Proxy(app, request.param)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(proxy), base_url=f"{HOST}{request.param}", follow_redirects=True
    ) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/docs/"])
async def test_who_comes_near_the_page_is_led_to_it(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.url.path) == (200, f"{client.base_url.path.rstrip('/')}/docs")


@pytest.mark.parametrize("page", ["/docs", "/docs/errors"])
async def test_all_that_a_page_refers_to_is_there(client: httpx.AsyncClient, page: str) -> None:
    answer = await client.get(page)
    references = re.findall(r'(?:src|href)="([^"#]+)', answer.text)
    assert references
    for reference in references:
        assert not re.match(r"[a-z]+:|//", reference), "it works offline"
        assert (await client.get(urljoin(str(answer.url), reference))).status_code == 200, reference


async def test_the_page_finds_the_document_and_the_document_the_service(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    script = (await client.get("/docs/page.js")).text
    (reference,) = re.findall(r'url: "([^"]*)"', script)
    document = await client.get(urljoin(str(page.url), reference))
    (server,) = document.json()["servers"]
    base = urljoin(str(document.url), server["url"]).rstrip("/")
    assert (await client.get(f"{base}/healthz")).json() == {"status": "ok"}


@pytest.fixture
def types_as_before() -> Any:
    yield
    link_types_to("")


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_a_problem_links_to_its_paragraph_below_the_public_url(
    demo_database_url: str, fast_lane: bool, types_as_before: None
) -> None:
    async with AsyncExitStack() as stack:
        settings = {"public_url": f"{PUBLIC_URL}/", "fast_lane": fast_lane}
        api = await stack.enter_async_context(running_api(demo_database_url, **settings))
        transport = httpx.ASGITransport(Proxy(api.app, "/wallet"))
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL))
        for path, code in (
            (f"/wallets/{NOBODY}/balance", "wallet_not_found"),
            ("/nowhere", "not_found"),
            ("/users?x=1", "invalid_request"),
        ):
            problem = (await client.get(path)).json()
            assert problem["type"] == f"{PUBLIC_URL}/docs/errors#{code}"
            page = await client.get(problem["type"])
            assert f'id="{code}"' in page.text
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": PUBLIC_URL}]


@pytest.mark.parametrize(
    "url",
    [
        "api.example/wallet", "/wallet", "//api.example", "ftp://api.example", "https://", "https://api.example/?a=1",
        "https://api.example/#x", "https://user@api.example", "https://a b.example", "https://api.example:99999",
        "https://api.example/a\\b",
    ],
)  # fmt: skip
async def test_a_public_url_that_is_none_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"\AWALLET_PUBLIC_URL: [^\n]*\Z"):
        Settings(public_url=url)
