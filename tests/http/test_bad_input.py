"""Malformed requests of every kind: the status and code that the API promises, and not a row changed in the
database.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.http.client import (
    EREN_WALLET,
    MIKASA,
    MIKASA_WALLET,
    NOBODY,
    Api,
    code_of,
    fields_of,
    new_reference,
)
from wallet.http.wire.decoding import ERRORS_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

MALFORMED = (400, "invalid_request")
WALLET = f"/wallets/{MIKASA_WALLET}"
TOP_UP, SPEND, BONUS = (f"{WALLET}/{action}" for action in ("topup", "spend", "bonus"))
CAPTURE, INCREASE, EXTEND = (f"/holds/{NOBODY}/{action}" for action in ("capture", "increase", "extend"))
REFUND = f"/transactions/{NOBODY}/refund"

_ROWS = """
SELECT (SELECT count(*) FROM transactions) AS transactions,
       (SELECT count(*) FROM ledger_entries) AS entries,
       (SELECT count(*) FROM batches) AS batches,
       (SELECT sum(amount) FROM system_deltas) AS deltas,
       (SELECT count(*) FROM declines) AS declines,
       (SELECT md5(string_agg(w::text, '' ORDER BY w.id)) FROM wallets AS w) AS wallets,
       (SELECT count(*) FROM users) AS users,
       (SELECT md5(string_agg(a::text, '' ORDER BY a.id)) FROM assets AS a) AS assets
"""


async def rows(ledger: asyncpg.Connection) -> dict[str, Any]:
    """The state that must be the same after a refused request. A refusal by the ledger may leave a decline."""
    return dict(await ledger.fetchrow(_ROWS))


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_changes(ledger: asyncpg.Connection, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Compares the database before and after each test."""
    before = await rows(ledger)
    yield
    after = await rows(ledger)
    if "declined" in request.fixturenames:
        after["declines"] = before["declines"]
    assert after == before


@pytest.fixture
def declined() -> None:
    """Marks a test whose request reaches the ledger, which keeps a note of its refusal."""


def leg(direction: str, wallet_id: str = MIKASA_WALLET, **fields: Any) -> dict[str, Any]:
    return {"wallet_id": wallet_id, "direction": direction, "amount": 1, **fields}


# A good body of each route that takes one. The movements would be refused or accepted by the ledger, if they got there.
BODIES: dict[str, dict[str, Any]] = {
    TOP_UP: {"reference_id": "b", "amount": 1, "asset_code": "gold"},
    f"/wallets/{MIKASA_WALLET}/bonus": {"reference_id": "b", "amount": 1, "asset_code": "gold"},
    f"/wallets/{MIKASA_WALLET}/spend": {"reference_id": "b", "amount": 1, "asset_code": "gold"},
    "/transfers": {
        "reference_id": "b",
        "from_wallet_id": MIKASA_WALLET,
        "to_wallet_id": EREN_WALLET,
        "amount": 1,
        "asset_code": "gold",
    },
    "/transactions": {"reference_id": "b", "type": "t", "legs": [leg("debit"), leg("credit", EREN_WALLET)]},
    "/holds": {"reference_id": "b", "wallet_id": MIKASA_WALLET, "amount": 1, "asset_code": "gold"},
    CAPTURE: {"reference_id": "b", "amount": 1, "final": True},
    f"/holds/{NOBODY}/void": {"reference_id": "b"},
    INCREASE: {"reference_id": "b", "amount": 1},
    EXTEND: {"reference_id": "b", "expires_in_seconds": 1},
    REFUND: {"reference_id": "b", "amount": 1, "force": False},
    f"/wallets/{NOBODY}/merge-into/{MIKASA_WALLET}": {"reference_id": "b"},
    "/users": {"name": "Armin"},
    "/wallets": {"label": "l", "user_id": MIKASA, "asset_code": "gold", "asset_type_id": 1},
    "/assets": {"code": "SILVER", "scale": 0},
    WALLET: {"label": "l", "max_balance": 5, "expected_version": 10**6},
}
MOVEMENTS = [path for path in BODIES if path not in ("/users", "/wallets", "/assets", WALLET)]
# Of which nothing is required but a reference, so that there need not be any body at all.
OPTIONAL_BODIES = (CAPTURE, f"/holds/{NOBODY}/void", REFUND, f"/wallets/{NOBODY}/merge-into/{MIKASA_WALLET}")
ROUTES = pytest.mark.parametrize("path", BODIES, ids=lambda path: path.rpartition("/")[2])


