"""The scopes that admit requests: every route, and what bodies need besides. Both lanes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.http.asked import held, leg, movement, step, transaction, transfer
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, Api, code_of, new_reference
from tests.http.keyed import keyed, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPES: Final = ("read", "spend", "issue", "refund", "refund:force", "admin")
OPEN: Final = frozenset(SCOPES)

MAKES: Final = {"spend", "issue", "admin"}
ROUTES: Final[Mapping[str, Any]] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /assets": {"read"},
    "POST /assets": {"admin"},
    "GET /assets/{asset_id}": {"read"},
    "PATCH /assets/{asset_id}": {"admin"},
    "GET /users": {"read"},
    "POST /users": MAKES,
    "GET /users/{user_id}": {"read"},
    "GET /users/{user_id}/wallets": {"read"},
    "GET /wallets": {"read"},
    "POST /wallets": MAKES,
    "GET /wallets/{wallet_id}": {"read"},
    "PATCH /wallets/{wallet_id}": {"admin"},
    "GET /wallets/{wallet_id}/balance": {"read"},
    "GET /wallets/{wallet_id}/entries": {"read"},
    "GET /wallets/{wallet_id}/holds": {"read"},
    "GET /wallets/{wallet_id}/lots": {"read"},
    "GET /wallets/{wallet_id}/statement": {"read"},
    "POST /wallets/{wallet_id}/topup": {"issue"},
    "POST /wallets/{wallet_id}/bonus": {"issue"},
    "POST /wallets/{wallet_id}/spend": {"spend"},
    "POST /wallets/{wallet_id}/close": {"admin"},
    "POST /wallets/{wallet_id}/reopen": {"admin"},
    "POST /wallets/{wallet_id}/merge-into/{target_wallet_id}": {"admin"},
    "POST /transfers": {"spend"},
    "POST /transactions": {"spend"},
    "GET /transactions": {"read"},
    "GET /transactions/{transaction_id}": {"read"},
    "POST /transactions/{transaction_id}/refund": {"refund", "refund:force"},
    "GET /transactions/{transaction_id}/receipt": {"read"},
    "GET /receipts/key": {"read"},
    "GET /ledger-entries": {"read"},
    "GET /declines": {"read"},
    "POST /holds": {"spend"},
    "GET /holds/{hold_id}": {"read"},
    "POST /holds/{hold_id}/capture": {"spend"},
    "POST /holds/{hold_id}/void": {"spend"},
    "POST /holds/{hold_id}/increase": {"spend"},
    "POST /holds/{hold_id}/extend": {"spend"},
    "POST /claims": {"spend"},
    "POST /claims/redeem": {"spend"},
    "GET /claims/{claim_id}": {"read"},
    "POST /claims/{claim_id}/cancel": {"spend"},
    "POST /batches": {"spend", "issue", "refund", "refund:force"},
    "POST /import": {"admin"},
    "GET /programmes": {"read"},
    "POST /programmes": {"admin"},
    "GET /programmes/{programme_id}": {"read"},
    "POST /programmes/{programme_id}/end": {"admin"},
    "GET /programmes/{programme_id}/wallets": {"read"},
    "GET /programmes/{programme_id}/wallets/{wallet_id}": {"read"},
    "POST /programmes/{programme_id}/wallets/{wallet_id}": {"admin"},
    "DELETE /programmes/{programme_id}/wallets/{wallet_id}": {"admin"},
    "GET /sandbox/clock": {"read"},
    "POST /sandbox/clock": {"admin"},
    "GET /keys": {"admin"},
    "POST /keys": {"admin"},
    "GET /keys/{key_id}": {"admin"},
    "DELETE /keys/{key_id}": {"admin"},
    "GET /admin-acts": {"admin"},
}
"""Each of these scopes alone lets a request be looked at; without any of them it is 403, whatever it says."""

UNBOUND_ONLY: Final = {route for route, scopes in ROUTES.items() if scopes == MAKES}
"""Requests that no bound key may send, although it has the scope."""

_clients: dict[tuple[int, tuple[str, ...]], Api] = {}


async def client_with(api: Api, *scopes: str) -> Api:
    """One for each application and set of scopes."""
    key = (id(api.app), scopes)
    if key not in _clients:
        _clients[key] = await keyed(api, *scopes)
    return _clients[key]


async def asked(client: Api, route: str) -> Any:
    """A request that names nothing there is, with a body that is none."""
    method, _, path = route.partition(" ")
    parts = [str(uuid4()) if part.startswith("{") else part for part in path.split("/")]
    return await client.send(method, "/".join(parts), None if method in ("GET", "DELETE") else b"[]")


async def test_every_route_has_a_row(api: Api) -> None:
    document = await api.json("/openapi.json")
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert described == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_route_lets_in_whoever_has_one_of_its_scopes(api: Api, route: str) -> None:
    for scope in SCOPES:
        answer = await asked(await client_with(api, scope), route)
        assert (answer.status_code != 403) == (scope in ROUTES[route]), (scope, answer.text)
        if answer.status_code == 403:
            detail = answer.json()["detail"]
            assert all(each in detail for each in ROUTES[route])


@pytest.mark.parametrize("route", ROUTES)
async def test_a_bound_key_can_read_and_spend(api: Api, route: str) -> None:
    me = await person(api, balance=1)
    answer = await asked(me.client, route)
    assert (answer.status_code != 403) == bool(ROUTES[route] & {"read", "spend"} and route not in UNBOUND_ONLY)


Content = Callable[[Api], Awaitable[tuple[str, Any]]]


async def _topup(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet()}/topup", movement()


async def _dated_topup(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet()}/topup", movement(effective_at="2020-01-01T00:00:00Z")


async def _conditional_topup(api: Api) -> tuple[str, Any]:
    wallet = await api.wallet()
    return f"/wallets/{wallet}/topup", movement(conditions=[{"wallet_id": wallet, "expected_version": 0}])


async def _bonus(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet()}/bonus", movement()


async def _funded_bonus(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet()}/bonus", movement(funding_wallet_id=await api.wallet(10))


async def _spend(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet(10)}/spend", movement()


async def _dry_spend(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet(10)}/spend", movement(dry_run=True)


async def _dated_spend(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet(10)}/spend", movement(effective_at="2020-01-01T00:00:00Z")


async def _dry_dated_spend(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet(10)}/spend", movement(dry_run=True, effective_at="2020-01-01T00:00:00Z")


async def _conditional_spend(api: Api) -> tuple[str, Any]:
    wallet = await api.wallet(10)
    return f"/wallets/{wallet}/spend", movement(conditions=[{"wallet_id": wallet, "min_balance": 1}])


async def _spend_of_revenue(api: Api) -> tuple[str, Any]:
    await _spend_once(api)
    return f"/wallets/{GOLD_REVENUE}/spend", movement(target_wallet_id=await api.wallet())


async def _transfer(api: Api) -> tuple[str, Any]:
    return "/transfers", transfer(await api.wallet(10), await api.wallet())


async def _transfer_of_treasury(api: Api) -> tuple[str, Any]:
    return "/transfers", transfer(GOLD_TREASURY, await api.wallet())


async def _transaction(api: Api) -> tuple[str, Any]:
    return "/transactions", transaction(leg(await api.wallet(10), "debit", 5), leg(await api.wallet(), "credit", 5))


async def _issuing_transaction(api: Api) -> tuple[str, Any]:
    return "/transactions", transaction(leg(GOLD_TREASURY, "debit", 5), leg(await api.wallet(), "credit", 5))


async def _redeeming_transaction(api: Api) -> tuple[str, Any]:
    return "/transactions", transaction(leg(await api.wallet(10), "debit", 5), leg(GOLD_TREASURY, "credit", 5))


async def _new_assets_transaction(api: Api) -> tuple[str, Any]:
    """Of an asset that no movement has been made in."""
    code = new_reference()[-12:].upper()
    asset = await api.made("/assets", {"code": code})
    wallet = await api.wallet(asset_code=code)
    return "/transactions", transaction(leg(asset["treasury_wallet_id"], "debit", 5), leg(wallet, "credit", 5))


async def _hold(api: Api) -> tuple[str, Any]:
    return "/holds", movement(wallet_id=await api.wallet(10))


async def _void(api: Api) -> tuple[str, Any]:
    return f"/holds/{(await held(api, await api.wallet(10)))['id']}/void", step()


async def _capture(api: Api) -> tuple[str, Any]:
    return f"/holds/{(await held(api, await api.wallet(10)))['id']}/capture", step()


async def _dated_capture(api: Api) -> tuple[str, Any]:
    hold = await held(api, await api.wallet(10))
    return f"/holds/{hold['id']}/capture", step(effective_at="2020-01-01T00:00:00Z")


async def _spend_once(api: Api) -> Any:
    return await api.moved("spend", await api.wallet(10), 5)


async def _refund(api: Api) -> tuple[str, Any]:
    return f"/transactions/{(await _spend_once(api))['id']}/refund", step()


async def _forced_refund(api: Api) -> tuple[str, Any]:
    return f"/transactions/{(await _spend_once(api))['id']}/refund", step(force=True)


async def _dated_refund(api: Api) -> tuple[str, Any]:
    spent = await _spend_once(api)
    return f"/transactions/{spent['id']}/refund", step(effective_at=spent["effective_at"])


async def _merge(api: Api) -> tuple[str, Any]:
    return f"/wallets/{await api.wallet(10)}/merge-into/{await api.wallet()}", step()


async def _dated_merge(api: Api) -> tuple[str, Any]:
    path, body = await _merge(api)
    return path, {**body, "effective_at": "2020-01-01T00:00:00Z"}


CONTENT: Final[Mapping[str, tuple[Content, set[str]]]] = {
    "top-up": (_topup, {"issue"}),
    "top-up in the past": (_dated_topup, {"issue"}),
    "top-up on condition": (_conditional_topup, {"issue", "read"}),
    "bonus": (_bonus, {"issue"}),
    "funded bonus": (_funded_bonus, {"issue"}),
    "spend": (_spend, {"spend"}),
    "dry spend": (_dry_spend, {"spend"}),
    "spend in the past": (_dated_spend, {"spend", "issue"}),
    "dry spend in the past": (_dry_dated_spend, {"spend", "issue"}),
    "spend on condition": (_conditional_spend, {"spend", "read"}),
    "spend of revenue": (_spend_of_revenue, {"spend", "issue"}),
    "transfer": (_transfer, {"spend"}),
    "transfer of the treasury's": (_transfer_of_treasury, {"spend", "issue"}),
    "transaction": (_transaction, {"spend"}),
    "transaction that issues": (_issuing_transaction, {"spend", "issue"}),
    "transaction that redeems": (_redeeming_transaction, {"spend"}),
    "transaction that issues what is new": (_new_assets_transaction, {"spend", "issue"}),
    "hold": (_hold, {"spend"}),
    "void": (_void, {"spend"}),
    "capture": (_capture, {"spend"}),
    "capture in the past": (_dated_capture, {"spend", "issue"}),
    "refund": (_refund, {"refund"}),
    "forced refund": (_forced_refund, {"refund:force"}),
    "refund in the past": (_dated_refund, {"refund", "issue"}),
    "merge": (_merge, {"admin"}),
    "merge in the past": (_dated_merge, {"admin", "issue"}),
}
"""The scopes that a request needs by its contents: all of these, and nothing else does."""

ITEMS: Final = {
    "/topup": ("topup", "wallet_id"), "/bonus": ("bonus", "wallet_id"), "/spend": ("spend", "wallet_id"),
    "/transfers": ("transfer", ""), "/transactions": ("transaction", ""), "/holds": ("hold", ""),
    "/void": ("void", "hold_id"), "/capture": ("capture", "hold_id"), "/refund": ("refund", "transaction_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENT)
async def test_a_request_needs_all_that_it_says(api: Api, name: str) -> None:
    make, needed = CONTENT[name]
    path, body = await make(api)
    for scope in needed:
        client = await client_with(api, *(each for each in SCOPES if each != scope))
        answer = await client.post(path, body)
        assert code_of(answer) == (403, "forbidden"), scope
        assert scope in answer.json()["detail"]
    answer = await (await client_with(api, *(each for each in SCOPES if each in needed))).post(path, body)
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("name", [name for name in CONTENT if "merge" not in name])
async def test_an_item_needs_what_the_request_does(api: Api, name: str) -> None:
    make, needed = CONTENT[name]
    path, body = await make(api)
    # Of an atomic batch, only all of it can be dry.
    batch = {"mode": "atomic", "dry_run": body.pop("dry_run", False)}
    item = as_item(path, body)
    for scope in needed:
        # An item that the others allow.
        good = as_item(f"/holds/{uuid4()}/void" if scope != "spend" else f"/transactions/{uuid4()}/refund", step())
        client = await client_with(api, *(each for each in SCOPES if each != scope))
        answer = await client.post("/batches", {**batch, "items": [good, item]})
        assert code_of(answer) == (403, "forbidden")
        assert answer.json()["detail"].startswith("items[1]: ")
        assert scope in answer.json()["detail"]
        answer = await client.post("/batches", {**batch, "mode": "independent", "items": [item, good]})
        first, second = answer.json()["items"]
        assert (first["status"], first["body"]["code"]) == (403, "forbidden")
        assert second["status"] == 404
    client = await client_with(api, *(each for each in SCOPES if each in needed))
    answer = await client.post("/batches", {**batch, "items": [item]})
    assert answer.status_code in (200, 201), answer.text


def as_item(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same request as an item of a batch."""
    op, target = ITEMS["/" + path.rpartition("/")[2]]
    return {"op": op, **body, **({target: path.split("/")[2]} if target else {})}


