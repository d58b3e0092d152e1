"""Holds over HTTP: what each step answers, that it replays, and what is refused."""

from typing import Any

import asyncpg
import pytest

from tests.http.asked import available, changed, held, movement, pass_time, step
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, NOBODY, Api, code_of, fields_of, new_reference

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = pytest.mark.parametrize(
    ("action", "fields"),
    [("capture", {}), ("void", {}), ("increase", {"amount": 1}), ("extend", {"expires_in_seconds": 9})],
)


class TestPlace:
    async def test_a_hold_lowers_available_and_not_the_balance(self, api: Api) -> None:
        wallet = await api.wallet(10)
        answer = await held(api, wallet, 4)
        assert answer == {
            "id": answer["id"],
            "wallet_id": wallet,
            "target_wallet_id": GOLD_REVENUE,
            "asset_code": "GOLD",
            "status": "open",
            "amount": 4,
            "captured": 0,
            "released": 0,
            "remaining": 4,
            "expires_at": None,
            "on_expiry": "release",
            "created_at": answer["created_at"],
        }
        assert await available(api, wallet) == (10, 4, 6)

    async def test_it_says_its_target_and_when_and_how_it_ends(self, api: Api) -> None:
        target = await api.wallet()
        answer = await held(
            api, await api.wallet(10), target_wallet_id=target, expires_in_seconds=60, on_expiry="capture"
        )
        assert (answer["target_wallet_id"], answer["on_expiry"]) == (target, "capture")
        assert answer["expires_at"] > answer["created_at"]

    async def test_it_replays_as_it_was_whatever_became_of_it(self, api: Api) -> None:
        body = movement(4, wallet_id=await api.wallet(10))
        first = await api.post("/holds", body)
        await api.made(f"/holds/{first.json()['id']}/capture", step(amount=3))
        again = await api.post("/holds", body)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.content == first.content

    async def test_its_reference_may_be_the_header(self, api: Api) -> None:
        body, key = movement(4, wallet_id=await api.wallet(10)), new_reference()
        del body["reference_id"]
        assert (await api.post("/holds", body, headers={"Idempotency-Key": key})).status_code == 201
        assert (await api.post("/holds", {**body, "reference_id": key})).status_code == 200

    async def test_another_hold_with_the_reference_is_told_the_difference(self, api: Api) -> None:
        body = movement(4, wallet_id=await api.wallet(10))
        await api.made("/holds", body)
        answer = await api.post("/holds", {**body, "amount": 3, "expires_in_seconds": 5, "on_expiry": "capture"})
        assert code_of(answer) == (422, "reference_reused")
        assert answer.json()["differs"] == ["amount", "expires_in_seconds", "on_expiry"]

    async def test_a_default_that_is_said_is_no_difference(self, api: Api) -> None:
        body = movement(4, wallet_id=await api.wallet(10))
        await api.made("/holds", body)
        said = {**body, "on_expiry": "release", "target_wallet_id": None, "dry_run": False, "conditions": []}
        assert (await api.post("/holds", said)).status_code == 200

    async def test_beyond_what_is_available_it_is_refused(self, api: Api) -> None:
        wallet = await api.wallet(10)
        await held(api, wallet, 7)
        answer = await api.post("/holds", movement(4, wallet_id=wallet))
        assert code_of(answer) == (422, "insufficient_funds")
        assert (answer.json()["available"], answer.json()["required"]) == (3, 4)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"wallet_id": NOBODY}, (404, "wallet_not_found")),
            ({"target_wallet_id": NOBODY}, (404, "wallet_not_found")),
            ({"asset_code": "nothing"}, (404, "asset_not_found")),
            ({"asset_code": "diamond"}, (422, "asset_mismatch")),
            ({"wallet_id": GOLD_TREASURY}, (422, "system_wallet")),
        ],
    )
    async def test_what_the_ledger_refuses(self, api: Api, fields: Any, expected: Any) -> None:
        body = (
            movement(1, wallet_id=await api.wallet(10), **fields)
            if "wallet_id" not in fields
            else movement(1, **fields)
        )
        assert code_of(await api.post("/holds", body)) == expected

    async def test_a_dry_run_answers_the_hold_as_it_would_be_and_does_nothing(self, api: Api) -> None:
        wallet = await api.wallet(10)
        body = movement(4, wallet_id=wallet)
        answer = await api.post("/holds", {**body, "dry_run": True})
        assert answer.status_code == 200
        predicted = answer.json()
        assert (predicted["id"], predicted["dry_run"], predicted["remaining"]) == (None, True, 4)
        assert await available(api, wallet) == (10, 0, 10)
        # The reference is still there to be used.
        assert (await api.post("/holds", body)).status_code == 201


