"""Clients that move money among a few wallets, and ask again by reference until they know what came of it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tests.e2e.serving import GONE, Answer, Client
from tests.faults.history import DEFINITE, History, Operation, Reading, Target, Try, Verdict

TARGETS_KEPT = 30
TWINS_SHARE = 0.1
"""Of the movements that two connections ask for at once."""
IMPATIENT_SHARE = 0.15
"""Of the movements that are not asked for again, whatever became of them."""
WEIGHTS = {
    "topup": 12, "bonus": 4, "spend": 22, "transfer": 22, "hold": 12, "capture": 9, "void": 4, "refund": 9, "read": 12,
}  # fmt: skip
NOT_APPLIED = ("storage_unavailable", "wallet_busy", "overloaded")
# No measurement: a movement that nobody can answer for so long fails the run.
PATIENCE_SECONDS = 120.0
AGAIN_SECONDS = (0.05, 0.3)


class Connection:
    """One connection to wherever the service is now, made again when anything is wrong with it."""

    def __init__(self, where: Callable[[], tuple[str, int]], answer_seconds: float) -> None:
        self._where = where
        self._answer_seconds = answer_seconds
        self._client: Client | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[Verdict, Answer | None]:
        """The result: an answer, or why there is none."""
        if self._client is None:
            self._client = Client(self._where())
        try:
            async with asyncio.timeout(self._answer_seconds):
                asking = self._client.post(path, body) if method == "POST" else self._client.get(path)
                answer = await asking
        except ConnectionRefusedError:
            await self.close()
            return Verdict.NOT_NOW, None
        except (*GONE, OSError, TimeoutError):
            await self.close()
            return Verdict.NO_ANSWER, None
        return _verdict(answer), answer

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError):
                await client.__aexit__(None, None, None)


def _verdict(answer: Answer) -> Verdict:
    if answer.status in (200, 201):
        return Verdict.ACKNOWLEDGED
    if answer.status == 503:
        # Readiness is no problem and has no code.
        return Verdict.NOT_NOW if answer.json().get("code", NOT_APPLIED[0]) in NOT_APPLIED else Verdict.UNKNOWN
    return Verdict.REFUSED if 400 <= answer.status < 500 else Verdict.WRONG


class Traffic:
    """`clients` clients that pause `pace_seconds` on average between two movements. Their movements are drawn from
    `seed`, but not how they meet: that differs from run to run.
    """

    def __init__(
        self,
        where: Callable[[], tuple[str, int]],
        history: History,
        *,
        seed: str,
        clients: int,
        pace_seconds: float,
        answer_seconds: float,
    ) -> None:
        self._where = where
        self._history = history
        self._seed = seed
        self._clients = clients
        self._pace = pace_seconds
        self._answer_seconds = answer_seconds
        self._go = asyncio.Event()
        self._busy = 0
        self._made = 0
        self._holds: list[Target] = []
        self._originals: list[Target] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.wallets: list[str] = []
        self.requests = 0
        self.seen: Counter[str] = Counter()

    async def open_wallets(self, count: int, opening_balance: int) -> None:
        async with Client(self._where()) as client:
            for _ in range(count):
                self.wallets.append((await client.post("/wallets", {"asset_code": "gold"})).json()["id"])
        connection = Connection(self._where, self._answer_seconds)
        for wallet in self.wallets:
            await self._until_answered(self._movement("topup", wallet, opening_balance), connection, 1_000)
        await connection.close()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self._clients)]
        self.resume()

    def resume(self) -> None:
        self._go.set()

    async def pause(self) -> None:
        """No new movement; return when every one under way has come to what its client waits for."""
        self._go.clear()
        while self._busy:
            self._raise_failures()
            await asyncio.sleep(0.01)
        self._raise_failures()

    async def acknowledged_more(self, count: int) -> None:
        goal = self._history.acknowledged + count
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while self._history.acknowledged < goal:
            self._raise_failures()
            assert time.monotonic() < give_up_at, "nothing is acknowledged any more"
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def probe(self, connection: Connection) -> bool:
        """Whether one new movement goes through at the first try."""
        operation = self._movement("topup", self.wallets[self._made % len(self.wallets)], 1)
        return (await self._try(operation, connection)).verdict is Verdict.ACKNOWLEDGED

    def new_connection(self) -> Connection:
        return Connection(self._where, self._answer_seconds)

    async def top_up(self, wallet: str) -> Try:
        """One new movement of this wallet, until there is a definite answer."""
        connection = self.new_connection()
        try:
            return await self._until_answered(self._movement("topup", wallet, 1), connection, 1_000)
        finally:
            await connection.close()

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _work(self, number: int) -> None:
        choose = random.Random(f"{self._seed}-client-{number}")
        ours, twins = self.new_connection(), self.new_connection()
        try:
            while True:
                # Again and again: who waited is woken even if the next pause has begun by then.
                while not self._go.is_set():
                    await self._go.wait()
                self._busy += 1
                try:
                    await self._one(choose, ours, twins)
                finally:
                    self._busy -= 1
                await asyncio.sleep(choose.expovariate(1 / self._pace))
        finally:
            await ours.close()
            await twins.close()

    async def _one(self, choose: random.Random, ours: Connection, twins: Connection) -> None:
        kind = choose.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        if kind == "read":
            await self.read(choose.choice(self.wallets), ours)
            return
        operation = self._drawn(kind, choose)
        tries_max = choose.randint(1, 2) if choose.random() < IMPATIENT_SHARE else 10_000
        if choose.random() < TWINS_SHARE:
            await asyncio.gather(
                self._until_answered(operation, ours, tries_max), self._until_answered(operation, twins, tries_max)
            )
        else:
            await self._until_answered(operation, ours, tries_max)

    def _drawn(self, kind: str, choose: random.Random) -> Operation:
        wallet, other = choose.sample(self.wallets, 2)
        if kind in ("capture", "void") and self._holds:
            return self._on_hold(kind, choose.choice(self._holds), choose)
        if kind == "refund" and self._originals:
            target = choose.choice(self._originals)
            return self._movement("refund", target.wallet, choose.randint(1, max(1, target.amount)), on=target)
        if kind == "transfer":
            return self._movement(kind, wallet, choose.randint(1, 200), other=other)
        if kind == "hold":
            # Some end soon enough for a clock that jumps.
            soon = {"expires_in_seconds": choose.choice([90, 600])} if choose.random() < 0.5 else {}
            return self._movement(kind, wallet, choose.randint(1, 150), more=soon)
        if kind in ("bonus", "spend"):
            return self._movement(kind, wallet, choose.choice([1, 20, 90, 700]) if kind == "spend" else 15)
        return self._movement("topup", wallet, choose.randint(1, 120))

    def _on_hold(self, kind: str, hold: Target, choose: random.Random) -> Operation:
        if kind == "void" or choose.random() < 0.4:
            return self._movement(kind, hold.wallet, None, on=hold)
        final = choose.random() < 0.5
        fields = {"final": True} if final else {}
        return self._movement(kind, hold.wallet, choose.randint(1, hold.amount), on=hold, is_final=final, more=fields)

    def _movement(
        self,
        kind: str,
        wallet: str,
        amount: int | None,
        *,
        other: str | None = None,
        on: Target | None = None,
        is_final: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> Operation:
        self._made += 1
        reference = f"fault-{self._seed}-{self._made}"
        body: dict[str, Any] = {"reference_id": reference, **(more or {})}
        if amount is not None:
            body["amount"] = amount
        if kind in ("topup", "bonus", "spend"):
            path, body["asset_code"] = f"/wallets/{wallet}/{kind}", "gold"
        elif kind == "transfer":
            path = "/transfers"
            body |= {"from_wallet_id": wallet, "to_wallet_id": other, "asset_code": "gold"}
        elif kind == "hold":
            path = "/holds"
            body |= {"wallet_id": wallet, "asset_code": "gold"}
        else:
            assert on is not None
            path = f"/transactions/{on.id}/refund" if kind == "refund" else f"/holds/{on.id}/{kind}"
        operation = Operation(reference, kind, wallet, path, body, amount=amount, other=other, final=is_final, on=on)
        self._history.operations[reference] = operation
        return operation

    async def _until_answered(self, operation: Operation, connection: Connection, tries_max: int) -> Try:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        for number in range(1, tries_max + 1):
            tried = await self._try(operation, connection)
            if tried.verdict in DEFINITE or number == tries_max:
                return tried
            assert time.monotonic() < give_up_at, f"{operation.reference} is not answered"
            await asyncio.sleep(random.uniform(*AGAIN_SECONDS))
        raise AssertionError("unreachable: the last try returns")

    async def _try(self, operation: Operation, connection: Connection) -> Try:
        asked_at = time.monotonic()
        self.requests += 1
        # Noted as doubtful first: nothing is lost if this client is cancelled.
        tried = Try(asked_at, float("inf"), Verdict.NO_ANSWER)
        self._history.note(operation, tried)
        tried.verdict, answer = await connection.ask("POST", operation.path, operation.body)
        tried.answered_at = time.monotonic()
        self.seen[tried.verdict.value] += 1
        if answer is not None:
            tried.status, tried.content = answer.status, answer.json()
        if tried.verdict is Verdict.ACKNOWLEDGED:
            self._history.count(operation, tried)
            self._remember(operation, tried)
        return tried

    def _remember(self, operation: Operation, tried: Try) -> None:
        kept = {"hold": self._holds}.get(operation.kind)
        if operation.kind in ("topup", "spend", "transfer"):
            kept = self._originals
        if kept is not None and operation.amount is not None:
            kept.append(
                Target(tried.content["id"], operation.kind, operation.wallet, operation.other, operation.amount)
            )
            del kept[:-TARGETS_KEPT]

    async def read(self, wallet: str, connection: Connection) -> None:
        asked_at = time.monotonic()
        self.requests += 1
        verdict, answer = await connection.ask("GET", f"/wallets/{wallet}/balance")
        self.seen[f"balance {verdict.value}"] += 1
        if verdict is Verdict.ACKNOWLEDGED and answer is not None:
            said = answer.json()
            self._history.readings.append(
                Reading(asked_at, time.monotonic(), wallet, said["version"], said["balance"], said["held"])
            )
