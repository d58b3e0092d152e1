"""Programmes over HTTP, on the whole service."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.http.client import EREN_WALLET, GOLD_TREASURY, NOBODY, Api, code_of, fields_of, new_reference
from tests.storage.ledgers import until

# The fixtures of this folder live as long as a module, and so must the event loop that they were made in.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMME = {"asset_code": "gold", "amount": 100, "per": "month"}


async def new_programme(api: Api, **fields: Any) -> str:
    id_: str = (await api.made("/programmes", PROGRAMME | fields))["id"]
    return id_


async def attach(api: Api, programme: str, wallet: str) -> Any:
    return await api.made(f"/programmes/{programme}/wallets/{wallet}", None)


# Programmes


async def test_a_programme_is_answered_with_its_defaults(api: Api) -> None:
    made = await api.made("/programmes", PROGRAMME)
    assert made == {
        "id": made["id"],
        "asset_code": "GOLD",
        "amount": 100,
        "per": "month",
        "rollover_max": None,
        "expires_in_seconds": None,
        "category": "promotional",
        "priority": 50,
        "ends_at": None,
        "created_at": made["created_at"],
    }
    assert await api.json(f"/programmes/{made['id']}") == made


async def test_a_programme_is_answered_with_all_that_was_asked_for(api: Api) -> None:
    asked = PROGRAMME | {
        "id": str(uuid4()),
        "amount": "7",
        "per": "day",
        "rollover_max": 0,
        "expires_in_seconds": 60,
        "category": "paid",
        "priority": 0,
        "ends_at": "2999-01-31T13:00:00+01:00",
    }
    made = await api.made("/programmes", asked)
    expected = asked | {"asset_code": "GOLD", "amount": 7, "ends_at": "2999-01-31T12:00:00.000000Z"}
    assert made == expected | {"created_at": made["created_at"]}


async def test_amounts_are_strings_for_those_who_ask(api: Api) -> None:
    id_ = await new_programme(api, rollover_max=5)
    answer = await api.json(f"/programmes/{id_}?amounts=string")
    assert (answer["amount"], answer["rollover_max"], answer["priority"]) == ("100", "5", 50)


async def test_the_same_id_and_body_again_is_the_same_programme(api: Api) -> None:
    asked = PROGRAMME | {"id": str(uuid4())}
    made = await api.made("/programmes", asked)
    again = await api.post("/programmes", asked)
    assert (again.status_code, again.json()) == (200, made)
    assert code_of(await api.post("/programmes", asked | {"amount": 101})) == (409, "already_exists")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 2**63}, "amount"),
        ({"per": "year"}, "per"),
        ({"rollover_max": -1}, "rollover_max"),
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"expires_in_seconds": 2**31}, "expires_in_seconds"),
        ({"category": "main"}, "category"),
        ({"priority": 101}, "priority"),
        ({"ends_at": "tomorrow"}, "ends_at"),
        ({"ends_at": "2999-01-31T12:00:00"}, "ends_at"),
        ({"ends_at": "0001-01-01T00:00:00+14:00"}, "ends_at"),
        ({"id": "1"}, "id"),
        ({"asset_code": "!"}, "asset_code"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_programme_that_cannot_be_is_malformed(api: Api, fields: dict[str, Any], wrong: str) -> None:
    answer = await api.post("/programmes", PROGRAMME | fields)
    assert answer.status_code == 400
    assert fields_of(answer) == [wrong]


async def test_a_programme_needs_an_asset_that_exists(api: Api) -> None:
    assert code_of(await api.post("/programmes", PROGRAMME | {"asset_code": "none"})) == (404, "asset_not_found")


async def test_programmes_are_listed_by_the_page(api: Api) -> None:
    made = {await new_programme(api) for _ in range(3)}
    listed: list[str] = []
    path = "/programmes?limit=2"
    while True:
        page = await api.json(path)
        listed += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        path = f"/programmes?limit=2&cursor={page['next']}"
    assert listed == sorted(listed)
    assert made <= set(listed)


async def test_what_is_no_programme_is_not_found(api: Api) -> None:
    wallet = await api.wallet()
    for answer in (
        await api.get(f"/programmes/{NOBODY}"),
        await api.get(f"/programmes/{NOBODY}/wallets"),
        await api.get(f"/programmes/{NOBODY}/wallets/{wallet}"),
        await api.send("POST", f"/programmes/{NOBODY}/end"),
        await api.send("POST", f"/programmes/{NOBODY}/wallets/{wallet}"),
        await api.send("DELETE", f"/programmes/{NOBODY}/wallets/{wallet}"),
    ):
        assert code_of(answer) == (404, "programme_not_found")
    assert fields_of(await api.get("/programmes/1")) == ["programme_id"]


# Attachments


async def test_the_first_period_is_posted_when_the_attachment_is_answered(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet(7)
    attached = await attach(api, programme, wallet)
    assert await api.balance(wallet) == 107
    assert attached["ended_at"] is None
    assert attached["next_period"] == 1
    assert attached["next_at"] > attached["anchor_at"]
    assert attached == await api.json(f"/programmes/{programme}/wallets/{wallet}")


async def test_a_grant_is_a_transaction_of_the_services_own(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    attached = await attach(api, programme, wallet)
    reference = f"grant:{programme}:{wallet}:{attached['anchor_at']}"
    [grant] = (await api.json(f"/transactions?reference_id={reference}"))["data"]
    assert (grant["type"], grant["effective_at"]) == ("grant", attached["anchor_at"])
    assert [(entry["wallet_id"], entry["direction"], entry["amount"]) for entry in grant["entries"]] == [
        (GOLD_TREASURY, "debit", 100),
        (wallet, "credit", 100),
    ]


async def test_a_callers_reference_does_not_stand_in_a_grants_way(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    attached = await attach(api, programme, wallet)
    body = {
        "reference_id": f"grant:{programme}:{wallet}:{attached['anchor_at']}", "amount": 1, "asset_code": "gold",
    }  # fmt: skip
    await api.made(f"/wallets/{wallet}/topup", body)
    assert await api.balance(wallet) == 101


async def test_attaching_again_changes_nothing(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    attached = await attach(api, programme, wallet)
    again = await api.send("POST", f"/programmes/{programme}/wallets/{wallet}")
    assert (again.status_code, again.json()) == (200, attached)
    assert await api.balance(wallet) == 100


async def test_many_who_attach_at_once_attach_once(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    path = f"/programmes/{programme}/wallets/{wallet}"
    answers = await asyncio.gather(*(api.send("POST", path) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await api.balance(wallet) == 100


async def test_a_detached_wallet_keeps_what_it_has_and_begins_anew_when_attached_again(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    path = f"/programmes/{programme}/wallets/{wallet}"
    await attach(api, programme, wallet)
    detached = await api.send("DELETE", path)
    assert detached.status_code == 200
    assert detached.json()["next_at"] is None
    assert detached.json()["ended_at"] is not None
    again = await api.send("DELETE", path)
    assert again.json() == detached.json()
    assert await api.balance(wallet) == 100
    await attach(api, programme, wallet)
    assert await api.balance(wallet) == 200


async def test_a_wallet_that_was_never_attached_cannot_be_detached(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    answer = await api.send("DELETE", f"/programmes/{programme}/wallets/{wallet}")
    assert code_of(answer) == (404, "programme_not_found")


async def test_two_programmes_of_one_wallet_are_two(api: Api) -> None:
    first, second, wallet = await new_programme(api), await new_programme(api, amount=11), await api.wallet()
    await attach(api, first, wallet)
    await attach(api, second, wallet)
    assert await api.balance(wallet) == 111


async def test_an_ended_programme_grants_nothing_more(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    ended = await api.send("POST", f"/programmes/{programme}/end")
    assert ended.status_code == 200
    assert ended.json()["ends_at"] is not None
    assert (await api.send("POST", f"/programmes/{programme}/end")).json() == ended.json()
    assert (await attach(api, programme, wallet))["next_at"] is None
    assert await api.balance(wallet) == 0


async def test_a_wallet_must_be_a_users_open_one_of_the_programmes_asset(api: Api) -> None:
    programme = await new_programme(api)
    closed, merged, target = [await api.wallet() for _ in range(3)]
    assert (await api.post(f"/wallets/{closed}/close", {})).status_code == 200
    merge = await api.post(f"/wallets/{merged}/merge-into/{target}", {"reference_id": new_reference()})
    assert merge.status_code in (200, 201), merge.text
    for wallet, expected in (
        (NOBODY, (404, "wallet_not_found")),
        (EREN_WALLET, (422, "asset_mismatch")),
        (GOLD_TREASURY, (422, "system_wallet")),
        (closed, (422, "wallet_closed")),
        (merged, (409, "wallet_merged")),
    ):
        answer = await api.send("POST", f"/programmes/{programme}/wallets/{wallet}")
        assert code_of(answer) == expected
    assert (await api.json(f"/programmes/{programme}/wallets"))["data"] == []


async def test_the_wallets_of_a_programme_are_listed_by_the_page(api: Api) -> None:
    programme = await new_programme(api)
    wallets = sorted([await api.wallet() for _ in range(3)])
    for wallet in wallets:
        await attach(api, programme, wallet)
    first = await api.json(f"/programmes/{programme}/wallets?limit=2")
    assert [each["wallet_id"] for each in first["data"]] == wallets[:2]
    second = await api.json(f"/programmes/{programme}/wallets?limit=2&cursor={first['next']}")
    assert [each["wallet_id"] for each in second["data"]] == wallets[2:]
    assert (second["has_more"], second["next"]) == (False, None)
    other = await new_programme(api)
    wrong = await api.get(f"/programmes/{other}/wallets?cursor={first['next']}")
    assert fields_of(wrong) == ["cursor"]


async def test_a_merged_wallets_programmes_go_on_at_its_target(api: Api) -> None:
    programme, source, target = await new_programme(api), await api.wallet(), await api.wallet()
    attached = await attach(api, programme, source)
    merge = await api.post(f"/wallets/{source}/merge-into/{target}", {"reference_id": new_reference()})
    assert merge.status_code in (200, 201), merge.text
    moved = await api.json(f"/programmes/{programme}/wallets/{target}")
    assert moved == attached | {"wallet_id": target}
    assert (await api.json(f"/programmes/{programme}/wallets/{source}"))["ended_at"] is not None
    assert await api.balance(target) == 100


async def test_attaching_takes_no_reference(api: Api) -> None:
    programme, wallet = await new_programme(api), await api.wallet()
    path = f"/programmes/{programme}/wallets/{wallet}"
    answer = await api.send("POST", path, headers={"idempotency-key": "x"})
    assert fields_of(answer) == ["Idempotency-Key"]


async def test_missed_periods_are_granted_by_the_keeper(api: Api, ledger: asyncpg.Connection) -> None:
    programme, wallet = await new_programme(api, per="day"), await api.wallet()
    await attach(api, programme, wallet)
    # As if it had been attached three days and a half ago, and no keeper had been there since.
    await ledger.execute(
        "UPDATE programme_wallets SET anchor_at = anchor_at - interval '84 hours',"
        " next_at = next_at - interval '84 hours' WHERE wallet_id = $1",
        wallet,
    )

    async def has_it_all() -> bool:
        return await api.balance(wallet) == 400

    await until(has_it_all)
    attached = await api.json(f"/programmes/{programme}/wallets/{wallet}")
    assert attached["next_period"] == 4
    assert datetime.fromisoformat(attached["next_at"]) > datetime.now(UTC)
    assert datetime.fromisoformat(attached["next_at"]) < datetime.now(UTC) + timedelta(days=1)


async def test_the_keeper_of_what_is_due_has_its_metrics(api: Api) -> None:
    metrics = api.figures()
    assert "wallet_due_lag_seconds " in metrics
    assert "wallet_due_steps_total" in metrics