def method_of(path: str) -> str:
    return "PATCH" if path == WALLET else "POST"


DEEP = 100_000
LONG_NUMBER = b"9" * 5_000

# name: a body that no route takes
NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "white space": b" \n",
    "cut short": b'{"amount": 1',
    "cut in a string": b'{"amount": "1',
    "cut in an escape": b'{"a": "\\u00',
    "single quotes": b"{'amount': 1}",
    "comma at the end": b'{"amount": 1,}',
    "comment": b'/* */ {"amount": 1}',
    "something after": b'{"amount": 1} x',
    "two objects": b'{"amount": 1}{"amount": 1}',
    "leading zero": b'{"amount": 01}',
    "plus sign": b'{"amount": +1}',
    "NaN": b'{"amount": NaN}',
    "Infinity": b'{"amount": -Infinity}',
    "number of 5000 digits": b'{"amount": ' + LONG_NUMBER + b"}",
    "negative number of 5000 digits": b'{"amount": -' + LONG_NUMBER + b"}",
    "byte order mark": b'\xef\xbb\xbf{"amount": 1}',
    "UTF-16": '{"amount": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"amount": 1}'.encode("utf-16-le"),
    "UTF-32": '{"amount": 1}'.encode("utf-32"),
    "latin-1": '{"name": "Zoë"}'.encode("latin-1"),
    "raw surrogate": b'{"name": "\xed\xa0\x80"}',
    "overlong encoding": b'{"name": "\xc0\xaf"}',
    "raw nul": b'{"name": "\x00"}',
    "raw line feed": b'{"name": "\n"}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "lone low surrogate": b'{"name": "\\udc00x"}',
    "surrogates the wrong way round": b'{"name": "\\udc00\\ud800"}',
    "lone surrogate as a key": b'{"\\ud800": 1}',
    "a hundred thousand arrays": b"[" * DEEP,
    "a hundred thousand arrays, closed": b"[" * DEEP + b"]" * DEEP,
    "a hundred thousand objects": b'{"a":' * DEEP,
    "deep in a field": b'{"metadata":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "not text at all": bytes(range(256)),
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}
NO_OBJECT: dict[str, bytes] = {
    "array": b"[]",
    "array of an object": b'[{"amount": 1}]',
    "string": b'"amount"',
    "number": b"1",
    "true": b"true",
    "null": b"null",
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_what_is_no_json_is_malformed(api: Api, name: str) -> None:
    for path in BODIES:
        answer = await api.send(method_of(path), path, NO_JSON[name])
        wrong = "reference_id" if not NO_JSON[name] and path in OPTIONAL_BODIES else ""
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, [wrong]), path


@pytest.mark.parametrize("name", NO_OBJECT)
async def test_what_is_no_object_is_malformed(api: Api, name: str) -> None:
    for path in BODIES:
        answer = await api.send(method_of(path), path, NO_OBJECT[name])
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, [""]), path


@ROUTES
async def test_a_number_beyond_all_doubles_is_wrong_where_it_is(api: Api, path: str) -> None:
    answer = await api.send(method_of(path), path, b'{"x": 1e400}')
    assert code_of(answer) == MALFORMED
    assert fields_of(answer)[-1] == "x"


@ROUTES
async def test_a_key_twice_is_malformed(api: Api, path: str) -> None:
    good = json.dumps(BODIES[path])
    for name, value in BODIES[path].items():
        doubled = "{" + f"{json.dumps(name)}: {json.dumps(value)}, " + good[1:]
        assert code_of(await api.send(method_of(path), path, doubled.encode())) == MALFORMED, name


@ROUTES
async def test_a_key_twice_in_different_spellings_is_malformed(api: Api, path: str) -> None:
    good = json.dumps(BODIES[path])
    for name, value in BODIES[path].items():
        spelled = f"\\u{ord(name[0]):04x}{name[1:]}"
        doubled = "{" + f'"{spelled}": {json.dumps(value)}, ' + good[1:]
        assert code_of(await api.send(method_of(path), path, doubled.encode())) == MALFORMED, name


