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
        {"forwarded": "for=127.0.0.1"},
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


async def test_a_configured_origin_works_in_development_mode(demo_database_url: str) -> None:
    async with running_api(demo_database_url, cors_origins="https://shop.example") as api:
        for origin, status in (("https://shop.example", 200), ("https://other.example", 401)):
            assert (await api.get(BALANCE, headers={"origin": origin})).status_code == status
