"""Pages of other origins: which may ask, what they may read, and how origins are written."""

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from tests.http.client import LANES, MIKASA_WALLET, Api, code_of, new_reference, running_api
from wallet.errors import SettingsInvalid
from wallet.http.edge.cors import EXPOSED
from wallet.origins import origins_of
from wallet.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE = f"/wallets/{MIKASA_WALLET}/balance"
TOP_UP = f"/wallets/{MIKASA_WALLET}/topup"
SHOP = "https://shop.example"
FROM_SHOP = {"origin": SHOP}

# The headers that any page's code may read (the Fetch standard), and those for the browser itself.
SAFELISTED = {"cache-control", "content-length", "content-type"}
FRAMING = {"transfer-encoding"}
FOR_THE_BROWSER = {
    "access-control-allow-origin", "access-control-expose-headers", "vary", "content-security-policy",
    "content-encoding", "x-content-type-options", "x-frame-options", "referrer-policy",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=LANES)
async def api(request: pytest.FixtureRequest, demo_database_url: str) -> AsyncIterator[Api]:
    """In development mode, where a page of an allowed origin needs no key."""
    # As people write it, and not as browsers do.
    async with running_api(
        demo_database_url,
        cors_origins="https://SHOP.example:443/, http://b.example",
        **LANES[request.param],
    ) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=LANES)
async def guarded(request: pytest.FixtureRequest, demo_database_url: str) -> AsyncIterator[Api]:
    async with running_api(demo_database_url, cors_origins=SHOP, development=False, **LANES[request.param]) as api:
        yield api