@ROUTES
async def test_all_unknown_and_missing_fields_are_listed_at_once(api: Api, path: str) -> None:
    answer = await api.send(method_of(path), path, b'{"x": 1, "Amount": 2, "": 3}')
    required = {
        "/holds": ["wallet_id", "amount", "asset_code", "reference_id"],
        **{each: ["reference_id"] for each in MOVEMENTS if NOBODY in each},
        INCREASE: ["reference_id", "amount"],
        EXTEND: ["reference_id", "expires_in_seconds"],
        WALLET: [],
        "/transfers": ["from_wallet_id", "to_wallet_id", "amount", "asset_code", "reference_id"],
        "/transactions": ["type", "legs", "reference_id"],
        "/users": ["name"],
        "/wallets": [],
        "/assets": ["code"],
    }
    expected = [*required.get(path, ["amount", "asset_code", "reference_id"]), "x", "Amount", ""]
    assert (code_of(answer), fields_of(answer)) == (MALFORMED, expected)


@ROUTES
async def test_a_flood_of_wrong_fields_is_answered_with_some_of_them(api: Api, path: str) -> None:
    flood = json.dumps({f"{number}{'x' * 1000}": 1 for number in range(1_000)}).encode()
    answer = await api.send(method_of(path), path, flood)
    assert (code_of(answer), len(fields_of(answer))) == (MALFORMED, ERRORS_MAX)
    assert len(answer.content) < 100_000


BAD_AMOUNTS = [
    0, -1, -(2**63), 2**63, 2**64, 1.0, 1.5, -0.0, 1e3, 1e300, True, False, None, [], [1], {}, "", "0", "-1", "+1",
    "01", "1.0", "1e3", " 1", "1 ", "1\n", "0x1", "1_0", "١", "１", "one", "9" * 20, str(2**63),
]  # fmt: skip
BAD_IDS = [
    "", None, 5, True, [], {}, "x", "g" * 36, MIKASA_WALLET[:-1], MIKASA_WALLET + "a", MIKASA_WALLET + "\n",
    " " + MIKASA_WALLET, MIKASA_WALLET.replace("-", ""), "{" + MIKASA_WALLET + "}", "urn:uuid:" + MIKASA_WALLET,
    MIKASA_WALLET.replace("a", "ａ"), MIKASA_WALLET.replace("-", "_"), "a" * 300,
]  # fmt: skip
BAD_TEXTS = ["", 5, 1.5, True, [], {}, "x" * 256, "x" * 300, "é" * 256, "\x00", "\n", "a\tb", "\x1f", "\x7f", "\x85"]
BAD_CODES = ["", None, 1, True, [], {}, "a b", " gold", "gold ", "gold\n", "g-d", "gôld", "x" * 17, "\x00", "ǅ"]

# field: values that are wrong there on every movement that has it
BAD_VALUES: dict[str, list[Any]] = {
    "amount": BAD_AMOUNTS,
    "asset_code": BAD_CODES,
    "reference_id": [*BAD_TEXTS, None],
    "from_wallet_id": BAD_IDS,
    "to_wallet_id": BAD_IDS,
    "type": [*BAD_TEXTS, None, "x" * 65],
    "legs": [None, 5, "", {}, [], [leg("debit")], [leg("debit")] * 101, [None, None], [[], []], leg("debit")],
    "metadata": [5, "", [], True, "{}"],
}
BAD_FIELDS = [
    (path, field)
    for path in (TOP_UP, "/transfers", "/transactions", "/holds", INCREASE, f"/holds/{NOBODY}/void")
    for field in BAD_VALUES
    if field in BODIES[path] or field == "metadata"
]
BAD_FLAGS = [0, 1, "true", "", [], {}]
BAD_SECONDS = [0, -1, 400 * 24 * 3600 + 1, 2**63, 2**64, 1.0, True, "5", "", [], {}]
BAD_CONDITIONS = [5, "", True, {}, [None], [5], [[]], ["x"], [{}]]

