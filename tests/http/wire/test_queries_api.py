"""Queries are read as they were written, or refused: on every route, in both lanes, in names and in values."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Request

from tests.http.client import MIKASA_WALLET, Api, code_of, fields_of
from wallet.http.bulk.imports import NDJSON
from wallet.http.wire.query import parameters

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT: Any = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text("utf-8"))
QUERIES = sorted(
    (method, path, each["name"].replace("<key>", "k"))
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    for each in [*operation["parameters"], {"in": "query", "name": "amounts"}, {"in": "query", "name": "x"}]
    if each.get("in") == "query"
)

NOT_UTF8 = [
    "%FF",
    "a%FFb",
    "%C3",  # cut short
    "%A9",  # goes on with nothing
    "%C0%AF",  # overlong
    "%E0%80%AF",
    "%F0%80%80%AF",
    "%ED%A0%80",  # a surrogate
    "%ED%A0%BD%ED%B8%80",  # a pair of them
    "%F4%90%80%80",  # beyond all characters
    "%FE%FF",
]
NOT_ESCAPED = ["%", "a%", "%4", "%zz", "%4z", "%%41", "% 41", "%+1", "100%", "%u0041", "%-1"]
NOT_ASCII = ["\xff", "\xc3\xa9", "a\xe9"]
WRONG = [*NOT_UTF8, *NOT_ESCAPED, *NOT_ASCII]


async def ask(api: Api, method: str, path: str, query: str) -> Any:
    """An answer to this query, byte for byte as it is: the client would encode what is not."""
    scope = {
        "type": "http", "method": method.upper(), "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode("latin-1"), "scheme": "http", "http_version": "1.1", "client": None,
        "server": None, "extensions": {}, "headers": [(b"content-type", NDJSON), (b"host", b"localhost")],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await api.app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(("method", "path", "name"), QUERIES)
async def test_a_value_that_cannot_be_read_is_named(api: Api, method: str, path: str, name: str) -> None:
    path = "/".join(MIKASA_WALLET if each.startswith("{") else each for each in path.split("/"))
    for wrong in WRONG:
        status, body = await ask(api, method, path, f"{name}={wrong}")
        assert (status, body["code"]) == (400, "invalid_request"), wrong
        assert [each["field"] for each in body["errors"]] == [name], wrong


@pytest.mark.parametrize("path", ["/users", "/wallets", "/transactions", f"/wallets/{MIKASA_WALLET}/balance"])
@pytest.mark.parametrize("name", ["{}", "metadata.{}", "{}name"])
async def test_a_name_that_cannot_be_read_is_refused(api: Api, path: str, name: str) -> None:
    for wrong in WRONG:
        status, body = await ask(api, "GET", path, f"{name.format(wrong)}=1")
        assert (status, body["code"]) == (400, "invalid_request"), wrong
        assert [each["field"] for each in body["errors"]] == [""], wrong


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/users?name=%00", "name"),
        ("/wallets?label=a%00", "label"),
        ("/transactions?type=%00", "type"),
        ("/transactions?reference_id=%00", "reference_id"),
        ("/transactions?reference_prefix=%00", "reference_prefix"),
        ("/declines?reference_id=%00", "reference_id"),
        ("/transactions?metadata.%00=1", "metadata.\x00"),
        ("/users?metadata.k=%00", "metadata.k"),
        ("/users?cursor=%00", "cursor"),
        ("/users?cursor=%C3%A9", "cursor"),
        ("/users?limit=%D9%A1", "limit"),
    ],
)
async def test_what_no_row_can_hold_is_named(api: Api, path: str, field: str) -> None:
    answer = await api.get(path)
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [field])


async def test_a_plus_is_a_blank_and_everything_else_is_itself(api: Api) -> None:
    own = str(uuid4())
    names = [f"{own}{each}" for each in ("a b", "a+b", "a%b", "a%20b", "a&b=c;d#e", "é", "\U0001f600", "�", "e\u0301")]
    for name in names:
        await api.made("/users", {"name": name, "metadata": {name: name}})
    for name in names:
        for written in (quote(name, safe=""), quote_plus(name)):
            for query in (f"name={written}", f"metadata.{written}={written}"):
                found = (await api.json(f"/users?{query}"))["data"]
                assert [each["name"] for each in found] == [name], query


async def test_a_plus_in_a_path_is_a_plus(api: Api) -> None:
    answer = await api.get(f"/wallets/+{MIKASA_WALLET[1:]}/balance")
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["wallet_id"])


plain = st.sampled_from(["a", "=", "&", "+", ";", "?", "#", "/", "[]", "'"])
escaped = st.sampled_from(["%41", "%C3%A9", "%20", "%26", "%3D", "%2B", "%25", "%00", "%F0%9F%98%80"])


@settings(max_examples=500, deadline=None)
@given(st.lists(plain | escaped, max_size=10).map("".join))
async def test_the_framework_reads_a_query_as_we_do(query: str) -> None:
    scope: Any = {"type": "http", "query_string": query.encode(), "headers": []}
    framework = list(Request(scope).query_params.multi_items())
    names = {name for name, _ in framework}
    if len(names) == len(framework):
        assert parameters(query.encode(), known=names) == dict(framework)
