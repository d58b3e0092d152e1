"""Movements over HTTP: the promised requests as they are promised, replays, references as headers, refusals."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.http.asked import leg, movement, transaction, transfer
from tests.http.client import (
    EREN_WALLET,
    GOLD_REVENUE,
    GOLD_TREASURY,
    MIKASA_WALLET,
    NOBODY,
    Api,
    code_of,
    fields_of,
    new_reference,
)
from wallet.ledger.model import AMOUNT_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERBS = pytest.mark.parametrize("verb", ["topup", "bonus", "spend"])


class TestPromisedRequests:
    @VERBS
    async def test_a_movement_with_a_lower_case_asset_code_is_accepted(self, api: Api, verb: str) -> None:
        body = {"reference_id": f"txn-{uuid4()}", "amount": 1, "asset_code": "gold"}
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/{verb}", body)
        assert answer.status_code == 201

    async def test_a_top_up_comes_from_the_treasury(self, api: Api) -> None:
        wallet = await api.wallet()
        body = movement(1000, asset_code="gold")
        answer = await api.made(f"/wallets/{wallet}/topup", body)
        at = answer["created_at"]
        assert answer == {
            "id": answer["id"],
            "reference_id": body["reference_id"],
            "type": "topup",
            "status": "posted",
            "created_at": at,
            "effective_at": at,
            "metadata": None,
            "entries": [
                {
                    "wallet_id": GOLD_TREASURY,
                    "asset_code": "GOLD",
                    "direction": "debit",
                    "amount": 1000,
                    "balance_after": None,
                    "version": None,
                },
                {
                    "wallet_id": wallet,
                    "asset_code": "GOLD",
                    "direction": "credit",
                    "amount": 1000,
                    "balance_after": 1000,
                    "version": 1,
                },
            ],
        }

    async def test_a_spend_goes_to_revenue_and_says_what_it_drew(self, api: Api) -> None:
        wallet = await api.wallet(10)
        answer = await api.moved("spend", wallet, 4)
        assert [(each["wallet_id"], each["direction"], each["balance_after"]) for each in answer["entries"]] == [
            (wallet, "debit", 6),
            (GOLD_REVENUE, "credit", None),
        ]
        assert answer["drawn"] == {"paid": 0, "promotional": 0, "main": 4, "lots": []}

    async def test_the_balance_shows_what_was_moved(self, api: Api) -> None:
        wallet = await api.wallet(10)
        await api.moved("spend", wallet, 4)
        answer = await api.json(f"/wallets/{wallet}/balance")
        assert answer == {
            "wallet_id": wallet,
            "asset_code": "GOLD",
            "scale": 0,
            "balance": 6,
            "held": 0,
            "available": 6,
            "version": 2,
            "as_of": answer["as_of"],
        }

    async def test_balances_may_not_be_stored_by_caches(self, api: Api) -> None:
        answer = await api.get(f"/wallets/{MIKASA_WALLET}/balance")
        assert answer.headers["cache-control"] == "no-store"

    async def test_times_are_utc_with_microseconds(self, api: Api) -> None:
        moved = await api.moved("topup", MIKASA_WALLET, 1)
        balance = await api.json(f"/wallets/{MIKASA_WALLET}/balance")
        for at in (moved["created_at"], balance["as_of"]):
            assert len(at) == len("2026-01-31T12:00:00.000000Z")
            assert at[10] + at[19] + at[-1] == "T.Z"

    async def test_an_upper_case_id_is_the_same_wallet(self, api: Api) -> None:
        wallet = await api.wallet(7)
        assert await api.balance(wallet.upper()) == 7

    async def test_a_transfer_moves_from_wallet_to_wallet(self, api: Api) -> None:
        source, target = await api.wallet(10), await api.wallet()
        answer = await api.made("/transfers", transfer(source, target, 4))
        assert (answer["type"], await api.balance(source), await api.balance(target)) == ("transfer", 6, 4)

    async def test_a_general_transaction_moves_several_assets_at_once(self, api: Api) -> None:
        gold, diamond = await api.wallet(100), await api.wallet(5, asset_code="diamond")
        gold_desk, diamond_desk = await api.wallet(), await api.wallet(asset_code="DIAMOND")
        body = transaction(
            leg(gold, "debit", 100),
            leg(gold_desk, "credit", 100),
            leg(diamond, "debit", 5),
            leg(diamond_desk, "credit", 5),
        )
        answer = await api.made("/transactions", body)
        assert [each["asset_code"] for each in answer["entries"]] == ["GOLD", "GOLD", "DIAMOND", "DIAMOND"]
        assert [await api.balance(each) for each in (gold, gold_desk, diamond, diamond_desk)] == [0, 100, 0, 5]
        # Gold and diamonds do not add up.
        assert answer["drawn"] == {"lots": []}

    async def test_a_transaction_may_have_100_legs(self, api: Api) -> None:
        source = await api.wallet(99)
        targets = [await api.wallet() for _ in range(99)]
        legs = [leg(source, "debit", 99), *(leg(target, "credit", 1) for target in targets)]
        answer = await api.made("/transactions", transaction(*legs))
        assert len(answer["entries"]) == 100

    async def test_metadata_comes_back_as_it_was_sent(self, api: Api) -> None:
        metadata = {"b": [1, -0.5, 1e16, None, True], "a": {"ü": 'é😀\n\t"\\ \x7f'}, "amount": 5, "": {}}
        answer = await api.made(f"/wallets/{MIKASA_WALLET}/topup", movement(metadata=metadata))
        assert answer["metadata"] == metadata

    async def test_the_largest_amount_is_moved(self, api: Api) -> None:
        wallet = await api.wallet(AMOUNT_MAX)
        assert await api.balance(wallet) == AMOUNT_MAX

    async def test_sums_of_system_wallets_go_beyond_63_bits(self, api: Api) -> None:
        for _ in range(3):
            await api.wallet(AMOUNT_MAX, asset_code="DIAMOND")
        treasury = (await api.json("/assets/2"))["treasury_wallet_id"]
        assert await api.balance(treasury) <= -3 * AMOUNT_MAX

    async def test_a_reference_of_255_code_points_is_accepted(self, api: Api) -> None:
        reference = (str(uuid4()) + "😀é " * 255)[:255]
        answer = await api.made(f"/wallets/{MIKASA_WALLET}/topup", movement(reference_id=reference))
        assert answer["reference_id"] == reference

    async def test_references_are_not_trimmed(self, api: Api) -> None:
        body = movement()
        await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
        await api.made(f"/wallets/{MIKASA_WALLET}/topup", {**body, "reference_id": body["reference_id"] + " "})


class TestReplay:
    async def test_a_replay_is_the_first_answer_field_for_field(self, api: Api) -> None:
        path, body = f"/wallets/{await api.wallet()}/topup", movement(metadata={"b": 1.0, "a": [None]})
        first = await api.post(path, body)
        again = await api.post(path, body)
        assert "idempotency-replayed" not in first.headers
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.content == first.content

    async def test_a_replay_is_not_changed_by_what_happened_since(self, api: Api) -> None:
        wallet = await api.wallet(10)
        body = movement(3)
        first = await api.made(f"/wallets/{wallet}/spend", body)
        await api.moved("topup", wallet, 5)
        again = await api.post(f"/wallets/{wallet}/spend", body)
        assert again.json() == first
        assert await api.balance(wallet) == 12

    async def test_transfers_replay(self, api: Api) -> None:
        body = transfer(await api.wallet(10), await api.wallet(), 4)
        first = await api.made("/transfers", body)
        again = await api.post("/transfers", body)
        assert (again.status_code, again.json()) == (200, first)

    async def test_general_transactions_replay(self, api: Api) -> None:
        body = transaction(leg(await api.wallet(10), "debit", 4), leg(await api.wallet(), "credit", 4))
        first = await api.made("/transactions", body)
        again = await api.post("/transactions", body)
        assert (again.status_code, again.json()) == (200, first)

    async def test_spellings_of_one_request_are_one_request(self, api: Api) -> None:
        wallet = await api.wallet()
        body = movement(5, metadata={"a": 1, "b": 2})
        await api.made(f"/wallets/{wallet}/topup", body)
        spelled = {**body, "amount": "5", "asset_code": "gold", "metadata": {"b": 2, "a": 1}}
        assert (await api.post(f"/wallets/{wallet.upper()}/topup", spelled)).status_code == 200

    async def test_absent_metadata_is_null_metadata(self, api: Api) -> None:
        body = movement()
        await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
        again = await api.post(f"/wallets/{MIKASA_WALLET}/topup", {**body, "metadata": None})
        assert again.status_code == 200

    @pytest.mark.parametrize(
        ("change", "differs"),
        [
            ({"amount": 6}, ["amount"]),
            ({"metadata": {"a": 1}}, ["metadata"]),
            ({"metadata": {}}, ["metadata"]),
            ({"amount": 6, "metadata": {}}, ["amount", "metadata"]),
        ],
    )
    async def test_another_request_with_the_reference_is_refused_and_told_the_difference(
        self, api: Api, change: Any, differs: list[str]
    ) -> None:
        wallet, body = await api.wallet(), movement(5)
        await api.made(f"/wallets/{wallet}/topup", body)
        answer = await api.post(f"/wallets/{wallet}/topup", {**body, **change})
        assert code_of(answer) == (422, "reference_reused")
        assert answer.json()["differs"] == differs
        assert await api.balance(wallet) == 5

    async def test_a_refusal_does_not_use_the_reference_up(self, api: Api) -> None:
        wallet, body = await api.wallet(), movement(5)
        assert code_of(await api.post(f"/wallets/{wallet}/spend", body)) == (422, "insufficient_funds")
        await api.moved("topup", wallet, 5)
        assert (await api.post(f"/wallets/{wallet}/spend", body)).status_code == 201

    async def test_racing_duplicates_post_once(self, api: Api) -> None:
        wallet, body = await api.wallet(), movement(5)
        answers = await asyncio.gather(*(api.post(f"/wallets/{wallet}/topup", body) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert len({answer.content for answer in answers}) == 1
        assert await api.balance(wallet) == 5


class TestIdempotencyKey:
    async def test_the_header_stands_for_the_reference(self, api: Api) -> None:
        body, key = movement(), new_reference()
        del body["reference_id"]
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", body, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["reference_id"]) == (201, key)

    async def test_header_and_field_are_one_reference(self, api: Api) -> None:
        body = movement()
        first = await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
        key = body.pop("reference_id")
        again = await api.post(f"/wallets/{MIKASA_WALLET}/topup", body, headers={"Idempotency-Key": key})
        assert (again.status_code, again.json()) == (200, first)

    async def test_both_may_be_there_if_they_agree(self, api: Api) -> None:
        body = movement()
        headers = {"Idempotency-Key": body["reference_id"]}
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", body, headers=headers)
        assert answer.status_code == 201

    async def test_it_works_on_transfers_and_transactions(self, api: Api) -> None:
        source, target = await api.wallet(10), await api.wallet()
        for path, body in (
            ("/transfers", transfer(source, target)),
            ("/transactions", transaction(leg(source, "debit", 5), leg(target, "credit", 5))),
        ):
            key = body.pop("reference_id")
            answer = await api.post(path, body, headers={"Idempotency-Key": key})
            assert (answer.status_code, answer.json()["reference_id"]) == (201, key)

    async def test_a_disagreement_is_refused(self, api: Api) -> None:
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", movement(), headers={"Idempotency-Key": "other"})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["reference_id"])

    @pytest.mark.parametrize("key", ['"quoted"', "", "k" * 256, "tab\there", "\xe9"])
    async def test_a_key_that_is_none_is_refused(self, api: Api, key: str) -> None:
        body = movement()
        del body["reference_id"]
        headers = [("Idempotency-Key", key)]
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", body, headers=headers)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["Idempotency-Key"])

    async def test_two_keys_are_refused(self, api: Api) -> None:
        body = movement()
        headers = [("Idempotency-Key", body["reference_id"]), ("Idempotency-Key", "other")]
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup", body, headers=headers)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["Idempotency-Key"])

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", f"/wallets/{MIKASA_WALLET}/balance"),
            ("GET", f"/wallets/{MIKASA_WALLET}"),
            ("GET", "/transactions"),
            ("GET", "/healthz"),
            ("POST", "/users"),
            ("POST", "/wallets"),
            ("POST", "/assets"),
            ("PATCH", f"/wallets/{MIKASA_WALLET}"),
        ],
    )
    async def test_other_requests_refuse_it(self, api: Api, method: str, path: str) -> None:
        body = None if method == "GET" else b'{"name":"x"}'
        answer = await api.send(method, path, body, headers={"Idempotency-Key": "k"})
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["Idempotency-Key"])


class TestAmountsAsStrings:
    async def test_a_movement_answers_strings(self, api: Api) -> None:
        wallet = await api.wallet(7)
        answer = await api.post(f"/wallets/{wallet}/topup?amounts=string", movement(AMOUNT_MAX - 7))
        entry = answer.json()["entries"][1]
        assert (entry["amount"], entry["balance_after"], entry["version"]) == (
            str(AMOUNT_MAX - 7),
            str(AMOUNT_MAX),
            2,
        )

    async def test_metadata_is_left_alone(self, api: Api) -> None:
        metadata = {"amount": 5, "balance": {"amount": 1.5}, "b": [{"amount": 1}]}
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/topup?amounts=string", movement(metadata=metadata))
        assert answer.json()["metadata"] == metadata

    async def test_a_balance_answers_strings(self, api: Api) -> None:
        answer = await api.json(f"/wallets/{await api.wallet(7)}/balance?amounts=string")
        assert (answer["balance"], answer["held"], answer["available"]) == ("7", "0", "7")

    async def test_a_refusal_answers_strings(self, api: Api) -> None:
        answer = await api.post(f"/wallets/{await api.wallet(7)}/spend?amounts=string", movement(8))
        assert (answer.json()["available"], answer.json()["required"]) == ("7", "8")

    async def test_a_replay_may_ask_for_them(self, api: Api) -> None:
        body = movement(5)
        await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
        again = await api.post(f"/wallets/{MIKASA_WALLET}/topup?amounts=string", body)
        assert (again.status_code, again.json()["entries"][0]["amount"]) == (200, "5")


class TestRefusals:
    async def test_a_spend_beyond_what_is_there_says_how_much_there_is(self, api: Api) -> None:
        wallet = await api.wallet(7)
        answer = await api.post(f"/wallets/{wallet}/spend", movement(8))
        assert code_of(answer) == (422, "insufficient_funds")
        body = answer.json()
        assert (body["wallet_id"], body["available"], body["required"]) == (wallet, 7, 8)
        assert await api.balance(wallet) == 7

    @VERBS
    async def test_a_wallet_that_does_not_exist(self, api: Api, verb: str) -> None:
        answer = await api.post(f"/wallets/{NOBODY}/{verb}", movement())
        assert code_of(answer) == (404, "wallet_not_found")

    @VERBS
    async def test_an_asset_that_does_not_exist(self, api: Api, verb: str) -> None:
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/{verb}", movement(asset_code="nothing"))
        assert code_of(answer) == (404, "asset_not_found")

    @VERBS
    async def test_an_asset_that_is_not_the_wallets(self, api: Api, verb: str) -> None:
        answer = await api.post(f"/wallets/{MIKASA_WALLET}/{verb}", movement(asset_code="diamond"))
        assert code_of(answer) == (422, "asset_mismatch")

    async def test_a_transfer_between_assets(self, api: Api) -> None:
        answer = await api.post("/transfers", transfer(MIKASA_WALLET, EREN_WALLET))
        assert code_of(answer) == (422, "asset_mismatch")

    async def test_a_transfer_to_the_same_wallet(self, api: Api) -> None:
        answer = await api.post("/transfers", transfer(MIKASA_WALLET, MIKASA_WALLET.upper()))
        assert code_of(answer) == (422, "same_wallet")

    async def test_the_same_wallet_twice_in_a_transaction(self, api: Api) -> None:
        body = transaction(leg(MIKASA_WALLET, "debit", 1), leg(MIKASA_WALLET, "credit", 1))
        assert code_of(await api.post("/transactions", body)) == (422, "same_wallet")

    async def test_legs_that_do_not_cancel_out(self, api: Api) -> None:
        body = transaction(leg(MIKASA_WALLET, "debit", 1), leg(await api.wallet(), "credit", 2))
        assert code_of(await api.post("/transactions", body)) == (422, "legs_unbalanced")

    async def test_legs_that_cancel_out_only_across_assets(self, api: Api) -> None:
        body = transaction(leg(MIKASA_WALLET, "debit", 1), leg(EREN_WALLET, "credit", 1))
        assert code_of(await api.post("/transactions", body)) == (422, "legs_unbalanced")

    async def test_a_balance_beyond_63_bits(self, api: Api) -> None:
        wallet = await api.wallet(AMOUNT_MAX)
        answer = await api.post(f"/wallets/{wallet}/topup", movement(1))
        assert code_of(answer) == (422, "max_balance_exceeded")
        assert await api.balance(wallet) == AMOUNT_MAX

    async def test_a_supply_that_runs_out(self, api: Api) -> None:
        code = f"CAP{uuid4().hex[:12]}"
        await api.made("/assets", {"code": code, "max_supply": 10})
        wallet = await api.wallet(9, asset_code=code)
        answer = await api.post(f"/wallets/{wallet}/topup", movement(2, asset_code=code))
        assert code_of(answer) == (422, "supply_exceeded")
        assert (answer.json()["available"], answer.json()["required"]) == (1, 2)

    @pytest.mark.parametrize("name", sorted(("topup", "capture", "expiry", "grant", "refund")))
    async def test_a_general_transaction_may_not_take_a_built_in_name(self, api: Api, name: str) -> None:
        legs = (leg(MIKASA_WALLET, "debit", 1), leg(GOLD_REVENUE, "credit", 1))
        answer = await api.post("/transactions", transaction(*legs, type=name))
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["type"])
