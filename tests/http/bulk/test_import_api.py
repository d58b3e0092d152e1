"""POST /import: a line per line, in order, whatever is wrong with some of them."""

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.client import NOBODY, Api, code_of, fields_of, new_reference, running_api
from tests.http.conftest import Lanes
from wallet.http.bulk.lines import LINE_BYTES_MAX, Lines
from wallet.service.writes.bulk import CHUNKS_QUEUED_MAX

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def api(lanes: Lanes) -> Api:
    """One of them: there is no fast lane for imports."""
    return lanes["fast lane"]


def movement(op: str, wallet_id: str, amount: Any, reference_id: str | None = None) -> dict[str, Any]:
    return {
        "op": op,
        "wallet_id": wallet_id,
        "reference_id": reference_id or new_reference(),
        "amount": amount,
        "asset_code": "gold",
    }


def text_of(*lines: Any) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


async def imported(api: Api, content: bytes, query: str = "") -> httpx.Response:
    return await api.send("POST", f"/import{query}", content, headers=NDJSON)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def statuses(lines: Sequence[dict[str, Any]]) -> list[int]:
    return [line["status"] for line in lines]


@pytest.mark.asyncio(loop_scope="module")
class TestLines:
    async def test_each_has_its_answer_in_order(self, api: Api) -> None:
        wallet = await api.wallet()
        items = [movement("topup", wallet, amount) for amount in range(1, 1_001)]
        lines = lines_of(await imported(api, text_of(*items)))
        assert [(line["index"], line["reference_id"], line["status"]) for line in lines] == [
            (index, item["reference_id"], 201) for index, item in enumerate(items)
        ]
        assert [line["body"]["entries"][1]["amount"] for line in lines] == list(range(1, 1_001))
        versions = [line["body"]["entries"][1]["version"] for line in lines]
        assert all(earlier < later for earlier, later in pairwise(versions)), "they were decided in order"

    async def test_what_an_earlier_line_brought_a_later_one_may_spend(self, api: Api) -> None:
        wallets = [await api.wallet() for _ in range(3)]
        items = [movement(op, wallet, 7) for _ in range(300) for wallet in wallets for op in ("topup", "spend")]
        assert set(statuses(lines_of(await imported(api, text_of(*items))))) == {201}
        assert [await api.balance(wallet) for wallet in wallets] == [0, 0, 0]

    async def test_an_import_sent_again_doubles_nothing(self, api: Api) -> None:
        wallet = await api.wallet()
        items = [movement("topup", wallet, 3) for _ in range(700)]
        first = lines_of(await imported(api, text_of(*items[:400])))
        second = lines_of(await imported(api, text_of(*items)))
        assert statuses(second) == [200] * 400 + [201] * 300
        assert [line["replayed"] for line in second] == [True] * 400 + [False] * 300
        assert [line["body"] for line in second[:400]] == [line["body"] for line in first]
        assert await api.balance(wallet) == 2_100

    async def test_a_refusal_is_a_line_and_the_rest_goes_on(self, api: Api) -> None:
        wallet = await api.wallet(5)
        items = [movement("spend", wallet, 6), movement("topup", NOBODY, 1), movement("spend", wallet, 5)]
        lines = lines_of(await imported(api, text_of(*items)))
        assert [line["body"].get("code") for line in lines] == ["insufficient_funds", "wallet_not_found", None]
        assert (lines[0]["body"]["available"], lines[0]["status"]) == (5, 422)

    async def test_one_malformed_among_many_is_a_line_of_400(self, api: Api) -> None:
        wallet = await api.wallet()
        items: list[Any] = [movement("topup", wallet, 1) for _ in range(1_200)]
        bad = items[777] = movement("topup", wallet, 0)
        items[778] = b'{"op":"topup",'
        items[779] = b"\xff"
        items[780] = b'["topup"]'
        lines = lines_of(await imported(api, text_of(*items)))
        assert len(lines) == 1_200
        assert [line["index"] for line in lines if line["status"] != 201] == [777, 778, 779, 780]
        assert statuses(lines[777:781]) == [400] * 4
        assert [line["reference_id"] for line in lines[777:781]] == [bad["reference_id"], None, None, None]
        assert [each["field"] for each in lines[777]["body"]["errors"]] == ["amount"]
        assert await api.balance(wallet) == 1_196

    async def test_blank_lines_count_and_have_no_answer(self, api: Api) -> None:
        wallet = await api.wallet()
        one, two = movement("topup", wallet, 1), movement("topup", wallet, 2)
        content = b"\n\r\n" + text_of(one)[:-1] + b"\r\n  \n" + text_of(two)[:-1]
        lines = lines_of(await imported(api, content))
        assert [(line["index"], line["status"]) for line in lines] == [(2, 201), (4, 201)]

    async def test_nothing_is_answered_by_nothing(self, api: Api) -> None:
        assert lines_of(await imported(api, b"")) == []

    async def test_a_line_that_is_too_long_is_a_line_of_400(self, api: Api) -> None:
        wallet = await api.wallet()
        item = text_of(movement("topup", wallet, 1))[:-1]
        content = text_of(item.ljust(LINE_BYTES_MAX), item.ljust(LINE_BYTES_MAX + 1), b"x" * 1_000_000, item)
        lines = lines_of(await imported(api, content))
        assert statuses(lines) == [201, 400, 400, 200]
        assert str(LINE_BYTES_MAX) in lines[1]["body"]["detail"]

    async def test_who_asks_for_failures_gets_them_and_a_count_of_all(self, api: Api) -> None:
        wallet = await api.wallet()
        old = movement("topup", wallet, 1)
        await imported(api, text_of(old))
        dry = movement("topup", wallet, 1) | {"dry_run": True}
        items = [old, movement("topup", wallet, 1), movement("spend", wallet, 9), {}, dry, b"", old]
        answer = await imported(api, text_of(*items), "?answers=failures")
        *failures, summary = lines_of(answer)
        assert [(line["index"], line["status"]) for line in failures] == [(2, 422), (3, 400)]
        assert summary == {"lines": 6, "applied": 1, "replayed": 2, "predicted": 1, "failed": 2}

    async def test_amounts_may_be_asked_for_as_strings(self, api: Api) -> None:
        content = text_of(movement("topup", await api.wallet(), "5"), movement("spend", await api.wallet(), 7))
        applied, refused = lines_of(await imported(api, content, "?amounts=string"))
        assert {entry["amount"] for entry in applied["body"]["entries"]} == {"5"}
        assert (applied["index"], refused["body"]["required"]) == (0, "7")