# Fields that may be left out, or be null if None is not among the values: null is another word for nothing.
BAD_OPTIONS: list[tuple[str, str, list[Any]]] = [
    *((path, "dry_run", BAD_FLAGS) for path in MOVEMENTS),
    *((path, "conditions", BAD_CONDITIONS) for path in MOVEMENTS),
    (CAPTURE, "final", BAD_FLAGS),
    (REFUND, "force", BAD_FLAGS),
    *((path, "amount", [each for each in BAD_AMOUNTS if each is not None]) for path in (CAPTURE, REFUND)),
    *(
        (path, field, [each for each in BAD_IDS if each is not None])
        for path, field in ((SPEND, "target_wallet_id"), (BONUS, "funding_wallet_id"), ("/holds", "target_wallet_id"))
    ),
    ("/holds", "expires_in_seconds", BAD_SECONDS),
    (EXTEND, "expires_in_seconds", [*BAD_SECONDS, None]),
    ("/holds", "on_expiry", ["", "Capture", "void", 5, True, [], {}]),
    *((path, "amount_mode", ["", "UP_TO", "all", 5, True, [], {}]) for path in (SPEND, "/transfers", CAPTURE)),
    *((path, "lot", [5, "", True, [], {}, {"category": 5}]) for path in (TOP_UP, BONUS)),
]


@pytest.mark.parametrize(("path", "field"), BAD_FIELDS)
async def test_a_field_of_a_movement_that_is_wrong_is_named(api: Api, path: str, field: str) -> None:
    for value in BAD_VALUES[field]:
        answer = await api.post(path, {**BODIES[path], field: value})
        assert code_of(answer) == MALFORMED, value
        assert fields_of(answer)[0].partition("[")[0] == field, value


@pytest.mark.parametrize(("path", "field", "values"), BAD_OPTIONS)
async def test_what_may_be_left_out_is_named_if_it_is_wrong(api: Api, path: str, field: str, values: list[Any]) -> None:
    for value in values:
        answer = await api.post(path, {**BODIES[path], field: value})
        assert code_of(answer) == MALFORMED, value
        (named,) = fields_of(answer)
        assert named.partition("[")[0].partition(".")[0] == field, value


@pytest.mark.parametrize("path", MOVEMENTS, ids=lambda path: path.rpartition("/")[2])
async def test_a_condition_is_bound_in_number_and_looked_at_closely(api: Api, path: str) -> None:
    condition = {"wallet_id": MIKASA_WALLET, "expected_version": 1}
    answer = await api.post(path, {**BODIES[path], "conditions": [condition] * 101})
    assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["conditions"])
    doubled = json.dumps({**BODIES[path], "conditions": [condition]}).replace('{"wallet', '{"wallet_id": "x", "wallet')
    answer = await api.send("POST", path, doubled.encode())
    assert (code_of(answer), fields_of(answer)) == (MALFORMED, [""])


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("wallet_id", BAD_IDS),
        ("amount", BAD_AMOUNTS),
        ("direction", ["", "Debit", "debit ", "both", None, 1, [], {}]),
        ("x", [1]),
    ],
)
async def test_a_field_of_a_leg_that_is_wrong_is_named(api: Api, field: str, values: list[Any]) -> None:
    for value in values:
        legs = [leg("debit"), {**leg("credit", EREN_WALLET), field: value}]
        answer = await api.post("/transactions", {**BODIES["/transactions"], "legs": legs})
        assert code_of(answer) == MALFORMED, value
        assert fields_of(answer) == [f"legs[1].{field}"], value


async def test_wrong_fields_of_all_legs_are_listed_at_once(api: Api) -> None:
    legs = [leg("debit", amount=0), 5, {"wallet_id": "x", "direction": "up", "y": 1}]
    answer = await api.post("/transactions", {**BODIES["/transactions"], "type": "", "legs": legs, "z": 1})
    assert code_of(answer) == MALFORMED
    assert fields_of(answer) == [
        "type", "legs[0].amount", "legs[1]", "legs[2].wallet_id", "legs[2].direction", "legs[2].amount", "legs[2].y",
        "z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "field", "values"),
    [
        ("/users", "name", [*BAD_TEXTS, None]),
        ("/users", "id", [each for each in BAD_IDS if each is not None]),
        ("/wallets", "label", BAD_TEXTS),
        ("/wallets", "user_id", [each for each in BAD_IDS if each is not None]),
        ("/wallets", "id", [each for each in BAD_IDS if each is not None]),
        ("/wallets", "asset_code", [each for each in BAD_CODES if each is not None]),
        ("/wallets", "asset_type_id", [0, -1, 2**31, 2**64, 1.0, True, "1", [], {}]),
        ("/assets", "code", BAD_CODES),
        ("/assets", "scale", [-1, 19, 1.0, True, None, "1", [], {}, 2**64]),
        ("/assets", "max_supply", [each for each in BAD_AMOUNTS if each is not None]),
        ("/assets", "id", [0, -1, 10**9 + 1, 2**31, 2**64, 1.0, True, "1", [], {}]),
    ],
)
async def test_a_field_of_a_resource_that_is_wrong_is_named(api: Api, path: str, field: str, values: list[Any]) -> None:
    for value in values:
        answer = await api.post(path, {**BODIES[path], field: value})
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, [field]), value


