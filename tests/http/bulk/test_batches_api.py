"""POST /batches: all items or none, or each for itself; either way in order and with an answer each."""

import json
from typing import Any

import asyncpg
import httpx
import pytest

from tests.http.client import NOBODY, Api, code_of, fields_of, new_reference
from tests.http.conftest import Lanes
from wallet.http.bulk.batches import Batches
from wallet.http.operations.asked import Asked
from wallet.http.wire.decoding import ERRORS_MAX
from wallet.service.access.callers import DEVELOPER
from wallet.service.writes.bulk import GROUP_ITEMS_MAX, GROUP_LEGS_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODES = pytest.mark.parametrize("mode", ["atomic", "independent"])
GOLD = {"asset_code": "GOLD"}


@pytest.fixture
def api(lanes: Lanes) -> Api:
    """One of them: there is no fast lane for batches."""
    return lanes["fast lane"]


def topup(wallet_id: str, amount: Any, reference_id: str | None = None) -> dict[str, Any]:
    return {
        "op": "topup",
        "wallet_id": wallet_id,
        "reference_id": reference_id or new_reference(),
        "amount": amount,
        **GOLD,
    }


def spend(wallet_id: str, amount: Any, reference_id: str | None = None) -> dict[str, Any]:
    return {
        "op": "spend",
        "wallet_id": wallet_id,
        "reference_id": reference_id or new_reference(),
        "amount": amount,
        **GOLD,
    }


def transfer(source: str, target: str, amount: Any, reference_id: str | None = None) -> dict[str, Any]:
    return {
        "op": "transfer",
        "from_wallet_id": source,
        "to_wallet_id": target,
        "reference_id": reference_id or new_reference(),
        "amount": amount,
        **GOLD,
    }


async def batch(api: Api, mode: str, *items: Any, **more: Any) -> httpx.Response:
    return await api.post("/batches", {"mode": mode, "items": items, **more})


def statuses(answer: httpx.Response) -> list[int]:
    return [each["status"] for each in answer.json()["items"]]


def codes(answer: httpx.Response) -> list[str | None]:
    return [each["body"].get("code") for each in answer.json()["items"]]


async def declines(ledger: asyncpg.Connection, *items: dict[str, Any]) -> list[str]:
    rows = await ledger.fetch(
        "SELECT code FROM declines WHERE reference_id = ANY($1)", [each["reference_id"] for each in items]
    )
    return [row["code"] for row in rows]


@MODES
async def test_items_are_decided_in_order_and_answered_in_order(api: Api, mode: str) -> None:
    source, target = await api.wallet(), await api.wallet()
    items = [topup(source, 10), transfer(source, target, 7), spend(target, 7)]
    answer = await batch(api, mode, *items)
    assert answer.status_code == (201 if mode == "atomic" else 200)
    answered = answer.json()["items"]
    assert [(each["index"], each["reference_id"], each["status"], each["replayed"]) for each in answered] == [
        (index, item["reference_id"], 201, False) for index, item in enumerate(items)
    ]
    assert [each["body"]["type"] for each in answered] == ["topup", "transfer", "spend"]
    assert (await api.balance(source), await api.balance(target)) == (3, 0)


@MODES
async def test_an_item_s_body_is_what_its_own_route_would_have_answered(api: Api, mode: str) -> None:
    item = topup(await api.wallet(), 10)
    (answered,) = (await batch(api, mode, item)).json()["items"]
    body = {name: value for name, value in item.items() if name not in ("op", "wallet_id")}
    again = await api.post(f"/wallets/{item['wallet_id']}/topup", body)
    assert (again.status_code, again.json()) == (200, answered["body"])


@MODES
async def test_the_same_batch_again_is_a_replay(api: Api, mode: str) -> None:
    items = [topup(await api.wallet(), amount) for amount in (1, 2, 3)]
    first = await batch(api, mode, *items)
    second = await batch(api, mode, *items)
    assert second.status_code == 200
    assert [each["body"] for each in second.json()["items"]] == [each["body"] for each in first.json()["items"]]
    assert {(each["status"], each["replayed"]) for each in second.json()["items"]} == {(200, True)}


async def test_an_atomic_batch_with_something_new_in_it_is_201(api: Api) -> None:
    wallet = await api.wallet()
    old, new = topup(wallet, 1), topup(wallet, 2)
    await batch(api, "atomic", old)
    answer = await batch(api, "atomic", old, new)
    assert (answer.status_code, statuses(answer)) == (201, [200, 201])


@MODES
async def test_a_reference_twice_in_a_batch_replays_within_it(api: Api, mode: str) -> None:
    wallet = await api.wallet()
    item = topup(wallet, 5)
    answer = await batch(api, mode, item, item, item)
    assert statuses(answer) == [201, 200, 200]
    assert await api.balance(wallet) == 5


