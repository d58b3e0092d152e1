"""Numbers in metadata keep the digits that they were sent with, wherever metadata goes in and comes out."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.http.client import MIKASA_WALLET, Api, code_of, fields_of, new_reference
from wallet.http.bulk.imports import NDJSON

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIGITS = ["1.50", "1.5", "15e-1", "1E5", "1e+5", "-0.0", "-0e0", "1e-400", "0.1", f"0.{'1' * 60}", "1e308", "7"]
METADATA = f'{{"a":[{",".join(DIGITS)},{{"b":1.00}}],"n":1.50}}'
TOP_UP = f"/wallets/{MIKASA_WALLET}/topup"


def body(metadata: str = METADATA, **fields: Any) -> bytes:
    """A body with this text as its metadata."""
    return json.dumps({**fields, "metadata": None}).replace("null", metadata).encode()


def top_up(metadata: str = METADATA, **fields: Any) -> bytes:
    return body(metadata, **{"reference_id": new_reference(), "amount": 1, "asset_code": "gold", **fields})


async def made(api: Api, path: str, content: bytes) -> Any:
    answer = await api.send("POST", path, content)
    assert answer.status_code == 201, answer.text
    assert f'"metadata":{METADATA}' in answer.text
    return answer.json()


async def test_a_movement_answers_them_at_once_later_and_in_lists(api: Api) -> None:
    id_ = (await made(api, TOP_UP, top_up()))["id"]
    await made(api, f"{TOP_UP}?amounts=string", top_up())
    for path in (f"/transactions/{id_}", f"/transactions/{id_}?amounts=string", "/transactions?limit=2"):
        assert f'"metadata":{METADATA}' in (await api.get(path)).text, path


async def test_users_and_wallets_keep_them(api: Api) -> None:
    user, wallet = str(uuid4()), str(uuid4())
    for path, content in (
        ("/users", body(id=user, name="Armin")),
        ("/wallets", body(id=wallet, asset_code="gold")),
    ):
        id_ = (await made(api, path, content))["id"]
        assert f'"metadata":{METADATA}' in (await api.get(f"{path}/{id_}")).text
        assert (await api.send("POST", path, content)).status_code == 200
        other = content.replace(b'"n":1.50', b'"n":1.5')
        assert code_of(await api.send("POST", path, other)) == (409, "already_exists")
    changed = await api.send("PATCH", f"/wallets/{wallet}", b'{"metadata":{"n":2.50}}')
    assert '"metadata":{"n":2.50}' in changed.text


async def test_other_movements_batches_and_imports_keep_them(api: Api) -> None:
    hold = (await api.send("POST", "/holds", top_up(wallet_id=MIKASA_WALLET))).json()["id"]
    assert f'"metadata":{METADATA}' in (await api.get(f"/transactions/{hold}")).text
    await made(api, f"/holds/{hold}/capture", body(reference_id=new_reference(), amount=1))
    item = top_up(op="topup", wallet_id=MIKASA_WALLET)
    for mode in (b"atomic", b"independent"):
        content = b'{"mode":"%b","items":[%b]}' % (mode, item)
        assert f'"metadata":{METADATA}' in (await api.send("POST", "/batches", content)).text
    line = top_up(op="topup", wallet_id=MIKASA_WALLET)
    answer = await api.send("POST", "/import", line, headers={"content-type": NDJSON.decode()})
    assert f'"metadata":{METADATA}' in answer.text


async def test_other_digits_are_another_request(api: Api) -> None:
    first = top_up('{"n":1.50}')
    assert (await api.send("POST", TOP_UP, first)).status_code == 201
    assert (await api.send("POST", TOP_UP, first.replace(b'{"n":1.50}', b'{ "n" : 1.50 }'))).status_code == 200
    for other in (b"1.5", b"1.500", b"15e-1", b'"1.50"'):
        answer = await api.send("POST", TOP_UP, first.replace(b"1.50", other))
        assert (code_of(answer), answer.json()["differs"]) == ((422, "reference_reused"), ["metadata"])


@pytest.mark.parametrize("digits", DIGITS)
async def test_a_filter_finds_them_by_their_digits(api: Api, digits: str) -> None:
    key = str(uuid4())
    id_ = (await api.send("POST", TOP_UP, top_up(f'{{"{key}":{digits}}}'))).json()["id"]
    for asked in DIGITS:
        written = asked.replace("+", "%2B")
        found = (await api.json(f"/transactions?metadata.{key}={written}"))["data"]
        assert [each["id"] for each in found] == ([id_] if asked == digits else [])


@pytest.mark.parametrize("digits", ["-0", "1e309", "-1e309", "9223372036854775808", "-9223372036854775809"])
async def test_a_number_that_cannot_be_kept_is_refused_in_every_place(api: Api, digits: str) -> None:
    metadata = f'{{"a":[{{"b":{digits}}}]}}'
    for method, path, content in (
        ("POST", TOP_UP, top_up(metadata)),
        ("POST", "/users", body(metadata, name="Armin")),
        ("POST", "/wallets", body(metadata, asset_code="gold")),
        ("PATCH", f"/wallets/{MIKASA_WALLET}", body(metadata)),
    ):
        answer = await api.send(method, path, content)
        assert code_of(answer) == (400, "invalid_request")
        assert fields_of(answer) == ([""] if digits == "-0" else ["metadata"])
    item = top_up(metadata, op="topup", wallet_id=MIKASA_WALLET)
    answer = await api.send("POST", "/batches", b'{"mode":"independent","items":[%b]}' % item)
    assert [each["status"] for each in answer.json()["items"]] == [400]


async def test_the_log_of_administrative_acts_keeps_them(api: Api) -> None:
    await made(api, "/users", body(name="Armin"))
    wallet = await api.wallet()
    await api.send("PATCH", f"/wallets/{wallet}", b'{"metadata":{"n":2.50}}')
    assert '{"metadata":{"n":2.50}}' in (await api.get("/admin-acts?limit=2")).text
