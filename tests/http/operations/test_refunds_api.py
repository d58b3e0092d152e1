"""Refunds over HTTP: in part, in whole, forced, and what a transaction says of them afterwards."""

from typing import Any

import asyncpg
import pytest

from tests.http.asked import changed, held, leg, movement, pass_time, step, transaction, transfer, with_lot
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, NOBODY, Api, code_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refunded(api: Api, transaction_id: str, **fields: Any) -> Any:
    """A refund that must be accepted."""
    return await api.made(f"/transactions/{transaction_id}/refund", step(**fields))


async def test_without_an_amount_all_is_refunded(api: Api) -> None:
    wallet = await api.wallet(10)
    spent = await api.moved("spend", wallet, 4)
    answer = await refunded(api, spent["id"])
    assert (answer["type"], answer["refund_of"], answer["status"]) == ("refund", spent["id"], "posted")
    assert [(each["wallet_id"], each["direction"], each["amount"]) for each in answer["entries"]] == [
        (wallet, "credit", 4),
        (GOLD_REVENUE, "debit", 4),
    ]
    assert await api.balance(wallet) == 10


async def test_a_top_up_is_reversed_to_the_treasury(api: Api) -> None:
    wallet = await api.wallet()
    topped_up = await api.moved("topup", wallet, 9)
    answer = await refunded(api, topped_up["id"], amount=4)
    assert [(each["wallet_id"], each["direction"]) for each in answer["entries"]] == [
        (GOLD_TREASURY, "credit"),
        (wallet, "debit"),
    ]
    assert answer["drawn"] == {"paid": 0, "promotional": 0, "main": 4, "lots": []}
    assert await api.balance(wallet) == 5


async def test_a_transaction_shows_what_was_refunded_of_it_and_what_may_be(api: Api) -> None:
    spent = await api.moved("spend", await api.wallet(10), 9)
    path = f"/transactions/{spent['id']}"
    shown = await api.json(path)
    assert (shown["refunds"], shown["refundable"]) == ([], 9)
    refunds = [await refunded(api, spent["id"], amount=amount) for amount in (2, 3)]
    shown = await api.json(path)
    assert {each["id"]: each["amount"] for each in shown["refunds"]} == {
        each["id"]: each["entries"][0]["amount"] for each in refunds
    }
    assert shown["refundable"] == 4
    first_answer = {name: each for name, each in shown.items() if name not in ("refunds", "refundable")}
    assert first_answer == spent


async def test_a_refund_is_not_refundable_itself(api: Api) -> None:
    spent = await api.moved("spend", await api.wallet(10), 9)
    refund = await refunded(api, spent["id"])
    shown = await api.json(f"/transactions/{refund['id']}")
    assert (shown["refunds"], shown["refundable"]) == ([], 0)
    assert code_of(await api.post(f"/transactions/{refund['id']}/refund", step())) == (422, "not_refundable")


async def test_all_refunds_together_are_at_most_what_moved(api: Api) -> None:
    spent = await api.moved("spend", await api.wallet(10), 9)
    await refunded(api, spent["id"], amount=7)
    answer = await api.post(f"/transactions/{spent['id']}/refund?amounts=string", step(amount=3))
    assert code_of(answer) == (422, "refund_exceeds_original")
    assert (answer.json()["available"], answer.json()["required"]) == ("2", "3")


async def test_it_replays_and_a_change_is_told(api: Api) -> None:
    spent = await api.moved("spend", await api.wallet(10), 9)
    path, body = f"/transactions/{spent['id']}/refund", step(amount=4)
    first = await api.post(path, body)
    again = await api.post(path, body)
    assert (again.status_code, again.content) == (200, first.content)
    assert (await api.post(path, {**body, "force": False})).status_code == 200
    assert (await api.post(path, {**body, "force": True})).json()["differs"] == ["force"]
    assert (await api.post(path, {**body, "amount": 5})).json()["differs"] == ["amount"]


async def test_a_dry_run_refunds_nothing(api: Api) -> None:
    wallet = await api.wallet(10)
    spent = await api.moved("spend", wallet, 9)
    answer = await api.post(f"/transactions/{spent['id']}/refund", step(dry_run=True))
    assert (answer.status_code, answer.json()["id"], answer.json()["refund_of"]) == (200, None, spent["id"])
    assert (await api.json(f"/transactions/{spent['id']}"))["refundable"] == 9


