"""Instants are read by one rule in every place of the OpenAPI document whose format is date-time."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.http.client import MIKASA_WALLET, NOBODY, Api, fields_of, new_reference
from wallet.http.bulk.imports import NDJSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT: Any = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text("utf-8"))
FAR = "2090-12-31T23:59:59.999999"

IS_NONE = [
    "", "now", "2026-01-31", "2026-01-31T12:00Z", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "2026-13-01T12:00:00Z",
    "2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z", "2026-06-30T23:59:60.5Z", "2026-01-31T12:60:00Z",
    "2026-01-31T12:00:00+24:00", "2026-01-31T12:00:00+01:60", "2026-01-31T12:00:00+01", "2026-01-31T12:00:00.Z",
    "2026-01-31T12:00:00,5Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z", "-2026-01-31T12:00:00Z", "20260131T120000Z", "2026-01-31T12:00:00Z\n",
    "\u0662026-01-31T12:00:00Z", "2026-01-31T12:00:00\u2212" + "01:00", "2026-W05-6T12:00:00Z", "1769860800",
]  # fmt: skip
IS_ONE = [
    "2026-01-31t12:00:00z", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00-00:00", "2026-01-31T12:00:00+0100",
    "2026-01-31T12:00:00+23:59", "2026-01-31T12:00:00.1Z", f"2026-01-31T23:59:59.{'9' * 40}Z", "2024-02-29T12:00:00Z",
]  # fmt: skip
ENDS = ["0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z", "9998-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"]


class Place(NamedTuple):
    """The places where a request may have an instant. `op`: of an item. `field`: dotted, as errors name it."""

    method: str
    path: str
    op: str
    field: str


def places() -> Iterator[Place]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for each in operation["parameters"]:
                if each.get("schema", {}).get("format") == "date-time":
                    yield Place(method, path, "", each["name"])
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for op, field in instants_in(content["schema"]):
                    yield Place(method, path, op, field)


def instants_in(schema: Mapping[str, Any], op: str = "", field: str = "") -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("format") == "date-time":
        yield op, field
    for name in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(name, ()):
            yield from instants_in(each, op, field)
    members = schema.get("properties", {})
    op = members.get("op", {}).get("const") or next(iter(members.get("op", {}).get("enum", ())), op)
    for name, each in members.items():
        # Items of a batch are told by their operation, and everything else that repeats by the member it is in.
        yield from instants_in(each, op, name if field in ("", "items") else f"{field}.{name}")
    if "items" in schema:
        yield from instants_in(schema["items"], op, field)


PLACES = sorted(set(places()))

MOVEMENT = {"amount": 1, "asset_code": "gold"}
LEGS = [{"wallet_id": NOBODY, "direction": each, "amount": 1} for each in ("debit", "credit")]
TRANSFER = {**MOVEMENT, "from_wallet_id": MIKASA_WALLET, "to_wallet_id": MIKASA_WALLET}
TRANSACTION = {"type": "t", "legs": LEGS}
# The other fields that a request needs, by the end of the path or the name of the operation. Wallets are put in.
BESIDE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("topup", "bonus", "spend"), MOVEMENT),
    **dict.fromkeys(("transfer", "transfers"), TRANSFER),
    **dict.fromkeys(("transaction", "transactions"), TRANSACTION),
    "programmes": {**MOVEMENT, "per": "month"},
}
TARGETS = {"capture": "hold_id", "refund": "transaction_id"}


def body_of(place: Place, text: Any) -> dict[str, Any]:
    """A body with this text in this place, and nothing that exists."""
    verb = place.op or next(each for each in reversed(place.path.split("/")) if not each.startswith("{"))
    body = {"reference_id": new_reference(), **BESIDE.get(verb, {})}
    if verb == "programmes":
        del body["reference_id"]
    if place.op:
        body["op"] = place.op
        if place.op not in ("transfer", "transaction"):
            body[TARGETS.get(place.op, "wallet_id")] = NOBODY
    first, _, second = place.field.partition(".")
    body[first] = {"category": "paid", second: text} if second else text
    return body


async def wrong_fields(api: Api, place: Place, text: Any) -> list[str]:
    """The fields that are malformed with this text in this place."""
    path = "/".join(NOBODY if each.startswith("{") else each for each in place.path.split("/"))
    if place.method == "get":
        answer = await api.get(f"{path}?{place.field}={quote(text)}")
    elif place.path == "/batches":
        answer = await api.post(path, {"mode": "independent", "items": [body_of(place, text)]})
        (item,) = answer.json()["items"]
        return [each["field"] for each in item["body"].get("errors", ())]
    elif place.path == "/import":
        line = json.dumps(body_of(place, text)).encode()
        answer = await api.send("POST", path, line, headers={"content-type": NDJSON.decode()})
        return [each["field"] for each in answer.json()["body"].get("errors", ())]
    else:
        answer = await api.post(path, body_of(place, text))
    assert answer.status_code < 500, (text, answer.text)
    return fields_of(answer) if answer.status_code == 400 else []


async def test_the_document_has_instants_in_all_the_places_that_are_known() -> None:
    assert {place.field for place in PLACES} == {"effective_at", "lot.expires_at", "ends_at", "at", "from", "to"}
    assert {place.op for place in PLACES if place.path == "/batches"} == {
        "topup", "bonus", "spend", "transfer", "transaction", "capture", "refund",
    }  # fmt: skip
    assert len(PLACES) > 30


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.path} {place.op} {place.field}")
async def test_what_is_no_instant_is_named(api: Api, place: Place) -> None:
    for text in [*IS_NONE, *([] if place.method == "get" else [5, 1.5, True, [], {}])]:
        assert await wrong_fields(api, place, text) == [place.field], text


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.path} {place.op} {place.field}")
async def test_every_spelling_of_an_instant_is_one(api: Api, place: Place) -> None:
    for text in IS_ONE:
        assert await wrong_fields(api, place, text) == [], text
    for text in ENDS:  # where what is kept has no room, and nothing is a fault
        assert await wrong_fields(api, place, text) in ([], [place.field]), text


async def cut(api: Api, path: str, body: dict[str, Any], field: str, text: str) -> Any:
    """The answer to a request with further digits, which is the same request as one without them."""
    first, _, second = field.partition(".")
    answers = []
    for digits in ("999", ""):
        instant = f"{text}{digits}Z"
        lot = {"category": "paid", second: instant}
        answers.append(await api.post(path, {**body, first: lot if second else instant}))
    assert [each.status_code for each in answers] == [201, 200], [each.text for each in answers]
    assert answers[0].json() == answers[1].json()
    return answers[0].json()


def movement(**fields: Any) -> dict[str, Any]:
    return {"reference_id": new_reference(), **MOVEMENT, **fields}


async def test_further_digits_are_cut_off_in_every_movement(api: Api) -> None:
    wallet, other = await api.wallet(100), await api.wallet(100)
    original = await api.moved("topup", wallet, 100)
    hold = await api.made("/holds", movement(wallet_id=wallet))
    at = hold["created_at"].removesuffix("Z")
    legs = [{"wallet_id": each, "direction": way, "amount": 1} for each, way in ((wallet, "debit"), (other, "credit"))]
    bodies: list[tuple[str, dict[str, Any]]] = [
        *((f"/wallets/{wallet}/{verb}", movement()) for verb in ("topup", "bonus", "spend")),
        ("/transfers", movement(from_wallet_id=wallet, to_wallet_id=other)),
        ("/transactions", {"reference_id": new_reference(), "type": "t", "legs": legs}),
        (f"/holds/{hold['id']}/capture", {"reference_id": new_reference(), "amount": 1}),
        (f"/transactions/{original['id']}/refund", {"reference_id": new_reference(), "amount": 1}),
    ]
    for path, body in bodies:
        assert (await cut(api, path, body, "effective_at", at))["effective_at"] == f"{at}Z", path
    await cut(api, f"/wallets/{wallet}/merge-into/{other}", {"reference_id": new_reference()}, "effective_at", at)


async def test_further_digits_are_cut_off_where_something_ends(api: Api) -> None:
    wallet = await api.wallet()
    for verb in ("topup", "bonus"):
        await cut(api, f"/wallets/{wallet}/{verb}", movement(), "lot.expires_at", FAR)
    assert {each["expires_at"] for each in (await api.json(f"/wallets/{wallet}/lots"))["data"]} == {f"{FAR}Z"}
    programme = await api.made("/programmes", {**BESIDE["programmes"], "ends_at": f"{FAR}9Z"})
    assert programme["ends_at"] == f"{FAR}Z"


@pytest.mark.parametrize("path", ["/batches", "/import"])
async def test_further_digits_are_cut_off_in_items(api: Api, path: str) -> None:
    wallet = await api.wallet()
    at = (await api.moved("topup", wallet, 1))["created_at"].removesuffix("Z")
    body = movement(op="topup", wallet_id=wallet)
    items = [{**body, "effective_at": f"{at}{digits}Z"} for digits in ("999", "")]
    if path == "/batches":
        answered = (await api.post(path, {"mode": "independent", "items": items})).json()["items"]
    else:
        lines = "\n".join(map(json.dumps, items)).encode()
        answer = await api.send("POST", path, lines, headers={"content-type": NDJSON.decode()})
        answered = [json.loads(line) for line in answer.text.splitlines()]
    assert [(each["status"], each["body"]["effective_at"]) for each in answered] == [(201, f"{at}Z"), (200, f"{at}Z")]


async def test_further_digits_are_cut_off_in_queries(api: Api) -> None:
    wallet = await api.wallet(5)
    first, last = "2026-10-31T23:59:59.999999", "2026-11-30T23:59:59.999999"
    statement = await api.json(f"/wallets/{wallet}/statement?from={first}9Z&to={last}999Z")
    assert (statement["from"], statement["to"]) == (f"{first}Z", f"{last}Z")
    for path in (f"/wallets/{wallet}/balance?at={last}{{}}Z", f"/transactions?wallet_id={wallet}&from={first}{{}}Z"):
        assert await api.json(path.format("999")) == await api.json(path.format(""))


async def test_a_cursor_belongs_to_the_instant_and_not_to_its_digits(api: Api) -> None:
    wallet = await api.wallet(5)
    await api.moved("spend", wallet, 1)
    path = f"/wallets/{wallet}/statement?limit=1&from=2026-01-01T00:00:00.000000{{}}Z"
    cursor = (await api.json(path.format("1")))["next"]
    assert len((await api.json(f"{path.format('')}&cursor={cursor}"))["data"]) == 1
