"""The service as its clients meet it: two worker processes, loopback, everything at once, and a database that goes."""

import asyncio
import os
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.e2e.hammer import Hammer
from tests.e2e.serving import GONE, Answer, Client, Service, served
from tests.postgres import Server, postgres_bindirs
from wallet.storage.embedded.server import embedded_postgres
from wallet.storage.schema.migrate import migrate
from wallet.storage.verify.chain import verify_with_chain

MIKASA_WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
EREN_WALLET = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
HAMMER_SECONDS = float(os.environ.get("WALLET_HAMMER_SECONDS", "30"))
OUTAGE_SECONDS = 3.0
# No measurement: it ends a test that would hang.
RECOVERY_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def shared_database_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def service(shared_database_url: str) -> Iterator[Service]:
    """For all tests that leave it running."""
    # Longer bounds than a deployment's: a busy machine is no reason for a 503 here.
    with served(shared_database_url, WALLET_LOCK_TIMEOUT_MS="30000", WALLET_CONNECT_SECONDS_MAX="30") as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    async with Client(service.address) as client:
        yield client


def movement(amount: int, *, asset_code: str = "gold", **fields: Any) -> dict[str, Any]:
    return {"reference_id": secrets.token_hex(8), "amount": amount, "asset_code": asset_code, **fields}


async def new_wallet(client: Client, balance: int = 0) -> str:
    wallet: str = (await client.post("/wallets", {"asset_code": "gold"})).json()["id"]
    if balance:
        assert (await client.post(f"/wallets/{wallet}/topup", movement(balance))).status == 201
    return wallet


async def balance_of(client: Client, wallet: str) -> int:
    balance: int = (await client.get(f"/wallets/{wallet}/balance")).json()["balance"]
    return balance


