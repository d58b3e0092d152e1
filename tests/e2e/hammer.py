"""Everything at once, at random but repeatable per client: what was sent, what was answered, and what must be there."""

import asyncio
import random
import time
from collections import Counter
from typing import Any, NamedTuple

from tests.e2e.serving import Answer, Client

NOBODY = "99999999-9999-9999-9999-999999999999"
ALLOWED = {200, 201, 400, 404, 409, 422}
WALLETS = 12
OPENING_BALANCE = 1_000


class Movement(NamedTuple):
    """A request, and by which sign its amount changes each wallet if it is accepted."""

    path: str
    body: dict[str, Any]
    changes: dict[str, int]


class Hammer:
    """Clients that mix movements, duplicates, refusals, bad requests, reads and creates.

    acknowledged: references answered with 200 or 201. refused: those that never got more than a no. balances: per
    wallet, by what was acknowledged. surprises: answers that should not have been.
    """

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self._address = address
        self._seed = seed
        self._wallets: list[str] = []
        self._tried: list[Movement] = []
        self._until = 0.0
        self.seen: Counter[int] = Counter()
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self.balances: Counter[str] = Counter()
        self.surprises: list[tuple[str, Any, Answer]] = []

    async def run(self, *, seconds: float, connections: int) -> None:
        async with Client(self._address) as client:
            for _ in range(WALLETS):
                wallet = (await client.post("/wallets", {"asset_code": "gold"})).json()["id"]
                self._wallets.append(wallet)
                await self._move(client, f"/wallets/{wallet}/topup", self._body(OPENING_BALANCE), {wallet: 1})
        self._until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as clients:
            for number in range(connections):
                clients.create_task(self._work(random.Random(self._seed + number)))
        self.refused -= self.acknowledged

    async def _work(self, choose: random.Random) -> None:
        actions = [
            self._verb,
            self._transfer,
            self._transaction,
            self._repeat,
            self._change,
            self._nonsense,
            self._read,
        ]
        async with Client(self._address) as client:
            while time.monotonic() < self._until:
                await choose.choices(actions, weights=[6, 5, 3, 3, 1, 1, 3])[0](client, choose)

    def _body(self, amount: int, **fields: Any) -> dict[str, Any]:
        # Made in the order of the answers, so these differ from run to run; what is done with them does not.
        return {
            "reference_id": f"hammer-{self._seed}-{len(self._tried)}",
            "amount": amount,
            "asset_code": "gold",
            **fields,
        }

    async def _move(self, client: Client, path: str, body: dict[str, Any], changes: dict[str, int]) -> None:
        movement = Movement(path, body, changes)
        self._tried.append(movement)
        await self._send(client, movement)

    async def _send(self, client: Client, movement: Movement) -> Answer:
        path, body, changes = movement
        answer = await client.post(path, body)
        self.seen[answer.status] += 1
        if answer.status not in ALLOWED:
            self.surprises.append((path, body, answer))
        if answer.status in (200, 201):
            self.acknowledged.add(body["reference_id"])
        elif answer.code != "reference_reused":
            self.refused.add(body["reference_id"])
        if answer.status == 201:
            for wallet, sign in changes.items():
                self.balances[wallet] += sign * body.get("amount", 1)
        return answer

    async def _verb(self, client: Client, choose: random.Random) -> None:
        wallet, verb = choose.choice(self._wallets), choose.choice(["topup", "bonus", "spend", "spend"])
        body = self._body(choose.choice([1, 7, 60, 10**6 if verb == "spend" else 3]))
        await self._move(client, f"/wallets/{wallet}/{verb}", body, {wallet: -1 if verb == "spend" else 1})

    async def _transfer(self, client: Client, choose: random.Random) -> None:
        source, target = choose.sample(self._wallets, 2)
        body = self._body(choose.randint(1, 200), from_wallet_id=source, to_wallet_id=target)
        await self._move(client, "/transfers", body, {source: -1, target: 1})

    async def _transaction(self, client: Client, choose: random.Random) -> None:
        wallets = choose.sample(self._wallets, 2 * choose.randint(1, 4))
        signs = {wallet: 1 if at % 2 else -1 for at, wallet in enumerate(wallets)}
        body = self._body(1)
        legs = [
            {"wallet_id": wallet, "direction": "credit" if sign > 0 else "debit", "amount": 1}
            for wallet, sign in signs.items()
        ]
        await self._move(
            client, "/transactions", {"reference_id": body["reference_id"], "type": "hammered", "legs": legs}, signs
        )

    async def _repeat(self, client: Client, choose: random.Random) -> None:
        """The same again, perhaps while the first is on its way. A refused movement may be accepted now."""
        movement = choose.choice(self._tried[-50:])
        was_acknowledged = movement.body["reference_id"] in self.acknowledged
        answer = await self._send(client, movement)
        if was_acknowledged and answer.status != 200:
            self.surprises.append((movement.path, movement.body, answer))

    async def _change(self, client: Client, choose: random.Random) -> None:
        path, body, _ = choose.choice(self._tried)
        if body["reference_id"] in self.acknowledged:
            answer = await self._send(client, Movement(path, {**body, "metadata": {"changed": True}}, {}))
            if answer.code != "reference_reused":
                self.surprises.append((path, body, answer))

    async def _nonsense(self, client: Client, choose: random.Random) -> None:
        body = self._body(1)
        wallet = choose.choice(self._wallets)
        path, body = choose.choice(
            [
                (f"/wallets/{wallet}/topup", {**body, "amount": -1}),
                (f"/wallets/{wallet}/topup", {**body, "asset_code": "diamond"}),
                (f"/wallets/{NOBODY}/spend", body),
                ("/transfers", {**body, "from_wallet_id": wallet, "to_wallet_id": wallet}),
                ("/transactions", {**body, "legs": []}),
            ]
        )
        await self._move(client, path, body, {})

    async def _read(self, client: Client, choose: random.Random) -> None:
        wallet = choose.choice(self._wallets)
        path = choose.choice(
            [f"/wallets/{wallet}/balance"] * 4
            + [f"/wallets/{wallet}/entries?limit=5", "/transactions?limit=5", "/ledger-entries?limit=5", "/assets"]
        )
        answer = await client.get(path)
        self.seen[answer.status] += 1
        if answer.status != 200:
            self.surprises.append((path, None, answer))