REQUESTS = [
    ("GET", BALANCE), ("POST", TOP_UP), ("GET", "/users"), ("GET", "/nowhere"), ("PUT", "/users"), ("GET", "/healthz"),
    ("GET", "/openapi.json"), ("GET", "/docs/nothing"), ("GET", "/metrics"), ("GET", "/"), ("OPTIONS", "/users"),
    ("HEAD", BALANCE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_an_allowed_origin_may_read_every_answer(api: Api, method: str, path: str) -> None:
    answer = await api.send(method, path, headers=FROM_SHOP)
    assert answer.headers.get_list("access-control-allow-origin") == [SHOP]
    assert answer.headers["access-control-expose-headers"] == ", ".join(EXPOSED)
    assert "origin" in answer.headers["vary"].split(", ")


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_it_may_read_why_it_is_not_let_in(guarded: Api, method: str, path: str) -> None:
    answer = await guarded.send(method, path, headers=FROM_SHOP)
    assert answer.headers.get_list("access-control-allow-origin") == [SHOP]
    if path in (BALANCE, TOP_UP, "/nowhere") and method != "HEAD":
        assert code_of(answer) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize(
    "origin", ["https://other.example", "https://shop.example.evil", "http://shop.example", "null"]
)
async def test_another_origin_is_told_nothing(guarded: Api, method: str, path: str, origin: str) -> None:
    for headers in ({"origin": origin}, {}):
        answer = await guarded.send(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "origin" in answer.headers["vary"].split(", "), "a cache must not give it to an allowed one"


async def test_code_of_a_page_may_read_all_that_our_headers_say(api: Api) -> None:
    body = {"reference_id": new_reference(), "amount": 1, "asset_code": "GOLD"}
    answers = [await api.post(TOP_UP, body, headers=FROM_SHOP) for _ in range(2)]
    assert answers[1].headers["idempotency-replayed"] == "true"
    answers += [await api.send(method, path, headers=FROM_SHOP) for method, path in REQUESTS]
    answers.append(await api.get(f"/wallets/{MIKASA_WALLET}/statement?format=csv", headers=FROM_SHOP))
    answers.append(await api.get("/users", headers={**FROM_SHOP, "authorization": "Bearer wlt_x"}))
    said = {name for answer in answers for name in answer.headers}
    assert said - SAFELISTED - FRAMING - FOR_THE_BROWSER <= {name.lower() for name in EXPOSED}
    assert {"allow", "etag", "idempotency-replayed", "location", "www-authenticate", "x-request-id"} <= said


def preflight(origin: str, **headers: str) -> Mapping[str, str]:
    return {"origin": origin, "access-control-request-method": "POST", **headers}


@pytest.mark.parametrize("path", [TOP_UP, "/users", "/nowhere"])
async def test_a_browser_that_asks_first_is_told_what_may_be_sent(guarded: Api, path: str) -> None:
    names = "authorization,content-type,idempotency-key"
    asked = preflight(SHOP, **{"access-control-request-headers": names})
    answer = await guarded.send("OPTIONS", path, headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-headers"] == names
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "content-length" not in answer.headers


async def test_a_browser_that_asks_first_for_another_page_is_told_nothing(guarded: Api) -> None:
    answer = await guarded.send("OPTIONS", TOP_UP, headers=preflight("https://other.example"))
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_any_origin_may_be_allowed_and_is_let_in_by_its_key_only(demo_database_url: str) -> None:
    async with running_api(demo_database_url, cors_origins="*") as api:
        answer = await api.get("/healthz", headers=FROM_SHOP)
        assert answer.headers["access-control-allow-origin"] == SHOP
        refused = await api.get(BALANCE, headers=FROM_SHOP)
        assert code_of(refused) == (401, "unauthenticated"), "development mode is for this machine"


@pytest.mark.parametrize(
    ("given", "said_by_browsers"),
    [
        ("", ()),
        (" , ", ()),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example/", ("https://a.example",)),
        ("https://C.example:443", ("https://c.example",)),
        ("HTTP://c.example:80/", ("http://c.example",)),
        ("http://c.example:443", ("http://c.example:443",)),
        ("http://c.example:0080", ("http://c.example",)),
        ("https://c.example:", ("https://c.example",)),
        ("https://bücher.example", ("https://xn--bcher-kva.example",)),
        ("https://BÜCHER.example:8443", ("https://xn--bcher-kva.example:8443",)),
        ("https://straße.example", ("https://xn--strae-oqa.example",)),
        ("https://例え.example", ("https://xn--r8jz45g.example",)),
        ("https://a_b.example", ("https://a_b.example",)),
        ("http://localhost:3000", ("http://localhost:3000",)),
        ("http://127.0.0.1:3000", ("http://127.0.0.1:3000",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        ("http://[2001:DB8:0:0::1]", ("http://[2001:db8::1]",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("chrome-extension://abcdefgh", ("chrome-extension://abcdefgh",)),
        ("*", ("*",)),
        ("https://a.example, https://A.example/,https://b.example", ("https://a.example", "https://b.example")),
    ],
)
async def test_an_origin_is_what_browsers_say_however_it_is_written(given: str, said_by_browsers: object) -> None:
    assert origins_of(given) == said_by_browsers
    assert Settings(cors_origins=given).cors_origins == given


@pytest.mark.parametrize(
    "given",
    [
        "a.example", "localhost:3000", "//a.example", "null", "https://", "https:///", "https:a.example",
        "https://a.example/path", "https://a.example//", "https://a.example?x=1", "https://a.example/?", "https://a.example#x",
        "https://user@a.example", "https://user:secret@a.example", "https://a.example:99999", "https://a.example:x",
        "https://a.example:0", "https://a.example:-1", "https://*.example", "https://a.*", "file:///a", "wss://a.example",
        "https://a b.example", "https://a.example https://b.example", "https://a\\b.example", "https://a%2e.example",
        "https://a..example", "https://-ü.example", "https://[::1", "https://[::g]", "http://127.1", "http://1.2.3.4.5",
        "http://0x7f.1", "https://a.example;https://b.example", "https://a.example, b.example", '"https://a.example"',
        "https://a.example\x00", "https://a\nb.example", "https://[::1%eth0]",
    ],
)  # fmt: skip
async def test_what_no_browser_would_say_is_refused_in_one_line(given: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"\AWALLET_CORS_ORIGINS: [^\n]*\Z"):
        Settings(cors_origins=given)
