"""Fields that a request may leave out: its whole body, or a field, for which null is another word."""

from typing import Any

import pytest

from tests.http.asked import held, movement, step, transfer
from tests.http.client import Api, code_of, fields_of, new_reference

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMPTY = pytest.mark.parametrize("headers", [{}, {"content-type": "application/json"}], ids=["no type", "JSON"])


async def sent_empty(api: Api, path: str, key: str | None, headers: dict[str, str]) -> Any:
    return await api.send("POST", path, headers=headers | ({} if key is None else {"idempotency-key": key}))


@EMPTY
@pytest.mark.parametrize("action", ["capture", "void"])
async def test_a_step_of_a_hold_may_have_no_body(api: Api, action: str, headers: dict[str, str]) -> None:
    hold = await held(api, await api.wallet(5), 5)
    path, key = f"/holds/{hold['id']}/{action}", new_reference()
    first = await sent_empty(api, path, key, headers)
    assert first.status_code == 201, first.text
    again = await api.post(path, {"reference_id": key})
    assert (again.status_code, again.content) == (200, first.content)


@EMPTY
async def test_a_refund_may_have_no_body(api: Api, headers: dict[str, str]) -> None:
    wallet = await api.wallet()
    topup = await api.moved("topup", wallet, 5)
    answer = await sent_empty(api, f"/transactions/{topup['id']}/refund", new_reference(), headers)
    assert (answer.status_code, await api.balance(wallet)) == (201, 0)


@EMPTY
async def test_a_merge_may_have_no_body(api: Api, headers: dict[str, str]) -> None:
    source, target = await api.wallet(5), await api.wallet()
    answer = await sent_empty(api, f"/wallets/{source}/merge-into/{target}", new_reference(), headers)
    assert (answer.status_code, await api.balance(target)) == (201, 5)


@EMPTY
async def test_without_a_reference_no_body_is_not_enough(api: Api, headers: dict[str, str]) -> None:
    hold = await held(api, await api.wallet(5), 5)
    answer = await sent_empty(api, f"/holds/{hold['id']}/void", None, headers)
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["reference_id"])


@pytest.mark.parametrize("path", ["/transfers", "/holds", "/holds/{}/increase", "/holds/{}/extend"])
async def test_where_fields_are_required_so_is_a_body(api: Api, path: str) -> None:
    path = path.format((await held(api, await api.wallet(5), 5))["id"])
    answer = await sent_empty(api, path, new_reference(), {"content-type": "application/json"})
    assert (code_of(answer), answer.json()["detail"]) == ((400, "invalid_request"), "The body is empty.")


MOVEMENT_NULLS = dict.fromkeys(("metadata", "effective_at", "dry_run", "conditions"))
UP_TO_NULLS = MOVEMENT_NULLS | dict.fromkeys(("amount_mode", "min_amount"))
STEP_NULLS = dict.fromkeys(("metadata", "dry_run", "conditions"))