async def test_a_refused_group_leaves_nothing_but_one_decline(api: Api, ledger: asyncpg.Connection) -> None:
    wallet, other = await api.wallet(), await api.wallet()
    done = topup(wallet, 4)
    await batch(api, "atomic", done)
    items = [done, topup(wallet, 10), spend(wallet, 99), spend(other, 99), transfer(wallet, NOBODY, 1)]
    answer = await batch(api, "atomic", *items)
    assert code_of(answer) == (422, "group_refused")
    assert statuses(answer)[0] == 200
    assert codes(answer)[1:] == ["group_refused", "insufficient_funds", "group_refused", "group_refused"]
    assert "items[2]" in answer.json()["detail"]
    assert (await api.balance(wallet), await api.balance(other)) == (4, 0)
    assert await declines(ledger, *items) == ["insufficient_funds"]
    again = await batch(api, "atomic", *items[1:2], topup(wallet, 95), *items[2:3])
    assert statuses(again) == [201, 201, 201], "a refusal uses no reference up"


async def test_a_group_that_reuses_a_reference_names_what_differs(api: Api) -> None:
    wallet = await api.wallet()
    item = topup(wallet, 5)
    await batch(api, "atomic", item)
    answer = await batch(api, "atomic", topup(wallet, 1), {**item, "amount": 6})
    assert codes(answer) == ["group_refused", "reference_reused"]
    assert answer.json()["items"][1]["body"]["differs"] == ["amount"]


async def test_of_independent_items_each_has_its_own_outcome(api: Api, ledger: asyncpg.Connection) -> None:
    wallet = await api.wallet()
    items = [topup(wallet, 5), spend(wallet, 6), spend(wallet, 5), transfer(wallet, wallet, 1), topup(NOBODY, 1)]
    answer = await batch(api, "independent", *items)
    assert answer.status_code == 200
    assert codes(answer) == [None, "insufficient_funds", None, "same_wallet", "wallet_not_found"]
    assert statuses(answer) == [201, 422, 201, 422, 404]
    assert len(await declines(ledger, *items)) == 3


async def test_a_malformed_item_is_an_error_of_the_whole_atomic_batch(api: Api) -> None:
    wallet = await api.wallet()
    items = [topup(wallet, 5), topup(wallet, 0), {**topup(wallet, 5), "more": 1}, {"op": "none"}, 7, {**topup("x", 5)}]
    answer = await batch(api, "atomic", *items)
    assert code_of(answer) == (400, "invalid_request")
    assert fields_of(answer) == ["items[1].amount", "items[2].more", "items[3].op", "items[4]", "items[5].wallet_id"]
    assert await api.balance(wallet) == 0


async def test_a_malformed_item_of_an_independent_batch_is_an_error_of_its_own(api: Api) -> None:
    wallet = await api.wallet()
    bad = topup(wallet, -1)
    answer = await batch(api, "independent", topup(wallet, 5), bad, topup(wallet, 6), [])
    assert statuses(answer) == [201, 400, 201, 400]
    second, last = answer.json()["items"][1], answer.json()["items"][3]
    assert second["reference_id"] == bad["reference_id"]
    assert [each["field"] for each in second["body"]["errors"]] == ["amount"]
    assert last["reference_id"] is None
    assert await api.balance(wallet) == 11


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"op":"topup","op":"topup",%b', ""),
        (b'{"op":"topup","metadata":{"a":1,"a":2},%b', ""),
        (b'{"op":"topup","metadata":{"a":"\\u0000"},%b', ""),
        (b'{"op":"topup","metadata":{"a":[[[[1]]]]},%b', "metadata"),
        (b'{"op":"topup","dry_run":1,%b', "dry_run"),
        (b'{"op":["topup"],%b', "op"),
        (b"{%b", "op"),
    ],
)
async def test_what_json_leaves_open_is_malformed_in_an_item_too(api: Api, text: bytes, field: str) -> None:
    item = topup(await api.wallet(), 5)
    del item["op"]
    content = b'{"mode":"independent","items":[' + text % json.dumps(item).encode()[1:] + b"]}"
    answer = await api.send("POST", "/batches", content)
    (answered,) = answer.json()["items"]
    assert (answered["status"], [each["field"] for each in answered["body"]["errors"]]) == (400, [field])


