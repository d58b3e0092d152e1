"""`wallet keys`: the first key is made here, and each use is written down."""

import asyncio
import json
from typing import Any

import asyncpg
import httpx
import pytest

from tests.cli.running import Wallet, started
from tests.cli.test_serve import READY_SECONDS_MAX
from wallet.service.access.keys import KEY
from wallet.service.demo import EREN_WALLET, make_demo_data
from wallet.settings import Settings
from wallet.storage.connections.database import Database

EREN = "e1e1e1e1-e1e1-e1e1-e1e1-e1e1e1e1e1e1"
NOBODY = "99999999-9999-9999-9999-999999999999"


def rows(database_url: str, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        try:
            return [dict(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def created(wallet: Wallet, database_url: str, *arguments: str) -> Any:
    said = wallet("keys", "create", "--json", *arguments, DATABASE_URL=database_url)
    assert said.code == 0, said.errors
    return json.loads(said.output)


def test_the_key_is_all_that_is_on_standard_output(wallet: Wallet, database_url: str) -> None:
    said = wallet("keys", "create", "--name", "backend", "--scope", "read", DATABASE_URL=database_url)
    assert said.code == 0
    assert KEY.fullmatch(said.output.strip().encode())
    assert "not shown again" in said.errors
    assert said.output.strip() not in said.errors


def test_its_terms_are_kept(wallet: Wallet, database_url: str) -> None:
    made = created(
        wallet, database_url, "--name", "n", "--scope", "spend", "--scope", "read", "--expires-in-days", "30",
        "--requests-per-second", "7",
    )  # fmt: skip
    assert (made["name"], made["scopes"], made["requests_per_second"]) == ("n", ["read", "spend"], 7)
    assert made["expires_at"] is not None
    listed = wallet("keys", "list", "--json", DATABASE_URL=database_url)
    assert json.loads(listed.output)["keys"] == [{name: made[name] for name in made if name != "key"}]


def test_bound_keys_must_be_bound_to_what_is_there(wallet: Wallet, database_url: str) -> None:
    asyncio.run(make_demo_data(Database(dsn=database_url, settings=Settings())))
    assert created(wallet, database_url, "--name", "n", "--scope", "read", "--user", EREN)["origin"] == EREN
    made = created(wallet, database_url, "--name", "n", "--scope", "read", "--wallet", str(EREN_WALLET))
    assert made["origin"] == f"key:{made['id']}"
    for option in ("--user", "--wallet"):
        said = wallet("keys", "create", "--name", "n", "--scope", "read", option, NOBODY, DATABASE_URL=database_url)
        assert (said.code, said.output) == (1, "")
        assert NOBODY in said.errors


@pytest.mark.parametrize("scope", ["issue", "refund", "refund:force", "admin"])
def test_bound_keys_can_read_and_spend_only(wallet: Wallet, database_url: str, scope: str) -> None:
    said = wallet("keys", "create", "--name", "n", "--scope", scope, "--user", EREN, DATABASE_URL=database_url)
    assert (said.code, said.output, said.errors.count("\n")) == (2, "", 1)
    assert "--scope" in said.errors


def test_a_replacement_copies_and_leaves_the_old_one(wallet: Wallet, database_url: str) -> None:
    old = created(wallet, database_url, "--name", "n", "--scope", "issue")
    new = created(wallet, database_url, "--replaces", old["id"])
    assert (new["name"], new["scopes"], new["origin"]) == (old["name"], old["scopes"], old["origin"])
    assert rows(database_url, "SELECT id FROM api_keys WHERE revoked_at IS NOT NULL") == []
    said = wallet("keys", "create", "--replaces", old["id"], "--name", "other", DATABASE_URL=database_url)
    assert said.code == 2
    assert "--name" in said.errors


def test_a_key_is_revoked_by_its_id_its_prefix_or_itself(wallet: Wallet, database_url: str) -> None:
    for part in ("id", "prefix", "key"):
        made = created(wallet, database_url, "--name", part, "--scope", "read")
        for _ in range(2):
            said = wallet("keys", "revoke", made[part], "--json", DATABASE_URL=database_url)
            assert said.code == 0, said.errors
            assert json.loads(said.output)["revoked_at"] is not None
        assert made["key"] not in str(rows(database_url, "SELECT * FROM admin_acts"))
    assert wallet("keys", "revoke", "nothing", DATABASE_URL=database_url).code == 1
    assert wallet("keys", "revoke", NOBODY, DATABASE_URL=database_url).code == 1


def test_the_list_is_a_line_per_key(wallet: Wallet, database_url: str) -> None:
    assert wallet("keys", "list", DATABASE_URL=database_url).output == "there are no keys\n"
    made = created(wallet, database_url, "--name", "[bold]shop", "--scope", "read")
    output = wallet("keys", "list", DATABASE_URL=database_url).output
    assert output == f"{made['prefix']}  {made['id']}  [bold]shop: read\n"


def test_each_use_is_an_act_with_its_answer(wallet: Wallet, database_url: str) -> None:
    made = created(wallet, database_url, "--name", "n", "--scope", "read")
    wallet("keys", "list", DATABASE_URL=database_url)
    wallet("keys", "revoke", made["prefix"], DATABASE_URL=database_url)
    wallet("keys", "revoke", NOBODY, DATABASE_URL=database_url)
    acts = rows(
        database_url,
        "SELECT act, actor, subject, asked, status FROM admin_acts JOIN admin_answers ON act_id = id ORDER BY id",
    )
    assert [(each["act"], each["subject"], each["status"]) for each in acts] == [
        ("keys create", None, 200),
        ("keys list", None, 200),
        ("keys revoke", made["prefix"], 200),
        ("keys revoke", NOBODY, 404),
    ]
    assert {each["actor"] for each in acts} == {"command line"}
    assert json.loads(acts[0]["asked"]) == {"name": "n", "scopes": ["read"]}


def test_serve_refuses_to_start_without_a_valid_key_and_says_how_to_make_one(wallet: Wallet, database_url: str) -> None:
    revoked = created(wallet, database_url, "--name", "n", "--scope", "read")
    wallet("keys", "revoke", revoked["id"], DATABASE_URL=database_url)
    said = wallet("serve", DATABASE_URL=database_url)
    assert (said.code, said.errors.count("\n")) == (2, 1)
    assert "wallet keys create" in said.errors


def test_serve_starts_with_one_and_lets_it_in(wallet: Wallet, database_url: str, free_port: int) -> None:
    key = created(wallet, database_url, "--name", "n", "--scope", "read")["key"]
    url = f"http://127.0.0.1:{free_port}"
    environment = {"DATABASE_URL": database_url, "PORT": str(free_port), "WALLET_DEVELOPMENT": "0"}
    with started("serve", lines=0, **environment):
        transport = httpx.HTTPTransport(retries=10)
        with httpx.Client(transport=transport, timeout=READY_SECONDS_MAX) as client:
            assert client.get(f"{url}/assets", headers={"authorization": f"Bearer {key}"}).status_code == 200
            assert client.get(f"{url}/assets").status_code == 401
