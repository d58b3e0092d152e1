"""Users, wallets and assets over HTTP: made as promised, made again, read."""

import asyncio
from random import randrange
from typing import Any
from uuid import uuid4

import pytest

from tests.http.client import (
    EREN,
    EREN_WALLET,
    GOLD_TREASURY,
    MIKASA,
    MIKASA_WALLET,
    NOBODY,
    Api,
    code_of,
    fields_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def new_code() -> str:
    return f"A{uuid4().hex[:15]}"


class TestUsers:
    async def test_the_promised_request(self, api: Api) -> None:
        made = await api.made("/users", {"name": "Armin"})
        assert made == {"id": made["id"], "name": "Armin", "metadata": None, "created_at": made["created_at"]}
        assert await api.json(f"/users/{made['id']}") == made

    async def test_the_demo_users_are_there(self, api: Api) -> None:
        names = [(await api.json(f"/users/{each}"))["name"] for each in (EREN, MIKASA)]
        assert names == ["Eren Yeager", "Mikasa Akerman"]

    async def test_one_that_does_not_exist(self, api: Api) -> None:
        assert code_of(await api.get(f"/users/{NOBODY}")) == (404, "user_not_found")

    async def test_names_need_not_be_unique(self, api: Api) -> None:
        first, second = [await api.made("/users", {"name": "Armin"}) for _ in range(2)]
        assert first["id"] != second["id"]


class TestWallets:
    async def test_the_promised_request(self, api: Api) -> None:
        body = {"label": "Armin Gold wallet", "user_id": MIKASA, "asset_type_id": 1}
        made = await api.made("/wallets", body)
        assert made == {
            "id": made["id"],
            "kind": "user",
            "asset_code": "GOLD",
            "asset_type_id": 1,
            "user_id": MIKASA,
            "label": "Armin Gold wallet",
            "metadata": None,
            "overdraft_limit": 0,
            "max_balance": None,
            "freeze_outgoing": False,
            "freeze_incoming": False,
            "spending_limits": [],
            "status": "open",
            "merged_into": None,
            "version": 0,
            "created_at": made["created_at"],
            "closed_at": None,
        }
        assert await api.json(f"/wallets/{made['id']}") == made

    async def test_the_asset_may_be_named_by_its_code_in_either_case(self, api: Api) -> None:
        assert (await api.made("/wallets", {"asset_code": "Diamond"}))["asset_type_id"] == 2

    async def test_the_asset_may_be_named_twice_if_both_agree(self, api: Api) -> None:
        await api.made("/wallets", {"asset_code": "gold", "asset_type_id": 1})
        answer = await api.post("/wallets", {"asset_code": "gold", "asset_type_id": 2})
        assert code_of(answer) == (404, "asset_not_found")

    async def test_a_wallet_without_an_asset_is_refused(self, api: Api) -> None:
        answer = await api.post("/wallets", {"label": "of nothing"})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["asset_code"])

    @pytest.mark.parametrize("named", [{"asset_code": "nothing"}, {"asset_type_id": 2**31 - 1}])
    async def test_an_asset_that_does_not_exist(self, api: Api, named: Any) -> None:
        assert code_of(await api.post("/wallets", named)) == (404, "asset_not_found")

    async def test_a_user_that_does_not_exist(self, api: Api) -> None:
        answer = await api.post("/wallets", {"asset_code": "gold", "user_id": NOBODY})
        assert code_of(answer) == (404, "user_not_found")

    async def test_a_new_wallet_is_empty(self, api: Api) -> None:
        assert await api.balance(await api.wallet()) == 0

    @pytest.mark.parametrize("path", ["", "/balance", "/entries", "/holds", "/lots"])
    async def test_one_that_does_not_exist(self, api: Api, path: str) -> None:
        assert code_of(await api.get(f"/wallets/{NOBODY}{path}")) == (404, "wallet_not_found")

    async def test_the_demo_wallets_are_there(self, api: Api) -> None:
        wallets = [await api.json(f"/wallets/{each}") for each in (MIKASA_WALLET, EREN_WALLET)]
        assert [(each["user_id"], each["asset_code"]) for each in wallets] == [(MIKASA, "GOLD"), (EREN, "DIAMOND")]

    async def test_a_system_wallet_says_what_it_is(self, api: Api) -> None:
        wallet = await api.json(f"/wallets/{GOLD_TREASURY}")
        assert (wallet["kind"], wallet["user_id"]) == ("treasury", None)

    async def test_a_user_lists_their_wallets(self, api: Api) -> None:
        user = (await api.made("/users", {"name": "Levi"}))["id"]
        made = [(await api.made("/wallets", {"asset_code": "gold", "user_id": user}))["id"] for _ in range(3)]
        page = await api.json(f"/users/{user}/wallets")
        assert sorted(each["id"] for each in page["data"]) == sorted(made)

    async def test_a_user_without_wallets_lists_none(self, api: Api) -> None:
        user = (await api.made("/users", {"name": "Historia"}))["id"]
        assert await api.json(f"/users/{user}/wallets") == {"data": [], "next": None, "has_more": False}

    async def test_the_wallets_of_a_user_that_does_not_exist(self, api: Api) -> None:
        assert code_of(await api.get(f"/users/{NOBODY}/wallets")) == (404, "user_not_found")


