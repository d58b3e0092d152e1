"""Keys over HTTP: made, listed, revoked; and the administrative acts that this and the like leave behind."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from tests.http.client import GOLD_TREASURY, MIKASA, MIKASA_WALLET, NOBODY, Api, code_of, fields_of, running_api
from tests.http.conftest import Lanes
from wallet.service.access.keys import KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(lanes: Lanes) -> Api:
    return lanes["fast lane"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(demo_database_url: str) -> AsyncIterator[Api]:
    async with running_api(demo_database_url, development=False) as running:
        yield running


async def new_key(api: Api, *scopes: str, **terms: Any) -> Any:
    return await api.made("/keys", {"name": "test", "scopes": list(scopes) or ["read"], **terms})


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class TestMaking:
    async def test_the_key_is_in_this_answer_only(self, api: Api) -> None:
        made = await new_key(api, "spend", "read")
        key = made.pop("key")
        assert KEY.fullmatch(key.encode())
        assert key.split("_")[1] == made["prefix"]
        assert made["scopes"] == ["read", "spend"]
        assert (made["origin"], made["user_id"], made["wallet_ids"]) == ("api", None, None)
        assert await api.json(f"/keys/{made['id']}") == made
        assert key not in json.dumps(await api.json("/keys?limit=200"))

    async def test_only_its_hash_is_kept(self, api: Api, ledger: asyncpg.Connection) -> None:
        made = await new_key(api)
        row = await ledger.fetchrow("SELECT * FROM api_keys WHERE id = $1", made["id"])
        assert made["key"].split("_", 2)[2] not in str(dict(row))
        assert len(row["hash"]) == 32

    async def test_bound_to_a_user_its_references_are_the_users(self, api: Api) -> None:
        made = await new_key(api, "spend", user_id=MIKASA)
        assert (made["user_id"], made["origin"]) == (MIKASA, MIKASA)

    async def test_bound_to_wallets_its_references_are_its_own(self, api: Api) -> None:
        made = await new_key(api, wallet_ids=[MIKASA_WALLET, MIKASA_WALLET])
        assert (made["wallet_ids"], made["origin"]) == ([MIKASA_WALLET], f"key:{made['id']}")

    @pytest.mark.parametrize("scope", ["issue", "refund", "refund:force", "admin"])
    @pytest.mark.parametrize("binding", [{"user_id": MIKASA}, {"wallet_ids": [MIKASA_WALLET]}], ids=["user", "wallet"])
    async def test_what_is_bound_can_read_and_spend_only(self, api: Api, scope: str, binding: Any) -> None:
        answer = await api.post("/keys", {"name": "x", "scopes": ["read", scope], **binding})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["scopes"])

    @pytest.mark.parametrize("scope", ["issue", "refund", "refund:force", "admin"])
    async def test_the_database_refuses_it_too(self, api: Api, ledger: asyncpg.Connection, scope: str) -> None:
        made = await new_key(api, user_id=MIKASA)
        with pytest.raises(asyncpg.CheckViolationError, match="api_keys_bound_ck"):
            await ledger.execute("UPDATE api_keys SET scopes = scopes || $2::text WHERE id = $1", made["id"], scope)

    async def test_what_it_is_bound_to_must_be_there(self, api: Api) -> None:
        of_nobody = await api.post("/keys", {"name": "x", "scopes": ["read"], "user_id": NOBODY})
        assert code_of(of_nobody) == (404, "user_not_found")
        of_nothing = await api.post("/keys", {"name": "x", "scopes": ["read"], "wallet_ids": [MIKASA_WALLET, NOBODY]})
        assert code_of(of_nothing) == (404, "wallet_not_found")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": None}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": None}, "scopes"),
            ({"scopes": ["everything"]}, "scopes[0]"),
            ({"wallet_ids": []}, "wallet_ids"),
            ({"wallet_ids": [GOLD_TREASURY] * 101}, "wallet_ids"),
            ({"user_id": MIKASA, "wallet_ids": [MIKASA_WALLET]}, "wallet_ids"),
            ({"expires_in_days": 0}, "expires_in_days"),
            ({"requests_per_second": 0}, "requests_per_second"),
            ({"key": "mine"}, "key"),
            ({"replaces": NOBODY}, "name"),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, changes: Any, field: str) -> None:
        answer = await api.post("/keys", {"name": "x", "scopes": ["read"], **changes})
        assert code_of(answer) == (400, "invalid_request")
        assert field in fields_of(answer)

    async def test_a_replacement_is_a_copy_and_the_old_key_stays_valid(self, api: Api, guarded: Api) -> None:
        old = await new_key(api, "read", wallet_ids=[MIKASA_WALLET], requests_per_second=500)
        new = await api.made("/keys", {"replaces": old["id"], "expires_in_days": 30})
        copied = ("name", "scopes", "origin", "user_id", "wallet_ids", "requests_per_second")
        assert [new[name] for name in copied] == [old[name] for name in copied]
        assert (new["id"] != old["id"], new["key"] != old["key"], new["expires_at"] is None) == (True, True, False)
        for each in (old, new):
            balance = await guarded.get(f"/wallets/{MIKASA_WALLET}/balance", headers=bearer(each["key"]))
            assert balance.status_code == 200

    async def test_what_is_replaced_must_be_there(self, api: Api) -> None:
        assert code_of(await api.post("/keys", {"replaces": NOBODY})) == (404, "key_not_found")


class TestListingAndRevoking:
    async def test_newest_first_by_the_page(self, api: Api) -> None:
        made = [(await new_key(api))["id"] for _ in range(3)]
        first = await api.json("/keys?limit=2")
        second = await api.json(f"/keys?limit=1&cursor={first['next']}")
        assert [each["id"] for each in first["data"] + second["data"]] == made[::-1]

    async def test_a_revoked_key_stays_listed_and_a_second_time_changes_nothing(self, api: Api) -> None:
        made = await new_key(api)
        first = await api.send("DELETE", f"/keys/{made['id']}")
        second = await api.send("DELETE", f"/keys/{made['id']}")
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json()["revoked_at"] is not None
        assert first.json() == second.json() == await api.json(f"/keys/{made['id']}")

    async def test_there_must_be_one(self, api: Api) -> None:
        assert code_of(await api.get(f"/keys/{NOBODY}")) == (404, "key_not_found")
        assert code_of(await api.send("DELETE", f"/keys/{NOBODY}")) == (404, "key_not_found")
        assert code_of(await api.get("/keys/x")) == (400, "invalid_request")

    async def test_a_key_that_revokes_itself_gets_the_whole_answer(self, api: Api, guarded: Api) -> None:
        made = await new_key(api, "admin")
        answer = await guarded.send("DELETE", f"/keys/{made['id']}", headers=bearer(made["key"]))
        assert answer.status_code == 200
        assert answer.json()["id"] == made["id"]
        assert answer.json()["revoked_at"] is not None

    async def test_no_row_of_a_key_can_be_deleted(self, api: Api, ledger: asyncpg.Connection) -> None:
        await new_key(api)
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ledger.execute("DELETE FROM api_keys")
        assert (refused.value.sqlstate or "").startswith("WL")


async def latest(api: Api) -> Any:
    """The act before the one of asking."""
    return (await api.json("/admin-acts?limit=2"))["data"][1]


class TestActs:
    async def test_what_was_asked_for_is_written_with_its_answer_and_without_the_key(self, api: Api) -> None:
        made = await new_key(api, "read", requests_per_second=7)
        act = await latest(api)
        assert (act["act"], act["actor"], act["key_id"], act["status"]) == ("POST /keys", "development", None, 201)
        assert act["asked"] == {"name": "test", "requests_per_second": 7, "scopes": ["read"]}
        assert made["key"] not in json.dumps(act)

    async def test_who_it_was_and_what_it_was_done_to(self, api: Api, guarded: Api) -> None:
        admin = await new_key(api, "admin", name="operator")
        headers = {"x-request-id": "label-1", **bearer(admin["key"])}
        changed = await guarded.patch(f"/wallets/{MIKASA_WALLET}", {"label": "hers"}, headers=headers)
        assert changed.status_code == 200
        act = await latest(api)
        assert (act["actor"], act["key_id"], act["request_id"]) == ("operator", admin["id"], "label-1")
        assert (act["act"], act["subject"]) == ("PATCH /wallets/{wallet_id}", MIKASA_WALLET)
        assert (act["asked"], act["status"]) == ({"label": "hers"}, 200)

    async def test_what_was_refused_is_written_too(self, api: Api) -> None:
        await api.patch(f"/wallets/{NOBODY}", {"label": "x"})
        assert (await latest(api))["status"] == 404
        await api.send("POST", "/keys", b"{no json")
        act = await latest(api)
        assert (act["status"], act["asked"]) == (400, None)

    async def test_who_may_not_administer_leaves_no_act(self, api: Api, guarded: Api) -> None:
        reader = await new_key(api, "read")
        before = (await latest(api))["id"]
        await guarded.get("/keys", headers=bearer(reader["key"]))
        await guarded.get("/keys")
        acts = (await api.json("/admin-acts?limit=3"))["data"]
        assert [each["act"] for each in acts] == ["GET /admin-acts"] * 2 + ["POST /keys"]
        assert acts[2]["id"] == before

    async def test_a_key_that_is_sent_by_mistake_is_not_kept(self, api: Api, ledger: asyncpg.Connection) -> None:
        made = await new_key(api)
        await api.post("/keys", {"name": made["key"], "scopes": ["read"]})
        assert (await latest(api))["asked"]["name"] == f"wlt_{made['prefix']}_…"
        kept = await ledger.fetchval("SELECT string_agg(asked || coalesce(subject, ''), ' ') FROM admin_acts")
        assert made["key"] not in kept

    async def test_a_path_that_cannot_be_kept_as_it_is_is_refused_for_what_it_is(self, api: Api) -> None:
        answer = await api.patch("/wallets/%00" + "a" * 300, {"label": "x"})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["wallet_id"])
        act = await latest(api)
        assert (act["subject"], act["status"]) == ("\ufffd" + "a" * 254, 400)

    async def test_an_import_is_one_act(self, api: Api) -> None:
        lines = "".join(
            json.dumps(
                {"op": "topup", "wallet_id": MIKASA_WALLET, "reference_id": str(uuid4()), "amount": 1,
                 "asset_code": "gold"}
            ) + "\n"
            for _ in range(5)
        )  # fmt: skip
        answer = await api.send("POST", "/import", lines.encode(), headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 200
        acts = (await api.json("/admin-acts?limit=3"))["data"]
        assert [each["act"] for each in acts].count("POST /import") == 1
        assert (acts[1]["act"], acts[1]["asked"], acts[1]["status"]) == ("POST /import", None, 200)

    async def test_what_cannot_be_written_is_not_done(self, database_url: str) -> None:
        connection = await asyncpg.connect(database_url)
        async with running_api(database_url) as api:
            await connection.execute("ALTER TABLE admin_acts RENAME TO elsewhere")
            answer = await api.post("/keys", {"name": "x", "scopes": ["read"]})
            assert code_of(answer) == (503, "storage_unavailable")
            assert code_of(await api.post("/assets", {"code": "NEW"})) == (503, "storage_unavailable")
            assert await connection.fetchval("SELECT count(*) FROM api_keys") == 0
            assert await connection.fetchval("SELECT count(*) FROM assets WHERE code = 'NEW'") == 0
        await connection.close()

    async def test_what_was_done_is_answered_though_its_answer_cannot_be_written(self, database_url: str) -> None:
        connection = await asyncpg.connect(database_url)
        async with running_api(database_url) as api:
            await connection.execute("ALTER TABLE admin_answers RENAME TO elsewhere")
            assert (await api.post("/keys", {"name": "x", "scopes": ["read"]})).status_code == 201
            assert await connection.fetchval("SELECT count(*) FROM admin_acts") == 1
        await connection.close()

    @pytest.mark.parametrize("table", ["admin_acts", "admin_answers"])
    @pytest.mark.parametrize(
        "statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"], ids=["update", "delete", "truncate"]
    )
    async def test_nothing_of_it_can_be_changed(
        self, api: Api, ledger: asyncpg.Connection, table: str, statement: str
    ) -> None:
        await new_key(api)
        column = "asked_at" if table == "admin_acts" else "answered_at"
        with pytest.raises(asyncpg.PostgresError) as refused:
            await ledger.execute(statement.format(table, column, column))
        assert (refused.value.sqlstate or "").startswith("WL")
