"""Random bytes and random requests: always an answer that the document has, never a fault, and no means no."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.asked import held, movement
from tests.http.client import EREN_WALLET, GOLD_REVENUE, MIKASA, MIKASA_WALLET, NOBODY
from tests.http.conftest import Lanes
from wallet.bootstrap import openapi_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = settings(max_examples=40, deadline=None)
MORE_EXAMPLES = settings(max_examples=250, deadline=None)

GOOD: dict[str, bytes] = {
    "/wallets/{wallet_id}/topup": b'{"reference_id":"f1","amount":7,"asset_code":"gold","metadata":{"a":[{"b":1}]}}',
    "/wallets/{wallet_id}/bonus": json.dumps(
        {"reference_id": "f2", "amount": "7", "asset_code": "GOLD", "effective_at": "2026-01-31T12:00:00Z",
         "lot": {"category": "promotional", "expires_in_seconds": 60, "priority": 3}}
    ).encode(),
    "/wallets/{wallet_id}/spend": json.dumps(
        {"asset_code": "gold", "reference_id": "f3", "amount": 1, "amount_mode": "up_to", "min_amount": 1,
         "conditions": [{"wallet_id": MIKASA_WALLET, "min_balance": 0, "max_balance": "100000"}]}
    ).encode(),
    "/transfers": json.dumps(
        {"reference_id": "f4", "from_wallet_id": MIKASA_WALLET, "to_wallet_id": GOLD_REVENUE, "amount": 1,
         "asset_code": "gold"}
    ).encode(),
    "/transactions": json.dumps(
        {"reference_id": "f5", "type": "t", "legs": [
            {"wallet_id": MIKASA_WALLET, "direction": "debit", "amount": 1},
            {"wallet_id": GOLD_REVENUE, "direction": "credit", "amount": 1},
        ]}
    ).encode(),
    "/holds": json.dumps(
        {"reference_id": "f6", "wallet_id": MIKASA_WALLET, "amount": 1, "asset_code": "gold",
         "target_wallet_id": GOLD_REVENUE, "expires_in_seconds": 60, "on_expiry": "capture"}
    ).encode(),
    "/holds/{hold_id}/capture": b'{"reference_id":"f7","amount":1,"final":false,"amount_mode":"up_to","min_amount":1}',
    "/holds/{hold_id}/void": b'{"reference_id":"f8","dry_run":true}',
    "/holds/{hold_id}/increase": b'{"reference_id":"f9","amount":"1"}',
    "/holds/{hold_id}/extend": b'{"reference_id":"f10","expires_in_seconds":600}',
    "/claims": json.dumps(
        {"reference_id": "f13", "wallet_id": MIKASA_WALLET, "amount": "1", "asset_code": "gold", "uses": 2,
         "once_per_user": True, "expires_in_seconds": 60, "metadata": {}}
    ).encode(),
    "/claims/redeem": json.dumps(
        {"reference_id": "f14", "wallet_id": MIKASA_WALLET, "code": "00000-00000-00000-00000-00000", "dry_run": False}
    ).encode(),
    "/claims/{claim_id}/cancel": b'{"reference_id":"f15","dry_run":true}',
    "/transactions/{transaction_id}/refund": b'{"reference_id":"f11","amount":1,"force":false}',
    "/wallets/{wallet_id}/merge-into/{target_wallet_id}": b'{"reference_id":"f12","dry_run":true}',
    "/wallets/{wallet_id}/close": b'{"expected_version":1}',
    "/users": b'{"name":"Armin","id":"' + b"d" * 8 + b"-dddd-dddd-dddd-" + b"d" * 12 + b'"}',
    "/wallets": json.dumps({"label": "l", "user_id": MIKASA, "asset_type_id": 1, "asset_code": "gold"}).encode(),
    "/assets": b'{"code":"FUZZ","scale":2,"max_supply":"100"}',
}  # fmt: skip

FRAGMENTS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"0", b"-", b".", b"e9", b"\x00", b"\\u0000", b"\\ud800", b"\xff",
    b"\n", b" ", b"null", b"true", b'"a":1,', b'{"a":', b"1e400", b"9" * 30, b"\xc3\xa9", b"\xf0\x9f\x98\x80", b'""',
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """The body with a few bytes cut out, put in, or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        end = draw(st.integers(at, min(len(body), at + 12)))
        put = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=3) | st.just(body[at:end] * 2))
        body = body[:at] + put + body[end:]
    return body