class TestAssets:
    async def test_the_promised_request(self, api: Api) -> None:
        code = new_code()
        made = await api.made("/assets", {"code": code.lower()})
        assert (made["code"], made["scale"], made["max_supply"]) == (code.upper(), 0, None)
        policy = [made[each] for each in ("draw_order", "on_refund_to_expired", "grace_seconds")]
        assert policy == ["expiring_first", "grace", 30 * 24 * 3600]
        assert [made[each] for each in ("issued", "revenue", "breakage", "circulating")] == [0, 0, 0, 0]
        assert await api.json(f"/assets/{made['id']}") == made

    async def test_its_system_wallets_are_there_from_the_beginning(self, api: Api) -> None:
        made = await api.made("/assets", {"code": new_code()})
        wallets = [
            await api.json(f"/wallets/{made[f'{kind}_wallet_id']}") for kind in ("treasury", "revenue", "breakage")
        ]
        assert [each["kind"] for each in wallets] == ["treasury", "revenue", "breakage"]

    async def test_it_says_where_its_units_are(self, api: Api) -> None:
        code = new_code()
        asset = await api.made("/assets", {"code": code, "scale": 2, "max_supply": "100"})
        wallet = await api.wallet(30, asset_code=code)
        await api.moved("spend", wallet, 10, asset_code=code)
        asset = await api.json(f"/assets/{asset['id']}")
        assert (asset["scale"], asset["max_supply"]) == (2, 100)
        assert [asset[each] for each in ("issued", "revenue", "breakage", "circulating")] == [30, 10, 0, 20]

    async def test_the_list_has_the_demo_assets(self, api: Api) -> None:
        page = await api.json("/assets?limit=2")
        assert [(each["id"], each["code"]) for each in page["data"]] == [(1, "GOLD"), (2, "DIAMOND")]

    @pytest.mark.parametrize("asset_id", ["0", "999999999", "2147483648", "9" * 18])
    async def test_one_that_does_not_exist(self, api: Api, asset_id: str) -> None:
        assert code_of(await api.get(f"/assets/{asset_id}")) == (404, "asset_not_found")

    @pytest.mark.parametrize("asset_id", ["gold", "+1", "-1", "%201", "1_0", "1.0", "%EF%BC%91", "9" * 5000])
    async def test_an_id_that_is_no_number(self, api: Api, asset_id: str) -> None:
        answer = await api.get(f"/assets/{asset_id}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["asset_id"])

    async def test_one_made_after_an_id_of_the_clients_choice_gets_another(self, api: Api) -> None:
        chosen = await api.made("/assets", {"code": new_code(), "id": randrange(10_000, 1_000_000_000)})
        made = await api.made("/assets", {"code": new_code()})
        assert made["id"] > chosen["id"]


class TestPolicies:
    async def test_an_asset_is_made_with_one(self, api: Api) -> None:
        policy = {"draw_order": "main_first", "on_refund_to_expired": "to_main", "grace_seconds": 60}
        made = await api.made("/assets", {"code": new_code(), **policy})
        assert {name: made[name] for name in policy} == policy

    async def test_each_part_of_it_is_changed_on_its_own(self, api: Api) -> None:
        made = await api.made("/assets", {"code": new_code()})
        path = f"/assets/{made['id']}"
        for change in ({"draw_order": "main_first"}, {"on_refund_to_expired": "forfeit"}, {"grace_seconds": 7}, {}):
            made |= change
            answer = await api.patch(path, change)
            assert (answer.status_code, answer.json()) == (200, made)
        assert await api.json(path) == made

    async def test_the_body_that_an_asset_was_made_with_is_the_same_again_after_a_change(self, api: Api) -> None:
        body = {"code": new_code(), "grace_seconds": 60}
        made = await api.made("/assets", body)
        changed = (await api.patch(f"/assets/{made['id']}", {"grace_seconds": 90})).json()
        again = await api.post("/assets", body)
        assert (again.status_code, again.json()) == (200, changed)
        answer = await api.post("/assets", {**body, "grace_seconds": 90})
        assert code_of(answer) == (409, "already_exists")

    @pytest.mark.parametrize("fixed", [{"code": "NEW"}, {"scale": 1}, {"max_supply": 5}, {"max_supply": None}])
    async def test_what_is_fixed_is_said_to_be(self, api: Api, fixed: Any) -> None:
        answer = await api.patch("/assets/1", {**fixed, "grace_seconds": 60})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), list(fixed))
        assert "fixed" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"draw_order": "lots_first"}, {"draw_order": None}, {"on_refund_to_expired": "keep"}, {"grace_seconds": 0},
            {"grace_seconds": 2**31}, {"grace_seconds": "60"}, {"id": 1}, {"x": 1},
        ],
    )  # fmt: skip
    async def test_a_change_that_is_none(self, api: Api, wrong: Any) -> None:
        answer = await api.patch("/assets/1", wrong)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), list(wrong))

    @pytest.mark.parametrize("asset_id", ["0", "999999999", "2147483648", "9" * 18])
    async def test_an_asset_that_does_not_exist(self, api: Api, asset_id: str) -> None:
        assert code_of(await api.patch(f"/assets/{asset_id}", {"grace_seconds": 1})) == (404, "asset_not_found")

    async def test_an_id_that_is_no_number(self, api: Api) -> None:
        answer = await api.patch("/assets/gold", {"grace_seconds": 1})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["asset_id"])


