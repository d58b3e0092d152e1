"""Sentences of docs/ledger.md about answers, headers and numbers that no other test of the API tells."""

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.http.asked import held, leg, movement, pass_time, step, transaction, with_lot
from tests.http.client import Api, new_reference
from wallet.errors import InvariantViolated, OutcomeUnknown, Overloaded, StorageUnavailable, WalletBusy
from wallet.http.wire.failures import failure
from wallet.http.wire.problems import PROBLEMS
from wallet.ledger.transaction_types import BUILT_IN
from wallet.settings import Settings

# Promises to clients. A code may be added; none of these ever moves.
STATUSES = {
    400: "invalid_request",
    404: "wallet_not_found user_not_found asset_not_found transaction_not_found hold_not_found programme_not_found",
    409: "version_conflict already_exists hold_closed wallet_not_empty wallet_merged",
    422: "reference_reused same_wallet asset_mismatch system_wallet wallet_frozen wallet_closed not_refundable"
    " insufficient_funds limit_exceeded max_balance_exceeded supply_exceeded refund_exceeds_original"
    " capture_exceeds_hold condition_failed effective_in_future group_refused"
    " legs_unbalanced effective_before_original expiry_out_of_range",
    500: "internal_error",
    503: "overloaded wallet_busy storage_unavailable outcome_unknown",
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_code_has_the_status_that_was_promised(status: int) -> None:
    assert {code: PROBLEMS[code][0] for code in STATUSES[status].split()} == dict.fromkeys(
        STATUSES[status].split(), status
    )


@pytest.mark.parametrize(
    ("error", "moves_money", "expected"),
    [
        (Overloaded("full"), True, (503, b'"overloaded"')),
        (StorageUnavailable("away"), True, (503, b'"storage_unavailable"')),
        (WalletBusy("held"), True, (503, b'"wallet_busy"')),
        (OutcomeUnknown("lost"), True, (503, b'"outcome_unknown"')),
        (InvariantViolated("broken"), True, (503, b'"outcome_unknown"')),
        (InvariantViolated("broken"), False, (500, b'"internal_error"')),
        (RuntimeError("a bug, with a secret"), True, (503, b'"outcome_unknown"')),
        (RuntimeError("a bug, with a secret"), False, (500, b'"internal_error"')),
    ],
)
def test_no_is_told_from_do_not_know_and_a_fault_under_a_movement_is_do_not_know(
    error: Exception, moves_money: bool, expected: tuple[int, bytes]
) -> None:
    answer = failure(error, request_id="r", moves_money=moves_money)
    assert (answer.status, expected[1] in answer.body) == (*expected[:1], True)
    assert b"secret" not in answer.body
    assert (b"retry-after" in dict(answer.headers)) == (answer.status == 503)


def test_no_general_transaction_takes_a_name_that_the_ledger_treats_in_a_way_of_its_own() -> None:
    by_amount = {"topup", "bonus", "grant", "spend", "transfer", "capture"}
    never = {"refund", "expiry", "merge", "hold", "void", "increase", "extend"}
    assert by_amount | never | {"release"} <= BUILT_IN.keys()


def test_declines_are_kept_for_90_days_by_default() -> None:
    assert Settings().declines_days == 90


@pytest.mark.asyncio(loop_scope="module")
class TestReferences:
    async def test_they_are_compared_byte_for_byte_and_never_normalised(self, api: Api) -> None:
        wallet, end = await api.wallet(), new_reference()
        # One letter, spelled in two ways of Unicode; two letters that look alike; two cases of one.
        for reference in ("\u00e9", "e\u0301", "\u0430", "a", "A", "\uff41", "a\u200b", "\u00df", "ss"):
            await api.made(f"/wallets/{wallet}/topup", movement(1, reference_id=reference + end))
        assert await api.balance(wallet) == 9

    async def test_every_step_takes_the_header_as_well(self, api: Api) -> None:
        wallet = await api.wallet(20)
        hold, other = await held(api, wallet, 5), await held(api, wallet, 5, expires_in_seconds=60)
        spent = await api.moved("spend", wallet, 2)
        for path, fields in (
            (f"/holds/{hold['id']}/increase", {"amount": 1}),
            (f"/holds/{other['id']}/extend", {"expires_in_seconds": 90}),
            (f"/holds/{hold['id']}/capture", {"amount": 1}),
            (f"/holds/{hold['id']}/void", {}),
            (f"/transactions/{spent['id']}/refund", {}),
        ):
            key = new_reference()
            first = await api.post(path, fields, headers={"Idempotency-Key": key})
            again = await api.post(path, {**fields, "reference_id": key})
            assert (first.status_code, again.status_code, again.content) == (201, 200, first.content), path


@pytest.mark.asyncio(loop_scope="module")
class TestAssets:
    async def test_issued_is_net_of_reversed_top_ups_and_circulating_is_what_users_have(
        self, api: Api, ledger: asyncpg.Connection
    ) -> None:
        code = f"S{uuid4().hex[:12].upper()}"
        asset = await api.made("/assets", {"code": code, "max_supply": 100})

        async def sums() -> list[int]:
            shown = await api.json(f"/assets/{asset['id']}")
            return [shown[name] for name in ("issued", "revenue", "breakage", "circulating")]

        wallet = await api.wallet(asset_code=code)
        reversed_ = await api.moved("topup", wallet, 40, asset_code=code)
        assert await sums() == [40, 0, 0, 40]
        await api.made(f"/transactions/{reversed_['id']}/refund", step(amount=30))
        assert await sums() == [10, 0, 0, 10]
        lot = {"category": "paid", "expires_in_seconds": 60}
        await api.made(f"/wallets/{wallet}/topup", movement(20, asset_code=code, lot=lot))
        await api.moved("spend", wallet, 5, asset_code=code)
        assert await sums() == [30, 5, 0, 25]
        await pass_time(ledger, 60)
        assert await api.balance(wallet) == 10
        assert await sums() == [30, 5, 15, 10]
        # Neither what was spent nor what expired may be issued again; what was reversed may.
        full = await api.post(f"/wallets/{wallet}/topup", movement(71, asset_code=code))
        assert (full.json()["code"], full.json()["available"]) == ("supply_exceeded", 70)


@pytest.mark.asyncio(loop_scope="module")
class TestAnswers:
    async def test_every_movement_answers_the_whole_transaction(self, api: Api) -> None:
        wallet, other = await with_lot(api, 50), await api.wallet()
        hold = await held(api, wallet, 5)
        answers: list[Any] = [
            await api.moved("topup", wallet, 5),
            await api.moved("bonus", wallet, 5),
            await api.moved("spend", wallet, 5),
            await api.made("/transactions", transaction(leg(wallet, "debit", 1), leg(other, "credit", 1))),
            await api.made(f"/holds/{hold['id']}/capture", step()),
        ]
        answers.append(await api.made(f"/transactions/{answers[2]['id']}/refund", step(metadata={"a": 1})))
        for answer in answers:
            assert answer["status"] == "posted"
            assert answer.keys() >= {"id", "reference_id", "type", "created_at", "effective_at", "metadata", "entries"}
            for entry in answer["entries"]:
                assert entry.keys() == {
                    "wallet_id", "asset_code", "direction", "amount", "balance_after", "version",
                }  # fmt: skip
            listed = (await api.json(f"/transactions?reference_id={answer['reference_id']}"))["data"]
            assert [each["id"] for each in listed] == [answer["id"]]
        drawn = [answer["type"] for answer in answers if "drawn" in answer]
        assert drawn == ["spend", "exchange", "capture"]