class TestCapture:
    async def test_all_of_it(self, api: Api) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 4)
        answer = await api.made(f"/holds/{hold['id']}/capture", step())
        assert (answer["type"], answer["hold_id"], answer["status"]) == ("capture", hold["id"], "posted")
        assert [(each["wallet_id"], each["amount"]) for each in answer["entries"]] == [(wallet, 4), (GOLD_REVENUE, 4)]
        assert answer["drawn"] == {"paid": 0, "promotional": 0, "main": 4, "lots": []}
        assert (answer["hold"]["status"], answer["hold"]["captured"]) == ("captured", 4)
        assert await available(api, wallet) == (6, 0, 6)

    async def test_part_of_it_many_times(self, api: Api) -> None:
        target = await api.wallet()
        hold = await held(api, await api.wallet(10), 9, target_wallet_id=target)
        for remaining in (6, 3, 0):
            answer = await api.made(f"/holds/{hold['id']}/capture", step(amount="3"))
            assert answer["hold"]["remaining"] == remaining
        assert await api.balance(target) == 9

    async def test_the_last_part_releases_the_rest(self, api: Api) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 9)
        answer = await api.made(f"/holds/{hold['id']}/capture", step(amount=4, final=True))
        shown = answer["hold"]
        assert (shown["status"], shown["captured"], shown["released"]) == ("captured", 4, 5)
        assert await available(api, wallet) == (6, 0, 6)

    async def test_up_to_what_is_left(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4)
        answer = await api.made(f"/holds/{hold['id']}/capture", step(amount=6, amount_mode="up_to"))
        assert (answer["entries"][0]["amount"], answer["requested_amount"]) == (4, 6)

    async def test_beyond_it_is_refused(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4)
        answer = await api.post(f"/holds/{hold['id']}/capture?amounts=string", step(amount=5))
        assert code_of(answer) == (422, "capture_exceeds_hold")
        assert (answer.json()["available"], answer.json()["required"]) == ("4", "5")

    async def test_when_its_target_is_frozen_it_is_refused(self, api: Api) -> None:
        target = await api.wallet()
        hold = await held(api, await api.wallet(10), 4, target_wallet_id=target)
        await changed(api, target, freeze_incoming=True)
        answer = await api.post(f"/holds/{hold['id']}/capture", step())
        assert code_of(answer) == (422, "wallet_frozen")
        assert (answer.json()["wallet_id"], answer.json()["direction"]) == (target, "incoming")

    async def test_it_may_take_effect_earlier(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4)
        answer = await api.made(f"/holds/{hold['id']}/capture", step(effective_at="2026-01-31T12:00:00+01:00"))
        assert answer["effective_at"] == "2026-01-31T11:00:00.000000Z"


