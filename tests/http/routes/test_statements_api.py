"""A wallet in time over HTTP: balances at an instant, statements by the page and as CSV, and what is refused."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, NOBODY, Api, code_of, fields_of, new_reference
from wallet.http.routes.statement_answers import _cell

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def now_of(ledger: asyncpg.Connection) -> datetime:
    now: datetime = await ledger.fetchval("SELECT ledger_now()")
    return now


def text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


async def backdated(ledger: asyncpg.Connection, moved: Any, wallet_id: str, *, by: timedelta) -> datetime:
    """Make a movement that is posted already one that took effect earlier, in all that a batch would have written."""
    created_at = datetime.fromisoformat(moved["created_at"])
    async with ledger.transaction():
        await ledger.execute("ALTER TABLE transactions DISABLE TRIGGER USER")
        await ledger.execute("UPDATE transactions SET effective_at = $2 WHERE id = $1", moved["id"], created_at - by)
        await ledger.execute("ALTER TABLE transactions ENABLE ALWAYS TRIGGER transactions_append_only")
        await ledger.execute(
            "INSERT INTO backdated_entries (effective_at, created_at, position, change, shard, wallet_id,"
            " transaction_id) SELECT $2, created_at, position, direction * amount, 0, wallet_id, transaction_id"
            "   FROM ledger_entries WHERE transaction_id = $1",
            moved["id"],
            created_at - by,
        )
    return created_at - by


class TestBalanceAt:
    async def test_it_is_what_the_balance_was(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet(100)
        at = await now_of(ledger)
        await api.moved("spend", wallet, 30)
        then = await api.json(f"/wallets/{wallet}/balance?at={text(at)}")
        current = await api.json(f"/wallets/{wallet}/balance")
        assert (then["balance"], current["balance"]) == (100, 70)
        assert then.keys() - current.keys() == {"final"}
        assert (then["as_of"], then["final"], then["available"], then["version"]) == (text(at), True, 100, 1)

    async def test_the_moment_of_a_movement_includes_it(self, api: Api) -> None:
        wallet = await api.wallet()
        moved = await api.moved("topup", wallet, 100)
        at = moved["created_at"]
        assert (await api.json(f"/wallets/{wallet}/balance?at={at}"))["balance"] == 100
        nanoseconds = at.replace("Z", "999Z")
        assert (await api.json(f"/wallets/{wallet}/balance?at={nanoseconds}"))["as_of"] == at
        before = text(datetime.fromisoformat(at) - timedelta(microseconds=1))
        assert (await api.json(f"/wallets/{wallet}/balance?at={before}"))["balance"] == 0

    async def test_any_offset_will_do(self, api: Api) -> None:
        wallet = await api.wallet()
        at = datetime.fromisoformat((await api.moved("topup", wallet, 100))["created_at"])
        there = at.astimezone(datetime.strptime("+0530", "%z").tzinfo).isoformat()
        found = await api.json(f"/wallets/{wallet}/balance?at={quote(there, safe='')}")
        assert (found["balance"], found["as_of"]) == (100, text(at))

    async def test_a_system_wallet_has_no_version(self, api: Api, ledger: asyncpg.Connection) -> None:
        current = await api.json(f"/wallets/{GOLD_TREASURY}/balance")
        then = await api.json(f"/wallets/{GOLD_TREASURY}/balance?at={text(await now_of(ledger))}")
        assert {**then, "as_of": None, "final": None} == {**current, "as_of": None, "final": None}

    async def test_the_effective_axis_has_balances_only(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet()
        effective_at = await backdated(ledger, await api.moved("topup", wallet, 100), wallet, by=timedelta(hours=1))
        for axis, balance, final in (("posted", 0, True), ("effective", 100, False)):
            found = await api.json(f"/wallets/{wallet}/balance?at={text(effective_at)}&axis={axis}")
            assert (found["balance"], found["final"]) == (balance, final)
        assert (found["held"], found["available"], found["version"]) == (None, None, None)

    async def test_an_axis_goes_without_an_instant(self, api: Api) -> None:
        wallet = await api.wallet(100)
        current = await api.json(f"/wallets/{wallet}/balance")
        posted = await api.json(f"/wallets/{wallet}/balance?axis=posted")
        assert {**posted, "as_of": None} == {**current, "as_of": None}
        effective = await api.json(f"/wallets/{wallet}/balance?axis=effective")
        assert effective == {
            **current, "as_of": effective["as_of"], "held": None, "available": None, "version": None,
        }  # fmt: skip

    async def test_amounts_are_strings_for_who_asks(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet(100)
        found = await api.json(f"/wallets/{wallet}/balance?at={text(await now_of(ledger))}&amounts=string")
        assert (found["balance"], found["held"], found["available"]) == ("100", "0", "100")

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("at=", ["at"]),
            ("at=2026-01-01", ["at"]),
            ("at=2026-01-01T00:00:00", ["at"]),
            ("at=2026-01-01T00:00:00+01:00", ["at"]),  # an unescaped plus is a space
            ("at=2026-02-30T00:00:00Z", ["at"]),
            ("at=2026-01-01T24:00:01Z", ["at"]),
            ("at=2026-01-01T00:00:00%2B99:00", ["at"]),
            ("at=0001-01-01T00:00:00%2B10:00", ["at"]),
            ("at=9999-12-31T23:59:59-10:00", ["at"]),
            ("at=9999-12-31T23:59:59Z", ["at"]),
            ("at=%D9%A2026-01-01T00:00:00Z", ["at"]),
            ("at=%00", ["at"]),
            ("axis=", ["axis"]),
            ("axis=Posted", ["axis"]),
            ("at=x&axis=y", ["at", "axis"]),
            ("at=2026-01-01T00:00:00Z&at=2026-01-01T00:00:00Z", ["at"]),
            ("at=2026-01-01T00:00:00Z&to=x", ["to"]),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, query: str, fields: list[str]) -> None:
        wallet = await api.wallet()
        answer = await api.get(f"/wallets/{wallet}/balance?{query}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), fields)

    async def test_the_future_is_refused(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet()
        at = await now_of(ledger) + timedelta(minutes=1)
        assert fields_of(await api.get(f"/wallets/{wallet}/balance?at={text(at)}")) == ["at"]

    async def test_the_beginning_of_time_is_empty(self, api: Api) -> None:
        wallet = await api.wallet(100)
        for axis in ("posted", "effective"):
            for each in (wallet, GOLD_TREASURY):
                path = f"/wallets/{each}/balance?at=0001-01-01T00:00:00Z&axis={axis}"
                assert (await api.json(path))["balance"] == 0

    async def test_a_wallet_that_does_not_exist(self, api: Api) -> None:
        answer = await api.get(f"/wallets/{NOBODY}/balance?at=2026-01-01T00:00:00Z")
        assert code_of(answer) == (404, "wallet_not_found")

    async def test_a_merged_wallet_says_where_it_went(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet, target = await api.wallet(), await api.wallet()
        assert "merged_into" not in await api.json(f"/wallets/{wallet}/balance")
        await ledger.execute("UPDATE wallets SET closed_at = now(), merged_into = $2 WHERE id = $1", wallet, target)
        at = text(await now_of(ledger))
        for query in ("", f"?at={at}", "?axis=effective"):
            assert (await api.json(f"/wallets/{wallet}/balance{query}"))["merged_into"] == target


class TestStatement:
    async def test_it_has_what_was_before_what_happened_and_what_was_then(self, api: Api) -> None:
        wallet, friend = await api.wallet(), await api.wallet()
        await api.moved("topup", wallet, 100)
        first = await api.moved("bonus", wallet, 10)
        gift = await api.made(
            "/transfers",
            {"reference_id": new_reference(), "from_wallet_id": wallet, "to_wallet_id": friend, "amount": 30,
             "asset_code": "GOLD"},
        )  # fmt: skip
        last = await api.moved("spend", wallet, 5)
        since, until = first["created_at"], last["created_at"]
        statement = await api.json(f"/wallets/{wallet}/statement?from={since}&to={until}")
        line = statement["data"].pop()
        assert statement["data"][0]["balance_after"] == 110
        assert line == {
            "transaction_id": gift["id"], "reference_id": gift["reference_id"], "type": "transfer",
            "direction": "debit", "amount": 30, "balance_after": 80, "created_at": gift["created_at"],
            "effective_at": gift["effective_at"], "counterparty_wallet_id": friend,
        }  # fmt: skip
        statement.pop("data")
        assert statement == {
            "wallet_id": wallet, "asset_code": "GOLD", "scale": statement["scale"], "axis": "posted", "from": since,
            "to": until, "final": True, "opening_balance": 100, "closing_balance": 80, "credits": 10, "debits": 30,
            "next": None, "has_more": False,
        }  # fmt: skip

    async def test_without_times_it_is_all_there_is(self, api: Api) -> None:
        wallet = await api.wallet(100)
        statement = await api.json(f"/wallets/{wallet}/statement")
        assert (statement["from"], statement["opening_balance"], statement["closing_balance"]) == (None, 0, 100)
        assert len(statement["data"]) == 1

    async def test_pages_go_on_and_keep_the_whole(self, api: Api) -> None:
        wallet = await api.wallet(100)
        for amount in range(1, 6):
            await api.moved("spend", wallet, amount)
        for axis in ("posted", "effective"):
            path = f"/wallets/{wallet}/statement?axis={axis}"
            page = whole = await api.json(f"{path}&limit=2")
            lines = page["data"]
            while page["has_more"]:
                await api.moved("topup", wallet, 7)
                page = await api.json(f"{path}&limit=2&cursor={page['next']}")
                for name in ("to", "opening_balance", "closing_balance", "credits", "debits", "final"):
                    assert page[name] == whole[name]
                lines = lines + page["data"]
            changes = [line["amount"] if line["direction"] == "credit" else -line["amount"] for line in lines]
            assert sum(changes) == whole["closing_balance"] == lines[-1]["balance_after"]
            assert (whole["credits"], -whole["debits"]) == (
                sum(each for each in changes if each > 0), sum(each for each in changes if each < 0),
            )  # fmt: skip

    async def test_the_effective_axis_recomputes_balances(self, api: Api, ledger: asyncpg.Connection) -> None:
        wallet = await api.wallet(100)
        late = await api.moved("topup", wallet, 7)
        effective_at = await backdated(ledger, late, wallet, by=timedelta(hours=2))
        path = f"/wallets/{wallet}/statement?axis=effective&from={text(effective_at)}"
        statement = await api.json(path)
        assert [(line["amount"], line["balance_after"]) for line in statement["data"]] == [(7, 7), (100, 107)]
        assert (statement["opening_balance"], statement["closing_balance"], statement["final"]) == (0, 107, False)
        assert statement["data"][0]["effective_at"] == text(effective_at)

    async def test_a_system_wallet_has_balances_but_none_after_a_line(
        self, api: Api, ledger: asyncpg.Connection
    ) -> None:
        since = text(await now_of(ledger))
        wallet = await api.wallet(100)
        await api.moved("spend", wallet, 30)
        statement = await api.json(f"/wallets/{GOLD_REVENUE}/statement?from={since}")
        assert statement["closing_balance"] - statement["opening_balance"] == statement["credits"] == 30
        assert [(line["amount"], line["balance_after"]) for line in statement["data"]] == [(30, None)]

    async def test_amounts_are_strings_for_who_asks(self, api: Api) -> None:
        wallet = await api.wallet(100)
        statement = await api.json(f"/wallets/{wallet}/statement?amounts=string")
        names = ("opening_balance", "closing_balance", "credits", "debits")
        assert [statement[name] for name in names] == ["0", "100", "100", "0"]
        assert (statement["data"][0]["amount"], statement["data"][0]["balance_after"]) == ("100", "100")

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("from=x&to=y&axis=z&format=pdf&limit=many", ["from", "to", "axis", "format", "limit"]),
            ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", ["from"]),
            ("from=9999-12-31T23:59:59.9999999Z", ["from"]),
            ("from=9999-12-31T23:59:59Z", ["from"]),
            ("limit=0", ["limit"]),
            ("limit=201", ["limit"]),
            ("offset=1", ["offset"]),
            ("from_=2026-01-02T00:00:00Z", ["from_"]),
            ("cursor=x", ["cursor"]),
            ("format=csv&limit=1&cursor=x", ["limit", "cursor"]),
        ],
    )
    async def test_what_is_wrong_is_named(self, api: Api, query: str, fields: list[str]) -> None:
        wallet = await api.wallet(100)
        answer = await api.get(f"/wallets/{wallet}/statement?{query}")
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), fields)

    async def test_a_cursor_belongs_to_its_statement(self, api: Api) -> None:
        wallet, other = await api.wallet(100), await api.wallet(100)
        await api.moved("spend", wallet, 1)
        cursor = (await api.json(f"/wallets/{wallet}/statement?limit=1"))["next"]
        for path in (
            f"/wallets/{other}/statement?cursor={cursor}",
            f"/wallets/{wallet}/statement?cursor={cursor}&axis=effective",
            f"/wallets/{wallet}/statement?cursor={cursor}&from=2026-01-01T00:00:00Z",
            f"/wallets/{wallet}/entries?cursor={cursor}",
        ):
            assert fields_of(await api.get(path)) == ["cursor"]

    async def test_a_wallet_that_does_not_exist(self, api: Api) -> None:
        for query in ("", "?format=csv"):
            assert code_of(await api.get(f"/wallets/{NOBODY}/statement{query}")) == (404, "wallet_not_found")
        assert fields_of(await api.get("/wallets/x/statement?from=x")) == ["wallet_id", "from"]

    async def test_a_statement_to_the_future_is_one_to_now_and_not_final(self, api: Api) -> None:
        wallet = await api.wallet(100)
        statement = await api.json(f"/wallets/{wallet}/statement?to=9999-12-31T23:59:59Z")
        assert (statement["closing_balance"], statement["final"]) == (100, False)


class TestCsv:
    async def test_it_is_the_whole_statement(self, api: Api) -> None:
        wallet = await api.wallet(1_000)
        for _ in range(25):
            await api.moved("spend", wallet, 2)
        answer = await api.get(f"/wallets/{wallet}/statement", headers={"accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert f"statement-{wallet}.csv" in answer.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert (rows[0]["type"], rows[0]["balance_after"]) == ("opening", "0")
        assert (rows[-1]["type"], rows[-1]["balance_after"]) == ("closing", "950")
        assert [row["amount"] for row in rows[1:-1]] == ["1000", *["2"] * 25]
        as_json = (await api.json(f"/wallets/{wallet}/statement?limit=200"))["data"]
        assert [row["transaction_id"] for row in rows[1:-1]] == [line["transaction_id"] for line in as_json]

    @pytest.mark.parametrize(
        ("accept", "is_csv"),
        [
            ("text/csv", True),
            ("text/csv;q=0.9, application/json;q=0.5", True),
            ("text/csv;q=0.5, application/json", False),
            ("text/csv, application/json", False),
            ("*/*", False),
            ("text/csv;q=0", False),
            ("text/csv;q=x", False),
            ("", False),
        ],
    )
    async def test_it_is_for_who_prefers_it(self, api: Api, accept: str, is_csv: bool) -> None:
        wallet = await api.wallet()
        answer = await api.get(f"/wallets/{wallet}/statement", headers={"accept": accept})
        assert (answer.headers["content-type"] == "text/csv; charset=utf-8") == is_csv
        assert "json" in (
            await api.get(f"/wallets/{wallet}/statement?format=json", headers={"accept": accept})
        ).headers["content-type"]  # fmt: skip

    async def test_no_text_of_a_caller_is_a_formula(self, api: Api) -> None:
        wallet = await api.wallet()
        references = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", " =1", 'plain, "quoted"', f"'{NOBODY}"]
        suffix = new_reference()
        for reference in references:
            body = {"reference_id": f"{reference}{suffix}", "amount": 1, "asset_code": "GOLD"}
            await api.made(f"/wallets/{wallet}/topup", body)
        answer = await api.get(f"/wallets/{wallet}/statement?format=csv")
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))[1:-1]
        cells = [row["reference_id"].removesuffix(suffix) for row in rows]
        assert cells == [f"'{each}" for each in references[:5]] + references[5:]

    async def test_a_formula_is_known_in_either_width(self) -> None:
        assert [_cell(each)[0] for each in ("\uff1d1", "\t1", "\r1", "\n=1")] == ["'"] * 4

    async def test_a_head_has_no_body(self, api: Api) -> None:
        wallet = await api.wallet(1)
        answer = await api.send("HEAD", f"/wallets/{wallet}/statement?format=csv")
        assert answer.status_code == 200


class TestWhatIsDue:
    async def test_a_read_settles_first(self, api: Api, ledger: asyncpg.Connection) -> None:
        """The mark alone is set: there is nothing to post, and the ledger puts the mark right."""
        for path in ("balance", f"balance?at={text(datetime(2026, 1, 1, tzinfo=UTC))}", "statement"):
            wallet = await api.wallet(100)
            await ledger.execute("UPDATE wallets SET next_due_at = now() - interval '1 second' WHERE id = $1", wallet)
            assert (await api.get(f"/wallets/{wallet}/{path}")).status_code == 200
            assert await ledger.fetchval("SELECT next_due_at FROM wallets WHERE id = $1", wallet) is None


async def test_both_lanes_answer_axes_alike(lanes: dict[str, Api], ledger: asyncpg.Connection) -> None:
    wallet = await lanes["framework"].wallet(5)
    at = text(await now_of(ledger))
    await asyncio.sleep(0.01)
    for query in (f"?at={at}", f"?at={at}&axis=effective", "?at=x", f"?at={at}&x=1", f"?amounts=string&at={at}"):
        answers = [
            await api.get(f"/wallets/{wallet}/balance{query}", headers={"x-request-id": "same"})
            for api in lanes.values()
        ]
        assert answers[0].headers.raw == answers[1].headers.raw
        assert json.loads(answers[0].content) == json.loads(answers[1].content)
