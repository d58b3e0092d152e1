"""Random requests where test_fuzz does not look: changes, batches, imports in any pieces, and who asks."""

import json
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.client import MIKASA, MIKASA_WALLET, NOBODY, Api, running_api
from tests.http.conftest import Lanes
from tests.http.test_fuzz import GOOD, money, mutated
from wallet.bootstrap import openapi_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = settings(max_examples=40, deadline=None)
NDJSON = {"content-type": "application/x-ndjson"}

ITEMS = [
    {"op": "topup", "wallet_id": MIKASA_WALLET, "reference_id": "b1", "amount": 1, "asset_code": "gold"},
    {"op": "spend", "wallet_id": MIKASA_WALLET, "reference_id": "b2", "amount": "1", "asset_code": "gold"},
    {"op": "hold", "wallet_id": MIKASA_WALLET, "reference_id": "b3", "amount": 1, "asset_code": "gold"},
    {"op": "void", "hold_id": NOBODY, "reference_id": "b4"},
    {"op": "refund", "transaction_id": NOBODY, "reference_id": "b5", "amount": 1},
]
MORE_GOOD: dict[tuple[str, str], bytes] = {
    ("PATCH", f"/wallets/{MIKASA_WALLET}"): json.dumps(
        {"label": "l", "metadata": {"a": 1}, "max_balance": "9000000", "spending_limits": [{"per": "day", "amount": 9}]}
    ).encode(),
    ("PATCH", "/assets/1"): b'{"draw_order":"main_first","on_refund_to_expired":"to_main","grace_seconds":60}',
    ("POST", f"/wallets/{MIKASA_WALLET}/reopen"): b'{"expected_version":9}',
    ("POST", "/programmes"): json.dumps(
        {"asset_code": "gold", "amount": 5, "per": "month", "rollover_max": "9", "ends_at": "2027-01-31T12:00:00Z"}
    ).encode(),
    ("POST", "/keys"): json.dumps(
        {"name": "k", "scopes": ["read", "spend"], "user_id": MIKASA, "expires_in_days": 1, "requests_per_second": 5}
    ).encode(),
    ("POST", "/sandbox/clock"): b'{"advance_seconds":60}',
    ("POST", "/batches"): json.dumps({"mode": "independent", "items": ITEMS, "dry_run": True}).encode(),
}
TEMPLATES = {MIKASA_WALLET: "{wallet_id}", "/assets/1": "/assets/{asset_id}"}


@pytest.fixture(scope="module")
def documented() -> Mapping[tuple[str, str], set[int]]:
    """Statuses of each operation that the document has."""
    paths = json.loads(openapi_bytes())["paths"]
    return {
        (method.upper(), path): {int(status) for status in operation["responses"]}
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(demo_database_url: str, lanes: Lanes) -> AsyncIterator[Api]:
    """The application where whoever brings no key is not let in."""
    await lanes["framework"].made("/keys", {"name": "somebody", "scopes": ["read"]})
    async with running_api(demo_database_url, development=False) as api:
        yield api


@pytest.mark.parametrize(("method", "path"), MORE_GOOD)
@EXAMPLES
@given(data=st.data())
async def test_a_mutated_body_of_another_kind_gets_an_answer_that_the_document_has(
    lanes: Lanes,
    ledger: asyncpg.Connection,
    documented: Mapping[tuple[str, str], set[int]],
    method: str,
    path: str,
    data: st.DataObject,
) -> None:
    template = path
    for part, parameter in TEMPLATES.items():
        template = template.replace(part, parameter)
    before = await money(ledger)
    answer = await lanes["framework"].send(method, path, data.draw(mutated(MORE_GOOD[method, path])))
    assert answer.status_code in documented[method, template] - {503}
    if answer.status_code >= 400:
        assert await money(ledger) == before


LINES = [json.dumps(item).encode() for item in ITEMS] + [b"", b"{", b"null", b"[1]", b"\xff", GOOD["/transfers"]]
lines = st.lists(st.sampled_from(LINES) | st.sampled_from(LINES).flatmap(mutated), max_size=6)


@EXAMPLES
@given(lines=lines, cuts=st.lists(st.integers(0, 600), max_size=12), ending=st.sampled_from([b"", b"\n", b"\r\n"]))
async def test_an_import_in_any_pieces_is_answered_line_by_line(
    lanes: Lanes, lines: list[bytes], cuts: list[int], ending: bytes
) -> None:
    body = b"\n".join(lines) + ending
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})

    async def pieces() -> AsyncIterator[bytes]:
        for start, end in pairwise(places):
            yield body[start:end]

    answer = await lanes["framework"].http.post("/import", content=pieces(), headers=NDJSON)
    assert answer.status_code == 200
    answered: list[Any] = [json.loads(line) for line in answer.text.splitlines()]
    # A mutated line may be two.
    assert [each["index"] for each in answered] == [at for at, line in enumerate(body.split(b"\n")) if line.strip()]
    assert {each["status"] for each in answered} <= {200, 201, 400, 404, 409, 422}


schemes = st.sampled_from(["Bearer ", "bearer ", "Basic ", "Bearer", "", "Bearer  "])
secrets = st.sampled_from(["wlt_", "wlt_aaaaaaaaaaaa_" + "A" * 43]) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=80
)


@EXAMPLES
@given(scheme=schemes, secret=secrets, times=st.integers(1, 2), path=st.sampled_from(["/wallets", "/assets", "/x"]))
async def test_whatever_is_said_to_be_a_key_lets_nobody_in(
    guarded: Api, scheme: str, secret: str, times: int, path: str
) -> None:
    given_headers = [("authorization", scheme + secret)] * times
    answer = await guarded.send("GET", path, headers=given_headers)
    assert answer.status_code == 401
