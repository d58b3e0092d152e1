"""The rules for a wallet: changing it, closing and reopening it, and what its limits and freezes then refuse."""

from typing import Any

import asyncpg
import pytest

from tests.http.asked import available, changed, held, movement, pass_time, step, transfer
from tests.http.client import GOLD_TREASURY, NOBODY, Api, code_of, fields_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MALFORMED = (400, "invalid_request")


class TestChange:
    async def test_it_answers_the_wallet_as_it_is_read(self, api: Api) -> None:
        wallet = await api.wallet()
        before = await api.json(f"/wallets/{wallet}")
        changes = {
            "label": "Savings",
            "metadata": {"b": 1.0, "a": [None]},
            "overdraft_limit": "5",
            "max_balance": 100,
            "freeze_outgoing": True,
            "freeze_incoming": True,
            "spending_limits": [{"per": "month", "amount": "90"}, {"per": "day", "amount": 0}],
        }
        answer = await changed(api, wallet, **changes)
        assert answer == await api.json(f"/wallets/{wallet}")
        limits = {each["per"]: each["amount"] for each in answer["spending_limits"]}
        assert limits == {"day": 0, "month": 90}
        shown = {**changes, "overdraft_limit": 5, "spending_limits": answer["spending_limits"]}
        assert answer == {**before, **shown, "version": 1}

    async def test_what_is_absent_stays_as_it_is(self, api: Api) -> None:
        wallet = await api.wallet()
        before = await changed(api, wallet, label="a", max_balance=5, spending_limits=[{"per": "day", "amount": 3}])
        after = await changed(api, wallet, freeze_outgoing=True)
        assert after == {**before, "freeze_outgoing": True, "version": 2}

    async def test_null_clears(self, api: Api) -> None:
        wallet = await api.wallet()
        before = await api.json(f"/wallets/{wallet}")
        fields = {
            "label": "a",
            "metadata": {},
            "overdraft_limit": 5,
            "max_balance": 5,
            "freeze_outgoing": True,
            "freeze_incoming": True,
            "spending_limits": [{"per": "day", "amount": 3}],
        }
        await changed(api, wallet, **fields)
        assert await changed(api, wallet, **dict.fromkeys(fields)) == {**before, "version": 2}

    async def test_limits_that_are_left_out_are_lifted(self, api: Api) -> None:
        wallet = await api.wallet()
        await changed(api, wallet, spending_limits=[{"per": "day", "amount": 3}, {"per": "month", "amount": 4}])
        answer = await changed(api, wallet, spending_limits=[{"per": "month", "amount": 5}])
        assert answer["spending_limits"] == [{"per": "month", "amount": 5}]
        assert (await changed(api, wallet, spending_limits=[]))["spending_limits"] == []

    async def test_of_another_version_nothing_is_changed(self, api: Api) -> None:
        wallet = await api.wallet(5)
        answer = await api.patch(f"/wallets/{wallet}", {"label": "a", "expected_version": 0})
        assert (code_of(answer), answer.json()["version"]) == ((409, "version_conflict"), 1)
        assert (await changed(api, wallet, label="a", expected_version=1))["version"] == 2

    async def test_amounts_are_strings_for_who_asks(self, api: Api) -> None:
        wallet = await api.wallet()
        changes = {"overdraft_limit": 5, "max_balance": 7, "spending_limits": [{"per": "day", "amount": 3}]}
        answer = (await api.patch(f"/wallets/{wallet}?amounts=string", changes)).json()
        assert (answer["overdraft_limit"], answer["max_balance"]) == ("5", "7")
        assert answer["spending_limits"] == [{"per": "day", "amount": "3"}]

    @pytest.mark.parametrize(
        ("wallet", "expected"), [(NOBODY, (404, "wallet_not_found")), (GOLD_TREASURY, (422, "system_wallet"))]
    )
    async def test_what_the_ledger_refuses(self, api: Api, wallet: str, expected: Any) -> None:
        assert code_of(await api.patch(f"/wallets/{wallet}", {"label": "a"})) == expected

    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({}, [""]),
            ({"expected_version": 0}, [""]),
            ({"label": ""}, ["label"]),
            ({"label": 5}, ["label"]),
            ({"label": "\x00"}, ["label"]),
            ({"metadata": []}, ["metadata"]),
            ({"metadata": {"a": {"b": {"c": {"d": {}}}}}}, ["metadata"]),
            ({"metadata": {"a": "x" * 4096}}, ["metadata"]),
            ({"overdraft_limit": -1}, ["overdraft_limit"]),
            ({"overdraft_limit": 1.0}, ["overdraft_limit"]),
            ({"overdraft_limit": "01"}, ["overdraft_limit"]),
            ({"overdraft_limit": str(2**63)}, ["overdraft_limit"]),
            ({"max_balance": 2**63}, ["max_balance"]),
            ({"freeze_outgoing": 1, "freeze_incoming": "true"}, ["freeze_outgoing", "freeze_incoming"]),
            ({"spending_limits": {}}, ["spending_limits"]),
            ({"spending_limits": [5]}, ["spending_limits[0]"]),
            ({"spending_limits": [{}]}, ["spending_limits[0].per", "spending_limits[0].amount"]),
            ({"spending_limits": [{"per": "week", "amount": 1}]}, ["spending_limits[0].per"]),
            ({"spending_limits": [{"per": "day", "amount": -1}]}, ["spending_limits[0].amount"]),
            ({"spending_limits": [{"per": "day", "amount": 1, "x": 1}]}, ["spending_limits[0].x"]),
            ({"spending_limits": [{"per": "day", "amount": 1}] * 2}, ["spending_limits[1].per"]),
            ({"spending_limits": [{"per": "day", "amount": 1}] * 3}, ["spending_limits"]),
            ({"expected_version": -1, "label": "a"}, ["expected_version"]),
            ({"balance": 5, "kind": "user", "label": 1}, ["label", "balance", "kind"]),
            ({"reference_id": "r", "label": "a"}, ["reference_id"]),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, changes: Any, fields: list[str]) -> None:
        answer = await api.patch(f"/wallets/{NOBODY}", changes)
        assert (code_of(answer), fields_of(answer)) == (MALFORMED, fields)

    async def test_it_takes_no_reference(self, api: Api) -> None:
        wallet = await api.wallet()
        for method, path, body in (
            ("PATCH", f"/wallets/{wallet}", b'{"label":"a"}'),
            ("POST", f"/wallets/{wallet}/close", None),
            ("POST", f"/wallets/{wallet}/reopen", b"{}"),
        ):
            answer = await api.send(method, path, body, headers={"Idempotency-Key": "k"})
            assert (code_of(answer), fields_of(answer)) == (MALFORMED, ["Idempotency-Key"])