async def test_a_line_of_an_import_needs_its_own_scopes(api: Api) -> None:
    wallet = await api.wallet()
    lines = b'{"op":"topup","wallet_id":"%b","reference_id":"%b","amount":5,"asset_code":"GOLD"}\n' % (
        wallet.encode(), new_reference().encode(),
    )  # fmt: skip
    headers = {"content-type": "application/x-ndjson"}
    for scopes, status in ((("admin",), 403), (("issue", "admin"), 201)):
        client = await client_with(api, *scopes)
        answer = await client.http.post("/import", content=lines, headers=headers)
        assert answer.json()["status"] == status


async def test_neither_kind_of_refund_is_the_other(api: Api) -> None:
    (path, body), (forced_path, forced) = await _refund(api), await _forced_refund(api)
    assert code_of(await (await client_with(api, "refund:force")).post(path, body)) == (403, "forbidden")
    assert code_of(await (await client_with(api, "refund")).post(forced_path, forced)) == (403, "forbidden")


async def test_a_wallet_that_is_not_there_needs_no_more_than_one_that_is(api: Api) -> None:
    client = await client_with(api, "spend")
    answer = await client.post("/transfers", transfer(str(uuid4()), await api.wallet()))
    assert code_of(answer) == (404, "wallet_not_found")
