"""Merging one wallet into another over HTTP."""

from typing import Any

import pytest

from tests.http.asked import available, changed, held, movement, step, with_lot
from tests.http.client import EREN_WALLET, GOLD_TREASURY, NOBODY, Api, code_of, fields_of, new_reference

pytestmark = pytest.mark.asyncio(loop_scope="module")


def into(source: str, target: str) -> str:
    return f"/wallets/{source}/merge-into/{target}"


async def test_it_answers_the_wallet_that_ended(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet(5)
    answer = await api.made(into(source, target), step(metadata={"a": 1}))
    assert answer == await api.json(f"/wallets/{source}")
    assert (answer["id"], answer["status"], answer["merged_into"]) == (source, "merged", target)
    assert await api.balance(target) == 15


async def test_holds_and_lots_move_along(api: Api) -> None:
    source, target = await with_lot(api, 6, category="promotional"), await api.wallet(5)
    hold = await held(api, source, 4)
    await api.made(into(source, target), step())
    assert await available(api, target) == (11, 4, 7)
    captured = await api.made(f"/holds/{hold['id']}/capture", step())
    assert (captured["entries"][0]["wallet_id"], captured["drawn"]["promotional"]) == (target, 4)


async def test_its_transaction_draws_nothing(api: Api) -> None:
    source, target = await with_lot(api, 6), await api.wallet()
    body = step()
    await api.made(into(source, target), body)
    (merged,) = (await api.json(f"/transactions?reference_id={body['reference_id']}"))["data"]
    assert (merged["type"], "drawn" in merged, len(merged["entries"])) == ("merge", False, 2)


async def test_it_replays(api: Api) -> None:
    path, body = into(await api.wallet(10), await api.wallet()), step()
    first = await api.post(path, body)
    again = await api.post(path, body)
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (201, 200, "true")
    assert again.content == first.content


async def test_its_reference_may_be_the_header(api: Api) -> None:
    path, key = into(await api.wallet(), await api.wallet()), new_reference()
    assert (await api.post(path, {}, headers={"Idempotency-Key": key})).status_code == 201
    assert (await api.post(path, step(reference_id=key))).status_code == 200
    assert fields_of(await api.post(path, {})) == ["reference_id"]


async def test_another_merge_with_the_reference_is_told_the_difference(api: Api) -> None:
    source, body = await api.wallet(), step()
    await api.made(into(source, await api.wallet()), body)
    answer = await api.post(into(source, await api.wallet()), body)
    assert (code_of(answer), answer.json()["differs"]) == ((422, "reference_reused"), ["target_wallet_id"])


async def test_movements_are_told_where_it_went(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet()
    before = movement()
    first = await api.made(f"/wallets/{source}/topup", before)
    await api.made(into(source, target), step())
    answer = await api.post(f"/wallets/{source}/topup", movement())
    assert code_of(answer) == (409, "wallet_merged")
    assert (answer.json()["wallet_id"], answer.json()["merged_into"]) == (source, target)
    # A replay comes first.
    assert (await api.post(f"/wallets/{source}/topup", before)).json() == first
    assert (await api.json(f"/wallets/{source}/balance"))["merged_into"] == target


async def test_it_is_never_changed_or_reopened_again(api: Api) -> None:
    source, target = await api.wallet(), await api.wallet()
    await api.made(into(source, target), step())
    assert code_of(await api.patch(f"/wallets/{source}", {"label": "a"})) == (409, "wallet_merged")
    for action in ("close", "reopen"):
        assert code_of(await api.post(f"/wallets/{source}/{action}", {})) == (409, "wallet_merged")
    assert code_of(await api.post(into(target, source), step())) == (409, "wallet_merged")


async def test_refunds_follow(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet()
    spent = await api.moved("spend", source, 4)
    await api.made(into(source, target), step())
    refund = await api.made(f"/transactions/{spent['id']}/refund", step())
    assert refund["entries"][0]["wallet_id"] == target


async def test_a_dry_run_answers_the_wallet_as_it_would_be_and_merges_nothing(api: Api) -> None:
    source, target = await api.wallet(10), await api.wallet()
    answer = await api.post(into(source, target), step(dry_run=True))
    assert answer.status_code == 200
    assert (answer.json()["dry_run"], answer.json()["merged_into"], answer.json()["status"]) == (True, target, "merged")
    assert (await api.json(f"/wallets/{source}"))["status"] == "open"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (NOBODY, (404, "wallet_not_found")),
        (EREN_WALLET, (422, "asset_mismatch")),
        (GOLD_TREASURY, (422, "system_wallet")),
        ("itself", (422, "same_wallet")),
    ],
)
async def test_what_the_ledger_refuses(api: Api, target: str, expected: Any) -> None:
    source = await api.wallet(5)
    answer = await api.post(into(source, source if target == "itself" else target), step())
    assert code_of(answer) == expected
    assert await api.balance(source) == 5


async def test_what_is_frozen_or_overdrawn_is_not_merged(api: Api) -> None:
    source, target = await api.wallet(5), await api.wallet()
    await changed(api, source, freeze_outgoing=True, overdraft_limit=5)
    assert code_of(await api.post(into(source, target), step())) == (422, "wallet_frozen")
    await changed(api, source, freeze_outgoing=False)
    await api.moved("spend", source, 6)
    assert code_of(await api.post(into(source, target), step())) == (422, "insufficient_funds")


@pytest.mark.parametrize(("source", "target", "field"), [("x", NOBODY, "wallet_id"), (NOBODY, "x", "target_wallet_id")])
async def test_ids_that_are_none(api: Api, source: str, target: str, field: str) -> None:
    answer = await api.post(into(source, target), step())
    assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [field])