class TestCloseAndReopen:
    async def test_a_closed_wallet_moves_nothing_until_it_is_reopened(self, api: Api) -> None:
        wallet = await api.wallet()
        closed = await api.send("POST", f"/wallets/{wallet}/close")
        assert (closed.status_code, closed.json()["status"]) == (200, "closed")
        assert closed.json() == await api.json(f"/wallets/{wallet}")
        answer = await api.post(f"/wallets/{wallet}/topup", movement())
        assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "wallet_closed"), wallet)
        reopened = await api.post(f"/wallets/{wallet}/reopen", {})
        assert (reopened.status_code, reopened.json()["status"]) == (200, "open")
        await api.moved("topup", wallet, 5)

    async def test_twice_is_once(self, api: Api) -> None:
        wallet = await api.wallet()
        versions = [(await api.post(f"/wallets/{wallet}/close", {})).json()["version"] for _ in range(2)]
        assert versions == [1, 1]

    async def test_what_is_not_empty_is_not_closed(self, api: Api) -> None:
        wallet, source = await api.wallet(5), await api.wallet(5)
        answer = await api.post(f"/wallets/{wallet}/close", {})
        assert (code_of(answer), answer.json()["wallet_id"]) == ((409, "wallet_not_empty"), wallet)
        await api.moved("spend", wallet, 5)
        hold = await held(api, source, target_wallet_id=wallet)
        assert code_of(await api.post(f"/wallets/{wallet}/close", {})) == (409, "wallet_not_empty")
        await api.made(f"/holds/{hold['id']}/void", step())
        assert (await api.post(f"/wallets/{wallet}/close", {})).status_code == 200

    async def test_of_another_version_it_is_not_closed(self, api: Api) -> None:
        wallet = await api.wallet()
        answer = await api.post(f"/wallets/{wallet}/close", {"expected_version": 3})
        assert code_of(answer) == (409, "version_conflict")
        assert (await api.post(f"/wallets/{wallet}/close", {"expected_version": 0})).status_code == 200

    @pytest.mark.parametrize("action", ["close", "reopen"])
    async def test_what_is_malformed_or_not_there(self, api: Api, action: str) -> None:
        assert code_of(await api.post(f"/wallets/{NOBODY}/{action}", {})) == (404, "wallet_not_found")
        assert code_of(await api.post(f"/wallets/{GOLD_TREASURY}/{action}", {})) == (422, "system_wallet")
        answer = await api.post(f"/wallets/{NOBODY}/{action}", {"x": 1, "expected_version": "1"})
        assert fields_of(answer) == ["expected_version", "x"]
        answer = await api.send("POST", f"/wallets/{NOBODY}/{action}", b"{}", headers={"content-type": "text/plain"})
        assert code_of(answer) == (415, "unsupported_media_type")


