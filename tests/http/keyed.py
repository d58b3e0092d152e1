"""Clients with keys of their own, and what an answer to one of them may say."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.http.asked import held, transfer
from tests.http.client import Api

READ_AND_SPEND = ("read", "spend")

NUMBERS = frozenset(
    {
        "balance", "balance_after", "held", "available", "required", "version", "limit", "used", "resets_at",
        "remaining", "merged_into", "opening_balance", "closing_balance", "overdraft_limit", "max_balance",
    }
)  # fmt: skip
"""Members that tell of a wallet more than that it took part."""


async def keyed(api: Api, *scopes: str, **binding: Any) -> Api:
    """A client with a new key. `binding`: user_id, wallet_ids, or replaces alone."""
    asked = binding if "replaces" in binding else {"name": "test", "scopes": scopes, **binding}
    made = await api.made("/keys", asked)
    client = Api(api.app)
    client.http.headers["authorization"] = f"Bearer {made['key']}"
    client.key_id = made["id"]  # type: ignore[attr-defined]
    return client


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user, a client with a key bound to it, and two of its wallets, the first with 1,000 in it."""

    id: str
    client: Api
    wallet: str
    second: str

    @property
    def own(self) -> tuple[str, str]:
        return self.wallet, self.second


async def person(api: Api, *, balance: int = 1000) -> Person:
    user: str = (await api.made("/users", {"name": "somebody"}))["id"]
    first, second = [(await api.made("/wallets", {"asset_code": "GOLD", "user_id": user}))["id"] for _ in range(2)]
    await api.moved("topup", first, balance)
    return Person(id=user, client=await keyed(api, *READ_AND_SPEND, user_id=user), wallet=first, second=second)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Ids of what there is, or of nothing at all."""

    wallet: str
    user: str
    hold: str
    transaction: str


async def foreign(api: Api) -> Foreign:
    """Somebody else's."""
    other = await person(api)
    hold = await held(api, other.wallet, 7)
    moved = await api.made("/transfers", transfer(other.wallet, other.second, 5))
    return Foreign(wallet=other.wallet, user=other.id, hold=hold["id"], transaction=moved["id"])


def told(answer: Any, *ids: str) -> tuple[int, str, Mapping[str, str]]:
    """Status, body and headers without what is particular: the request's id, and these ids."""
    text = answer.text
    for each in (answer.headers["x-request-id"], *ids):
        text = text.replace(each, "-")
    ignored = ("x-request-id", "content-length", "content-disposition", "date")
    return answer.status_code, text, {name: value for name, value in answer.headers.items() if name not in ignored}


def leaks(answer: Any, own: Collection[str]) -> Iterator[Any]:
    """The parts of an answer to a bound client that tell of wallets that are not its own."""
    if isinstance(answer, list):
        for each in answer:
            yield from leaks(each, own)
    if not isinstance(answer, dict):
        return
    wallet = answer.get("wallet_id", answer.get("id") if "asset_type_id" in answer else None)
    if wallet is not None and wallet not in own and any(answer.get(name) is not None for name in NUMBERS):
        yield answer
    if "status" in answer and "target_wallet_id" in answer and answer["wallet_id"] not in own:
        yield answer
    for name, each in answer.items():
        if name != "metadata":
            yield from leaks(each, own)
