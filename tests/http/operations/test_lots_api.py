"""Lots over HTTP: opening them, what debits draw from them, and what is malformed."""

from typing import Any

import asyncpg
import pytest

from tests.http.asked import held, movement, pass_time, step, transfer, with_lot
from tests.http.client import GOLD_TREASURY, MIKASA_WALLET, Api, code_of, fields_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("action", ["topup", "bonus"])
async def test_a_movement_that_opens_a_lot_says_which(api: Api, action: str) -> None:
    wallet = await api.wallet()
    body = movement(5, lot={"category": "promotional", "expires_in_seconds": 60, "priority": 3})
    answer = await api.made(f"/wallets/{wallet}/{action}", body)
    (lot,) = (await api.json(f"/wallets/{wallet}/lots"))["data"]
    assert answer["lot_ids"] == [lot["id"]]
    assert (lot["category"], lot["priority"], lot["amount"]) == ("promotional", 3, 5)
    assert lot["expires_at"] > answer["created_at"]


async def test_a_movement_without_one_says_nothing_of_lots(api: Api) -> None:
    assert "lot_ids" not in await api.moved("topup", MIKASA_WALLET, 1)


async def test_a_debit_says_what_it_drew_from_what(api: Api) -> None:
    wallet = await with_lot(api, 3, category="paid", expires_in_seconds=60)
    await api.made(f"/wallets/{wallet}/bonus", movement(4, lot={"category": "promotional", "expires_in_seconds": 30}))
    await api.moved("topup", wallet, 10)
    answer = await api.moved("spend", wallet, 9)
    drawn = answer["drawn"]
    assert {name: drawn[name] for name in ("paid", "promotional", "main")} == {"paid": 3, "promotional": 4, "main": 2}
    # The earliest expiry first.
    assert [(each["category"], each["amount"], each["wallet_id"]) for each in drawn["lots"]] == [
        ("promotional", 4, wallet),
        ("paid", 3, wallet),
    ]


async def test_a_capture_draws_what_its_hold_had_reserved(api: Api) -> None:
    wallet = await with_lot(api, 3, category="paid")
    await api.moved("topup", wallet, 5)
    hold = await held(api, wallet, 5)
    answer = await api.made(f"/holds/{hold['id']}/capture", step())
    assert (answer["drawn"]["paid"], answer["drawn"]["main"]) == (3, 2)


async def test_a_transfer_carries_lots_over(api: Api) -> None:
    source, target = await with_lot(api, 3, category="promotional"), await api.wallet()
    answer = await api.made("/transfers", transfer(source, target, 2))
    assert len(answer["lot_ids"]) == 1
    assert (await api.moved("spend", target, 2))["drawn"]["promotional"] == 2


async def test_a_transfer_says_which_lots_it_joined(api: Api) -> None:
    source, target = await with_lot(api, 3, category="promotional"), await api.wallet()
    opened = await api.made("/transfers", transfer(source, target, 1))
    joined = await api.made("/transfers", transfer(source, target, 2))
    assert joined["joined_lot_ids"] == opened["lot_ids"]
    assert "lot_ids" not in joined
    (lot,) = (await api.json(f"/wallets/{target}/lots"))["data"]
    assert (lot["amount"], lot["remaining"]) == (1, 3)


async def test_the_same_lot_in_another_spelling_is_the_same_request(api: Api) -> None:
    wallet = await api.wallet()
    body = movement(5, lot={"category": "paid", "expires_at": "2126-01-31T12:00:00Z"})
    await api.made(f"/wallets/{wallet}/topup", body)
    spelled = {"category": "paid", "expires_at": "2126-01-31T14:00:00.000+02:00", "priority": 50}
    assert (await api.post(f"/wallets/{wallet}/topup", {**body, "lot": spelled})).status_code == 200


@pytest.mark.parametrize(
    "lot",
    [
        None,
        {"category": "promotional", "expires_at": "2126-01-31T12:00:00Z"},
        {"category": "paid", "expires_at": "2126-01-31T12:00:00.000001Z"},
        {"category": "paid"},
        {"category": "paid", "expires_at": "2126-01-31T12:00:00Z", "priority": 49},
    ],
)
async def test_another_lot_is_another_request(api: Api, lot: Any) -> None:
    body = movement(5, lot={"category": "paid", "expires_at": "2126-01-31T12:00:00Z"})
    await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
    answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", {**body, "lot": lot})
    assert (code_of(answer), answer.json()["differs"]) == ((422, "reference_reused"), ["lot"])


