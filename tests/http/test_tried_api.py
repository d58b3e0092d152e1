"""Findings from using the API as its clients and as its enemies do."""

import codecs
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.http.asked import leg, movement, step, transaction
from tests.http.client import Api, code_of, fields_of, new_reference
from tests.http.conftest import Lanes
from wallet.errors import Malformed
from wallet.http.bulk.batches import LOOKED_THROUGH_BYTES_MAX
from wallet.http.bulk.chunks import read_items
from wallet.http.bulk.lines import LINE_BYTES_MAX, Lines
from wallet.http.wire.decoding import malformed
from wallet.ledger.requests import Single
from wallet.service.access.callers import DEVELOPER, Caller
from wallet.service.writes.bulk import GROUP_ITEMS_MAX

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(lanes: Lanes) -> Api:
    """One of them: nothing here has a fast lane."""
    return lanes["fast lane"]


def topup(wallet_id: str, **more: Any) -> dict[str, Any]:
    reference_id = new_reference()
    return {
        "op": "topup",
        "wallet_id": wallet_id,
        "reference_id": reference_id,
        "amount": 1,
        "asset_code": "GOLD",
    } | more


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/transactions", "GET, HEAD, OPTIONS, POST"),
        ("/wallets/{wallet_id}", "GET, HEAD, OPTIONS, PATCH"),
        ("/programmes/{wallet_id}/wallets/{wallet_id}", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("/wallets/{wallet_id}/topup", "OPTIONS, POST"),
        ("/holds", "OPTIONS, POST"),
    ],
)
async def test_all_methods_of_a_path_are_named_by_options_and_by_405(api: Api, path: str, allowed: str) -> None:
    path = path.format(wallet_id=await api.wallet())
    options, wrong = await api.send("OPTIONS", path), await api.send("PUT", path)
    assert (options.status_code, options.content, options.headers["allow"]) == (204, b"", allowed)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("mode", ["atomic", "independent"])
async def test_an_item_of_a_batch_is_as_long_as_a_line_of_an_import_may_be(api: Api, mode: str) -> None:
    wallet = await api.wallet()
    long = topup(wallet, metadata={"text": "x" * LINE_BYTES_MAX})
    answer = await api.post("/batches", {"mode": mode, "items": [topup(wallet), long]})
    if mode == "atomic":
        assert code_of(answer) == (400, "invalid_request")
        assert fields_of(answer) == ["items[1]"]
        problem = answer.json()
    else:
        first, second = answer.json()["items"]
        assert (first["status"], second["status"]) == (201, 400)
        assert second["reference_id"] == long["reference_id"]
        problem = second["body"]
    assert f"{LINE_BYTES_MAX} bytes" in problem["detail"]


