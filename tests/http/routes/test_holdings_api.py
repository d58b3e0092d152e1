"""Holds and lots over HTTP, and what was refunded of a transaction."""

from typing import Any
from uuid import uuid4

import pytest

from tests.http.client import GOLD_REVENUE, MIKASA_WALLET, NOBODY, Api, code_of, fields_of, new_reference
from tests.http.routes.test_filters_api import ids
from tests.http.routes.test_history_api import followed

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def held(api: Api, wallet: str, amount: int = 1, **fields: Any) -> Any:
    body = {"reference_id": new_reference(), "wallet_id": wallet, "amount": amount, "asset_code": "gold", **fields}
    return await api.made("/holds", body)


async def lot(api: Api, wallet: str, amount: int, **terms: Any) -> Any:
    body = {"reference_id": new_reference(), "amount": amount, "asset_code": "gold"}
    return await api.made(f"/wallets/{wallet}/topup", {**body, "lot": {"category": "promotional", **terms}})


class TestHolds:
    async def test_one_is_read_as_it_is_by_now(self, api: Api) -> None:
        wallet = await api.wallet(9)
        placed = await held(api, wallet, 5, expires_in_seconds=3600)
        assert await api.json(f"/holds/{placed['id']}") == placed
        assert placed["target_wallet_id"] == GOLD_REVENUE
        await api.made(f"/holds/{placed['id']}/capture", {"reference_id": new_reference(), "amount": 2})
        assert await api.json(f"/holds/{placed['id']}") == {**placed, "captured": 2, "remaining": 3}

    async def test_a_wallets_are_listed_newest_first_and_by_status(self, api: Api) -> None:
        wallet = await api.wallet(9)
        placed = [(await held(api, wallet))["id"] for _ in range(4)]
        await api.made(f"/holds/{placed[1]}/void", {"reference_id": new_reference()})
        await api.made(f"/holds/{placed[2]}/capture", {"reference_id": new_reference()})
        path = f"/wallets/{wallet}/holds"
        assert ids(await followed(api, path, limit=1)) == placed[::-1]
        assert ids(await followed(api, f"{path}?status=open", limit=1)) == [placed[3], placed[0]]
        assert ids(await followed(api, f"{path}?status=voided", limit=1)) == [placed[1]]
        assert ids(await followed(api, f"{path}?status=captured", limit=1)) == [placed[2]]
        assert ids(await followed(api, f"{path}?status=expired", limit=1)) == []

    async def test_a_wallet_lists_the_transactions_of_its_holds(self, api: Api) -> None:
        wallet = await api.wallet(9)
        placed = await held(api, wallet, 5)
        captured = await api.made(f"/holds/{placed['id']}/capture", {"reference_id": new_reference(), "final": True})
        rows = await followed(api, f"/transactions?wallet_id={wallet}", limit=1)
        assert [each["type"] for each in rows] == ["capture", "hold", "topup"]
        assert [each["id"] for each in rows[:2]] == [captured["id"], placed["id"]]

    async def test_one_that_does_not_exist(self, api: Api) -> None:
        assert code_of(await api.get(f"/holds/{NOBODY}")) == (404, "hold_not_found")

    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("/holds/x", "hold_id"),
            (f"/wallets/{MIKASA_WALLET}/holds?status=live", "status"),
            (f"/wallets/{MIKASA_WALLET}/holds?status=", "status"),
            (f"/wallets/{MIKASA_WALLET}/holds?offset=0", "offset"),
            ("/wallets/x/holds", "wallet_id"),
            (f"/wallets/{MIKASA_WALLET}/lots?status=open", "status"),
            (f"/wallets/{MIKASA_WALLET}/lots?cursor=x", "cursor"),
            ("/wallets/x/lots", "wallet_id"),
        ],
    )
    async def test_what_cannot_be_asked_is_named(self, api: Api, path: str, field: str) -> None:
        answer = await api.get(path)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [field])


class TestLots:
    async def test_one_says_what_is_left_of_it(self, api: Api) -> None:
        wallet = await api.wallet()
        opened = await lot(api, wallet, 9, expires_in_seconds=3600, priority=7)
        await held(api, wallet, 2)
        await api.moved("spend", wallet, 3)
        (found,) = (await api.json(f"/wallets/{wallet}/lots"))["data"]
        assert found == {
            "id": opened["lot_ids"][0],
            "wallet_id": wallet,
            "category": "promotional",
            "priority": 7,
            "expires_at": found["expires_at"],
            "amount": 9,
            "remaining": 6,
            "held": 2,
            "available": 4,
            "opened_at": opened["created_at"],
            "opened_by": opened["id"],
            "programme_id": None,
        }
        assert (await api.json(f"/wallets/{wallet}/lots?amounts=string"))["data"][0]["remaining"] == "6"

    async def test_those_that_are_used_up_are_listed_when_all_are_asked_for(self, api: Api) -> None:
        wallet = await api.wallet()
        lots = [(await lot(api, wallet, 1))["lot_ids"][0] for _ in range(3)]
        await api.moved("spend", wallet, 2)
        live = ids(await followed(api, f"/wallets/{wallet}/lots", limit=1))
        assert len(live) == 1
        assert set(live) < set(lots)
        assert live == ids(await followed(api, f"/wallets/{wallet}/lots?status=live", limit=1))
        everything = ids(await followed(api, f"/wallets/{wallet}/lots?status=all", limit=1))
        assert sorted(everything) == sorted(lots)


class TestRefunds:
    async def test_a_transaction_says_what_was_refunded_of_it_and_what_is_left(self, api: Api) -> None:
        wallet = await api.wallet(9)
        spent = await api.moved("spend", wallet, 5)
        path = f"/transactions/{spent['id']}"
        expected: list[Any] = []
        for amount, left in ((1, 4), (3, 1), (1, 0)):
            body = {"reference_id": new_reference(), "amount": amount}
            refund = await api.made(f"{path}/refund", body)
            expected.insert(
                0, {name: refund[name] for name in ("id", "reference_id", "created_at")} | {"amount": amount}
            )
            assert await api.json(path) == {**spent, "refunds": expected, "refundable": left}
        assert (await api.json(f"/transactions/{expected[0]['id']}"))["refundable"] == 0

    async def test_a_general_transaction_is_refunded_whole(self, api: Api) -> None:
        a, b = await api.wallet(9), await api.wallet()
        legs = [
            {"wallet_id": wallet, "direction": direction, "amount": 4}
            for wallet, direction in ((a, "debit"), (b, "credit"))
        ]
        body = {"reference_id": new_reference(), "type": f"swap {uuid4()}", "legs": legs}
        path = f"/transactions/{(await api.made('/transactions', body))['id']}"
        assert (await api.json(path))["refundable"] == 4
        await api.made(f"{path}/refund", {"reference_id": new_reference()})
        found = await api.json(path)
        assert ([each["amount"] for each in found["refunds"]], found["refundable"]) == ([4], 0)
