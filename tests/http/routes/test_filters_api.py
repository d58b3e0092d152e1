"""Filtered lists over HTTP: what each filter finds, how cursors hold them, and what is refused with a reason."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.http.client import MIKASA_WALLET, NOBODY, Api, code_of, fields_of, new_reference
from tests.http.routes.test_history_api import followed

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIME = "2026-01-31T12:00:00Z"


def ids(rows: Any) -> list[str]:
    return [each["id"] for each in rows]


async def moved(api: Api, wallet: str, **fields: Any) -> str:
    """A top-up of 1, its id."""
    body = {"reference_id": new_reference(), "amount": 1, "asset_code": "gold", **fields}
    made: str = (await api.made(f"/wallets/{wallet}/topup", body))["id"]
    return made


class TestTransactions:
    async def test_by_wallet(self, api: Api) -> None:
        wallet, other = await api.wallet(), await api.wallet()
        first, _, third = [await moved(api, each) for each in (wallet, other, wallet)]
        spent = (await api.moved("spend", wallet, 1))["id"]
        assert ids(await followed(api, f"/transactions?wallet_id={wallet}", limit=1)) == [spent, third, first]
        assert ids(await followed(api, f"/transactions?wallet_id={wallet}&type=spend", limit=1)) == [spent]

    async def test_a_wallet_without_transactions_is_an_empty_list_and_none_is_404(self, api: Api) -> None:
        page = await api.json(f"/transactions?wallet_id={await api.wallet()}")
        assert page == {"data": [], "next": None, "has_more": False}
        assert code_of(await api.get(f"/transactions?wallet_id={NOBODY}")) == (404, "wallet_not_found")

    async def test_by_type(self, api: Api) -> None:
        a, b = await api.wallet(9), await api.wallet()
        legs = [
            {"wallet_id": wallet, "direction": direction, "amount": 1}
            for wallet, direction in ((a, "debit"), (b, "credit"))
        ]
        type_ = f"swap {uuid4()}"
        made = [
            (await api.made("/transactions", {"reference_id": new_reference(), "type": type_, "legs": legs}))["id"]
            for _ in range(3)
        ]
        assert ids(await followed(api, f"/transactions?type={quote(type_)}", limit=2)) == made[::-1]
        newest = (await api.moved("bonus", a, 1))["id"]
        assert ids((await api.json("/transactions?type=bonus&limit=1"))["data"]) == [newest]
        assert (await api.json("/transactions?type=unheard-of"))["data"] == []

    @pytest.mark.parametrize(
        ("value", "text"), [("a b&ü=%", "a b&ü=%"), (7, "7"), (-1.5, "-1.5"), (True, "true"), ("", "")]
    )
    async def test_by_a_member_of_metadata(self, api: Api, value: Any, text: str) -> None:
        key = f"k.{uuid4()} ü"
        made = [await moved(api, MIKASA_WALLET, metadata={key: value, "n": each}) for each in range(3)]
        await moved(api, MIKASA_WALLET, metadata={key: "something else", "other": value})
        path = f"/transactions?metadata.{quote(key)}={quote(text, safe='')}"
        assert ids(await followed(api, path, limit=2)) == made[::-1]
        assert ids((await api.json(f"{path}&type=topup&from=2020-01-01T00:00:00Z"))["data"]) == made[::-1]
        assert (await api.json(f"{path}x"))["data"] == []

    async def test_by_the_beginning_of_a_reference_in_its_order(self, api: Api) -> None:
        begin = f"order-{uuid4()}-"
        for number in (3, 1, 2):
            await moved(api, MIKASA_WALLET, reference_id=f"{begin}{number}")
        rows = await followed(api, f"/transactions?reference_prefix={begin}", limit=1)
        assert [each["reference_id"] for each in rows] == [f"{begin}{number}" for number in (1, 2, 3)]

    async def test_by_time(self, api: Api) -> None:
        wallet = await api.wallet()
        made = [await api.moved("topup", wallet, 1) for _ in range(4)]
        since, until = (quote(made[each]["created_at"]) for each in (1, 3))
        expected = [made[2]["id"], made[1]["id"]]
        assert ids(await followed(api, f"/transactions?from={since}&to={until}", limit=1)) == expected
        path = f"/transactions?wallet_id={wallet}&from={since}&to={until}"
        assert ids(await followed(api, path, limit=1)) == expected
        other_zone = made[1]["created_at"].replace("Z", "%2B00:00")
        assert ids((await api.json(f"/transactions?wallet_id={wallet}&from={other_zone}"))["data"])[-1] == made[1]["id"]

    async def test_cursors_hold_the_filters(self, api: Api) -> None:
        wallet = await api.wallet()
        for _ in range(2):
            await moved(api, wallet, metadata={"tenant": wallet})
        filters = ["type=topup", f"wallet_id={wallet}", f"metadata.tenant={wallet}", f"from={TIME}"]
        cursors = [(await api.json(f"/transactions?limit=1&{each}"))["next"] for each in filters]
        for cursor, own in zip(cursors, filters, strict=True):
            for other in ["limit=1", *filters]:
                if other != own:
                    answer = await api.get(f"/transactions?{other}&cursor={cursor}")
                    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["cursor"])

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            (f"reference_id=a&wallet_id={NOBODY}", ["wallet_id"]),
            ("reference_id=a&type=topup", ["type"]),
            ("reference_prefix=a&reference_id=a", ["reference_prefix"]),
            (f"reference_prefix=a&from={TIME}&to={TIME}", ["from", "to"]),
            ("reference_prefix=a&metadata.x=1", ["metadata.x"]),
            (f"wallet_id={NOBODY}&metadata.x=1", ["metadata.x"]),
            ("metadata.x=1&metadata.y=1", ["metadata.y"]),
        ],
    )
    async def test_filters_that_do_not_go_together_are_refused_with_those_that_do(
        self, api: Api, query: str, fields: list[str]
    ) -> None:
        answer = await api.get(f"/transactions?{query}")
        assert code_of(answer) == (400, "invalid_request")
        assert set(fields_of(answer)) & set(fields)
        assert "combined" in answer.json()["detail"] or "later" in answer.json()["detail"]

    @pytest.mark.parametrize("filters", ["type=topup", "metadata.x=1", "reference_prefix=a", f"from={TIME}"])
    async def test_filtered_lists_take_no_offset(self, api: Api, filters: str) -> None:
        answer = await api.get(f"/transactions?{filters}&offset=0")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["offset"])

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("wallet_id=x", "wallet_id"),
            ("wallet_id=", "wallet_id"),
            ("type=", "type"),
            ("type=%00", "type"),
            (f"type={'x' * 65}", "type"),
            ("reference_prefix=", "reference_prefix"),
            ("reference_prefix=%0A", "reference_prefix"),
            (f"reference_prefix={'x' * 256}", "reference_prefix"),
            ("from=yesterday", "from"),
            ("from=2026-01-31", "from"),
            ("to=2026-01-31T12:00:00", "to"),
            ("to=2026-02-30T12:00:00Z", "to"),
            (f"from={TIME}&to={TIME}", "to"),
            ("metadata.=1", "metadata."),
            ("metadata.x=%00", "metadata.x"),
            (f"metadata.x={'x' * 256}", "metadata.x"),
            ("metadata.x=1&metadata.x=1", "metadata.x"),
            ("limit=0&type=topup", "limit"),
            ("metadata=1", "metadata"),
            ("Type=topup", "Type"),
        ],
    )
    async def test_a_filter_that_is_malformed_is_named(self, api: Api, query: str, field: str) -> None:
        answer = await api.get(f"/transactions?{query}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [field])

    async def test_all_that_is_wrong_is_named_at_once(self, api: Api) -> None:
        answer = await api.get("/transactions?limit=x&wallet_id=x&type=&from=x&to=x&metadata.=x")
        assert fields_of(answer) == ["limit", "wallet_id", "type", "from", "to", "metadata."]

    async def test_the_longest_filters_have_cursors(self, api: Api) -> None:
        key, value = "\U0001f600" * 255, "\U0001f601" * 255
        for _ in range(2):
            await moved(api, MIKASA_WALLET, metadata={key: value})
        page = await api.json(f"/transactions?limit=1&metadata.{quote(key)}={quote(value)}")
        following = await api.json(f"/transactions?metadata.{quote(key)}={quote(value)}&cursor={page['next']}")
        assert following["data"]
        assert (len(page["data"]), following["next"]) == (1, None)


class TestUsersAndWallets:
    async def test_users_by_name_by_metadata_and_all(self, api: Api) -> None:
        name, crm = f"Sasha {uuid4()}", str(uuid4())
        made = [(await api.made("/users", {"name": name, "metadata": {"crm": crm}}))["id"] for _ in range(3)]
        newest_first = made[::-1]
        assert ids(await followed(api, f"/users?name={quote(name)}", limit=2)) == newest_first
        assert ids(await followed(api, f"/users?metadata.crm={crm}", limit=2)) == newest_first
        everybody = ids(await followed(api, "/users", limit=200))
        assert [each for each in everybody if each in made] == newest_first

    async def test_wallets_by_user_by_label_by_metadata_and_all(self, api: Api) -> None:
        user, label = (await api.made("/users", {"name": "Jean"}))["id"], f"purse {uuid4()}"
        body = {"asset_code": "gold", "user_id": user, "label": label, "metadata": {"region": label}}
        made = [(await api.made("/wallets", body))["id"] for _ in range(3)]
        newest_first = made[::-1]
        for filters in (f"user_id={user}", f"label={quote(label)}", f"metadata.region={quote(label)}"):
            assert ids(await followed(api, f"/wallets?{filters}", limit=2)) == newest_first
        every_wallet = ids(await followed(api, "/wallets", limit=200))
        assert [each for each in every_wallet if each in made] == newest_first
        wallet = await api.json(f"/wallets/{made[0]}")
        assert (await api.json(f"/wallets?user_id={user}"))["data"][-1] == wallet

    async def test_wallets_are_found_by_what_their_metadata_has_become(self, api: Api) -> None:
        old, new = str(uuid4()), str(uuid4())
        wallet = (await api.made("/wallets", {"asset_code": "gold", "metadata": {"crm": old}}))["id"]
        assert (await api.patch(f"/wallets/{wallet}", {"metadata": {"crm": new}})).status_code == 200
        assert (await api.json(f"/wallets?metadata.crm={old}"))["data"] == []
        assert ids((await api.json(f"/wallets?metadata.crm={new}"))["data"]) == [wallet]

    @pytest.mark.parametrize(
        ("path", "fields"),
        [
            ("/users?name=a&metadata.x=1", ["metadata.x"]),
            ("/users?metadata.x=1&metadata.y=1", ["metadata.y"]),
            ("/users?name=", ["name"]),
            ("/users?name=%00", ["name"]),
            (f"/users?name={'x' * 256}", ["name"]),
            ("/users?label=x", ["label"]),
            ("/users?offset=0", ["offset"]),
            ("/users?limit=0", ["limit"]),
            ("/users?cursor=x", ["cursor"]),
            (f"/wallets?user_id={NOBODY}&label=x", ["label"]),
            ("/wallets?label=x&metadata.y=1", ["metadata.y"]),
            ("/wallets?user_id=x&label=", ["user_id"]),
            ("/wallets?label=%0A", ["label"]),
            ("/wallets?asset_code=gold", ["asset_code"]),
            ("/wallets?status=open", ["status"]),
            ("/assets?metadata.x=1", ["metadata.x"]),
            ("/ledger-entries?wallet_id=x", ["wallet_id"]),
        ],
    )
    async def test_what_cannot_be_asked_is_named(self, api: Api, path: str, fields: list[str]) -> None:
        answer = await api.get(path)
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), fields)