def nested(depth: int, kind: type[Any]) -> Any:
    """Metadata of this depth in all."""
    value: Any = kind()
    for _ in range(depth - 2):
        value = {"a": value} if kind is dict else [value]
    return {"a": value}


class TestMetadata:
    """Metadata is stored as it is, so nothing doubtful is accepted."""

    @pytest.mark.parametrize(
        "metadata",
        [
            b'{"a": "\\u0000"}',
            b'{"a": ["\\u0000"]}',
            b'{"a": [[{"b": "x\\u0000"}]]}',
            b'{"\\u0000": 1}',
            b'{"a": {"\\u0000b": 1}}',
            b'{"a": 1, "a": 1}',
            b'{"a": 1, "\\u0061": 2}',
            b'{"a": {"b": 1, "c": 2, "b": 3}}',
            b'{"a": [{"b": 1, "b": 2}]}',
            b'{"a": 9223372036854775808}',
            b'{"a": -9223372036854775809}',
            b'{"a": 18446744073709551616}',
            b'{"a": ' + b"9" * 400 + b"}",
            b'{"a": ' + LONG_NUMBER + b"}",
            b'{"a": 1e309}',
            b'{"a": -1e309}',
            b'{"a": [{"b": 17976931348623159e292}]}',
            b'{"a": -0}',
            b'{"a": [[-0 ]]}',
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": "\\ud800"}',
            b'{"\\udfff": 1}',
            b'{"a": "\xff"}',
            b'{"a": "\x01"}',
            b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}",
            b'{"a":' * 900 + b"1" + b"}" * 900,
            b'{"a": ' + b'["",' * 900 + b'"\\u0000"' + b"]" * 900 + b"}",
        ],
        ids=lambda value: value[:30].decode("latin-1"),
    )
    async def test_what_json_leaves_open_is_refused(self, api: Api, metadata: bytes) -> None:
        for path in MOVEMENTS:
            body = json.dumps(BODIES[path]).encode()[:-1] + b', "metadata": ' + metadata + b"}"
            assert code_of(await api.send("POST", path, body)) == MALFORMED, path

    @pytest.mark.parametrize("kind", [dict, list])
    async def test_beyond_depth_4_it_is_refused(self, api: Api, kind: type[Any]) -> None:
        answer = await api.post(TOP_UP, {**BODIES[TOP_UP], "metadata": nested(5, kind)})
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["metadata"])

    async def test_beyond_4096_bytes_it_is_refused(self, api: Api) -> None:
        metadata = {"a": "é" + "x" * (4097 - len('{"a":"é"}'.encode()))}
        answer = await api.post(TOP_UP, {**BODIES[TOP_UP], "metadata": metadata})
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["metadata"])
        assert "4097" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/xml", "application/problem+json", "application/jsonp", "application/json; charset=latin-1",
        "application/json; charset=utf-16", "application/json; charset=", "application/json, text/plain", "*/*",
    ],
)  # fmt: skip
async def test_another_media_type_is_415(api: Api, content_type: str) -> None:
    for path, body in BODIES.items():
        headers = {"content-type": content_type}
        answer = await api.send(method_of(path), path, json.dumps(body).encode(), headers=headers)
        assert code_of(answer) == (415, "unsupported_media_type"), path


@ROUTES
async def test_no_media_type_is_415(api: Api, path: str) -> None:
    if path not in OPTIONAL_BODIES:
        assert code_of(await api.send(method_of(path), path)) == (415, "unsupported_media_type")
    answer = await api.http.request(method_of(path), path, content=b"{}")
    assert code_of(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"'],
)
async def test_spellings_of_json_are_json(api: Api, content_type: str) -> None:
    answer = await api.send("POST", TOP_UP, b"{}", headers={"content-type": content_type})
    assert code_of(answer) == MALFORMED


