"""Options that most movements leave out: conditions, dry runs, up-to amounts, effective times, other sources and
targets.
"""

from typing import Any

import pytest

from tests.http.asked import changed, held, leg, movement, step, transaction, transfer
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, NOBODY, Api, code_of, fields_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MALFORMED = (400, "invalid_request")


def version(wallet_id: str, expected: int) -> dict[str, Any]:
    return {"wallet_id": wallet_id, "expected_version": expected}


class TestConditions:
    async def test_what_is_met_moves(self, api: Api) -> None:
        source, target = await api.wallet(10), await api.wallet()
        conditions = [
            {**version(source, 1), "min_balance": 6, "max_balance": "6"},
            {**version(target, 0), "min_balance": "4"},
        ]
        await api.made("/transfers", transfer(source, target, 4, conditions=conditions))

    async def test_another_version_is_a_conflict_that_says_which(self, api: Api) -> None:
        wallet = await api.wallet(10)
        body = movement(4, conditions=[version(wallet, 5)])
        answer = await api.post(f"/wallets/{wallet}/spend", body)
        assert code_of(answer) == (409, "version_conflict")
        assert (answer.json()["wallet_id"], answer.json()["version"]) == (wallet, 1)
        # A refusal does not use the reference up, and conditions are no part of the request.
        assert (
            await api.post(f"/wallets/{wallet}/spend", {**body, "conditions": [version(wallet, 1)]})
        ).status_code == 201
        assert (await api.post(f"/wallets/{wallet}/spend", body)).status_code == 200

    @pytest.mark.parametrize("condition", [{"min_balance": 7}, {"max_balance": 5}, {"min_balance": "9000"}])
    async def test_a_balance_out_of_bounds_afterwards_is_refused(self, api: Api, condition: Any) -> None:
        wallet = await api.wallet(10)
        body = movement(4, conditions=[{"wallet_id": wallet, **condition}])
        answer = await api.post(f"/wallets/{wallet}/spend", body)
        assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "condition_failed"), wallet)
        assert await api.balance(wallet) == 10

    async def test_a_balance_may_be_asked_to_be_at_least_below_zero(self, api: Api) -> None:
        wallet = await api.wallet(1)
        await changed(api, wallet, overdraft_limit=100)
        body = movement(5, conditions=[{"wallet_id": wallet, "min_balance": -4, "max_balance": "-4"}])
        await api.made(f"/wallets/{wallet}/spend", body)

    async def test_a_stranger_is_malformed_wherever_it_can_be_known(self, api: Api) -> None:
        wallet, other, stranger = await api.wallet(10), await api.wallet(10), await api.wallet()
        conditions = [version(wallet, 1), version(stranger, 0)]
        for path, body in (
            (f"/wallets/{wallet}/topup", movement()),
            (f"/wallets/{wallet}/bonus", movement(funding_wallet_id=other)),
            (f"/wallets/{wallet}/spend", movement()),
            (f"/wallets/{wallet}/spend", movement(target_wallet_id=other)),
            ("/transfers", transfer(wallet, other)),
            ("/transactions", transaction(leg(wallet, "debit", 1), leg(other, "credit", 1))),
            ("/holds", movement(wallet_id=wallet)),
            ("/holds", movement(wallet_id=wallet, target_wallet_id=other)),
            (f"/wallets/{wallet}/merge-into/{other}", step()),
        ):
            answer = await api.post(path, {**body, "conditions": conditions})
            assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["conditions[1].wallet_id"]), path

    async def test_a_stranger_to_a_hold_or_an_original_is_refused(self, api: Api) -> None:
        wallet, stranger = await api.wallet(10), await api.wallet()
        hold, spent = await held(api, wallet), await api.moved("spend", wallet, 1)
        conditions = [version(stranger, 0)]
        for path, body in (
            (f"/holds/{hold['id']}/capture", step()),
            (f"/holds/{hold['id']}/void", step()),
            (f"/holds/{hold['id']}/increase", step(amount=1)),
            (f"/holds/{hold['id']}/extend", step(expires_in_seconds=5)),
            (f"/transactions/{spent['id']}/refund", step()),
        ):
            answer = await api.post(path, {**body, "conditions": conditions})
            assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "condition_failed"), stranger), path

    async def test_they_hold_for_steps_of_holds_and_refunds_as_well(self, api: Api) -> None:
        wallet = await api.wallet(10)
        spent = await api.moved("spend", wallet, 1)
        hold = await held(api, wallet)
        body = step(conditions=[version(wallet, 3)])
        assert (
            code_of(await api.post(f"/holds/{hold['id']}/capture", {**body, "conditions": [version(wallet, 2)]}))[0]
            == 409
        )
        await api.made(f"/holds/{hold['id']}/capture", body)
        await api.made(
            f"/transactions/{spent['id']}/refund", step(conditions=[{"wallet_id": wallet, "min_balance": 5}])
        )

    @pytest.mark.parametrize("side", [("topup", GOLD_TREASURY), ("spend", GOLD_REVENUE)])
    async def test_system_wallets_without_a_cap_take_none(self, api: Api, side: tuple[str, str]) -> None:
        action, system_wallet = side
        body = movement(conditions=[{"wallet_id": system_wallet, "min_balance": 0}])
        answer = await api.post(f"/wallets/{await api.wallet(9)}/{action}", body)
        assert code_of(answer) == (422, "system_wallet")

    async def test_a_treasury_with_a_cap_takes_them(self, api: Api) -> None:
        await api.post("/assets", {"code": "CAPPED", "max_supply": 100})
        assets = (await api.json("/assets?limit=200"))["data"]
        treasury = next(each["treasury_wallet_id"] for each in assets if each["code"] == "CAPPED")
        wallet = await api.wallet(asset_code="CAPPED")
        body = movement(5, asset_code="capped", conditions=[{"wallet_id": treasury, "min_balance": 0}])
        answer = await api.post(f"/wallets/{wallet}/topup", body)
        assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "condition_failed"), treasury)

    async def test_there_may_be_100_of_them(self, api: Api) -> None:
        wallet = await api.wallet(10)
        conditions = [version(wallet, 1)] * 100
        await api.made(f"/wallets/{wallet}/spend", movement(conditions=conditions))
        answer = await api.post(f"/wallets/{wallet}/spend", movement(conditions=[*conditions, version(wallet, 2)]))
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["conditions"])

    @pytest.mark.parametrize(
        ("condition", "fields"),
        [
            ({}, ["conditions[0]"]),
            ({"expected_version": None}, ["conditions[0]"]),
            ({"expected_version": -1}, ["conditions[0].expected_version"]),
            ({"expected_version": 2**63}, ["conditions[0].expected_version"]),
            ({"expected_version": "1"}, ["conditions[0].expected_version"]),
            ({"min_balance": 1.0}, ["conditions[0].min_balance"]),
            ({"min_balance": "-0"}, ["conditions[0].min_balance"]),
            ({"min_balance": "01"}, ["conditions[0].min_balance"]),
            ({"min_balance": -(2**63)}, ["conditions[0].min_balance"]),
            ({"min_balance": str(-(2**63))}, ["conditions[0].min_balance"]),
            ({"max_balance": str(2**63)}, ["conditions[0].max_balance"]),
            ({"min_balance": 5, "max_balance": 4}, ["conditions[0].min_balance"]),
            ({"wallet_id": "x", "max_balance": True}, ["conditions[0].wallet_id", "conditions[0].max_balance"]),
            ({"expected_version": 1, "x": 1}, ["conditions[0].x"]),
        ],
    )
    async def test_one_that_is_wrong_is_named(self, api: Api, condition: Any, fields: list[str]) -> None:
        wallet = await api.wallet()
        body = movement(conditions=[{"wallet_id": wallet, **condition}])
        answer = await api.post(f"/wallets/{wallet}/topup", body)
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, fields)

    async def test_all_that_are_wrong_are_named_at_once(self, api: Api) -> None:
        wallet = await api.wallet()
        conditions = [{"wallet_id": wallet}, version(wallet, 0), version(NOBODY, 0), {"wallet_id": wallet}]
        answer = await api.post(f"/wallets/{wallet}/topup", movement(conditions=conditions))
        assert fields_of(answer) == ["conditions[0]", "conditions[2].wallet_id", "conditions[3]"]