async def test_colons_and_options_do_not_make_an_item_suspicious(api: Api) -> None:
    wallet = await api.wallet()
    item = topup(wallet, 5, f"order:{new_reference()}:1") | {
        "metadata": {"at": "12:30:00"},
        "effective_at": "2024-01-31T12:00:00Z",
        "dry_run": False,
    }
    answer = await batch(api, "atomic", item)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"", [""]),
        (b"[]", [""]),
        (b'{"mode":"atomic","items":[{]}', [""]),
        (b'{"mode":"some","items":[{}]}', ["mode"]),
        (b'{"items":[]}', ["mode", "items"]),
        (b'{"mode":"atomic","items":{},"x":1}', ["items", "x"]),
        (b'{"mode":"atomic","mode":"atomic","items":[{}]}', [""]),
        (b'{"mode":"atomic","items":[{}],"items":[{}]}', [""]),
        (b'{"mode":"atomic","items":[{}],"dry_run":true,"dry_run":false}', [""]),
        (b'{"mode":"atomic","items":[{}],"dry_run":0}', ["dry_run"]),
        (b'{"mode":"atomic","items":[{}],"dry_run":null,"dry_run":null}', [""]),
    ],
)
async def test_what_is_wrong_around_the_items_is_400(api: Api, content: bytes, fields: list[str]) -> None:
    answer = await api.send("POST", "/batches", content)
    assert code_of(answer) == (400, "invalid_request")
    assert fields_of(answer) == fields


async def test_a_batch_may_have_ten_thousand_items_and_no_more(api: Api) -> None:
    answer = await api.send("POST", "/batches", b'{"mode":"atomic","items":[' + b"1," * GROUP_ITEMS_MAX + b"1]}")
    assert fields_of(answer) == ["items"]
    answer = await api.send("POST", "/batches", b'{"mode":"atomic","items":[' + b"1," * (GROUP_ITEMS_MAX - 1) + b"1]}")
    assert len(fields_of(answer)) == ERRORS_MAX