async def test_general_transactions_are_refunded_as_a_whole_and_once(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet()
    moved = await api.made("/transactions", transaction(leg(source, "debit", 4), leg(target, "credit", 4)))
    path = f"/transactions/{moved['id']}"
    assert (await api.json(path))["refundable"] == 4
    assert code_of(await api.post(f"{path}/refund", step(amount=4))) == (422, "not_refundable")
    await refunded(api, moved["id"])
    assert (await api.balance(source), (await api.json(path))["refundable"]) == (10, 0)
    assert code_of(await api.post(f"{path}/refund", step())) == (422, "refund_exceeds_original")


async def test_a_captures_refund_goes_to_the_wallet_and_not_back_into_the_hold(api: Api) -> None:
    wallet = await api.wallet(10)
    hold = await held(api, wallet, 6)
    captured = await api.made(f"/holds/{hold['id']}/capture", step(amount=4))
    await refunded(api, captured["id"])
    balance = await api.json(f"/wallets/{wallet}/balance")
    assert (balance["balance"], balance["held"]) == (10, 2)


async def test_what_would_overdraw_is_refused_unless_forced(api: Api) -> None:
    wallet = await api.wallet()
    topped_up = await api.moved("topup", wallet, 9)
    await api.moved("spend", wallet, 5)
    path = f"/transactions/{topped_up['id']}/refund"
    assert code_of(await api.post(path, step())) == (422, "insufficient_funds")
    await api.made(path, step(force=True))
    assert await api.balance(wallet) == -5


async def test_it_takes_effect_no_earlier_than_its_original(api: Api) -> None:
    spent = await api.made(f"/wallets/{await api.wallet(10)}/spend", movement(4, effective_at="2026-01-31T12:00:00Z"))
    path = f"/transactions/{spent['id']}/refund"
    early = await api.post(path, step(effective_at="2026-01-31T11:59:59.999999Z"))
    assert code_of(early) == (422, "effective_before_original")
    answer = await api.made(path, step(effective_at="2026-01-31T12:00:00Z"))
    assert answer["effective_at"] == "2026-01-31T12:00:00.000000Z"


async def test_into_a_frozen_wallet_it_is_refused(api: Api) -> None:
    wallet = await api.wallet(10)
    spent = await api.moved("spend", wallet, 4)
    await changed(api, wallet, freeze_incoming=True)
    assert code_of(await api.post(f"/transactions/{spent['id']}/refund", step())) == (422, "wallet_frozen")


async def test_of_no_transaction(api: Api) -> None:
    assert code_of(await api.post(f"/transactions/{NOBODY}/refund", step())) == (404, "transaction_not_found")


async def test_transfers_are_refunded_by_amount(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet()
    moved = await api.made("/transfers", transfer(source, target, 6))
    await refunded(api, moved["id"], amount="2")
    assert (await api.balance(source), await api.balance(target)) == (6, 4)


async def test_a_refund_restores_the_lots_it_was_drawn_from(api: Api) -> None:
    wallet = await with_lot(api, 6, category="promotional")
    await api.moved("topup", wallet, 4)
    spent = await api.moved("spend", wallet, 8)
    assert (spent["drawn"]["promotional"], spent["drawn"]["main"]) == (6, 2)
    # From its end: main first, then the lot.
    await refunded(api, spent["id"], amount=3)
    again = await api.moved("spend", wallet, 1)
    assert again["drawn"]["promotional"] == 1


async def test_what_is_forfeited_is_said(api: Api, ledger: asyncpg.Connection) -> None:
    await ledger.execute("UPDATE assets SET on_refund_to_expired = 'forfeit' WHERE code = 'DIAMOND'")
    wallet = await api.wallet(asset_code="DIAMOND")
    lot = {"category": "paid", "expires_in_seconds": 60}
    await api.made(f"/wallets/{wallet}/topup", movement(5, asset_code="DIAMOND", lot=lot))
    spent = await api.moved("spend", wallet, 5, asset_code="DIAMOND")
    await pass_time(ledger, 61)
    answer = await api.post(f"/transactions/{spent['id']}/refund?amounts=string", step(amount=3))
    assert (answer.status_code, answer.json()["forfeited"]) == (201, "3")
    assert await api.balance(wallet) == 0
