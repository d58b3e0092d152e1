"""Bodies that tests ask with, and the few requests that many of them begin with."""

from typing import Any

import asyncpg

from tests.http.client import Api, new_reference


def movement(amount: Any = 5, *, asset_code: str = "GOLD", **fields: Any) -> dict[str, Any]:
    return {"reference_id": new_reference(), "amount": amount, "asset_code": asset_code, **fields}


def transfer(source: str, target: str, amount: Any = 5, **fields: Any) -> dict[str, Any]:
    return movement(amount, from_wallet_id=source, to_wallet_id=target, **fields)


def leg(wallet_id: str, direction: str, amount: Any) -> dict[str, Any]:
    return {"wallet_id": wallet_id, "direction": direction, "amount": amount}


def transaction(*legs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"reference_id": new_reference(), "type": "exchange", "legs": legs, **fields}


def step(**fields: Any) -> dict[str, Any]:
    """The parts that all requests about an existing object have in common."""
    return {"reference_id": new_reference(), **fields}


async def held(api: Api, wallet_id: str, amount: int = 5, **fields: Any) -> Any:
    """A hold that must be accepted."""
    return await api.made("/holds", movement(amount, wallet_id=wallet_id, **fields))


async def with_lot(api: Api, amount: int, *, action: str = "topup", category: str = "paid", **terms: Any) -> str:
    """The id of a new wallet whose credit is one lot."""
    wallet = await api.wallet()
    await api.made(f"/wallets/{wallet}/{action}", movement(amount, lot={"category": category, **terms}))
    return wallet


async def changed(api: Api, wallet_id: str, **changes: Any) -> Any:
    """A wallet after a change that must be accepted."""
    answer = await api.patch(f"/wallets/{wallet_id}", changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def available(api: Api, wallet_id: str) -> tuple[int, int, int]:
    """Balance, held and available."""
    balance = await api.json(f"/wallets/{wallet_id}/balance")
    return balance["balance"], balance["held"], balance["available"]


async def pass_time(ledger: asyncpg.Connection, seconds: int) -> None:
    """Let the ledger's clock of this database go on."""
    await ledger.execute("UPDATE sandbox_clock SET advanced = advanced + $1 * interval '1 second'", seconds)
