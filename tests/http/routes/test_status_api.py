"""Questions of operators and newcomers: health, readiness, figures, the document, the page; and HTTP's own manners."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.http.client import MIKASA, MIKASA_WALLET, NOBODY, Api, code_of, new_reference, running_api
from wallet.http.wire.encoding import AMOUNT_FIELDS
from wallet.http.wire.problems import PROBLEMS
from wallet.storage.schema.migrate import move_sequences

pytestmark = pytest.mark.asyncio(loop_scope="module")

BALANCE = f"/wallets/{MIKASA_WALLET}/balance"
TOP_UP = f"/wallets/{MIKASA_WALLET}/topup"


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)


def patterns_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "pattern" and isinstance(each, str):
                yield each
            yield from patterns_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from patterns_in(each)


class TestHealth:
    async def test_the_process_answers(self, api: Api) -> None:
        assert await api.json("/healthz") == {"status": "ok"}

    async def test_ready_when_movements_can_be_made(self, api: Api) -> None:
        answer = await api.get("/readyz")
        (warning,) = answer.json().pop("warnings")
        assert answer.json() | {"warnings": []} == {
            "ready": True, "database": "ok", "migrations": "ok", "committer": "ok", "reasons": [],
            "warnings": [],
        }  # fmt: skip
        # The tests' login may do anything.
        assert "owns the ledger's tables" in warning
        assert answer.headers["cache-control"] == "no-store"


class TestReadiness:
    """On an application of its own, since what is in the way is in the way of all."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def own(self, database_url: str) -> AsyncIterator[Api]:
        async with running_api(database_url, database_wait_seconds=0, connect_seconds_max=1) as api:
            yield api

    async def test_not_ready_from_the_beginning_of_shutdown(self, own: Api) -> None:
        await own.app.begin_shutdown()
        answer = await own.http.get("/readyz")
        assert (answer.status_code, answer.json()["committer"]) == (503, "shutting down")

    async def test_requests_are_still_served_then(self, own: Api) -> None:
        await own.app.begin_shutdown()
        assert (await own.post("/users", {"name": "Armin"})).status_code == 201

    async def test_not_ready_when_migrations_are_missing(self, own: Api, database_url: str) -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("DELETE FROM wallet_alembic_version")
        await connection.close()
        answer = await own.http.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert "wallet migrate" in answer.json()["migrations"]

    async def test_not_ready_and_nothing_applied_while_a_sequence_is_behind_its_table(
        self, own: Api, database_url: str
    ) -> None:
        await own.made("/assets", {"code": "GOLD"})
        wallet_id = await own.wallet()
        for amount in (1, 1, 3):
            await own.moved("topup", wallet_id, amount)
        connection = await asyncpg.connect(database_url)
        await connection.execute("SELECT setval('batch_seq', 1, false)")
        await connection.close()
        body = {"reference_id": new_reference(), "amount": 5, "asset_code": "gold"}
        assert code_of(await own.post(f"/wallets/{wallet_id}/topup", body)) == (503, "storage_unavailable")
        answer = await own.http.get("/readyz")
        assert answer.status_code == 503
        assert "batch_seq is behind its table" in answer.json()["migrations"]
        await move_sequences(database_url)
        async with asyncio.timeout(30):  # one look serves for a moment
            while (await own.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await own.post(f"/wallets/{wallet_id}/topup", body)).status_code == 201
        assert (await own.json(f"/wallets/{wallet_id}/balance"))["balance"] == 10

    @pytest_asyncio.fixture(loop_scope="module")
    async def away(self, own: Api, database_url: str) -> AsyncIterator[asyncpg.Connection]:
        """The database lets nobody in until this connection to its server says so."""
        name = re.search(r"/([^/?]+)(\?|$)", database_url)[1]  # type: ignore[index]
        admin = await asyncpg.connect(database_url.replace(name, "postgres"))
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield admin
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()

    async def test_without_a_database_everything_says_so_and_nothing_is_a_500(
        self, own: Api, away: asyncpg.Connection
    ) -> None:
        body = {"reference_id": "r", "amount": 1, "asset_code": "gold"}
        answers = [
            await own.post(f"/wallets/{NOBODY}/topup", body),
            await own.post("/users", {"name": "x"}),
            await own.get(f"/wallets/{NOBODY}/balance"),
            await own.get("/transactions"),
            await own.get("/assets"),
        ]
        assert [code_of(answer) for answer in answers] == [(503, "storage_unavailable")] * 5

    async def test_without_a_database_the_process_is_alive_and_not_ready(
        self, own: Api, away: asyncpg.Connection
    ) -> None:
        assert await own.json("/healthz") == {"status": "ok"}
        answer = await own.http.get("/readyz")
        assert (answer.status_code, answer.json()["ready"], answer.json()["database"] == "ok") == (503, False, False)