METADATA = {"z": [1, {"a": None}], "n": 1.5, "amount": 3, "ü": "\U0001f600"}


class TestMetadata:
    @pytest.mark.parametrize(("path", "body"), [("/users", {"name": "A"}), ("/wallets", {"asset_code": "gold"})])
    async def test_it_is_given_back_as_it_is(self, api: Api, path: str, body: Any) -> None:
        made = await api.made(path, {**body, "metadata": METADATA})
        assert made["metadata"] == METADATA
        assert await api.json(f"{path}/{made['id']}?amounts=string") == {
            **made, **({"overdraft_limit": "0"} if path == "/wallets" else {}),
        }  # fmt: skip

    @pytest.mark.parametrize(("path", "body"), [("/users", {"name": "A"}), ("/wallets", {"asset_code": "gold"})])
    async def test_it_belongs_to_the_body_that_may_come_again(self, api: Api, path: str, body: Any) -> None:
        body = {"id": str(uuid4()), "metadata": {"a": 1, "b": 2}, **body}
        made = await api.made(path, body)
        again = await api.post(path, {**body, "metadata": {"b": 2, "a": 1}})
        assert (again.status_code, again.json()) == (200, made)
        for other in ({"a": 1}, {}, None):
            assert code_of(await api.post(path, {**body, "metadata": other})) == (409, "already_exists")

    @pytest.mark.parametrize(("path", "body"), [("/users", {"name": "A"}), ("/wallets", {"asset_code": "gold"})])
    @pytest.mark.parametrize("wrong", [[], "x", {"a": 2**70}, {"a": [[[[1]]]]}, {"a": "x" * 4096}])
    async def test_its_bounds_are_those_of_transactions(self, api: Api, path: str, body: Any, wrong: Any) -> None:
        answer = await api.post(path, {**body, "metadata": wrong})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["metadata"])


async def test_a_wallets_first_body_is_the_same_again_after_a_change(api: Api) -> None:
    body = {"id": str(uuid4()), "asset_code": "gold", "label": "a", "metadata": {"a": 1}}
    await api.made("/wallets", body)
    answer = await api.patch(f"/wallets/{body['id']}", {"label": "b", "metadata": None})
    assert answer.status_code == 200
    again = await api.post("/wallets", body)
    assert (again.status_code, again.json()) == (200, answer.json())
    assert code_of(await api.post("/wallets", {**body, "label": "b"})) == (409, "already_exists")


def new_user(id_: str) -> tuple[str, Any, Any]:
    return "/users", {"id": id_, "name": "Armin"}, {"id": id_, "name": "Armin!"}


def new_wallet(id_: str) -> tuple[str, Any, Any]:
    return "/wallets", {"id": id_, "asset_code": "gold", "label": "a"}, {"id": id_, "asset_code": "gold", "label": "b"}


def new_asset(id_: str) -> tuple[str, Any, Any]:
    code = f"C{id_[:8]}"
    return "/assets", {"code": code, "scale": 2}, {"code": code, "scale": 3}


@pytest.mark.parametrize("resource", [new_user, new_wallet, new_asset])
class TestClientMadeIds:
    async def test_the_same_again_is_200(self, api: Api, resource: Any) -> None:
        path, body, _ = resource(str(uuid4()))
        first = await api.made(path, body)
        again = await api.post(path, body)
        assert (again.status_code, again.json()) == (200, first)

    async def test_another_body_is_409(self, api: Api, resource: Any) -> None:
        path, body, other = resource(str(uuid4()))
        await api.made(path, body)
        assert code_of(await api.post(path, other)) == (409, "already_exists")

    async def test_racing_creates_make_one(self, api: Api, resource: Any) -> None:
        path, body, _ = resource(str(uuid4()))
        answers = await asyncio.gather(*(api.post(path, body) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.content for answer in answers}) == 1


async def test_a_system_wallets_id_cannot_be_taken(api: Api) -> None:
    answer = await api.post("/wallets", {"id": GOLD_TREASURY, "asset_code": "gold"})
    assert code_of(answer) == (409, "already_exists")


async def test_an_assets_id_cannot_be_taken_by_another_code(api: Api) -> None:
    answer = await api.post("/assets", {"id": 1, "code": new_code()})
    assert code_of(answer) == (409, "already_exists")


async def test_a_wallet_id_in_upper_case_is_the_same_id(api: Api) -> None:
    id_ = str(uuid4())
    await api.made("/wallets", {"id": id_, "asset_code": "gold"})
    assert (await api.post("/wallets", {"id": id_.upper(), "asset_code": "gold"})).status_code == 200