async def test_a_lot_that_would_have_expired_is_refused(api: Api) -> None:
    body = movement(5, lot={"category": "paid", "expires_at": "2026-01-31T12:00:00Z"})
    assert code_of(await api.post(f"/wallets/{MIKASA_WALLET}/topup", body)) == (422, "expiry_out_of_range")


async def test_a_system_wallet_has_none(api: Api) -> None:
    source = await api.wallet(5)
    lot = {"category": "paid"}
    answer = await api.post(f"/wallets/{GOLD_TREASURY}/bonus", movement(5, lot=lot, funding_wallet_id=source))
    assert code_of(answer) == (422, "system_wallet")


async def test_expiry_shows_as_a_transaction_that_drew_from_the_lot(api: Api, ledger: asyncpg.Connection) -> None:
    wallet = await with_lot(api, 5, category="paid", expires_in_seconds=60)
    await pass_time(ledger, 61)
    assert await api.balance(wallet) == 0
    entries = (await api.json(f"/wallets/{wallet}/entries"))["data"]
    expiry = await api.json(f"/transactions/{entries[0]['transaction_id']}")
    assert (expiry["type"], expiry["drawn"]["paid"], expiry["refundable"]) == ("expiry", 5, 0)
    assert expiry["effective_at"] < expiry["created_at"]


async def test_a_dry_run_opens_none(api: Api) -> None:
    wallet = await api.wallet()
    answer = await api.post(f"/wallets/{wallet}/topup", movement(5, lot={"category": "paid"}, dry_run=True))
    assert (answer.status_code, "lot_ids" in answer.json()) == (200, False)
    assert (await api.json(f"/wallets/{wallet}/lots"))["data"] == []


@pytest.mark.parametrize(
    ("lot", "fields"),
    [
        (5, ["lot"]),
        ([], ["lot"]),
        ({}, ["lot.category"]),
        ({"category": "free"}, ["lot.category"]),
        ({"category": None}, ["lot.category"]),
        ({"category": "paid", "x": 1}, ["lot.x"]),
        ({"category": "paid", "priority": -1}, ["lot.priority"]),
        ({"category": "paid", "priority": 101}, ["lot.priority"]),
        ({"category": "paid", "priority": 1.0}, ["lot.priority"]),
        ({"category": "paid", "expires_in_seconds": 0}, ["lot.expires_in_seconds"]),
        ({"category": "paid", "expires_in_seconds": 2**31}, ["lot.expires_in_seconds"]),
        ({"category": "paid", "expires_in_seconds": "5"}, ["lot.expires_in_seconds"]),
        ({"category": "paid", "expires_at": "2126-01-31"}, ["lot.expires_at"]),
        ({"category": "paid", "expires_at": "2126-01-31T12:00:00"}, ["lot.expires_at"]),
        ({"category": "paid", "expires_at": 5}, ["lot.expires_at"]),
        ({"category": "paid", "expires_at": "9999-12-31T23:59:59-14:00"}, ["lot.expires_at"]),
        ({"category": "paid", "expires_at": "9999-12-31T23:59:59.999999Z"}, ["lot.expires_at"]),
        (
            {"category": "paid", "expires_at": "2126-01-31T12:00:00Z", "expires_in_seconds": 5},
            ["lot.expires_in_seconds"],
        ),
        ({"category": "", "priority": 1000, "y": 1}, ["lot.category", "lot.priority", "lot.y"]),
    ],
)  # fmt: skip
async def test_terms_that_are_wrong_are_named(api: Api, lot: Any, fields: list[str]) -> None:
    answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", movement(5, lot=lot))
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), fields)


async def test_a_spend_and_a_transfer_open_none(api: Api) -> None:
    lot = {"category": "paid"}
    for path, body in (
        (f"/wallets/{MIKASA_WALLET}/spend", movement(lot=lot)),
        ("/transfers", transfer(MIKASA_WALLET, GOLD_TREASURY, lot=lot)),
    ):
        answer = await api.post(path, body)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["lot"])