class TestLimits:
    async def test_overdraft_is_available(self, api: Api) -> None:
        wallet = await api.wallet(5)
        await changed(api, wallet, overdraft_limit=10)
        assert await available(api, wallet) == (5, 0, 15)
        await api.moved("spend", wallet, 15)
        assert await available(api, wallet) == (-10, 0, 0)

    async def test_a_maximum_balance(self, api: Api) -> None:
        wallet = await api.wallet(5)
        await changed(api, wallet, max_balance=7)
        answer = await api.post(f"/wallets/{wallet}/topup", movement(3))
        assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "max_balance_exceeded"), wallet)
        await api.moved("topup", wallet, 2)

    @pytest.mark.parametrize("direction", ["outgoing", "incoming"])
    async def test_a_freeze_says_in_which_direction(self, api: Api, direction: str) -> None:
        wallet = await api.wallet(5)
        await changed(api, wallet, **{f"freeze_{direction}": True})
        blocked, free = ("spend", "topup") if direction == "outgoing" else ("topup", "spend")
        answer = await api.post(f"/wallets/{wallet}/{blocked}", movement(1))
        assert code_of(answer) == (422, "wallet_frozen")
        assert (answer.json()["wallet_id"], answer.json()["direction"]) == (wallet, direction)
        await api.moved(free, wallet, 1)

    @pytest.mark.parametrize("per", ["day", "month"])
    async def test_a_spending_limit_says_what_is_used_and_when_it_counts_no_longer(self, api: Api, per: str) -> None:
        wallet = await api.wallet(100)
        await changed(api, wallet, spending_limits=[{"per": per, "amount": 10}])
        spent = await api.moved("spend", wallet, 4)
        await held(api, wallet, 3)
        for path, body in (
            (f"/wallets/{wallet}/spend", movement(4)),
            ("/transfers", transfer(wallet, await api.wallet(), 4)),
            ("/holds", movement(4, wallet_id=wallet)),
        ):
            answer = await api.post(f"{path}?amounts=string", body)
            assert code_of(answer) == (422, "limit_exceeded")
            problem = answer.json()
            shown = {name: problem[name] for name in ("wallet_id", "per", "limit", "used")}
            assert shown == {"wallet_id": wallet, "per": per, "limit": "10", "used": "7"}
            assert problem["resets_at"] > spent["created_at"]
        answer = await api.post(f"/wallets/{wallet}/spend", movement(4))
        assert (answer.json()["limit"], answer.json()["used"]) == (10, 7)
        await api.moved("spend", wallet, 3)

    async def test_a_limit_refuses_an_up_to_amount_instead_of_shrinking_it(self, api: Api) -> None:
        wallet = await api.wallet(100)
        await changed(api, wallet, spending_limits=[{"per": "day", "amount": 10}])
        answer = await api.post(f"/wallets/{wallet}/spend", movement(50, amount_mode="up_to"))
        assert code_of(answer) == (422, "limit_exceeded")

    async def test_after_24_hours_it_counts_no_longer(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet(100)
        await changed(api, wallet, spending_limits=[{"per": "day", "amount": 10}])
        await api.moved("spend", wallet, 10)
        await pass_time(ledger, 24 * 3600)
        await api.moved("spend", wallet, 10)
