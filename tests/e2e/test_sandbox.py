"""A sandbox as its users run it: two worker processes, and sixty days in a moment."""

import secrets
from typing import Any

import pytest

from tests.e2e.serving import Client, served
from wallet.storage.verify.ledger import verify

DAY = 24 * 3600
SANDBOX = {"WALLET_SANDBOX": "1"}


def movement(amount: int, **fields: Any) -> dict[str, Any]:
    return {"reference_id": secrets.token_hex(8), "amount": amount, "asset_code": "gold", **fields}


async def numbers(client: Client, wallet: str) -> tuple[int, int]:
    """The balance of the wallet, and the breakage of its asset."""
    balance = (await client.get(f"/wallets/{wallet}/balance")).json()["balance"]
    return balance, (await client.get("/assets/1")).json()["breakage"]


async def test_a_lot_of_sixty_days_is_gone_after_sixty_days_and_breakage_has_it(database_url: str) -> None:
    with served(database_url, **SANDBOX) as service:
        async with Client(service.address) as client:
            wallet = (await client.post("/wallets", {"asset_code": "gold"})).json()["id"]
            lot = {"category": "promotional", "expires_in_seconds": 60 * DAY}
            assert (await client.post(f"/wallets/{wallet}/topup", movement(100, lot=lot))).status == 201
            assert await numbers(client, wallet) == (100, 0)
            for days, expected in ((59, (100, 0)), (1, (0, 100))):
                answer = await client.post("/sandbox/clock", {"advance_seconds": days * DAY})
                assert (answer.status, answer.json()["remaining_seconds"]) == (200, 0)
                assert await numbers(client, wallet) == expected
    report = await verify(database_url, on_progress=lambda _: None)
    assert report.is_sound, report.findings


async def test_a_service_that_is_no_sandbox_does_not_start_on_the_database_of_one(database_url: str) -> None:
    with served(database_url, **SANDBOX) as service:
        async with Client(service.address) as client:
            assert (await client.post("/sandbox/clock", {"advance_seconds": DAY})).status == 200
    # The service ends with this message instead of serving.
    with pytest.raises(AssertionError, match=r"sandbox's database.*WALLET_SANDBOX=1"), served(database_url):
        pass
    with served(database_url, **SANDBOX) as service:
        async with Client(service.address) as client:
            assert (await client.get("/sandbox/clock")).json()["offset_seconds"] > DAY - 60