class TestDryRun:
    async def test_it_answers_what_would_happen_and_nothing_happens(self, api: Api) -> None:
        wallet = await api.wallet(10)
        body = movement(4)
        dry = await api.post(f"/wallets/{wallet}/spend", {**body, "dry_run": True})
        assert (dry.status_code, "idempotency-replayed" in dry.headers) == (200, False)
        predicted = dry.json()
        assert (predicted["id"], predicted["dry_run"], predicted["entries"][0]["balance_after"]) == (None, True, 6)
        assert await api.balance(wallet) == 10
        real = await api.post(f"/wallets/{wallet}/spend", body)
        assert real.status_code == 201
        same = {
            name: each
            for name, each in predicted.items()
            if name not in ("id", "dry_run", "created_at", "effective_at")
        }
        assert same == {name: real.json()[name] for name in same}

    async def test_a_predicted_refusal_is_its_problem_and_is_not_recorded(self, api: Api) -> None:
        body = movement(4, dry_run=True)
        answer = await api.post(f"/wallets/{await api.wallet()}/spend", body)
        assert code_of(answer) == (422, "insufficient_funds")
        assert (await api.json(f"/declines?reference_id={body['reference_id']}"))["data"] == []

    async def test_a_used_reference_answers_its_replay(self, api: Api) -> None:
        wallet, body = await api.wallet(10), movement(4)
        first = await api.post(f"/wallets/{wallet}/spend", body)
        again = await api.post(f"/wallets/{wallet}/spend", {**body, "dry_run": True})
        assert (again.status_code, again.headers["idempotency-replayed"], again.content) == (200, "true", first.content)

    async def test_every_movement_can_be_tried(self, api: Api) -> None:
        wallet, other = await api.wallet(10), await api.wallet()
        spent = await api.moved("spend", wallet, 1)
        for path, body in (
            (f"/wallets/{wallet}/topup", movement()),
            (f"/wallets/{wallet}/bonus", movement()),
            ("/transfers", transfer(wallet, other)),
            ("/transactions", transaction(leg(wallet, "debit", 1), leg(other, "credit", 1))),
            (f"/transactions/{spent['id']}/refund", step()),
        ):
            answer = await api.post(path, {**body, "dry_run": True})
            assert (answer.status_code, answer.json()["dry_run"]) == (200, True), path
        assert await api.balance(wallet) == 9


