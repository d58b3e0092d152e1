"""Authentication on both lanes: by a key that is valid, and by nothing else."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.http.client import LANES, MIKASA_WALLET, Api, Headers, code_of, new_reference, running_api
from tests.http.conftest import Lanes
from wallet.bootstrap import make_routes, make_service
from wallet.http.edge.authentication import OPEN_FOLDER, OPEN_PATHS
from wallet.http.edge.hot_routes import BALANCE as BALANCE_ROUTE
from wallet.http.edge.hot_routes import MOVEMENTS
from wallet.http.edge.needs import Needs, needs_of
from wallet.http.operations.balances import WalletBalances
from wallet.http.operations.perform import Movements
from wallet.service.access.callers import Scope
from wallet.service.access.keys import KeyRequest
from wallet.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE, TOP_UP = f"/wallets/{MIKASA_WALLET}/balance", f"/wallets/{MIKASA_WALLET}/topup"
UNKNOWN = "wlt_aaaaaaaaaaaa_" + "A" * 43
REVOKED_SECONDS_MAX = 20.0  # ends a test that would hang


def bearer(key: str) -> Headers:
    return {"authorization": f"Bearer {key}"}


async def new_key(lanes: Lanes, *scopes: str, **terms: Any) -> Any:
    return await lanes["framework"].made("/keys", {"name": "test", "scopes": list(scopes) or ["read"], **terms})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(demo_database_url: str) -> AsyncIterator[Lanes]:
    """The application as it is outside development, with and without its fast lane."""
    async with (
        running_api(demo_database_url, development=False, **LANES["direct"]) as direct,
        running_api(demo_database_url, development=False, **LANES["fast lane"]) as fast,
        running_api(demo_database_url, development=False, **LANES["framework"]) as framework,
    ):
        yield {"direct": direct, "fast lane": fast, "framework": framework}


@pytest.fixture(params=LANES)
def api(request: pytest.FixtureRequest, guarded: Lanes) -> Api:
    return guarded[request.param]


WRONG: dict[str, list[tuple[str, str]]] = {
    "no key": [],
    "another scheme": [("authorization", f"Basic {UNKNOWN}")],
    "no scheme": [("authorization", UNKNOWN)],
    "a scheme alone": [("authorization", "Bearer")],
    "nothing": [("authorization", "")],
    "no key of ours": [("authorization", "Bearer abc")],
    "more after it": [("authorization", f"Bearer {UNKNOWN} ")],
    "unknown": [("authorization", f"Bearer {UNKNOWN}")],
    "twice": [("authorization", f"Bearer {UNKNOWN}"), ("authorization", f"Bearer {UNKNOWN}")],
}


@pytest.mark.parametrize("name", WRONG)
async def test_whoever_brings_no_valid_key_gets_the_same_answer_on_both_lanes(guarded: Lanes, name: str) -> None:
    given = [("x-request-id", "same"), *WRONG[name]]
    # A blank behind a value is no part of it on the wire.
    apis = [api for lane, api in guarded.items() if lane != "direct" or name != "more after it"]
    for method, path, body in (("GET", BALANCE, None), ("POST", TOP_UP, b"{"), ("GET", "/users", None)):
        answers = [await each.send(method, path, body, headers=given) for each in apis]
        assert [code_of(answer) for answer in answers] == [(401, "unauthenticated")] * len(apis)
        for answer in answers[1:]:
            assert (answer.headers.raw, answer.content) == (answers[0].headers.raw, answers[0].content)
        assert answers[0].headers["www-authenticate"] == "Bearer"


async def test_a_key_that_comes_twice_is_refused_though_it_is_valid(api: Api, lanes: Lanes) -> None:
    header = ("authorization", f"Bearer {(await new_key(lanes))['key']}")
    assert (await api.get(BALANCE, headers=[header])).status_code == 200
    assert code_of(await api.get(BALANCE, headers=[header, header])) == (401, "unauthenticated")


async def test_a_wrong_secret_is_answered_like_an_unknown_prefix(api: Api, lanes: Lanes) -> None:
    key = (await new_key(lanes))["key"]
    wrong = key[:-43] + "A" * 43
    given = [{"x-request-id": "same", **bearer(each)} for each in (wrong, UNKNOWN)]  # type: ignore[dict-item]
    answers = [await api.get(BALANCE, headers=each) for each in given]
    assert code_of(answers[0]) == (401, "unauthenticated")
    assert answers[0].content == answers[1].content
    assert (await api.get(BALANCE, headers=bearer(key))).status_code == 200


async def test_the_scheme_is_taken_in_either_case(api: Api, lanes: Lanes) -> None:
    key = (await new_key(lanes))["key"]
    assert (await api.get(BALANCE, headers={"authorization": f"bEARER {key}"})).status_code == 200


async def test_an_expired_key_is_refused(api: Api, lanes: Lanes, ledger: asyncpg.Connection) -> None:
    made = await new_key(lanes, expires_in_days=1)
    await ledger.execute("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = $1", made["id"])
    assert code_of(await api.get(BALANCE, headers=bearer(made["key"]))) == (401, "unauthenticated")


async def test_the_sandbox_clock_expires_no_key(api: Api, lanes: Lanes, ledger: asyncpg.Connection) -> None:
    made = await new_key(lanes, expires_in_days=1)
    await ledger.execute("UPDATE sandbox_clock SET advanced = interval '2 days'")
    try:
        assert (await api.get("/assets", headers=bearer(made["key"]))).status_code == 200
    finally:
        await ledger.execute("UPDATE sandbox_clock SET advanced = interval '0'")


async def test_a_revoked_key_is_refused_within_a_second_everywhere(guarded: Lanes, lanes: Lanes) -> None:
    made = await new_key(lanes)
    headers = bearer(made["key"])
    for each in guarded.values():
        assert (await each.get(BALANCE, headers=headers)).status_code == 200
    await lanes["framework"].send("DELETE", f"/keys/{made['id']}")
    # The second that is promised is on the ring's clock: see tests/service/access/test_key_ring.py.
    give_up_at = time.monotonic() + REVOKED_SECONDS_MAX
    for each in guarded.values():
        while (answer := await each.get(BALANCE, headers=headers)).status_code == 200:
            assert time.monotonic() < give_up_at
            await asyncio.sleep(0.02)
        assert code_of(answer) == (401, "unauthenticated")


async def test_when_a_key_was_last_used_is_noted_in_the_background(guarded: Lanes, lanes: Lanes) -> None:
    made = await new_key(lanes)
    ring = guarded["fast lane"].app.service.ring
    assert (await guarded["fast lane"].get(BALANCE, headers=bearer(made["key"]))).status_code == 200
    assert (await lanes["framework"].json(f"/keys/{made['id']}"))["last_used_at"] is None
    ring._upkeep_at = 0
    await ring.poll()
    assert (await lanes["framework"].json(f"/keys/{made['id']}"))["last_used_at"] is not None
    assert ring.known(made["key"].encode()) is not None, "it was read anew and is still held"


async def test_the_scope_is_looked_at_before_the_body_and_named(guarded: Lanes, lanes: Lanes) -> None:
    headers = {"x-request-id": "same", **bearer((await new_key(lanes, "read"))["key"])}  # type: ignore[dict-item]
    for path in (TOP_UP, f"/wallets/{MIKASA_WALLET}/spend", "/transfers", "/holds", "/keys"):
        fast, *others = [await each.send("POST", path, b"{", headers=headers) for each in guarded.values()]
        assert code_of(fast) == (403, "forbidden")
        assert "scope" in fast.json()["detail"]
        for other in others:
            assert (fast.headers.raw, fast.content) == (other.headers.raw, other.content)


async def test_none_of_the_scopes_implies_another(api: Api, lanes: Lanes) -> None:
    spender = bearer((await new_key(lanes, "spend"))["key"])
    assert code_of(await api.get(BALANCE, headers=spender)) == (403, "forbidden")
    body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold"}
    assert code_of(await api.post(TOP_UP, body, headers=spender)) == (403, "forbidden")
    admin = bearer((await new_key(lanes, "admin"))["key"])
    assert code_of(await api.get(BALANCE, headers=admin)) == (403, "forbidden")


async def test_a_key_with_the_scope_moves_money(api: Api, lanes: Lanes) -> None:
    headers = bearer((await new_key(lanes, "issue"))["key"])
    body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold"}
    assert (await api.post(TOP_UP, body, headers=headers)).status_code == 201


async def test_users_and_wallets_are_not_made_with_a_bound_key(api: Api, lanes: Lanes) -> None:
    bound = bearer((await new_key(lanes, "spend", wallet_ids=[MIKASA_WALLET]))["key"])
    assert code_of(await api.post("/users", {"name": "Armin"}, headers=bound)) == (403, "forbidden")
    free = bearer((await new_key(lanes, "spend"))["key"])
    assert (await api.post("/users", {"name": "Armin"}, headers=free)).status_code == 201


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors", "/"])
async def test_what_is_open_asks_for_no_key_and_looks_at_none(api: Api, path: str) -> None:
    for headers in ({}, bearer(UNKNOWN)):
        assert (await api.get(path, headers=headers)).status_code in (200, 302)


async def test_without_a_key_nobody_learns_what_there_is(api: Api) -> None:
    for method, path in (("GET", "/nowhere"), ("PUT", BALANCE), ("GET", "/docs/../users"), ("GET", "/healthz/x")):
        answer = await api.send(method, path)
        assert answer.status_code in (401, 404)
        assert answer.status_code == 401 or path.startswith("/docs/")


async def test_in_development_mode_a_key_is_checked_where_there_is_one(lanes: Lanes) -> None:
    for each in lanes.values():
        assert (await each.get(BALANCE)).status_code == 200
        assert code_of(await each.get(BALANCE, headers=bearer(UNKNOWN))) == (401, "unauthenticated")
        reader = bearer((await new_key(lanes, "read"))["key"])
        assert code_of(await each.post(TOP_UP, {}, headers=reader)) == (403, "forbidden")


async def test_an_import_that_is_under_way_ends_when_its_key_is_revoked(guarded: Lanes, lanes: Lanes) -> None:
    made, wallet = await new_key(lanes, "admin", "issue"), await lanes["framework"].wallet()

    def line() -> bytes:
        item = {"op": "topup", "wallet_id": wallet, "amount": 1, "asset_code": "GOLD", "reference_id": new_reference()}
        return json.dumps(item).encode() + b"\n"

    async def is_out() -> bool:
        return (await guarded["fast lane"].get(BALANCE, headers=bearer(made["key"]))).status_code == 401

    async def until(is_so: Callable[[], Awaitable[object]]) -> None:
        for _ in range(1000):
            if await is_so():
                return
            await asyncio.sleep(0.02)

    async def body() -> AsyncIterator[bytes]:
        yield line()
        await until(lambda: lanes["framework"].balance(wallet))
        await lanes["framework"].send("DELETE", f"/keys/{made['id']}")
        await until(is_out)
        yield line()

    headers = {**bearer(made["key"]), "content-type": "application/x-ndjson"}
    answer = await guarded["fast lane"].http.post("/import", content=body(), headers=headers)
    first, last = [json.loads(text) for text in answer.text.splitlines()]
    assert (first["index"], first["status"]) == (0, 201)
    assert (last["index"], last["status"], last["reference_id"]) == (1, 401, None)
    assert await lanes["framework"].balance(wallet) == 1


@pytest.mark.parametrize("lane", LANES)
async def test_a_key_that_asks_too_often_is_told_when_to_come_again(
    demo_database_url: str, lanes: Lanes, lane: str
) -> None:
    headers = bearer((await new_key(lanes, requests_per_second=1))["key"])
    async with running_api(demo_database_url, development=False, **LANES[lane]) as api:
        # At once: one after another, a busy machine could take a second for each.
        answers = await asyncio.gather(*(api.get(BALANCE, headers=headers) for _ in range(10)))
        limited = next(answer for answer in answers if answer.status_code != 200)
        assert code_of(limited) == (429, "rate_limited")
        assert int(limited.headers["retry-after"]) == 1


class TestWithoutADatabase:
    async def test_nobody_is_let_in_and_everybody_is_told_to_come_again(self, database_url: str) -> None:
        settings = {"database_wait_seconds": 0, "connect_seconds_max": 1, "development": False}
        name = re.search(r"/([^/?]+)(\?|$)", database_url)[1]  # type: ignore[index]
        async with AsyncExitStack() as stack:
            apis = [
                await stack.enter_async_context(running_api(database_url, **LANES[lane], **settings)) for lane in LANES
            ]
            made = await apis[0].app.service.keys.create(KeyRequest(name="test", scopes=[Scope.READ]))
            for api in apis:
                assert (await api.get("/assets", headers=bearer(made.text))).status_code == 200
            admin = await asyncpg.connect(database_url.replace(name, "postgres"))
            try:
                await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
                for api in apis:
                    for key in (made.text, UNKNOWN):
                        for path in (BALANCE, "/assets"):
                            answer = await api.get(path, headers=bearer(key))
                            assert code_of(answer) == (503, "storage_unavailable")
            finally:
                await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
                await admin.close()


# Routes


@pytest.fixture(scope="module")
def needs_by_route() -> dict[tuple[str, str], Needs]:
    """Of every route there is, by method and path."""
    settings = Settings(database_url="postgresql://")
    service = make_service(settings)
    app, _ = make_routes(service, Movements(service), WalletBalances(service), settings)
    return {
        (method, route.path_format): needs_of(handler)
        for route in app.routes
        for handler in route.route_handlers  # type: ignore[union-attr]
        for method in handler.http_methods
    }


async def test_the_direct_lane_has_routes_that_there_are_and_needs_what_they_need(
    needs_by_route: dict[tuple[str, str], Needs],
) -> None:
    for route in (BALANCE_ROUTE, *MOVEMENTS.values()):
        assert needs_by_route["POST" if route.op else "GET", route.template] == route.needs


async def test_every_route_says_which_scope_it_needs(needs_by_route: dict[tuple[str, str], Needs]) -> None:
    assert len(needs_by_route) > 100


async def test_a_route_is_open_to_all_where_the_edge_asks_for_no_key_and_nowhere_else(
    needs_by_route: dict[tuple[str, str], Needs],
) -> None:
    for (method, path), needed in needs_by_route.items():
        is_open = method == "OPTIONS" or path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
        assert (not needed.scopes) == is_open, (method, path)


async def test_every_read_needs_read_and_whatever_changes_something_needs_more(
    needs_by_route: dict[tuple[str, str], Needs],
) -> None:
    administrative = ("/keys", "/keys/{key_id}", "/admin-acts")
    for (method, path), needed in needs_by_route.items():
        if method == "GET" and needed.scopes:
            assert needed.scopes == ((Scope.ADMIN,) if path in administrative else (Scope.READ,)), path
        elif needed.scopes:
            assert Scope.READ not in needed.scopes, (method, path)
        if method in ("PATCH", "DELETE"):
            assert needed.scopes == (Scope.ADMIN,), (method, path)


async def test_the_fast_lane_needs_what_the_routes_need(needs_by_route: dict[tuple[str, str], Needs]) -> None:
    needed = {hot.op: hot.needs for hot in MOVEMENTS.values()} | {"balance": BALANCE_ROUTE.needs}
    assert needed.keys() == {"topup", "bonus", "spend", "transfer", "hold", "capture", "balance"}
    paths = {"transfer": "/transfers", "hold": "/holds", "capture": "/holds/{hold_id}/capture"}
    for operation, needs in needed.items():
        path = paths.get(operation, f"/wallets/{{wallet_id}}/{operation}")
        assert needs_by_route["GET" if operation == "balance" else "POST", path] == needs


async def test_the_document_names_the_scopes_and_the_problems(
    api: Api, needs_by_route: dict[tuple[str, str], Needs]
) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = needs_by_route[method.upper(), path]
            assert ("security" in operation) == bool(needed.scopes)
            assert ({"401", "403", "429"} <= operation["responses"].keys()) == bool(needed.scopes)
            assert all(f"`{scope.value}`" in operation["description"] for scope in needed.scopes)


# Headers that every answer ends with


@pytest.mark.parametrize("path", [BALANCE, "/users", "/nowhere", "/healthz", "/docs", "/docs/errors", "/metrics"])
async def test_every_answer_has_the_headers_that_browsers_heed(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    may_be_kept = path.startswith("/docs")  # and has to be asked after each time
    assert answer.headers.get_list("cache-control") == ["no-cache" if may_be_kept else "no-store"]


async def test_pages_may_load_what_is_theirs_and_nothing_else(api: Api) -> None:
    for path in ("/docs", "/docs/errors"):
        answer = await api.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        # Only what is inline in them is a style; scripts come from files.
        assert "script-src 'self'" in policy
        assert "<script>" not in answer.text
    assert "content-security-policy" not in (await api.get("/healthz")).headers


async def test_the_body_of_who_is_not_let_in_is_not_waited_for(guarded: Lanes) -> None:
    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    for each in guarded.values():
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": TOP_UP, "raw_path": TOP_UP.encode(), "query_string": b"",
            "headers": [], "http_version": "1.1", "scheme": "http", "client": None, "server": None, "root_path": "",
        }  # fmt: skip
        await each.app(scope, receive, send)
        assert sent[0]["status"] == 401
        assert json.loads(sent[1]["body"])["code"] == "unauthenticated"
