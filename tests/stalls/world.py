"""A ledger in which every list is longer than a page, and a page of it as large as it can be."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.http.client import Api, new_reference
from tests.http.keyed import keyed

ROWS = 210
"""One page and some."""
LEGS = 100
"""Of one transaction."""
METADATA: Mapping[str, str] = {f"key-{n}": "x" * 190 for n in range(20)}
"""As much as one transaction, user or wallet may have."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The resources that requests name. `client_key`: of a key that is bound to the owner of `wallets`."""

    api: Api
    user: str
    client_key: str
    wallets: Sequence[str]
    transaction: str
    refunded: str
    holds: Iterator[str]
    keys: Iterator[str]
    programme: str
    claim: str
    code: str


async def made(api: Api) -> World:
    user = (await api.made("/users", {"name": "owner", "metadata": METADATA}))["id"]
    wallets = [
        (await api.made("/wallets", {"asset_code": "GOLD", "user_id": user, "label": "w", "metadata": METADATA}))["id"]
        for _ in range(ROWS)
    ]
    await batch(api, [_topup(each) for each in wallets])
    await batch(api, [transaction_item(wallets, LEGS, metadata=METADATA) for _ in range(ROWS)])
    transaction = (await api.made("/transactions", _body(transaction_item(wallets, LEGS, metadata=METADATA))))["id"]
    refunded = (await api.moved("spend", wallets[0], ROWS))["id"]
    await batch(api, [{"op": "refund", "transaction_id": refunded, "amount": 1, **_reference()} for _ in range(ROWS)])
    lot = {"category": "promotional", "expires_in_seconds": 86_400}
    await batch(api, [_topup(wallets[1], op="bonus", lot=lot) for _ in range(ROWS)])
    hold = {"op": "hold", "wallet_id": wallets[0], "amount": 9, "asset_code": "GOLD", "metadata": METADATA}
    holds = [each["body"]["id"] for each in await batch(api, [{**hold, **_reference()} for _ in range(ROWS)])]
    refused = {"op": "spend", "wallet_id": wallets[0], "amount": 2**60, "asset_code": "GOLD", "reference_id": "no"}
    await batch(api, [refused] * ROWS)
    programme = await _programme(api, wallets)
    claim = await api.made("/claims", claim_of(wallets))
    keys = [(await keyed(api, "read")).key_id for _ in range(ROWS)]  # type: ignore[attr-defined]
    for n in range(ROWS):
        await api.made("/users", {"name": "somebody", "metadata": METADATA})
        await api.made("/assets", {"code": f"ASSET{n}"})
    client = await keyed(api, "read", "spend", user_id=user)
    return World(
        api=api,
        user=user,
        client_key=client.http.headers["authorization"],
        wallets=wallets,
        transaction=transaction,
        refunded=refunded,
        holds=iter(holds),
        keys=iter(keys),
        programme=programme,
        claim=claim["id"],
        code=claim["code"],
    )


async def _programme(api: Api, wallets: Sequence[str]) -> str:
    for _ in range(ROWS):
        terms = {"asset_code": "GOLD", "amount": 1, "per": "month"}
        programme: str = (await api.made("/programmes", terms))["id"]
    for each in wallets:
        await api.made(f"/programmes/{programme}/wallets/{each}", None)
    return programme


async def batch(api: Api, items: Sequence[Any]) -> Sequence[Any]:
    """The answers to independent items."""
    answer = await api.send("POST", "/batches", json.dumps({"mode": "independent", "items": items}).encode())
    assert answer.status_code == 200, answer.text
    results: Sequence[Any] = answer.json()["items"]
    return results


def transaction_item(wallets: Sequence[str], legs: int, **more: Any) -> dict[str, Any]:
    sides = [
        {"wallet_id": wallet, "direction": ("debit", "credit")[n % 2], "amount": 1}
        for n, wallet in enumerate(wallets[:legs])
    ]
    return {"op": "transaction", "type": "large", "legs": sides, **_reference(), **more}


def transfer_item(wallets: Sequence[str], n: int, **more: Any) -> dict[str, Any]:
    source, target = wallets[n % len(wallets)], wallets[(n + 1) % len(wallets)]
    sides = {"from_wallet_id": source, "to_wallet_id": target, "amount": 1, "asset_code": "GOLD"}
    return {"op": "transfer", **sides, **_reference(), **more}


def claim_of(wallets: Sequence[str]) -> dict[str, Any]:
    """A claim whose two uses take several lots each."""
    return {"wallet_id": wallets[1], "amount": 5_000_000, "asset_code": "GOLD", "uses": 2, **_reference()}


def _topup(wallet: str, *, op: str = "topup", **more: Any) -> dict[str, Any]:
    return {"op": op, "wallet_id": wallet, "amount": 1_000_000, "asset_code": "GOLD", **_reference(), **more}


def _reference() -> dict[str, str]:
    return {"reference_id": new_reference()}


def _body(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "op"}