async def at_once(
    service: Service, connections: int, ask: Callable[[int, Client], Awaitable[Answer]]
) -> Sequence[Answer]:
    """Answers of so many clients with a connection each, which are open before the first asks."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(service.address)) for _ in range(connections)]
        for client in clients:
            assert (await client.get("/healthz")).status == 200
        return await asyncio.gather(*(ask(number, client) for number, client in enumerate(clients)))


async def references_in(database_url: str) -> Counter[str]:
    """How often each reference is there."""
    connection = await asyncpg.connect(database_url)
    try:
        return Counter(row[0] for row in await connection.fetch("SELECT reference_id FROM transactions"))
    finally:
        await connection.close()


async def assert_sound(database_url: str) -> None:
    report, _ = await verify_with_chain(database_url, on_progress=lambda _progress: None)
    assert report.is_sound, report.findings


class TestPromisedRequests:
    async def test_the_demo_balances_are_there(self, client: Client) -> None:
        answers = [await client.get(f"/wallets/{each}/balance") for each in (MIKASA_WALLET, EREN_WALLET)]
        assert [(each.json()["asset_code"], each.json()["balance"]) for each in answers] == [
            ("GOLD", 1000),
            ("DIAMOND", 90),
        ]

    async def test_a_wallet_from_its_making_to_its_history(self, client: Client) -> None:
        user = (await client.post("/users", {"name": "Armin"})).json()["id"]
        body = {"label": "Armin Gold wallet", "user_id": user, "asset_type_id": 1}
        wallet = (await client.post("/wallets", body)).json()["id"]
        for verb, amount in (("topup", 1000), ("bonus", 50), ("spend", 30)):
            assert (await client.post(f"/wallets/{wallet}/{verb}", movement(amount))).status == 201
        assert await balance_of(client, wallet) == 1020
        entries = (await client.get(f"/wallets/{wallet}/entries")).json()["data"]
        assert [each["balance_after"] for each in entries] == [1020, 1050, 1000]

    async def test_an_asset_of_ones_own(self, client: Client) -> None:
        code = f"S{secrets.token_hex(4)}"
        asset = (await client.post("/assets", {"code": code})).json()
        wallet = (await client.post("/wallets", {"asset_code": code})).json()["id"]
        await client.post(f"/wallets/{wallet}/topup", movement(7, asset_code=code))
        assert (await client.get(f"/assets/{asset['id']}")).json()["circulating"] == 7

    @pytest.mark.parametrize("path", ["/transactions", "/ledger-entries"])
    async def test_lists_by_offset(self, client: Client, path: str) -> None:
        answer = await client.get(f"{path}?limit=20&offset=0")
        assert (answer.status, len(answer.json()["data"]) > 0) == (200, True)

    async def test_both_workers_see_what_was_accepted(self, service: Service) -> None:
        async def move_and_look(_: int, client: Client) -> Answer:
            wallet = await new_wallet(client, 5)
            async with Client(service.address) as other:
                return await other.get(f"/wallets/{wallet}/balance")

        answers = await at_once(service, 20, move_and_look)
        assert {each.json()["balance"] for each in answers} == {5}


class TestConcurrency:
    async def test_100_racing_duplicates_of_one_reference_post_once(self, service: Service, client: Client) -> None:
        wallet, body = await new_wallet(client), movement(7)

        async def top_up(_: int, racer: Client) -> Answer:
            return await racer.post(f"/wallets/{wallet}/topup", body)

        answers = await at_once(service, 100, top_up)
        assert Counter(each.status for each in answers) == {201: 1, 200: 99}
        assert len({each.body for each in answers}) == 1
        assert await balance_of(client, wallet) == 7

    async def test_1000_concurrent_spends_of_a_wallet_that_affords_10_accept_exactly_10(
        self, service: Service, client: Client
    ) -> None:
        wallet = await new_wallet(client, 10)

        async def spend(_: int, spender: Client) -> Answer:
            return await spender.post(f"/wallets/{wallet}/spend", movement(1))

        answers = await at_once(service, 1_000, spend)
        assert Counter((each.status, each.code) for each in answers) == {
            (201, None): 10,
            (422, "insufficient_funds"): 990,
        }
        assert await balance_of(client, wallet) == 0

    async def test_transfers_in_both_directions_among_few_wallets_all_go_through(
        self, service: Service, client: Client
    ) -> None:
        wallets = [await new_wallet(client, 1_000_000) for _ in range(4)]

        async def transfer_often(number: int, clerk: Client) -> Answer:
            choose = random.Random(number)
            for _ in range(20):
                source, target = choose.sample(wallets, 2)
                body = movement(choose.randint(1, 9), from_wallet_id=source, to_wallet_id=target)
                answer = await clerk.post("/transfers", body)
                assert answer.status == 201, answer.body
            return answer

        await at_once(service, 40, transfer_often)
        assert sum([await balance_of(client, each) for each in wallets]) == 4_000_000


class TestHammer:
    async def test_a_mix_of_everything_leaves_a_sound_ledger_and_every_acknowledged_reference_once(
        self, service: Service, client: Client, shared_database_url: str
    ) -> None:
        seed = int(os.environ.get("WALLET_HAMMER_SEED", str(secrets.randbits(32))))
        print(f"WALLET_HAMMER_SEED={seed}")
        hammer = Hammer(service.address, seed)
        await hammer.run(seconds=HAMMER_SECONDS, connections=16)
        assert hammer.surprises == []
        assert all(hammer.seen[status] for status in (200, 201, 400, 404, 422)), hammer.seen
        found = await references_in(shared_database_url)
        assert {each: found[each] for each in hammer.acknowledged if found[each] != 1} == {}
        assert {each for each in hammer.refused if found[each]} == set()
        for wallet, expected in hammer.balances.items():
            assert await balance_of(client, wallet) == expected
        await assert_sound(shared_database_url)


class OwnPostgres:
    """A server that can be stopped and started again. Only for the main thread, to which its life is tied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.dsn = ""

    def start(self) -> None:
        bindir = postgres_bindirs()[max(postgres_bindirs())]
        self.dsn = self._stack.enter_context(embedded_postgres(self._folder / "pg", bindir)).dsn

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    with tempfile.TemporaryDirectory(prefix="wt-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root, the server runs as somebody else, who must get through here
        server = OwnPostgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Till:
    """Clients that top one wallet up until told to stop, asking again where the answer was no answer."""

    def __init__(self, service: Service, wallet: str) -> None:
        self._service = service
        self._wallet = wallet
        self.seen: Counter[tuple[int, str | None]] = Counter()
        self.acknowledged: set[str] = set()
        self.open: set[str] = set()
        self.stopping = False

    async def work(self) -> None:
        """Each reference until it is acknowledged, through 503s; ends early when the service is gone."""
        async with Client(self._service.address) as client:
            while not self.stopping:
                body = movement(1)
                reference = body["reference_id"]
                while reference not in self.acknowledged:
                    answer = await client.post(f"/wallets/{self._wallet}/topup", body)
                    self.seen[answer.status, answer.code] += 1
                    self.open.discard(reference)
                    if answer.status in (200, 201):
                        self.acknowledged.add(reference)
                    elif answer.code == "outcome_unknown":
                        self.open.add(reference)
                    if answer.status == 503:
                        await asyncio.sleep(0.05)

    async def work_until_gone(self) -> None:
        try:
            await self.work()
        except GONE:
            return

    async def until_acknowledged(self, more: int) -> None:
        goal = len(self.acknowledged) + more
        async with asyncio.timeout(RECOVERY_SECONDS_MAX):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110  another task's progress
                await asyncio.sleep(0.02)


class TestOutage:
    async def test_a_database_that_goes_and_comes_back_costs_only_503s(self, own_postgres: OwnPostgres) -> None:
        await migrate(own_postgres.dsn)
        with served(own_postgres.dsn) as service:
            async with Client(service.address) as client:
                wallet = await new_wallet(client)
                till = Till(service, wallet)
                async with asyncio.TaskGroup() as clerks:
                    for _ in range(10):
                        clerks.create_task(till.work())
                    await till.until_acknowledged(50)
                    own_postgres.stop()
                    readings = []
                    for _ in range(10):
                        await asyncio.sleep(OUTAGE_SECONDS / 10)
                        readings.append(await client.get(f"/wallets/{wallet}/balance"))
                        readings.append(await client.post("/users", {"name": "Armin"}))
                        readings.append(await client.get("/transactions"))
                    ready = await client.get("/readyz")
                    own_postgres.start()
                    await till.until_acknowledged(50)
                    till.stopping = True
                assert {(each.status, each.code) for each in readings} == {(503, "storage_unavailable")}
                assert (ready.status, ready.json()["ready"]) == (503, False)
                assert (503, "storage_unavailable") in till.seen
                assert set(till.seen) <= {
                    (201, None),
                    (200, None),
                    (503, "storage_unavailable"),
                    (503, "outcome_unknown"),
                }
                assert await balance_of(client, wallet) == len(till.acknowledged)
            found = await references_in(own_postgres.dsn)
            assert {each: found[each] for each in till.acknowledged if found[each] != 1} == {}
            await assert_sound(own_postgres.dsn)


class TestEnd:
    async def test_sigterm_under_load_answers_everything_that_was_accepted(self, database_url: str) -> None:
        with served(database_url) as service:
            async with Client(service.address) as client:
                till = Till(service, await new_wallet(client))
            async with asyncio.TaskGroup() as clerks:
                for _ in range(40):
                    clerks.create_task(till.work_until_gone())
                await till.until_acknowledged(100)
                service.process.terminate()
            assert await asyncio.to_thread(service.process.wait) == 0
        found = await references_in(database_url)
        demo = {"mikasa_buy_gold", "eren_buy_diamond", "eren_redeem_diamond"}
        assert {status for status, _ in till.seen} <= {200, 201, 503}
        assert set(found) - demo - till.open == till.acknowledged - till.open
        assert max(found.values()) == 1
        await assert_sound(database_url)