async def money(ledger: asyncpg.Connection) -> Mapping[str, Any]:
    """All balances and the number of transactions."""
    return dict(
        await ledger.fetchrow(
            "SELECT (SELECT count(*) FROM transactions) AS transactions,"
            " (SELECT sum(amount) FROM system_deltas) AS deltas,"
            " (SELECT md5(string_agg(id::text || balance || ' ' || version, ',' ORDER BY id)) FROM wallets"
            "   WHERE balance <> 0 OR version <> 0) AS wallets"
        )
    )


@pytest.fixture(scope="module")
def documented_statuses() -> dict[str, set[int]]:
    """Statuses of each POST route that the document has."""
    paths = json.loads(openapi_bytes())["paths"]
    return {
        path: {int(status) for status in operations["post"]["responses"]}
        for path, operations in paths.items()
        if "post" in operations
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named(lanes: Lanes) -> dict[str, str]:
    """The ids in the paths of routes, by parameter: all of it is there."""
    api = lanes["framework"]
    spent = await api.moved("spend", MIKASA_WALLET, 100)
    hold = await held(api, await api.wallet(1000), 100)
    claim = await api.made("/claims", movement(1, wallet_id=await api.wallet(1000)))
    return {
        "wallet_id": MIKASA_WALLET,
        "target_wallet_id": await api.wallet(),
        "hold_id": hold["id"],
        "claim_id": claim["id"],
        "transaction_id": spent["id"],
    }


@pytest.mark.parametrize("route", GOOD)
@EXAMPLES
@given(data=st.data())
async def test_a_mutated_body_gets_an_answer_that_the_document_has_and_no_means_no(
    lanes: Lanes,
    ledger: asyncpg.Connection,
    documented_statuses: dict[str, set[int]],
    named: dict[str, str],
    route: str,
    data: st.DataObject,
) -> None:
    body = data.draw(mutated(GOOD[route]))
    for api in lanes.values():
        before = await money(ledger)
        answer = await api.send("POST", route.format_map(named), body)
        assert answer.status_code in documented_statuses[route] - {503}
        if answer.status_code != 201:
            assert await money(ledger) == before


SEGMENTS = [
    "wallets", "users", "assets", "transactions", "transfers", "ledger-entries", "declines", "balance", "entries",
    "topup", "spend", "holds", "capture", "void", "refund", "close", "merge-into", "claims", "redeem", "cancel",
    "docs", "assets", "openapi.json", "healthz", "", ".", "..", "%00", "%2F", "%FF", MIKASA_WALLET,
    NOBODY, EREN_WALLET.upper(), "1", "-1", "x",
]  # fmt: skip
PARAMETERS = ["limit", "offset", "cursor", "reference_id", "amounts", "x", "", "request"]
PARAMETER_VALUES = ["1", "0", "201", "-1", "string", "", "x", "10001", "%00", "%FF", "\U0001f600", "a" * 300]
CONTENT_TYPES = ["application/json", "text/plain", "application/json; charset=utf-8", ""]

paths = st.lists(st.sampled_from(SEGMENTS), max_size=5).map(lambda each: "/" + "/".join(each))
queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(PARAMETER_VALUES) | st.text(max_size=3)), max_size=3
).map(
    lambda each: "&".join(f"{quote(name)}={quote(value.encode('utf-8', 'replace'), safe='%')}" for name, value in each)
)
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=8)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(CONTENT_TYPES),
        "idempotency-key": header_values,
        "x-request-id": header_values,
        "accept": header_values,
        "accept-encoding": st.sampled_from(["gzip", "identity", "br", "*", ""]),
        "origin": header_values,
        "range": st.just("bytes=0-1"),
        "if-none-match": st.just("*"),
    },
)
methods = st.sampled_from(["GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
request_bodies = st.none() | st.sampled_from(list(GOOD.values())).flatmap(mutated) | st.binary(max_size=10)

# 401: from a page of another site. See test_development.
STATUSES = {200, 201, 204, 302, 304, 400, 401, 404, 405, 409, 415, 422}


@MORE_EXAMPLES
@given(method=methods, path=paths, query=queries, headers=headers, body=request_bodies)
async def test_any_request_gets_an_answer_and_no_means_no(
    lanes: Lanes,
    ledger: asyncpg.Connection,
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    url = f"http://localhost{path}?{query}" if query else f"http://localhost{path}"
    encoded = [(name, value.encode("latin-1")) for name, value in headers.items()]
    # The client of the direct lane refuses most of these; server/test_framing_fuzz sends such bytes.
    for api in (lanes["fast lane"], lanes["framework"]):
        before = await money(ledger)
        answer = await api.http.request(method, url, content=body, headers=encoded)
        assert answer.status_code in STATUSES
        if answer.status_code != 201:
            assert await money(ledger) == before