WRONG_METHODS = [
    pytest.param(method, path, id=f"{method} {path}")
    for path, allowed in {
        TOP_UP: {"POST"},
        f"/wallets/{MIKASA_WALLET}/balance": {"GET"},
        WALLET: {"GET", "PATCH"},
        "/transfers": {"POST"},
        "/transactions": {"GET", "POST"},
        "/holds": {"POST"},
        CAPTURE: {"POST"},
        REFUND: {"POST"},
        f"{WALLET}/close": {"POST"},
        f"{WALLET}/merge-into/{NOBODY}": {"POST"},
        "/users": {"GET", "POST"},
        "/ledger-entries": {"GET"},
        "/metrics": {"GET"},
        "/openapi.json": {"GET"},
    }.items()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
    if method not in allowed
]


@pytest.mark.parametrize(("method", "path"), WRONG_METHODS)
async def test_a_wrong_method_is_405_and_told_the_right_ones(api: Api, method: str, path: str) -> None:
    answer = await api.send(method, path, b"{}")
    assert code_of(answer) == (405, "method_not_allowed")
    assert method not in answer.headers["allow"].split(", ")
    assert {"GET", "POST"} & set(answer.headers["allow"].split(", "))


class TestPaths:
    BAD_IN_PATHS = (
        "x", "g" * 36, MIKASA_WALLET[:-1], MIKASA_WALLET + "a", MIKASA_WALLET.replace("-", ""), "%00",
        "{" + MIKASA_WALLET + "}", "urn:uuid:" + MIKASA_WALLET, MIKASA_WALLET[:-1] + "%00", MIKASA_WALLET + "%0A",
        "%20" + MIKASA_WALLET[1:], "%FF" * 36, MIKASA_WALLET.replace("a", "%EF%BD%81"), "..%5C", "0", "-1", "null",
        "a" * 8000, "'%3BDROP%20TABLE%20wallets--",
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/wallets/{id}", None),
            ("GET", "/wallets/{id}/balance", None),
            ("GET", "/wallets/{id}/entries", None),
            ("GET", "/users/{id}", None),
            ("GET", "/users/{id}/wallets", None),
            ("GET", "/transactions/{id}", None),
            ("POST", "/wallets/{id}/topup", BODIES[TOP_UP]),
            ("POST", "/wallets/{id}/bonus", BODIES[BONUS]),
            ("POST", "/wallets/{id}/spend", BODIES[SPEND]),
            ("PATCH", "/wallets/{id}", BODIES[WALLET]),
            ("POST", "/wallets/{id}/close", None),
            ("POST", "/wallets/{id}/reopen", {}),
            ("POST", "/wallets/{id}/merge-into/" + NOBODY, {"reference_id": "b"}),
            ("POST", "/wallets/" + NOBODY + "/merge-into/{id}", {"reference_id": "b"}),
            ("POST", "/holds/{id}/capture", BODIES[CAPTURE]),
            ("POST", "/holds/{id}/void", {"reference_id": "b"}),
            ("POST", "/holds/{id}/increase", BODIES[INCREASE]),
            ("POST", "/holds/{id}/extend", BODIES[EXTEND]),
            ("POST", "/transactions/{id}/refund", BODIES[REFUND]),
        ],
    )
    async def test_an_id_that_is_none(self, api: Api, method: str, path: str, body: Any) -> None:
        content = None if body is None else json.dumps(body).encode()
        for id_ in self.BAD_IN_PATHS:
            answer = await api.send(method, path.replace("{id}", id_), content)
            (field,) = fields_of(answer)
            assert (code_of(answer), field.endswith("_id")) == (MALFORMED, True), id_

    @pytest.mark.parametrize(
        "path",
        [
            "/nothing", f"/wallets/{'a' * 17}%2F{'a' * 18}/balance", "/Wallets", "/%00", "/" + "x" * 8000,
            "/" + "x/" * 2000, f"/wallets/{MIKASA_WALLET}/balance/extra", f"/wallets/{MIKASA_WALLET}/BALANCE",
            "/transfers/x", "/%F0%9F%98%80", "/..%2F..%2Fetc%2Fpasswd", "/console",
        ],
    )  # fmt: skip
    async def test_what_is_no_resource(self, api: Api, path: str) -> None:
        assert code_of(await api.get(path)) == (404, "not_found")

    async def test_a_slash_at_the_end_makes_no_difference(self, api: Api) -> None:
        assert (await api.get(f"/wallets/{MIKASA_WALLET}/balance/")).status_code == 200
        assert code_of(await api.send("POST", f"{TOP_UP}/", b"{}")) == MALFORMED