@pytest.mark.asyncio(loop_scope="module")
class TestRefused:
    @pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-ndjsonx", ""])
    async def test_it_takes_ndjson_only(self, api: Api, media_type: str) -> None:
        answer = await api.send("POST", "/import", b"{}\n", headers={"content-type": media_type})
        assert code_of(answer) == (415, "unsupported_media_type")

    async def test_it_takes_no_other_options(self, api: Api) -> None:
        assert fields_of(await imported(api, b"", "?answers=none")) == ["answers"]
        assert fields_of(await imported(api, b"", "?answer=failures")) == ["answer"]
        answer = await api.send("POST", "/import", b"", headers={**NDJSON, "idempotency-key": "key"})
        assert fields_of(answer) == ["Idempotency-Key"]

    async def test_none_begins_while_the_service_shuts_down(self, demo_database_url: str) -> None:
        async with running_api(demo_database_url) as api:
            wallet = await api.wallet()
            await api.app.begin_shutdown()
            answer = await imported(api, text_of(movement("topup", wallet, 1)))
            assert code_of(answer) == (503, "storage_unavailable")
            assert await api.balance(wallet) == 0

    async def test_there_is_a_bound_on_how_many_run_at_once(self, demo_database_url: str) -> None:
        async with running_api(demo_database_url, imports_at_once_max=1) as api:
            wallet = await api.wallet()
            nested: list[httpx.Response] = []

            async def body() -> Any:
                yield text_of(movement("topup", wallet, 1))
                nested.append(await imported(api, text_of(movement("topup", wallet, 1))))

            answer = await api.http.post("/import", content=body(), headers=NDJSON)
            assert statuses(lines_of(answer)) == [201]
            assert code_of(nested[0]) == (503, "overloaded")
            assert statuses(lines_of(await imported(api, text_of(movement("topup", wallet, 1))))) == [201]


@pytest.mark.asyncio(loop_scope="module")
async def test_many_imports_at_once_take_turns_and_all_come_through(
    demo_database_url: str, ledger: asyncpg.Connection
) -> None:
    imports = CHUNKS_QUEUED_MAX
    async with running_api(demo_database_url, imports_at_once_max=imports, bulk_items_max=20) as api:
        wallet = await api.wallet()

        async def one() -> list[int]:
            items = [movement("topup", wallet, 1) for _ in range(200)]
            return statuses(lines_of(await imported(api, text_of(*items))))

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one()) for _ in range(imports)]
        assert all(task.result() == [201] * 200 for task in running)
        assert await api.balance(wallet) == 200 * imports


@pytest.mark.asyncio(loop_scope="module")
async def test_shutdown_ends_an_import_with_a_line_that_says_so(demo_database_url: str) -> None:
    async with running_api(demo_database_url) as api:
        wallet = await api.wallet()
        items = [movement("topup", wallet, 1) for _ in range(3)]

        async def body() -> Any:
            yield text_of(*items[:2])
            await asyncio.sleep(0.1)
            await api.app.begin_shutdown()
            await asyncio.sleep(0.1)
            yield text_of(items[2])

        lines = lines_of(await api.http.post("/import", content=body(), headers=NDJSON))
        assert statuses(lines) == [201, 201, 503]
        assert (lines[2]["index"], lines[2]["reference_id"]) == (2, None)
        assert lines[2]["body"]["code"] == "storage_unavailable"
        assert await api.balance(wallet) == 2


PIECES = st.lists(st.integers(0, 400))


@given(text=st.text("ab \r\n").map(str.encode), cuts=PIECES)
def test_lines_do_not_depend_on_the_pieces_they_come_in(text: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    lines = Lines()
    for start, end in pairwise(places):
        lines.feed(text[start:end])
    lines.end()
    taken = []
    while lines:
        taken += lines.take(lines_max=3, bytes_max=10)
    assert taken == [(place, line) for place, line in enumerate(text.split(b"\n")) if line.strip()]


def test_a_line_beyond_the_bound_is_not_kept_however_it_comes() -> None:
    for piece in (1_000, LINE_BYTES_MAX, 10 * LINE_BYTES_MAX):
        lines = Lines()
        for _ in range(5 * LINE_BYTES_MAX // piece + 1):
            lines.feed(b"x" * piece)
        lines.feed(b"x\nshort")
        lines.end()
        assert lines.take(lines_max=9, bytes_max=9) == [(0, None), (1, b"short")]
