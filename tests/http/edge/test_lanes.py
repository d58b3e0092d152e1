"""The direct lane, the fast lane and the framework's way give the same answer to the byte: status, headers in their
order, body.

Three databases in the same state get the same requests in the same order. Only what is made anew for each may differ:
ids that the service makes, and times.
"""

import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.http.client import (
    EREN_WALLET,
    GOLD_REVENUE,
    GOLD_TREASURY,
    LANES,
    MIKASA_WALLET,
    NOBODY,
    Api,
    Headers,
    running_api,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MADE_ANEW = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
)
OTHER_WALLET = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
All = tuple[Api, Api, Api]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def every(equal_database_urls: Sequence[str]) -> AsyncIterator[All]:
    first, second, third = equal_database_urls
    async with (
        running_api(first, **LANES["direct"]) as direct,
        running_api(second, **LANES["fast lane"]) as fast,
        running_api(third, **LANES["framework"]) as framework,
    ):
        for api in (direct, fast, framework):
            await api.made("/wallets", {"id": OTHER_WALLET, "asset_code": "gold"})
        yield direct, fast, framework


def seen(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The parts of an answer that must be the same."""
    return answer.status_code, answer.headers.raw, _MADE_ANEW.sub(b"?", answer.content)


def movement(reference: str, **fields: Any) -> bytes:
    return json.dumps({"reference_id": reference, "amount": 1, "asset_code": "gold", **fields}).encode()


def transfer(reference: str, **fields: Any) -> bytes:
    return movement(reference, **{"from_wallet_id": MIKASA_WALLET, "to_wallet_id": OTHER_WALLET, **fields})


TOP_UP, SPEND = f"/wallets/{MIKASA_WALLET}/topup", f"/wallets/{MIKASA_WALLET}/spend"
BONUS, BALANCE = f"/wallets/{MIKASA_WALLET}/bonus", f"/wallets/{MIKASA_WALLET}/balance"
OWN, TREASURY = {"wallet_id": MIKASA_WALLET}, {"wallet_id": GOLD_TREASURY}
STRANGE = {"wallet_id": OTHER_WALLET, "expected_version": 0}
KEY = "idempotency-key"

# name: method, path, body, headers
REQUESTS: dict[str, tuple[str, str, bytes | None, Headers]] = {
    "top-up": ("POST", TOP_UP, movement("l1"), {}),
    "bonus": ("POST", f"/wallets/{MIKASA_WALLET}/bonus", movement("l2"), {}),
    "spend": ("POST", SPEND, movement("l3"), {}),
    "transfer": ("POST", "/transfers", transfer("l4"), {}),
    "balance": ("GET", BALANCE, None, {}),
    "balance of a system wallet": ("GET", f"/wallets/{GOLD_TREASURY}/balance", None, {}),
    "metadata": ("POST", TOP_UP, movement("l5", metadata={"b": 1.0, "a": "é"}), {}),
    "metadata that makes a large answer": ("POST", TOP_UP, movement("l6", metadata={"a": "x" * 4000}), {}),
    "large answer to who takes gzip": (
        "POST",
        TOP_UP,
        movement("l7", metadata={"a": "x" * 4000}),
        {"accept-encoding": "gzip"},
    ),
    "amounts as strings": ("POST", f"{TOP_UP}?amounts=string", movement("l8"), {}),
    "balance as strings": ("GET", f"{BALANCE}?amounts=string", None, {}),
    "key": ("POST", TOP_UP, b'{"amount":1,"asset_code":"GOLD"}', {KEY: "l9"}),
    "key that agrees": ("POST", TOP_UP, movement("l10"), {KEY: "l10"}),
    "key that disagrees": ("POST", TOP_UP, movement("l11"), {KEY: "other"}),
    "key in quotes": ("POST", TOP_UP, movement("l12"), {KEY: '"l12"'}),
    "two keys": ("POST", TOP_UP, movement("l13"), [(KEY, "l13"), (KEY, "l14")]),
    "key and unknown parameter": ("POST", f"{TOP_UP}?x=1", movement("l15"), {KEY: '"'}),
    "key on a balance": ("GET", BALANCE, None, {KEY: "k"}),
    "key and unknown parameter on a balance": ("GET", f"{BALANCE}?x=1", None, {KEY: "k"}),
    "unknown parameter": ("POST", f"{TOP_UP}?x=1", movement("l16"), {}),
    "unknown parameter and bad body": ("POST", f"{TOP_UP}?x=1", b"{", {}),
    "unknown parameter on a balance": ("GET", f"{BALANCE}?x=1", None, {}),
    "parameter that is a name in the code": ("POST", f"{TOP_UP}?wallet_id=1&request=2&body=3", movement("l17"), {}),
    "repeated parameter": ("POST", f"{TOP_UP}?amounts=string&amounts=string", movement("l18"), {}),
    "amounts as something else": ("GET", f"{BALANCE}?amounts=number", None, {}),
    "amounts as something else, bad body": ("POST", f"{TOP_UP}?amounts=5", b"{}", {}),
    "odd but empty query": ("GET", f"{BALANCE}?&&", None, {}),
    "no fields": ("POST", TOP_UP, b"{}", {}),
    "no fields in a transfer": ("POST", "/transfers", b"{}", {}),
    "no body": ("POST", TOP_UP, None, {"content-type": "application/json"}),
    "no body and no type": ("POST", TOP_UP, None, {}),
    "not JSON": ("POST", TOP_UP, b"{'amount': 1}", {}),
    "duplicate key": ("POST", TOP_UP, b'{"amount":1,' + movement("l19")[1:], {}),
    "nul": ("POST", TOP_UP, movement("l20", metadata={"a": "\x00"}), {}),
    "every field wrong": ("POST", TOP_UP, movement("", amount=1.0, asset_code="", metadata=[], x=1), {}),
    "amount beyond 63 bits in a string": ("POST", TOP_UP, movement("l21", amount=str(2**63)), {}),
    "metadata too large": ("POST", TOP_UP, movement("l22", metadata={"a": "x" * 4096}), {}),
    "form": ("POST", TOP_UP, b"amount=1", {"content-type": "application/x-www-form-urlencoded"}),
    "form and unknown parameter": ("POST", f"{TOP_UP}?x=1", b"a=1", {"content-type": "text/plain"}),
    "charset": ("POST", TOP_UP, movement("l23"), {"content-type": "application/json; charset=utf-8"}),
    "another charset": ("POST", TOP_UP, movement("l24"), {"content-type": "application/json; charset=latin-1"}),
    "not enough": ("POST", SPEND, movement("l25", amount=10**9), {}),
    "not enough, as strings": ("POST", f"{SPEND}?amounts=string", movement("l26", amount=10**9), {}),
    "no such wallet": ("POST", f"/wallets/{NOBODY}/topup", movement("l27"), {}),
    "no such wallet's balance": ("GET", f"/wallets/{NOBODY}/balance", None, {}),
    "no such asset": ("POST", TOP_UP, movement("l28", asset_code="none"), {}),
    "another asset": ("POST", TOP_UP, movement("l29", asset_code="diamond"), {}),
    "transfer between assets": ("POST", "/transfers", transfer("l30", to_wallet_id=EREN_WALLET), {}),
    "transfer to itself": ("POST", "/transfers", transfer("l31", to_wallet_id=MIKASA_WALLET), {}),
    "transfer to no wallet": ("POST", "/transfers", transfer("l32", to_wallet_id=NOBODY), {}),
    "transfer of revenue": ("POST", "/transfers", transfer("l33", from_wallet_id=GOLD_REVENUE), {}),
    "spend of the treasury": ("POST", f"/wallets/{GOLD_TREASURY}/spend", movement("l34"), {}),
    "top-up of the treasury": ("POST", f"/wallets/{GOLD_TREASURY}/topup", movement("l35"), {}),
    "top-up that opens a lot": ("POST", TOP_UP, movement("o1", lot={"category": "paid", "priority": 3}), {}),
    "spend that draws from it": ("POST", SPEND, movement("o2", amount=2), {}),
    "spend that draws from it, as strings": ("POST", f"{SPEND}?amounts=string", movement("o3"), {}),
    "bonus from a wallet": ("POST", BONUS, movement("o4", funding_wallet_id=OTHER_WALLET), {}),
    "spend to a wallet": ("POST", SPEND, movement("o5", target_wallet_id=OTHER_WALLET), {}),
    "spend up to": ("POST", SPEND, movement("o6", amount=2, amount_mode="up_to", min_amount="1"), {}),
    "transfer up to": ("POST", "/transfers", transfer("o7", amount=2, amount_mode="up_to"), {}),
    "effective earlier": ("POST", TOP_UP, movement("o8", effective_at="2026-01-31T12:00:00+01:00"), {}),
    "effective later": ("POST", TOP_UP, movement("o9", effective_at="9998-01-31T12:00:00Z"), {}),
    "dry run": ("POST", TOP_UP, movement("o10", dry_run=True), {}),
    "dry run that would be refused": ("POST", SPEND, movement("o11", amount=10**12, dry_run=True), {}),
    "dry run of what happened": ("POST", TOP_UP, movement("l1", dry_run=True), {}),
    "condition that is met": ("POST", TOP_UP, movement("o12", conditions=[{**OWN, "min_balance": 1}]), {}),
    "condition that is not": ("POST", TOP_UP, movement("o13", conditions=[{**OWN, "max_balance": 1}]), {}),
    "another version": ("POST", TOP_UP, movement("o14", conditions=[{**OWN, "expected_version": 0}]), {}),
    "condition on a stranger": ("POST", SPEND, movement("o15", conditions=[STRANGE]), {}),
    "condition on the treasury": ("POST", TOP_UP, movement("o16", conditions=[{**STRANGE, **TREASURY}]), {}),
    "conditions of all kinds of wrong": ("POST", TOP_UP, movement("o17", conditions=[5, {}, {**OWN, "x": 1}, OWN]), {}),
    "options that are wrong": ("POST", BONUS, movement("o18", lot={}, dry_run=1, effective_at="x", min_amount=1), {}),
    "defaults that are said": ("POST", SPEND, movement("l3", amount_mode="exact", dry_run=False, conditions=[]), {}),
    "id in upper case": ("GET", BALANCE.upper().replace("WALLETS", "wallets").replace("BALANCE", "balance"), None, {}),
    "id of 36 other characters": ("GET", f"/wallets/{'g' * 36}/balance", None, {}),
    "id of 36 characters, a slash among them": ("GET", f"/wallets/{'a' * 17}%2F{'a' * 18}/balance", None, {}),
    "the same in a movement": ("POST", f"/wallets/{'a' * 17}%2F{'a' * 18}/topup", movement("l36"), {}),
    "id with a nul": ("GET", f"/wallets/{MIKASA_WALLET[:-1]}%00/balance", None, {}),
    "id without hyphens": ("POST", f"/wallets/{MIKASA_WALLET.replace('-', '')}/topup", movement("l37"), {}),
    "bad id and bad body": ("POST", f"/wallets/{'g' * 36}/topup", b"{", {}),
    "slash at the end": ("GET", f"{BALANCE}/", None, {}),
    "slash at the end of a movement": ("POST", f"{TOP_UP}/", movement("l38"), {}),
    "slash at the end of transfers": ("POST", "/transfers/", transfer("l39"), {}),
    "two slashes": ("GET", f"/wallets/{MIKASA_WALLET}//balance", None, {}),
    "case of the path": ("POST", f"/Wallets/{MIKASA_WALLET}/topup", movement("l40"), {}),
    "action that is none": ("POST", f"/wallets/{MIKASA_WALLET}/burn", movement("l41"), {}),
    "get of a movement": ("GET", TOP_UP, None, {}),
    "get of transfers": ("GET", "/transfers", None, {}),
    "post of a balance": ("POST", BALANCE, b"{}", {}),
    "put": ("PUT", TOP_UP, movement("l42"), {}),
    "delete": ("DELETE", BALANCE, None, {}),
    "head of a balance": ("HEAD", BALANCE, None, {}),
    "head of no wallet": ("HEAD", f"/wallets/{NOBODY}/balance", None, {}),
    "head of a movement": ("HEAD", TOP_UP, None, {}),
    "options of a balance": ("OPTIONS", BALANCE, None, {}),
    "options of a movement": ("OPTIONS", TOP_UP, None, {}),
    "body on a balance": ("GET", BALANCE, b"{", {}),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_all_lanes_give_the_same_answer(every: All, name: str) -> None:
    method, path, body, headers = REQUESTS[name]
    given = [("x-request-id", "same"), *(headers.items() if isinstance(headers, dict) else headers)]
    direct, fast, framework = [seen(await api.send(method, path, body, headers=given)) for api in every]
    assert direct == fast == framework


@pytest.mark.parametrize("path", [TOP_UP, "/transfers"])
async def test_all_lanes_replay_in_the_same_way(every: All, path: str) -> None:
    body = movement("r1") if path == TOP_UP else transfer("r2")
    for again in (body, body, body.replace(b'"amount": 1', b'"amount": 2')):
        answers = [await api.send("POST", path, again, headers={"x-request-id": "same"}) for api in every]
        direct, fast, framework = map(seen, answers)
        assert direct == fast == framework


async def test_the_lanes_count_their_requests_under_the_same_routes(every: All) -> None:
    for api in every:
        await api.send("POST", TOP_UP, movement(f"m-{every.index(api)}"))
        await api.send("POST", "/transfers", transfer(f"t-{every.index(api)}"))
        await api.get(BALANCE)
    routes = [set(re.findall(r'wallet_request_seconds_count\{route="([^"]*)"', api.figures())) for api in every]
    hot = {"/wallets/{wallet_id}/topup", "/transfers", "/wallets/{wallet_id}/balance"}
    assert [hot <= each for each in routes] == [True, True, True]
