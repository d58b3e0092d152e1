"""A database that hangs: every answer comes within the bound all the same, and says what is known."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.http.client import LANES, Api, code_of, new_reference, running_api
from tests.http.conftest import add_demo_data
from tests.http.keyed import keyed
from tests.http.own_server import SECONDS_MAX, OwnServer, frozen, own_server, reasons, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER_SECONDS = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server() as server:
        add_demo_data(server.dsn)
        yield server


@pytest_asyncio.fixture(loop_scope="module", params=LANES)
async def own(request: pytest.FixtureRequest, server: OwnServer) -> AsyncIterator[Api]:
    async with running_api(server.dsn, answer_seconds_max=ANSWER_SECONDS, **LANES[request.param]) as api:
        yield api


def movement(reference_id: str | None = None) -> dict[str, Any]:
    return {"reference_id": reference_id or new_reference(), "amount": 1, "asset_code": "gold"}


def items(wallet: str, count: int) -> Sequence[dict[str, Any]]:
    return [{"op": "topup", "wallet_id": wallet, **movement()} for _ in range(count)]


async def answered(*asked: Any) -> list[httpx.Response]:
    """All of the answers; the bound ends a test that would hang, and is no measurement."""
    async with asyncio.timeout(SECONDS_MAX / 2):
        return await asyncio.gather(*asked)


async def everything_asked(api: Api, wallet: str, reference: str) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """Requests that read, and requests that move or make something."""
    reads = [
        f"/wallets/{wallet}/balance",
        f"/wallets/{wallet}",
        f"/wallets/{wallet}/statement?from=2020-01-01T00:00:00Z",
        "/ledger-entries",
        "/transactions",
        "/users",
        "/assets",
        "/keys",
    ]
    writes = [
        (f"/wallets/{wallet}/topup", movement(reference)),
        ("/holds", {"wallet_id": wallet, **movement()}),
        ("/users", {"name": "Armin"}),
        ("/keys", {"name": "late", "scopes": ["read"]}),
        ("/batches", {"mode": "atomic", "items": items(wallet, 3)}),
    ]
    # More than there are connections, so that some wait for one.
    every = await answered(*(api.get(path) for path in reads * 2), *(api.post(path, body) for path, body in writes * 2))
    return every[: 2 * len(reads)], every[2 * len(reads) :]


class TestFrozenBackends:
    async def test_everything_is_answered_and_then_everything_works_again(self, own: Api, server: OwnServer) -> None:
        wallet, reference = await own.wallet(balance=100), new_reference()
        await everything_asked(own, wallet, new_reference())
        before = await own.balance(wallet)
        with frozen([*await server.service_pids(), server.pid]):
            reads, writes = await everything_asked(own, wallet, reference)
            assert {code_of(each) for each in reads} == {(503, "storage_unavailable")}
            assert {code_of(each) for each in writes} <= {(503, "storage_unavailable"), (503, "outcome_unknown")}
            (batch,) = await answered(own.post("/batches", {"mode": "independent", "items": items(wallet, 3)}))
            assert {each["status"] for each in batch.json()["items"]} == {503}
        await until_served(own)
        first = await own.post(f"/wallets/{wallet}/topup", movement(reference))
        again = await own.post(f"/wallets/{wallet}/topup", movement(reference))
        assert again.status_code == 200
        assert first.json()["id"] == again.json()["id"]
        assert await own.balance(wallet) > before


class TestOneWriter:
    """With one connection to write by, it is known which batch is under way."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def one(self, server: OwnServer) -> AsyncIterator[Api]:
        settings = {"answer_seconds_max": ANSWER_SECONDS, "batches_in_flight_max": 1}
        async with running_api(server.dsn, **settings) as api:
            yield api

    async def test_what_is_under_way_may_have_been_applied_and_what_waits_was_not(
        self, one: Api, server: OwnServer
    ) -> None:
        wallet, reference = await one.wallet(balance=100), new_reference()
        with frozen(await server.service_pids()):
            (first,) = await answered(one.post(f"/wallets/{wallet}/topup", movement(reference)))
            (second,) = await answered(one.post(f"/wallets/{wallet}/topup", movement()))
            (twin,) = await answered(one.post(f"/wallets/{wallet}/topup", movement(reference)))
        assert [code_of(first), code_of(second), code_of(twin)] == [
            (503, "outcome_unknown"), (503, "storage_unavailable"), (503, "outcome_unknown"),
        ]  # fmt: skip
        assert (first.json()["applied"], first.json()["retry"]) == ("unknown", "same_reference")
        assert (second.json()["applied"], second.json()["retry"]) == ("no", "later")
        await until_served(one)
        assert (await one.post(f"/wallets/{wallet}/topup", movement(reference))).status_code == 200
        assert await one.balance(wallet) == 101

    async def test_it_is_not_ready_while_nothing_moves(self, one: Api, server: OwnServer) -> None:
        wallet = await one.wallet(balance=100)
        with frozen(await server.service_pids()):
            await answered(one.post(f"/wallets/{wallet}/topup", movement()))

            async def says_so() -> bool:
                return await reasons(one) == ["writer_not_moving"]

            await until(says_so)
        await until_served(one)


class TestFrozenServer:
    async def test_the_process_says_in_time_that_it_is_alive_and_not_ready(self, own: Api, server: OwnServer) -> None:
        assert await reasons(own) == []
        wallet = await own.wallet(balance=1)
        with frozen([*await server.service_pids(), server.pid]):

            async def says_so() -> bool:
                return await reasons(own) == ["database_not_answering"]

            await until(says_so)
            alive, ready, read = await answered(
                own.get("/healthz"), own.http.get("/readyz"), own.get(f"/wallets/{wallet}/balance")
            )
            assert alive.status_code == 200
            assert ready.json()["database"] == "the database does not answer in time"
            assert ready.json()["migrations"] == "unknown"
            assert code_of(read) == (503, "storage_unavailable")
        await until_served(own)

    async def test_a_key_that_cannot_be_looked_up_is_answered(self, server: OwnServer) -> None:
        async with running_api(server.dsn, answer_seconds_max=ANSWER_SECONDS) as api:
            wallet = await api.wallet(balance=1)
            stranger = await keyed(api, "read", "spend")
            with frozen([*await server.service_pids(), server.pid]):
                read, spend = await answered(
                    stranger.get(f"/wallets/{wallet}/balance"),
                    stranger.post(f"/wallets/{wallet}/spend", movement()),
                )
                assert [code_of(read), code_of(spend)] == [(503, "storage_unavailable")] * 2
            await until_served(stranger, wallet)
            assert (await stranger.post(f"/wallets/{wallet}/spend", movement())).status_code == 201


async def until_served(api: Api, wallet: str | None = None) -> None:
    """Wait until it is ready, and does what it says."""

    async def is_served() -> bool:
        if await reasons(api):
            return False
        path = "/users" if wallet is None else f"/wallets/{wallet}/balance"
        answers = [await api.get(path)]
        if wallet is None:
            answers += [await api.post("/users", {"name": "Armin"})]
            made = await api.post("/wallets", {"asset_code": "GOLD"})
            answers += [made, await api.post(f"/wallets/{made.json().get('id')}/topup", movement())]
        return all(each.status_code < 300 for each in answers)

    await until(is_served)