class TestUpTo:
    @pytest.mark.parametrize(("amount", "moved"), [(7, 7), ("20", 10)])
    async def test_a_spend_moves_what_is_there(self, api: Api, amount: Any, moved: int) -> None:
        wallet = await api.wallet(10)
        answer = await api.made(f"/wallets/{wallet}/spend", movement(amount, amount_mode="up_to"))
        assert (answer["entries"][0]["amount"], answer["requested_amount"]) == (moved, int(amount))

    async def test_a_transfer_does_without_overdraft(self, api: Api) -> None:
        source, target = await api.wallet(10), await api.wallet()
        await changed(api, source, overdraft_limit=100)
        await api.made("/transfers", transfer(source, target, 50, amount_mode="up_to", min_amount=10))
        assert (await api.balance(source), await api.balance(target)) == (0, 10)

    async def test_less_than_its_least_is_refused(self, api: Api) -> None:
        body = movement(20, amount_mode="up_to", min_amount=11)
        answer = await api.post(f"/wallets/{await api.wallet(10)}/spend?amounts=string", body)
        assert code_of(answer) == (422, "insufficient_funds")
        assert (answer.json()["available"], answer.json()["required"]) == ("10", "11")

    async def test_defaults_that_are_said_are_no_difference(self, api: Api) -> None:
        wallet = await api.wallet(10)
        up_to, exact = movement(1, amount_mode="up_to"), movement(1)
        for body, said in ((up_to, {"min_amount": "1"}), (exact, {"amount_mode": "exact", "min_amount": None})):
            await api.made(f"/wallets/{wallet}/spend", body)
            assert (await api.post(f"/wallets/{wallet}/spend", {**body, **said})).status_code == 200

    async def test_the_mode_makes_another_request(self, api: Api) -> None:
        wallet, body = await api.wallet(10), movement(1)
        await api.made(f"/wallets/{wallet}/spend", body)
        answer = await api.post(f"/wallets/{wallet}/spend", {**body, "amount_mode": "up_to"})
        assert answer.json()["differs"] == ["amount_mode"]

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"min_amount": 1}, "min_amount"),
            ({"amount_mode": "exact", "min_amount": 1}, "min_amount"),
            ({"amount_mode": "up_to", "min_amount": 6}, "min_amount"),
            ({"amount_mode": "up_to", "min_amount": 0}, "min_amount"),
            ({"amount_mode": "up_to", "min_amount": str(2**63)}, "min_amount"),
            ({"amount_mode": "most"}, "amount_mode"),
        ],
    )
    async def test_what_does_not_fit_is_named(self, api: Api, fields: Any, wrong: str) -> None:
        wallet = await api.wallet(10)
        for path, body in ((f"/wallets/{wallet}/spend", movement(5)), ("/transfers", transfer(wallet, NOBODY, 5))):
            answer = await api.post(path, {**body, **fields})
            assert (code_of(answer), fields_of(answer)) == (MALFORMED, [wrong])