async def test_a_group_may_have_twenty_thousand_legs_and_no_more(api: Api) -> None:
    wallets = [await api.wallet(GROUP_LEGS_MAX // 100) for _ in range(100)]
    sides = [
        {"wallet_id": wallet, "direction": ("debit", "credit")[at % 2], "amount": 1}
        for at, wallet in enumerate(wallets)
    ]

    def items(count: int) -> list[Any]:
        return [
            {"op": "transaction", "type": "payout", "legs": sides, "reference_id": new_reference()}
            for _ in range(count)
        ]

    too_many = await batch(api, "atomic", *items(GROUP_LEGS_MAX // 100), spend(wallets[0], 1))
    assert code_of(too_many) == (422, "group_too_large")
    assert f"items[{GROUP_LEGS_MAX // 100}]" in too_many.json()["detail"]
    assert await api.balance(wallets[0]) == GROUP_LEGS_MAX // 100
    assert (await batch(api, "atomic", *items(GROUP_LEGS_MAX // 100))).status_code == 201
    assert (await batch(api, "independent", *items(GROUP_LEGS_MAX // 100 + 1))).status_code == 200


@MODES
async def test_a_dry_run_answers_what_would_happen_and_nothing_happens(
    api: Api, ledger: asyncpg.Connection, mode: str
) -> None:
    wallet = await api.wallet(10)
    items = [spend(wallet, 4), spend(wallet, 3)]
    answer = await batch(api, mode, *items, dry_run=True)
    assert (answer.status_code, statuses(answer)) == (200, [200, 200])
    assert all(each["body"]["dry_run"] is True and each["body"]["id"] is None for each in answer.json()["items"])
    assert await api.balance(wallet) == 10
    assert statuses(await batch(api, mode, *items)) == [201, 201]


async def test_a_dry_run_of_a_group_sees_its_earlier_items_and_records_no_decline(
    api: Api, ledger: asyncpg.Connection
) -> None:
    wallet = await api.wallet()
    items = [topup(wallet, 5), spend(wallet, 5), spend(wallet, 1)]
    assert statuses(await batch(api, "atomic", *items[:2], dry_run=True)) == [200, 200]
    answer = await batch(api, "atomic", *items, dry_run=True)
    assert codes(answer) == ["group_refused", "group_refused", "insufficient_funds"]
    assert await declines(ledger, *items) == []


async def test_a_part_of_a_group_cannot_be_dry(api: Api) -> None:
    wallet = await api.wallet()
    answer = await batch(api, "atomic", topup(wallet, 1), {**topup(wallet, 2), "dry_run": True})
    assert fields_of(answer) == ["items[1].dry_run"]
    answer = await batch(api, "independent", topup(wallet, 1), {**topup(wallet, 2), "dry_run": True})
    assert statuses(answer) == [201, 200]
    assert await api.balance(wallet) == 1


async def test_amounts_may_be_asked_for_as_strings(api: Api) -> None:
    answer = await api.post(
        "/batches?amounts=string", {"mode": "independent", "items": [topup(await api.wallet(), "5")]}
    )
    (answered,) = answer.json()["items"]
    assert {entry["amount"] for entry in answered["body"]["entries"]} == {"5"}
    assert answered["index"] == 0


async def test_an_idempotency_key_has_no_place_in_a_batch(api: Api) -> None:
    answer = await api.post(
        "/batches",
        {"mode": "atomic", "items": [topup(await api.wallet(), 5)]},
        headers={"idempotency-key": "key"},
    )
    assert fields_of(answer) == ["Idempotency-Key"]


async def test_every_operation_may_be_an_item(api: Api) -> None:
    wallet, other = await api.wallet(), await api.wallet()
    legs = [
        {"wallet_id": wallet, "direction": "debit", "amount": 1},
        {"wallet_id": other, "direction": "credit", "amount": 1},
    ]
    first = await batch(
        api,
        "atomic",
        topup(wallet, 100),
        {**topup(wallet, 20), "op": "bonus"},
        transfer(wallet, other, 5),
        {"op": "transaction", "type": "gift", "reference_id": new_reference(), "legs": legs},
        {
            "op": "hold",
            "reference_id": new_reference(),
            "wallet_id": wallet,
            "amount": 50,
            "expires_in_seconds": 60,
            **GOLD,
        },
        spend(wallet, 5),
    )
    assert statuses(first) == [201] * 6, first.text
    hold, spent = first.json()["items"][4]["body"], first.json()["items"][5]["body"]
    assert (hold["status"], hold["remaining"]) == ("open", 50)
    steps = [
        {"op": "increase", "hold_id": hold["id"], "amount": 5},
        {"op": "extend", "hold_id": hold["id"], "expires_in_seconds": 90},
        {"op": "capture", "hold_id": hold["id"], "amount": 10},
        {"op": "void", "hold_id": hold["id"]},
        {"op": "refund", "transaction_id": spent["id"]},
    ]
    second = await batch(api, "atomic", *({**step, "reference_id": new_reference()} for step in steps))
    assert statuses(second) == [201] * 5, second.text
    assert [each["body"].get("status") for each in second.json()["items"]] == [
        "open",
        "open",
        "posted",
        "voided",
        "posted",
    ]
    assert await api.balance(wallet) == 120 - 5 - 1 - 10


@MODES
async def test_ten_thousand_items_over_as_many_pairs_of_wallets_work(
    api: Api, ledger: asyncpg.Connection, mode: str
) -> None:
    template = await api.wallet()
    columns = await ledger.fetchval(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns WHERE table_name = 'wallets'"
        " AND table_schema = current_schema() AND column_name <> 'id' AND is_generated = 'NEVER'"
    )
    rows = await ledger.fetch(
        f"INSERT INTO wallets (id, {columns}) SELECT gen_random_uuid(), {columns} FROM wallets,"
        f" generate_series(1, {GROUP_ITEMS_MAX}) WHERE id = $1 RETURNING id",
        template,
    )
    wallets = [str(row["id"]) for row in rows]
    await ledger.execute("ANALYZE")  # as autovacuum does sooner or later
    funding = await batch(api, mode, *(topup(wallet, 7) for wallet in wallets))
    assert set(statuses(funding)) == {201}
    moving = await batch(api, mode, *(transfer(wallet, wallets[at - 1], 7) for at, wallet in enumerate(wallets)))
    assert set(statuses(moving)) == {201}
    assert len(moving.json()["items"]) == GROUP_ITEMS_MAX
    sums = await ledger.fetchrow(
        "SELECT sum(balance), min(version), max(version) FROM wallets WHERE id = ANY($1)", wallets
    )
    assert tuple(sums) == (7 * GROUP_ITEMS_MAX, 3, 3)


async def test_what_an_independent_batch_does_not_come_to_in_time_is_left_out_and_said_to_be(api: Api) -> None:
    wallet = await api.wallet()
    count = 2 * api.app.service.bulk.chunk_items_max
    items = [topup(wallet, 1) for _ in range(count)]
    batches = Batches(api.app.service)
    batches._begin_seconds_max = -1  # no time for anything
    answer = await batches.batch(
        Asked(
            json.dumps({"mode": "independent", "items": [*items, {"op": "unheard of"}]}).encode(),
            caller=DEVELOPER,
            headers=[(b"content-type", b"application/json")],
            query=b"",
            request_id="r",
        )
    )
    *late, malformed = json.loads(answer.body)["items"]
    assert answer.status == 200
    assert {(each["status"], each["body"]["code"], each["body"]["retry"]) for each in late} == {
        (503, "storage_unavailable", "later"),
    }
    assert malformed["status"] == 400
    assert await api.balance(wallet) == 0
    again = await batch(api, "independent", *items)
    assert set(statuses(again)) == {201}
    assert await api.balance(wallet) == count
