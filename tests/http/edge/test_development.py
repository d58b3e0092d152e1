"""Development mode: who needs no key there, and what a browser of the developer's is made to send all the same."""

import pytest

from tests.http.client import MIKASA_WALLET, code_of, running_api
from tests.http.conftest import Lanes

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE = f"/wallets/{MIKASA_WALLET}/balance"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8080"},
        {"host": "localhost.evil.example"},
        {"host": "[::1"},
        {"host": "localhost:8080", "origin": "http://evil.example"},
        {"origin": "null"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-host": "wallet.example"},
        {"x-forwarded": "for=127.0.0.1"},
        {"x-forwarded-client-cert": "Hash=0"},
        {"forwarded": "for=127.0.0.1"},
        {"via": "1.1 proxy"},
        {"x-real-ip": "127.0.0.1"},
        {"x-client-ip": "127.0.0.1"},
        {"x-original-forwarded-for": "127.0.0.1"},
        {"cf-connecting-ip": "127.0.0.1"},
        {"cf-ray": "0"},
        {"true-client-ip": "127.0.0.1"},
        {"fastly-client-ip": "127.0.0.1"},
        {"fly-client-ip": "127.0.0.1"},
        {"fly-request-id": "0"},
        {"x-envoy-external-address": "127.0.0.1"},
        {"x-amzn-trace-id": "Root=1"},
        {"x-amz-cf-id": "0"},
        {"x-azure-clientip": "127.0.0.1"},
        {"x-cloud-trace-context": "0/0"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "host": "127.0.0.1:8080"},
        {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
        {"sec-fetch-site": "same-origin", "host": "evil.example"},
        {"origin": "http://localhost.evil.example:8080"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_does_nothing_in_a_developers_browser(
    lanes: Lanes, headers: dict[str, str]
) -> None:
    for api in lanes.values():
        for method, path in (("GET", BALANCE), ("POST", f"/wallets/{MIKASA_WALLET}/close"), ("GET", "/users")):
            assert code_of(await api.send(method, path, headers=headers)) == (401, "unauthenticated")
        assert (await api.get("/healthz", headers=headers)).status_code == 200
        key = (await api.made("/keys", {"name": "test", "scopes": ["read"]}))["key"]
        assert (await api.get(BALANCE, headers=headers | {"authorization": f"Bearer {key}"})).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "app.localhost:3000"])
async def test_a_page_of_this_machine_works_in_development_mode(lanes: Lanes, host: str) -> None:
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        assert (await lanes["fast lane"].get(BALANCE, headers=headers)).status_code == 200
        for site in ("same-origin", "same-site", "none"):
            told = headers | {"sec-fetch-site": site}
            assert (await lanes["fast lane"].get(BALANCE, headers=told)).status_code == 200
    # To a browser, two names under localhost are two sites; the origin tells that it is this machine all the same.
    other = {"host": host, "origin": "http://other.localhost", "sec-fetch-site": "cross-site"}
    assert (await lanes["fast lane"].get(BALANCE, headers=other)).status_code == 200


async def test_a_configured_origin_works_in_development_mode(demo_database_url: str) -> None:
    async with running_api(demo_database_url, cors_origins="https://shop.example") as api:
        for origin, status in (("https://shop.example", 200), ("https://other.example", 401)):
            for headers in ({"origin": origin}, {"origin": origin, "sec-fetch-site": "cross-site"}):
                assert (await api.get(BALANCE, headers=headers)).status_code == status