class TestMetrics:
    async def test_they_are_a_valid_exposition(self, api: Api) -> None:
        await api.moved("topup", MIKASA_WALLET, 1)
        answer = await api.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
        names = {family.name for family in text_string_to_metric_families(answer.text)}
        assert {"wallet_request_seconds", "wallet_batch_items", "wallet_refusals", "wallet_watermark_seq"} <= names

    async def test_requests_are_counted_by_route_and_never_by_path(self, api: Api) -> None:
        await api.moved("topup", MIKASA_WALLET, 1)
        await api.get(BALANCE)
        await api.get("/nowhere/at/all")
        families = text_string_to_metric_families(api.figures())
        routes = {
            sample.labels["route"]
            for family in families
            if family.name == "wallet_request_seconds"
            for sample in family.samples
        }
        assert {"/wallets/{wallet_id}/topup", "/wallets/{wallet_id}/balance", "other"} <= routes
        assert not any(re.search(r"[0-9a-f]{8}-", route) for route in routes)

    async def test_refusals_are_counted_by_code(self, api: Api) -> None:
        body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold"}
        await api.post(f"/wallets/{await api.wallet()}/spend", body)
        families = text_string_to_metric_families(api.figures())
        refusals = {
            sample.labels["code"]: sample.value
            for family in families
            if family.name == "wallet_refusals"
            for sample in family.samples
            if sample.name.endswith("_total")
        }
        assert refusals["insufficient_funds"] >= 1