class TestRefusals:
    """Well-formed requests that the ledger, or the look-up of a resource, says no to."""

    @pytest.mark.parametrize("verb", ["topup", "bonus", "spend"])
    @pytest.mark.parametrize(
        ("wallet_id", "asset_code", "expected"),
        [
            (NOBODY, "gold", (404, "wallet_not_found")),
            (MIKASA_WALLET, "nothing", (404, "asset_not_found")),
            (MIKASA_WALLET, "diamond", (422, "asset_mismatch")),
        ],
    )
    async def test_of_a_wallets_movement(
        self, api: Api, verb: str, wallet_id: str, asset_code: str, expected: Any, declined: None
    ) -> None:
        body = {"reference_id": new_reference(), "amount": 1, "asset_code": asset_code}
        assert code_of(await api.post(f"/wallets/{wallet_id}/{verb}", body)) == expected

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"amount": 10**12}, (422, "insufficient_funds")),
            ({"from_wallet_id": NOBODY}, (404, "wallet_not_found")),
            ({"to_wallet_id": NOBODY}, (404, "wallet_not_found")),
            ({"to_wallet_id": MIKASA_WALLET}, (422, "same_wallet")),
            ({"to_wallet_id": EREN_WALLET}, (422, "asset_mismatch")),
            ({"asset_code": "nothing"}, (404, "asset_not_found")),
        ],
    )
    async def test_of_a_transfer(self, api: Api, change: Any, expected: Any, declined: None) -> None:
        gold_revenue = "00000000-0000-0000-0000-000000000003"
        body = {**BODIES["/transfers"], "reference_id": new_reference(), "to_wallet_id": gold_revenue, **change}
        assert code_of(await api.post("/transfers", body)) == expected

    @pytest.mark.parametrize(
        ("legs", "expected"),
        [
            ([leg("debit"), leg("credit")], (422, "same_wallet")),
            ([leg("debit"), leg("credit", MIKASA_WALLET.upper())], (422, "same_wallet")),
            ([leg("debit"), leg("credit", NOBODY)], (404, "wallet_not_found")),
            ([leg("debit"), leg("credit", EREN_WALLET)], (422, "legs_unbalanced")),
            ([leg("debit"), leg("debit", EREN_WALLET)], (422, "legs_unbalanced")),
        ],
    )
    async def test_of_a_transaction(self, api: Api, legs: Any, expected: Any, declined: None) -> None:
        body = {"reference_id": new_reference(), "type": "t", "legs": legs}
        assert code_of(await api.post("/transactions", body)) == expected

    @pytest.mark.parametrize(
        ("path", "body", "expected"),
        [
            ("/wallets", {"asset_code": "nothing"}, (404, "asset_not_found")),
            ("/wallets", {"asset_type_id": 2**31 - 1}, (404, "asset_not_found")),
            ("/wallets", {"asset_code": "gold", "user_id": NOBODY}, (404, "user_not_found")),
            ("/wallets", {"asset_code": "gold", "id": MIKASA_WALLET}, (409, "already_exists")),
            ("/users", {"name": "Armin", "id": MIKASA}, (409, "already_exists")),
            ("/assets", {"code": "gold", "scale": 1}, (409, "already_exists")),
            ("/assets", {"code": "silver", "id": 1}, (409, "already_exists")),
        ],
    )
    async def test_of_a_resource(self, api: Api, path: str, body: Any, expected: Any) -> None:
        assert code_of(await api.post(path, body)) == expected


async def test_a_body_on_a_get_is_ignored(api: Api) -> None:
    for path in (f"/wallets/{MIKASA_WALLET}/balance", "/transactions", "/healthz"):
        assert (await api.send("GET", path, b'{"amount": ')).status_code == 200


@pytest.mark.parametrize("path", [TOP_UP, "/transactions", "/users"])
async def test_a_client_that_hangs_up_in_its_body_changes_nothing_and_is_no_fault_of_ours(
    api: Api, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": None, "server": None, "extensions": {},
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"1000")],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": b'{"', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_message: Any) -> None:
        pass

    await api.app(scope, receive, send)
    assert (messages, caplog.records) == ([], [])
