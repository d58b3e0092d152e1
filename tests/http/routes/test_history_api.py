"""Lists over HTTP: two kinds of pages, what is refused of them, and what a transaction shows afterwards."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.client import EREN_WALLET, MIKASA_WALLET, NOBODY, Api, code_of, fields_of, new_reference

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFFSET_MAX = 10_000


async def followed(api: Api, path: str, *, limit: int, each_page: Any = None) -> list[Any]:
    """All rows, by cursors to the end. `each_page` is awaited before every page but the first."""
    separator = "&" if "?" in path else "?"
    page = await api.json(f"{path}{separator}limit={limit}")
    rows: list[Any] = page["data"]
    while page["has_more"]:
        assert len(page["data"]) == limit
        if each_page is not None:
            await each_page()
        page = await api.json(f"{path}{separator}limit={limit}&cursor={page['next']}")
        rows += page["data"]
    assert page["next"] is None
    return rows


async def spent(api: Api, times: int) -> str:
    """A new wallet with so many entries."""
    wallet = await api.wallet(1_000)
    for _ in range(times - 1):
        await api.moved("spend", wallet, 1)
    return wallet


class TestTransactions:
    async def test_the_promised_request_answers_the_newest_first(self, api: Api) -> None:
        moved = [await api.moved("topup", MIKASA_WALLET, 1) for _ in range(3)]
        page = await api.json("/transactions?limit=20&offset=0")
        assert page["data"][:3] == moved[::-1]

    async def test_without_a_limit_there_are_at_most_20(self, api: Api) -> None:
        await spent(api, 21)
        page = await api.json("/transactions")
        assert (len(page["data"]), page["has_more"]) == (20, True)

    async def test_one_is_read_as_it_was_answered(self, api: Api) -> None:
        moved = await api.moved("topup", MIKASA_WALLET, 1)
        assert await api.json(f"/transactions/{moved['id']}") == {**moved, "refunds": [], "refundable": 1}

    async def test_one_that_does_not_exist(self, api: Api) -> None:
        assert code_of(await api.get(f"/transactions/{NOBODY}")) == (404, "transaction_not_found")

    async def test_one_is_found_by_its_exact_reference(self, api: Api) -> None:
        body = {"reference_id": f"a b&c=ü/{new_reference()}", "amount": 1, "asset_code": "gold"}
        moved = await api.made(f"/wallets/{MIKASA_WALLET}/topup", body)
        found = await api.json(f"/transactions?reference_id={quote(body['reference_id'], safe='')}")
        assert found == {"data": [moved], "next": None, "has_more": False}

    @pytest.mark.parametrize("change", ["x", " ", "%20"])
    async def test_another_reference_finds_nothing(self, api: Api, change: str) -> None:
        reference = (await api.moved("topup", MIKASA_WALLET, 1))["reference_id"]
        assert (await api.json(f"/transactions?reference_id={reference}{change}"))["data"] == []

    async def test_amounts_may_be_strings(self, api: Api) -> None:
        await api.moved("topup", MIKASA_WALLET, 3)
        page = await api.json("/transactions?limit=1&amounts=string")
        assert [entry["amount"] for entry in page["data"][0]["entries"]] == ["3", "3"]

    async def test_the_demo_transactions_are_there(self, api: Api) -> None:
        found = {
            reference: (await api.json(f"/transactions?reference_id={reference}"))["data"][0]
            for reference in ("mikasa_buy_gold", "eren_buy_diamond", "eren_redeem_diamond")
        }
        assert [(each["type"], each["entries"][0]["amount"]) for each in found.values()] == [
            ("topup", 1000),
            ("topup", 100),
            ("spend", 10),
        ]


class TestEntries:
    async def test_a_wallet_lists_its_own_newest_first(self, api: Api) -> None:
        wallet = await spent(api, 5)
        page = await api.json(f"/wallets/{wallet}/entries")
        assert [each["version"] for each in page["data"]] == [5, 4, 3, 2, 1]
        assert [each["balance_after"] for each in page["data"]] == [996, 997, 998, 999, 1000]

    async def test_an_entry_says_all_that_its_transaction_said_of_it(self, api: Api) -> None:
        wallet = await api.wallet()
        moved = await api.moved("topup", wallet, 5)
        assert (await api.json(f"/wallets/{wallet}/entries"))["data"] == [
            {"transaction_id": moved["id"], "leg": 1, "created_at": moved["created_at"], **moved["entries"][1]}
        ]

    async def test_a_wallet_without_entries_lists_none(self, api: Api) -> None:
        page = await api.json(f"/wallets/{await api.wallet()}/entries")
        assert page == {"data": [], "next": None, "has_more": False}

    async def test_the_promised_list_has_both_sides(self, api: Api) -> None:
        moved = await api.moved("topup", MIKASA_WALLET, 1)
        page = await api.json("/ledger-entries?limit=20&offset=0")
        assert [each["direction"] for each in page["data"] if each["transaction_id"] == moved["id"]] == [
            "debit",
            "credit",
        ]


class TestDeclines:
    async def test_a_refusal_is_kept_with_what_was_compared(self, api: Api) -> None:
        wallet = await api.wallet(3)
        body = {"reference_id": new_reference(), "amount": 4, "asset_code": "gold"}
        await api.post(f"/wallets/{wallet}/spend", body)
        (decline,) = (await api.json(f"/declines?reference_id={body['reference_id']}"))["data"]
        assert decline == {
            "reference_id": body["reference_id"],
            "type": "spend",
            "code": "insufficient_funds",
            "wallet_id": wallet,
            "required": 4,
            "available": 3,
            "created_at": decline["created_at"],
        }

    async def test_what_is_malformed_is_not_kept(self, api: Api) -> None:
        body = {"reference_id": new_reference(), "amount": 0, "asset_code": "gold"}
        await api.post(f"/wallets/{MIKASA_WALLET}/spend", body)
        assert (await api.json(f"/declines?reference_id={body['reference_id']}"))["data"] == []

    async def test_the_reference_is_required(self, api: Api) -> None:
        answer = await api.get("/declines")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["reference_id"])


class TestPages:
    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    async def test_cursors_lead_to_the_end_without_gap_or_repeat(self, api: Api, limit: int) -> None:
        wallet = await spent(api, 7)
        rows = await followed(api, f"/wallets/{wallet}/entries", limit=limit)
        assert [each["version"] for each in rows] == [7, 6, 5, 4, 3, 2, 1]

    @pytest.mark.parametrize("path", ["/transactions", "/ledger-entries"])
    async def test_rows_that_arrive_meanwhile_neither_shift_nor_repeat_any(self, api: Api, path: str) -> None:
        def key(row: Any) -> Any:
            return row.get("id") or (row["transaction_id"], row["leg"])

        await spent(api, 5)
        before = [key(each) for each in await followed(api, path, limit=200)]

        async def move() -> None:
            await api.moved("topup", MIKASA_WALLET, 1)

        limit = max(2, len(before) // 20)
        assert [key(each) for each in await followed(api, path, limit=limit, each_page=move)] == before

    async def test_entries_of_one_transaction_are_paged_leg_by_leg(self, api: Api) -> None:
        wallets = [await api.wallet(9), await api.wallet(), await api.wallet()]
        legs = [
            {"wallet_id": wallet, "direction": direction, "amount": amount}
            for wallet, direction, amount in zip(wallets, ("debit", "credit", "credit"), (3, 1, 2), strict=True)
        ]
        made = await api.made("/transactions", {"reference_id": new_reference(), "type": "split", "legs": legs})
        first = await api.json("/ledger-entries?limit=1")
        second = await api.json(f"/ledger-entries?limit=1&cursor={first['next']}")
        third = await api.json(f"/ledger-entries?limit=1&cursor={second['next']}")
        rows = [*first["data"], *second["data"], *third["data"]]
        assert [(each["transaction_id"], each["leg"]) for each in rows] == [(made["id"], leg) for leg in range(3)]

    async def test_offsets_and_cursors_show_the_same_rows(self, api: Api) -> None:
        await spent(api, 8)
        for path in ("/transactions", "/ledger-entries"):
            by_cursor = (await followed(api, path, limit=50))[:8]
            by_offset = [(await api.json(f"{path}?limit=2&offset={at}"))["data"] for at in (0, 2, 4, 6)]
            assert [row for page in by_offset for row in page] == by_cursor

    async def test_a_page_by_offset_can_be_followed_by_cursor(self, api: Api) -> None:
        await spent(api, 4)
        page = await api.json("/transactions?limit=1&offset=1")
        following = await api.json(f"/transactions?limit=1&cursor={page['next']}")
        assert following["data"] == (await api.json("/transactions?limit=1&offset=2"))["data"]

    async def test_assets_and_wallets_of_users_are_paged(self, api: Api) -> None:
        user = (await api.made("/users", {"name": "Hange"}))["id"]
        made = [(await api.made("/wallets", {"asset_code": "gold", "user_id": user}))["id"] for _ in range(3)]
        wallets = [each["id"] for each in await followed(api, f"/users/{user}/wallets", limit=1)]
        assets = [each["id"] for each in await followed(api, "/assets", limit=1)]
        assert (wallets, assets[:2]) == (sorted(made), [1, 2])

    async def test_declines_are_paged(self, api: Api) -> None:
        wallet = await api.wallet()
        body = {"reference_id": new_reference(), "amount": 4, "asset_code": "gold"}
        for amount in (1, 2, 3):
            await api.post(f"/wallets/{wallet}/spend", {**body, "amount": amount})
        rows = await followed(api, f"/declines?reference_id={body['reference_id']}", limit=1)
        assert [each["required"] for each in rows] == [3, 2, 1]

    @pytest.mark.parametrize("path", ["/transactions", "/ledger-entries"])
    async def test_the_farthest_offset_is_served(self, api: Api, path: str) -> None:
        assert (await api.json(f"{path}?offset={OFFSET_MAX}"))["data"] == []

    @pytest.mark.parametrize("path", ["/transactions", "/ledger-entries"])
    async def test_beyond_it_the_answer_says_to_use_the_cursor(self, api: Api, path: str) -> None:
        answer = await api.get(f"{path}?offset={OFFSET_MAX + 1}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["offset"])
        assert "cursor" in answer.json()["detail"]

    @pytest.mark.parametrize("path", ["/assets", f"/wallets/{MIKASA_WALLET}/entries", "/declines?reference_id=x"])
    async def test_other_lists_take_no_offset(self, api: Api, path: str) -> None:
        answer = await api.get(f"{path}{'&' if '?' in path else '?'}offset=0")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["offset"])

    async def test_offset_and_cursor_cannot_be_combined(self, api: Api) -> None:
        cursor = (await api.json("/transactions?limit=1"))["next"]
        answer = await api.get(f"/transactions?offset=1&cursor={cursor}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["offset"])

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "1.0", "", "x", "1e2", "+1", "%201", "%D9%A3", "9" * 5000])
    async def test_a_limit_that_is_none(self, api: Api, limit: str) -> None:
        answer = await api.get(f"/transactions?limit={limit}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["limit"])

    @pytest.mark.parametrize("offset", ["-1", "1.0", "", "x", "%201", "9" * 5000])
    async def test_an_offset_that_is_none(self, api: Api, offset: str) -> None:
        answer = await api.get(f"/transactions?offset={offset}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["offset"])

    @pytest.mark.parametrize("limit", [1, 200])
    async def test_the_bounds_of_the_limit_are_served(self, api: Api, limit: int) -> None:
        assert len((await api.json(f"/transactions?limit={limit}"))["data"]) <= limit


class TestCursors:
    @pytest.mark.parametrize("cursor", ["", "x", "%00", "A" * 5000, "%F0%9F%98%80", "AAAA=", "../etc/passwd"])
    async def test_what_was_never_a_cursor_is_refused(self, api: Api, cursor: str) -> None:
        answer = await api.get(f"/transactions?cursor={cursor}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"])

    async def test_a_changed_one_is_refused_wherever_it_is_changed(self, api: Api) -> None:
        cursor = (await api.json("/transactions?limit=1"))["next"]
        for at, was in enumerate(cursor):
            changed = cursor[:at] + ("A" if was != "A" else "B") + cursor[at + 1 :]
            answer = await api.get(f"/transactions?cursor={changed}")
            assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"]), at

    async def test_a_shortened_one_is_refused(self, api: Api) -> None:
        cursor = (await api.json("/transactions?limit=1"))["next"]
        for kept in range(0, len(cursor), 7):
            assert code_of(await api.get(f"/transactions?cursor={cursor[:kept]}")) == (400, "invalid_request")

    async def test_one_of_another_list_is_refused(self, api: Api) -> None:
        cursor = (await api.json("/transactions?limit=1"))["next"]
        for path in ("/ledger-entries", "/assets", f"/wallets/{MIKASA_WALLET}/entries"):
            answer = await api.get(f"{path}?cursor={cursor}")
            assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"])

    async def test_one_of_another_wallet_is_refused(self, api: Api) -> None:
        wallet = await spent(api, 2)
        cursor = (await api.json(f"/wallets/{wallet}/entries?limit=1"))["next"]
        answer = await api.get(f"/wallets/{EREN_WALLET}/entries?cursor={cursor}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"])

    async def test_one_of_a_list_with_other_filters_is_refused(self, api: Api) -> None:
        cursor = (await api.json("/transactions?limit=1"))["next"]
        answer = await api.get(f"/transactions?reference_id=mikasa_buy_gold&cursor={cursor}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"])

    async def test_the_page_may_change_its_size(self, api: Api) -> None:
        wallet = await spent(api, 4)
        cursor = (await api.json(f"/wallets/{wallet}/entries?limit=1"))["next"]
        page = await api.json(f"/wallets/{wallet}/entries?limit=3&cursor={cursor}")
        assert [each["version"] for each in page["data"]] == [3, 2, 1]


class TestQueries:
    @pytest.mark.parametrize(
        "path",
        [
            "/transactions",
            "/ledger-entries",
            "/assets",
            "/assets/1",
            f"/wallets/{MIKASA_WALLET}",
            f"/wallets/{MIKASA_WALLET}/balance",
            f"/wallets/{MIKASA_WALLET}/entries",
        ],
    )
    @pytest.mark.parametrize("name", ["x", "Limit", "request", "wallet_id", "asset_id", "type_", "metadata", ""])
    async def test_an_unknown_parameter_is_an_error(self, api: Api, path: str, name: str) -> None:
        answer = await api.get(f"{path}?{name}=1")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [name])

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/transactions", "limit=1&limit=1"),
            ("/transactions", "limit=1&limi%74=2"),
            (f"/wallets/{MIKASA_WALLET}/balance", "amounts=string&amounts=string"),
        ],
    )
    async def test_a_repeated_parameter_is_an_error(self, api: Api, path: str, query: str) -> None:
        answer = await api.get(f"{path}?{query}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [query.partition("=")[0]])

    @pytest.mark.parametrize("value", ["", "number", "String", "string%00"])
    async def test_amounts_are_strings_or_not_mentioned(self, api: Api, value: str) -> None:
        for path in ("/transactions", f"/wallets/{MIKASA_WALLET}/balance", "/assets"):
            answer = await api.get(f"{path}?amounts={value}")
            assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["amounts"])

    @pytest.mark.parametrize("reference", ["", "%00", "%0A", "x" * 256, "%C2%85"])
    async def test_a_reference_that_no_request_could_carry(self, api: Api, reference: str) -> None:
        for path in ("/transactions", "/declines"):
            answer = await api.get(f"{path}?reference_id={reference}")
            assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["reference_id"])