class TestDocument:
    async def test_it_is_openapi(self, api: Api) -> None:
        document = await api.json("/openapi.json")
        assert document["openapi"].startswith("3.")
        assert set(document) >= {"info", "paths", "components"}

    async def test_every_reference_resolves(self, api: Api) -> None:
        document = await api.json("/openapi.json")
        found = set(references_in(document))
        assert found
        for reference in found:
            target = document
            for name in reference.removeprefix("#/").split("/"):
                target = target[name]

    async def test_every_operation_is_served(self, api: Api) -> None:
        ids = {"{wallet_id}": MIKASA_WALLET, "{user_id}": MIKASA, "{asset_id}": "1"}
        for path, operations in (await api.json("/openapi.json"))["paths"].items():
            if path == "/sandbox/clock":
                continue  # not where time is real
            for name in re.findall(r"{\w+}", path):
                path = path.replace(name, ids.get(name, NOBODY))
            for method in operations:
                answer = await api.http.request(method, path, content=b"{}" if method == "post" else None)
                if answer.status_code >= 400:
                    assert answer.json()["code"] not in ("not_found", "method_not_allowed"), (method, path)

    async def test_it_has_every_promised_request(self, api: Api) -> None:
        paths = (await api.json("/openapi.json"))["paths"]
        operations = {f"{method.upper()} {path}" for path in paths for method in paths[path]}
        assert operations >= {
            "GET /wallets/{wallet_id}/balance",
            "POST /wallets/{wallet_id}/topup",
            "POST /wallets/{wallet_id}/bonus",
            "POST /wallets/{wallet_id}/spend",
            "POST /transfers",
            "POST /transactions",
            "POST /users",
            "POST /wallets",
            "POST /assets",
            "GET /transactions",
            "GET /ledger-entries",
        }

    async def test_every_operation_has_an_id_of_its_own(self, api: Api) -> None:
        paths = (await api.json("/openapi.json"))["paths"]
        ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
        assert len(set(ids)) == len(ids)

    async def test_every_parameter_of_a_path_is_described(self, api: Api) -> None:
        for path, operations in (await api.json("/openapi.json"))["paths"].items():
            for operation in operations.values():
                described = [each["name"] for each in operation.get("parameters", []) if each.get("in") == "path"]
                assert sorted(described) == sorted(re.findall(r"{(\w+)}", path)), path

    async def test_every_movement_has_a_body_and_says_what_first_and_later_answers_are(self, api: Api) -> None:
        for path, operations in (await api.json("/openapi.json"))["paths"].items():
            for operation in operations.values():
                if operation["tags"] == ["movements"]:
                    assert operation["requestBody"]["content"]["application/json"]["schema"], path
                    statuses = {"200", "201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"}
                    assert set(operation["responses"]) == statuses, path

    async def test_whatever_has_a_body_says_what_becomes_of_a_wrong_one(self, api: Api) -> None:
        for path, operations in (await api.json("/openapi.json"))["paths"].items():
            for operation in operations.values():
                if "requestBody" in operation:
                    assert {"400", "415", "503"} <= set(operation["responses"]), path

    async def test_movements_and_only_they_take_the_key(self, api: Api) -> None:
        reference = {"$ref": "#/components/parameters/idempotency_key"}
        paths = (await api.json("/openapi.json"))["paths"]
        takers = {
            f"{method} {path}"
            for path, operations in paths.items()
            for method, operation in operations.items()
            if reference in operation["parameters"]
        }
        wallet = "post /wallets/{wallet_id}"
        verbs = {f"{wallet}/{verb}" for verb in ("topup", "bonus", "spend")}
        steps = {f"post /holds/{{hold_id}}/{step}" for step in ("capture", "void", "increase", "extend")}
        assert takers == {
            *verbs,
            *steps,
            "post /transfers",
            "post /transactions",
            "post /transactions/{transaction_id}/refund",
            "post /holds",
            "post /claims",
            "post /claims/redeem",
            "post /claims/{claim_id}/cancel",
            "post /wallets/{wallet_id}/merge-into/{target_wallet_id}",
        }

    async def test_a_problem_names_what_else_it_may_have(self, api: Api) -> None:
        schemas = (await api.json("/openapi.json"))["components"]["schemas"]
        problem = schemas["Problem"]
        optional = set(problem["properties"]) - set(problem["required"])
        assert optional == {
            "errors", "available", "required", "differs", "wallet_id", "hold_status", "merged_into", "direction", "per",
            "limit", "used", "resets_at", "version", "items", "claim_status",
        }  # fmt: skip
        assert set(schemas["WrongField"]["properties"]) == {"field", "message"}

    async def test_a_statement_may_be_csv(self, api: Api) -> None:
        operation = (await api.json("/openapi.json"))["paths"]["/wallets/{wallet_id}/statement"]["get"]
        assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}

    async def test_a_merge_may_be_a_dry_run(self, api: Api) -> None:
        document = await api.json("/openapi.json")
        operation = document["paths"]["/wallets/{wallet_id}/merge-into/{target_wallet_id}"]["post"]
        for status in ("200", "201"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/MergeAnswer"}
        assert "dry_run" in document["components"]["schemas"]["MergeAnswer"]["properties"]
        assert "dry_run" not in document["components"]["schemas"]["WalletAnswer"]["properties"]

    async def test_where_nothing_is_required_a_body_is_not(self, api: Api) -> None:
        paths = (await api.json("/openapi.json"))["paths"]
        required = {path: each["post"]["requestBody"]["required"] for path, each in paths.items() if "{hold" in path
                    and "post" in each}  # fmt: skip
        assert required == {
            f"/holds/{{hold_id}}/{step}": step in ("increase", "extend")
            for step in ("capture", "void", "increase", "extend")
        }

    async def test_amounts_of_answers_are_integers_or_strings(self, api: Api) -> None:
        schemas = (await api.json("/openapi.json"))["components"]["schemas"]
        for name in ("BalanceAnswer", "DrawnAnswer", "AssetAnswer", "Problem", "SpendingLimitAnswer"):
            for field, schema in schemas[name]["properties"].items():
                if field in AMOUNT_FIELDS:
                    kinds = {each["type"] for each in schema["oneOf"]}
                    assert kinds - {"null"} == {"integer", "string"}, (name, field)
        assert schemas["BalanceAnswer"]["properties"]["scale"] == {"type": "integer"}

    async def test_it_is_the_same_each_time(self, api: Api) -> None:
        assert (await api.get("/openapi.json")).content == (await api.get("/openapi.json")).content

    async def test_its_patterns_mean_the_same_outside_of_python(self, api: Api) -> None:
        patterns = set(patterns_in(await api.json("/openapi.json")))
        assert patterns
        assert not [each for each in patterns if re.search(r"\\[AZ]|\(\?P", each)]

    async def test_the_example_of_a_movement_is_one(self, api: Api) -> None:
        schema = (await api.json("/openapi.json"))["components"]["schemas"]["TopUp"]
        body = {name: schema["properties"][name]["examples"][0] for name in ("amount", "asset_code")}
        answer = await api.post(TOP_UP, {**body, "reference_id": new_reference()})
        assert answer.status_code == 201


class TestPage:
    async def test_the_root_leads_to_it(self, api: Api) -> None:
        answer = await api.get("/")
        assert (answer.status_code, answer.headers["location"]) == (302, "docs")

    async def test_its_styles_load_nothing_from_elsewhere(self, api: Api) -> None:
        styles = (await api.get("/docs/assets/swagger-ui.css")).text
        urls = re.findall(r"url\(['\"]?([^'\")]{0,20})", styles)
        assert [url for url in urls if not url.startswith("data:")] == []

    async def test_every_code_has_the_paragraph_that_its_problem_links_to(self, api: Api) -> None:
        page = (await api.get("/docs/errors")).text
        assert [code for code in PROBLEMS if f'id="{code}"' not in page] == []

    @pytest.mark.parametrize(
        "path", ["nothing.js", "%2e%2e/LICENSE", "..%2fLICENSE", "/etc/passwd", "%00", "", "x" * 5000]
    )
    async def test_nothing_else_is_served_from_its_folder(self, api: Api, path: str) -> None:
        assert code_of(await api.get(f"/docs/assets/{path}")) == (404, "not_found")


class TestManners:
    @pytest.mark.parametrize("path", [BALANCE, "/transactions", "/healthz", "/docs", "/openapi.json"])
    async def test_head_is_get_without_the_body(self, api: Api, path: str) -> None:
        got, head = await api.get(path), await api.send("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("cache-control") == got.headers.get("cache-control")

    async def test_head_of_nothing_is_404(self, api: Api) -> None:
        assert (await api.send("HEAD", f"/wallets/{NOBODY}/balance")).status_code == 404

    @pytest.mark.parametrize(
        ("path", "method"), [(BALANCE, "GET"), (TOP_UP, "POST"), ("/transfers", "POST"), ("/users", "POST")]
    )
    async def test_options_says_which_methods_there_are(self, api: Api, path: str, method: str) -> None:
        answer = await api.send("OPTIONS", path)
        assert answer.status_code == 204
        assert method in answer.headers["allow"].split(", ")

    async def test_there_is_no_cors_unless_configured(self, api: Api) -> None:
        headers = {"origin": "http://elsewhere", "access-control-request-method": "POST"}
        answers = [await api.send("OPTIONS", TOP_UP, headers=headers), await api.get(BALANCE, headers=headers)]
        assert [name for answer in answers for name in answer.headers if name.startswith("access-control")] == []

    async def test_large_answers_are_compressed_for_who_takes_it(self, api: Api) -> None:
        async with api.http.stream("GET", "/openapi.json", headers={"accept-encoding": "gzip"}) as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) == len(raw)
        assert json.loads(gzip.decompress(raw)) == await api.json("/openapi.json")

    async def test_they_are_not_for_who_does_not(self, api: Api) -> None:
        answer = await api.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in answer.headers

    async def test_small_answers_are_not_compressed(self, api: Api) -> None:
        answer = await api.get(BALANCE, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in answer.headers

    async def test_every_answer_has_a_request_id_of_its_own(self, api: Api) -> None:
        first, second = await api.get(BALANCE), await api.get("/nowhere")
        assert first.headers["x-request-id"] != second.headers["x-request-id"]

    async def test_the_clients_request_id_is_kept(self, api: Api) -> None:
        answer = await api.get("/nowhere", headers={"x-request-id": "a.B-c_9"})
        assert answer.json()["request_id"] == "a.B-c_9"

    @pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "<script>", "é", "a,b"])
    async def test_one_that_could_do_harm_in_a_log_is_replaced(self, api: Api, given: str) -> None:
        answer = await api.get("/healthz", headers=[("x-request-id", given)])
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