async def nulls_of_all(api: Api) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Op, path, body and what it may say null to, of every movement."""
    wallet, other = await api.wallet(100), await api.wallet()
    holds = [await held(api, wallet, 5) for _ in range(4)]
    topup = await api.moved("topup", wallet, 5)
    hold_nulls = STEP_NULLS | dict.fromkeys(("target_wallet_id", "expires_in_seconds", "on_expiry"))
    lot = {"category": "paid"}
    lot_nulls = {"lot": lot | dict.fromkeys(("expires_at", "expires_in_seconds", "priority"))}
    capture_nulls = UP_TO_NULLS | {"amount": None, "final": None}
    refund_nulls = MOVEMENT_NULLS | {"amount": None, "force": None}
    legs = [{"wallet_id": wallet, "direction": "debit", "amount": 1}]
    legs.append({"wallet_id": other, "direction": "credit", "amount": 1})
    condition = {"wallet_id": wallet, "min_balance": 0}
    condition_nulls = {"conditions": [condition | dict.fromkeys(("expected_version", "max_balance"))]}
    to_wallet, to_topup = f"/wallets/{wallet}/", f"/transactions/{topup['id']}/refund"
    return [
        ("topup", to_wallet + "topup", movement(), MOVEMENT_NULLS | {"lot": None}),
        ("topup", to_wallet + "topup", movement(lot=lot), MOVEMENT_NULLS | lot_nulls),
        ("topup", to_wallet + "topup", movement(conditions=[condition]), condition_nulls),
        ("bonus", to_wallet + "bonus", movement(), MOVEMENT_NULLS | {"lot": None, "funding_wallet_id": None}),
        ("spend", to_wallet + "spend", movement(), UP_TO_NULLS | {"target_wallet_id": None}),
        ("transfer", "/transfers", transfer(wallet, other), UP_TO_NULLS),
        ("transaction", "/transactions", step(type="exchange", legs=legs), MOVEMENT_NULLS),
        ("hold", "/holds", movement(wallet_id=wallet), hold_nulls),
        ("capture", f"/holds/{holds[0]['id']}/capture", step(), capture_nulls),
        ("void", f"/holds/{holds[1]['id']}/void", step(), STEP_NULLS),
        ("increase", f"/holds/{holds[2]['id']}/increase", step(amount=1), STEP_NULLS),
        ("extend", f"/holds/{holds[3]['id']}/extend", step(expires_in_seconds=60), STEP_NULLS),
        ("refund", to_topup, step(), refund_nulls),
        ("merge", f"/wallets/{wallet}/merge-into/{other}", step(), STEP_NULLS | {"effective_at": None}),
    ]


async def test_null_is_as_good_as_nothing_in_every_movement(api: Api) -> None:
    for op, path, body, nulls in await nulls_of_all(api):
        first = await api.post(path, body | nulls)
        assert first.status_code == 201, (op, first.text)
        again = await api.post(path, body)
        assert (again.status_code, again.content) == (200, first.content), op


async def test_a_reference_may_be_null_in_the_body_if_the_header_has_it(api: Api) -> None:
    wallet, key = await api.wallet(), new_reference()
    body = movement() | {"reference_id": None}
    for status in (201, 200):
        answer = await api.post(f"/wallets/{wallet}/topup", body, headers={"idempotency-key": key})
        assert (answer.status_code, answer.json()["reference_id"]) == (status, key)
    answer = await api.post(f"/wallets/{wallet}/topup", body)
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["reference_id"])


def item_of(op: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    target = {"wallets": "wallet_id", "holds": "hold_id", "transactions": "transaction_id"}
    _, collection, *rest = path.split("/")
    return {"op": op, **body, **({target[collection]: rest[0]} if rest else {})}


@pytest.mark.parametrize("mode", ["atomic", "independent"])
async def test_null_is_as_good_as_nothing_in_batches(api: Api, mode: str) -> None:
    asked = [each for each in await nulls_of_all(api) if each[0] != "merge"]
    items = [item_of(op, path, body | nulls) for op, path, body, nulls in asked]
    answer = await api.post("/batches", {"mode": mode, "items": items, "dry_run": None})
    assert {each["status"] for each in answer.json()["items"]} == {201}, answer.text
    plain = [item_of(op, path, body) for op, path, body, _ in asked]
    again = await api.post("/batches", {"mode": mode, "items": plain})
    assert {(each["status"], each["replayed"]) for each in again.json()["items"]} == {(200, True)}, again.text


@pytest.mark.parametrize("twice", ['"dry_run":null,"dry_run":null', '"dry_run":true,"dry_run":null'])
async def test_null_hides_no_key_that_comes_twice(api: Api, twice: str) -> None:
    wallet = await api.wallet()
    body = f'{{"amount":1,"asset_code":"GOLD","reference_id":"{new_reference()}",{twice}}}'
    answer = await api.send("POST", f"/wallets/{wallet}/topup", body.encode())
    assert "twice" in answer.json()["detail"]
    item = f'{{"op":"topup","wallet_id":"{wallet}",{body[1:]}'
    for batch in (f'{{"mode":"atomic","items":[{item}]}}', f'{{"mode":"atomic","items":[{item[:-1]}}}],{twice}}}'):
        answer = await api.send("POST", "/batches", batch.encode())
        assert "twice" in answer.json()["detail"]


async def test_an_escaped_colon_hides_no_key_of_an_item_that_comes_twice(api: Api) -> None:
    wallet = await api.wallet()
    item = f'{{"op":"topup","wallet_id":"{wallet}","reference_id":"\\u003a","amount":1,"amount":2,"asset_code":"GOLD"}}'
    answer = await api.send("POST", "/batches", f'{{"mode":"atomic","items":[{item}]}}'.encode())
    assert (code_of(answer), await api.balance(wallet)) == ((400, "invalid_request"), 0)