class TestOtherSteps:
    async def test_void_releases_what_is_left(self, api: Api) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 4)
        await api.made(f"/holds/{hold['id']}/capture", step(amount=1))
        answer = await api.made(f"/holds/{hold['id']}/void", step())
        assert answer == {**hold, "status": "voided", "captured": 1, "released": 3, "remaining": 0}
        assert await available(api, wallet) == (9, 0, 9)

    async def test_increase_reserves_more(self, api: Api) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 4)
        answer = await api.made(f"/holds/{hold['id']}/increase", step(amount=5))
        assert answer == {**hold, "amount": 9, "remaining": 9}
        assert await available(api, wallet) == (10, 9, 1)

    async def test_increase_is_checked_like_a_new_hold(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4)
        answer = await api.post(f"/holds/{hold['id']}/increase", step(amount=7))
        assert code_of(answer) == (422, "insufficient_funds")

    async def test_extend_lets_it_expire_later_and_never_earlier(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4, expires_in_seconds=60)
        later = await api.made(f"/holds/{hold['id']}/extend", step(expires_in_seconds=3600))
        assert later["expires_at"] > hold["expires_at"]
        same = await api.made(f"/holds/{hold['id']}/extend", step(expires_in_seconds=1))
        assert same["expires_at"] == later["expires_at"]

    @STEPS
    async def test_every_step_replays(self, api: Api, action: str, fields: Any) -> None:
        hold = await held(api, await api.wallet(10), 4, expires_in_seconds=60)
        path, body = f"/holds/{hold['id']}/{action}", step(**fields)
        first = await api.post(path, body)
        again = await api.post(path, body)
        assert (first.status_code, again.status_code) == (201, 200)
        assert (again.headers["idempotency-replayed"], again.content) == ("true", first.content)

    @STEPS
    async def test_every_step_may_be_tried_dry(self, api: Api, action: str, fields: Any) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 4, expires_in_seconds=60)
        answer = await api.post(f"/holds/{hold['id']}/{action}", step(dry_run=True, **fields))
        assert (answer.status_code, answer.json()["id"], answer.json()["dry_run"]) == (200, None, True)
        assert await available(api, wallet) == (10, 4, 6)

    @STEPS
    async def test_no_step_finds_a_hold_that_is_none(self, api: Api, action: str, fields: Any) -> None:
        answer = await api.post(f"/holds/{NOBODY}/{action}", step(**fields))
        assert code_of(answer) == (404, "hold_not_found")

    @STEPS
    async def test_no_step_is_taken_once_it_is_closed(self, api: Api, action: str, fields: Any) -> None:
        hold = await held(api, await api.wallet(10), 4)
        await api.made(f"/holds/{hold['id']}/void", step())
        answer = await api.post(f"/holds/{hold['id']}/{action}", step(**fields))
        assert (code_of(answer), answer.json()["hold_status"]) == ((409, "hold_closed"), "voided")

    @STEPS
    async def test_no_step_is_taken_past_its_expiry(
        self, api: Api, ledger: asyncpg.Connection, action: str, fields: Any
    ) -> None:
        wallet = await api.wallet(10)
        hold = await held(api, wallet, 4, expires_in_seconds=5)
        await pass_time(ledger, 6)
        answer = await api.post(f"/holds/{hold['id']}/{action}", step(**fields))
        assert (code_of(answer), answer.json()["hold_status"]) == ((409, "hold_closed"), "expired")
        assert await available(api, wallet) == (10, 0, 10)

    async def test_a_step_with_the_reference_of_another_is_told_so(self, api: Api) -> None:
        hold = await held(api, await api.wallet(10), 4)
        body = step()
        await api.made(f"/holds/{hold['id']}/capture", {**body, "amount": 1})
        answer = await api.post(f"/holds/{hold['id']}/void", body)
        assert (code_of(answer), answer.json()["differs"]) == ((422, "reference_reused"), ["type"])
        answer = await api.post(f"/holds/{hold['id']}/capture", {**body, "amount": 1, "final": True})
        assert answer.json()["differs"] == ["final"]

    async def test_beyond_400_days_in_all_it_is_not_extended(self, api: Api, ledger: asyncpg.Connection) -> None:
        hold = await held(api, await api.wallet(10), 4, expires_in_seconds=60)
        await pass_time(ledger, 30)
        answer = await api.post(f"/holds/{hold['id']}/extend", step(expires_in_seconds=400 * 24 * 3600))
        assert code_of(answer) == (422, "expiry_out_of_range")


async def test_amounts_are_strings_for_who_asks(api: Api) -> None:
    hold = (await api.post("/holds?amounts=string", movement(4, wallet_id=await api.wallet(10)))).json()
    assert [hold[name] for name in ("amount", "captured", "released", "remaining")] == ["4", "0", "0", "4"]
    captured = (await api.post(f"/holds/{hold['id']}/capture?amounts=string", step(amount=1))).json()
    assert captured["drawn"] == {"paid": "0", "promotional": "0", "main": "1", "lots": []}
    assert captured["hold"]["captured"] == "1"


async def test_a_hold_that_captures_at_its_expiry_must_have_one(api: Api) -> None:
    answer = await api.post("/holds", movement(4, wallet_id=await api.wallet(10), on_expiry="capture"))
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["on_expiry"])