class TestEffectiveAt:
    async def test_it_may_be_earlier_and_is_answered_in_utc(self, api: Api) -> None:
        body = movement(effective_at="2026-01-31T12:00:00.5+01:00")
        answer = await api.made(f"/wallets/{await api.wallet()}/topup", body)
        assert answer["effective_at"] == "2026-01-31T11:00:00.500000Z" < answer["created_at"]

    async def test_the_same_instant_in_another_zone_is_the_same_request(self, api: Api) -> None:
        wallet, body = await api.wallet(), movement(effective_at="2026-01-31T12:00:00+01:00")
        await api.made(f"/wallets/{wallet}/topup", body)
        again = {**body, "effective_at": "2026-01-31T11:00:00Z"}
        assert (await api.post(f"/wallets/{wallet}/topup", again)).status_code == 200
        later = {**body, "effective_at": "2026-01-31T11:00:00.000001Z"}
        assert (await api.post(f"/wallets/{wallet}/topup", later)).json()["differs"] == ["effective_at"]

    async def test_the_future_is_refused(self, api: Api) -> None:
        body = movement(effective_at="9998-01-31T12:00:00Z")
        answer = await api.post(f"/wallets/{await api.wallet()}/topup", body)
        assert code_of(answer) == (422, "effective_in_future")

    @pytest.mark.parametrize(
        "instant",
        [
            "", "now", 5, 5.5, True, [], "2026-01-31", "2026-01-31T12:00", "2026-01-31T12:00:00",
            "2026-02-30T12:00:00Z",
            "2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z", "2026-01-31T12:00:00+24:00", "0000-01-31T12:00:00Z",
            # The ends of the calendar are infinities to the database's driver, and some offsets lead beyond them.
            "0001-01-01T00:00:00Z", "0001-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z",
            "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-31T12:00:00Z\n", "20260131T120000Z",
        ],
    )  # fmt: skip
    async def test_what_is_no_instant_is_malformed(self, api: Api, instant: Any) -> None:
        answer = await api.post(f"/wallets/{NOBODY}/topup", movement(effective_at=instant))
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["effective_at"])

    async def test_what_only_reserves_takes_none(self, api: Api) -> None:
        for path, body in (
            ("/holds", movement(wallet_id=NOBODY)),
            (f"/holds/{NOBODY}/void", step()),
            (f"/holds/{NOBODY}/increase", step(amount=1)),
            (f"/holds/{NOBODY}/extend", step(expires_in_seconds=1)),
        ):
            answer = await api.post(path, {**body, "effective_at": "2026-01-31T12:00:00Z"})
            assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["effective_at"])


class TestOtherSides:
    async def test_a_bonus_may_be_funded_by_a_wallet_whose_budget_it_cannot_overspend(self, api: Api) -> None:
        budget, wallet = await api.wallet(10), await api.wallet()
        body = movement(7, funding_wallet_id=budget)
        answer = await api.made(f"/wallets/{wallet}/bonus", body)
        assert (answer["type"], answer["entries"][0]["wallet_id"]) == ("bonus", budget)
        assert code_of(await api.post(f"/wallets/{wallet}/bonus", movement(7, funding_wallet_id=budget)))[1] == (
            "insufficient_funds"
        )
        del body["funding_wallet_id"]
        assert (await api.post(f"/wallets/{wallet}/bonus", body)).json()["differs"] == ["funding_wallet_id"]

    async def test_a_spend_may_go_to_a_wallet(self, api: Api) -> None:
        shop, wallet = await api.wallet(), await api.wallet(10)
        body = movement(7, target_wallet_id=shop.upper())
        answer = await api.made(f"/wallets/{wallet}/spend", body)
        assert (answer["type"], answer["entries"][1]["wallet_id"], await api.balance(shop)) == ("spend", shop, 7)
        assert (await api.post(f"/wallets/{wallet}/spend", {**body, "target_wallet_id": shop})).status_code == 200

    async def test_not_from_or_to_itself(self, api: Api) -> None:
        wallet = await api.wallet(10)
        for action, field in (("bonus", "funding_wallet_id"), ("spend", "target_wallet_id")):
            answer = await api.post(f"/wallets/{wallet}/{action}", movement(**{field: wallet}))
            assert code_of(answer) == (422, "same_wallet")

    @pytest.mark.parametrize(
        ("action", "field"),
        [
            ("topup", "funding_wallet_id"),
            ("topup", "target_wallet_id"),
            ("topup", "amount_mode"),
            ("bonus", "target_wallet_id"),
            ("bonus", "min_amount"),
            ("spend", "funding_wallet_id"),
            ("spend", "lot"),
        ],
    )
    async def test_a_field_of_another_movement_is_unknown(self, api: Api, action: str, field: str) -> None:
        answer = await api.post(f"/wallets/{NOBODY}/{action}", movement(**{field: NOBODY}))
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, [field])