@pytest.mark.parametrize("field", ["items", "mode"])
async def test_a_large_batch_that_is_wrong_is_told_the_first_wrong_field(api: Api, field: str) -> None:
    wrong: list[Any] = [{}] * (LOOKED_THROUGH_BYTES_MAX // 3)
    answer = await api.post("/batches", {"mode": "atomic", "items": [1], field: wrong})
    assert code_of(answer) == (400, "invalid_request")
    assert fields_of(answer) == [field]


async def test_a_small_batch_that_is_wrong_is_told_all_of_them(api: Api) -> None:
    answer = await api.post("/batches", {"mode": "x", "items": [1] * (GROUP_ITEMS_MAX + 1), "zzz": 1})
    assert fields_of(answer) == ["mode", "items", "zzz"]


async def test_malformed_items_keep_no_frames() -> None:
    class Refusing:
        def request(self, text: bytes, *, dry_run: bool) -> None:
            raise malformed("", "No.")

        async def admit(self, caller: Caller, requests: Sequence[Single]) -> Sequence[Single]:
            return requests

    items = await read_items(Refusing(), [(0, b"{}"), (1, b"{")], DEVELOPER)  # type: ignore[arg-type]
    for item in items:
        assert isinstance(item.request, Malformed)
        assert item.request.__traceback__ is None
        assert item.request.__context__ is None


async def test_items_of_a_dry_batch_see_what_those_before_them_would_do(api: Api) -> None:
    wallet, other = await api.wallet(), await api.wallet()
    transfer = {"op": "transfer", "from_wallet_id": wallet, "to_wallet_id": other, "amount": 3, "asset_code": "GOLD"}
    hold = {"op": "hold", "wallet_id": other, "amount": 3, "asset_code": "GOLD"}
    items = [topup(wallet, amount=3), *(each | {"reference_id": new_reference()} for each in (transfer, hold))]
    answer = await api.post("/batches", {"mode": "atomic", "items": items, "dry_run": True})
    assert (answer.status_code, [each["status"] for each in answer.json()["items"]]) == (200, [200, 200, 200])
    assert await api.balance(wallet) == await api.balance(other) == 0
    for_real = await api.post("/batches", {"mode": "atomic", "items": items})
    assert (for_real.status_code, await api.balance(other)) == (201, 3)


@pytest.mark.parametrize(
    ("path", "field", "choices"),
    [
        ("/batches", "mode", "atomic, independent"),
        ("/programmes", "per", "day, week, month"),
        ("/assets", "draw_order", "expiring_first, main_first"),
        ("/holds", "on_expiry", "capture, release"),
        ("/transfers", "amount_mode", "exact, up_to"),
        ("/transactions", "legs[0].direction", "credit, debit"),
    ],
)
async def test_who_gets_a_choice_wrong_is_told_what_there_is(api: Api, path: str, field: str, choices: str) -> None:
    body = {"legs": [{"direction": "x"}] * 2} if "legs" in field else {field: "x"}
    problem = (await api.post(path, body)).json()
    message = next(each["message"] for each in problem["errors"] if each["field"] == field)
    assert sorted(message.removeprefix("Must be one of ").removesuffix(".").split(", ")) == sorted(choices.split(", "))


@pytest.mark.parametrize(
    ("path", "choices"),
    [("/import?answers=x", ("all", "failures")), ("statement?axis=x", ("posted", "effective")),
     ("statement?format=x", ("json", "csv")), ("balance?axis=x", ("posted", "effective"))],
)  # fmt: skip
async def test_who_gets_a_choice_of_a_query_wrong_is_told_what_there_is(
    api: Api, path: str, choices: tuple[str, ...]
) -> None:
    headers = {"content-type": "application/x-ndjson"}
    if path.startswith("/import"):
        answer = await api.send("POST", path, b"", headers=headers)
    else:
        answer = await api.get(f"/wallets/{await api.wallet()}/{path}")
    (error,) = answer.json()["errors"]
    assert (code_of(answer), error["field"]) == ((400, "invalid_request"), path.partition("?")[2].partition("=")[0])
    assert all(choice in error["message"] for choice in choices)


async def test_legs_that_do_not_cancel_out_are_told_of_which_asset(api: Api) -> None:
    legs = [leg(await api.wallet(9), "debit", 3), leg(await api.wallet(), "credit", 2)]
    problem = (await api.post("/transactions", transaction(*legs))).json()
    assert problem["detail"] == "In asset GOLD the debits are 1 too high; each asset must cancel out."


async def test_the_items_of_a_refused_group_say_which_of_them_it_was(api: Api) -> None:
    wallet = await api.wallet()
    items = [topup(wallet), topup(wallet, op="spend", amount=5)]
    problem = (await api.post("/batches", {"mode": "atomic", "items": items})).json()
    for detail in (problem["detail"], problem["items"][0]["body"]["detail"]):
        assert detail.startswith("Nothing was applied, because items[1] was refused")


async def test_what_is_refunded_already_has_nothing_left(api: Api) -> None:
    made = await api.moved("topup", await api.wallet(), 5)
    await api.made(f"/transactions/{made['id']}/refund", step())
    answer = await api.post(f"/transactions/{made['id']}/refund", step())
    assert code_of(answer) == (422, "refund_exceeds_original")
    assert answer.json()["detail"] == "Nothing is left to refund."


async def test_instants_in_messages_are_written_as_everywhere(api: Api) -> None:
    answer = await api.post(f"/wallets/{await api.wallet()}/topup", movement(effective_at="2999-01-01T00:00:00Z"))
    assert code_of(answer) == (422, "effective_in_future")
    assert "+00:00" not in answer.json()["detail"]
    assert answer.json()["detail"].endswith("Z.")
    answer = await api.get(f"/wallets/{await api.wallet()}/balance?at=2999-01-01T00:00:00Z")
    assert code_of(answer) == (400, "invalid_request")
    assert answer.json()["detail"].endswith("Z now")


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_compressed_bodies_are_not_taken(api: Api, encoding: str) -> None:
    bodies = {"/users": "application/json", f"/wallets/{await api.wallet()}/topup": "application/json"}
    for path, type_ in (bodies | {"/batches": "application/json", "/import": "application/x-ndjson"}).items():
        headers = {"content-type": type_, "content-encoding": encoding}
        answer = await api.send("POST", path, b"\x1f\x8b", headers=headers)
        assert code_of(answer) == (415, "unsupported_media_type"), path
        assert "compressed" in answer.json()["detail"].lower()


async def test_a_body_may_be_said_to_be_as_it_is(api: Api) -> None:
    answer = await api.post("/users", {"name": "Jean"}, headers={"content-encoding": "Identity"})
    assert answer.status_code == 201


async def test_a_byte_order_mark_before_an_import_is_skipped(api: Api) -> None:
    wallet = await api.wallet()
    lines = b"\n".join(json.dumps(topup(wallet)).encode() for _ in range(2))
    headers = {"content-type": "application/x-ndjson"}
    answer = await api.send("POST", "/import", b"\xef\xbb\xbf" + lines, headers=headers)
    assert [json.loads(line)["status"] for line in answer.content.splitlines()] == [201, 201]


@pytest.mark.parametrize("size", [LINE_BYTES_MAX, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 100])
@pytest.mark.parametrize("piece", [1, 2, 3, 4, 10**6])
async def test_a_byte_order_mark_is_none_of_the_first_line_however_it_arrives(size: int, piece: int) -> None:
    lines = Lines()
    body = codecs.BOM_UTF8 + b"x" * size
    for at in range(0, 8, piece):
        lines.feed(body[at : min(8, at + piece)])
    lines.feed(body[8:])
    lines.end()
    (line,) = lines.take(lines_max=2, bytes_max=10**6)
    assert line == (0, b"x" * size if size <= LINE_BYTES_MAX else None)
