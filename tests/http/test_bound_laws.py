"""In any ledger, a bound key hears of its own wallets only, and of all others as if they did not exist.

Wallets of others have balances, limits and holds of thirteen digits and more; the caller's own, and all that is moved,
have few. So a number that is long is one that nobody should have been told.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.http.asked import changed, held, leg, movement, step, transaction, transfer, with_lot
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, LANES, Api
from tests.http.conftest import Lanes
from tests.http.keyed import READ_AND_SPEND, keyed, leaks, person, told

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Every step is a request, so that shrinking would take hours.
EXAMPLES = settings(max_examples=12, deadline=None, phases=[Phase.generate])
HUGE = 10**13
_LONG = re.compile(r"\d{13,}")

LISTS = (
    "/transactions", "/transactions?type=transfer", "/ledger-entries", "/wallets", "/users", "/assets", "/assets/1",
)  # fmt: skip

amounts = st.integers(1, 40)


@dataclass
class Town:
    """A caller, with a key bound to a user or to wallets, and others around it."""

    api: Api
    client: Api
    own: list[str]
    others: list[str]
    holds: list[str]
    transactions: list[str]
    claims: list[str]
    codes: list[str]

    def secret(self, answer: Any, *, name: str = "") -> Iterator[Any]:
        """The parts of an answer that the caller should not have been told."""
        if isinstance(answer, dict):
            for key, each in answer.items():
                yield from self.secret(each, name=key)
        elif isinstance(answer, list):
            for each in answer:
                yield from self.secret(each, name=name)
        elif isinstance(answer, int) and abs(answer) >= HUGE // 10:
            yield name, answer
        elif isinstance(answer, str) and name == "next":
            yield from self.secret(_read(answer), name="cursor")
        elif isinstance(answer, str) and name != "request_id" and _LONG.search(answer):
            yield name, answer

    def check(self, answer: Any) -> Any:
        assert answer.status_code < 500, answer.text
        if answer.headers["content-type"].startswith("text/csv"):
            assert not _LONG.search(answer.text)
            return answer
        body = answer.json()
        assert not list(self.secret(body)), body
        assert not list(leaks(body, self.own)), body
        return answer


def _read(cursor: str) -> str:
    """The part of a cursor that anybody can read."""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[1:-16].decode()


async def a_town(api: Api, *, by_wallets: bool) -> Town:
    me = await person(api)
    others = [await api.wallet(HUGE + number) for number in range(2)]
    others.append(await with_lot(api, HUGE + 7))
    await changed(api, others[1], max_balance=HUGE + 20)
    binding: dict[str, Any] = {"wallet_ids": list(me.own)} if by_wallets else {"user_id": me.id}
    client = await keyed(api, *READ_AND_SPEND, **binding)
    town = Town(api=api, client=client, own=list(me.own), others=others, holds=[], transactions=[], claims=[], codes=[])
    town.holds.append((await held(api, others[0], HUGE // 2))["id"])
    await claimed(town, others[0], 3, uses=HUGE // 10**10)
    return town


async def claimed(town: Town, wallet: str, amount: int, **fields: Any) -> None:
    answer = await town.api.post("/claims", movement(amount, wallet_id=wallet, **fields))
    if answer.status_code == 201:
        town.claims.append(answer.json()["id"])
        town.codes.append(answer.json()["code"])


async def happen(town: Town, data: st.DataObject) -> None:
    """Something that the back end does."""
    kind = data.draw(
        st.sampled_from(("transfer", "hold", "bonus", "refund", "merge", "capture", "freeze", "claim", "redeem"))
    )
    any_of = st.sampled_from([*town.own, *town.others])
    source, target = data.draw(st.tuples(any_of, any_of))
    if kind == "transfer":
        answer = await town.api.post("/transfers", transfer(source, target, data.draw(amounts), amount_mode="up_to"))
    elif kind == "hold":
        answer = await town.api.post("/holds", movement(data.draw(amounts), wallet_id=source, target_wallet_id=target))
        if answer.status_code == 201:
            town.holds.append(answer.json()["id"])
    elif kind == "claim":
        await claimed(town, source, data.draw(amounts), once_per_user=data.draw(st.booleans()))
        return
    elif kind == "redeem":
        code = data.draw(st.sampled_from(town.codes))
        answer = await town.api.post("/claims/redeem", step(code=code, wallet_id=target))
    elif kind == "bonus":
        body = movement(data.draw(amounts), lot={"category": "promotional"})
        answer = await town.api.post(f"/wallets/{target}/bonus", body)
    elif kind == "refund" and town.transactions:
        original = data.draw(st.sampled_from(town.transactions))
        answer = await town.api.post(f"/transactions/{original}/refund", step(force=True))
    elif kind == "capture":
        hold = data.draw(st.sampled_from(town.holds))
        answer = await town.api.post(f"/holds/{hold}/capture", step(amount=data.draw(amounts)))
    elif kind == "merge" and target in town.others:
        answer = await town.api.post(f"/wallets/{source}/merge-into/{target}", step())
    else:
        answer = await town.api.patch(f"/wallets/{target}", {"freeze_incoming": data.draw(st.booleans())})
    if "entries" in answer.json():
        town.transactions.append(answer.json()["id"])


async def ask(town: Town, data: st.DataObject) -> None:
    """Something that the caller tries. Wallets that are not its own might as well not exist."""
    anything = [*town.own, *town.others, GOLD_TREASURY, GOLD_REVENUE]
    source, target = data.draw(st.tuples(st.sampled_from(anything), st.sampled_from(anything)))
    amount, dry = data.draw(st.one_of(amounts, st.just(10**6))), data.draw(st.booleans())
    on = data.draw(st.sampled_from([None, source, target]))
    conditions = {} if on is None else {"conditions": [{"wallet_id": on, "min_balance": 1, "max_balance": HUGE}]}
    hold = data.draw(st.sampled_from(town.holds))
    code, claim = data.draw(st.sampled_from([*town.codes, "no code"])), data.draw(st.sampled_from(town.claims))
    path, body = data.draw(
        st.sampled_from(
            [
                ("/transfers", transfer(source, target, amount, dry_run=dry, **conditions)),
                (f"/wallets/{source}/spend", movement(amount, amount_mode="up_to", dry_run=dry)),
                ("/holds", movement(amount, wallet_id=source, target_wallet_id=target, dry_run=dry)),
                (f"/holds/{hold}/capture", step(amount=amount, dry_run=dry)),
                (f"/holds/{hold}/void", step(dry_run=dry)),
                ("/claims", movement(amount, wallet_id=source, dry_run=dry)),
                ("/claims/redeem", step(code=code, wallet_id=source, dry_run=dry)),
                (f"/claims/{claim}/cancel", step(dry_run=dry)),
                ("/transactions", transaction(leg(source, "debit", amount), leg(target, "credit", amount))),
            ]
        )
    )
    if data.draw(st.booleans()):
        op = {"/transfers": "transfer", "/holds": "hold", "/transactions": "transaction"}.get(path)
        if op is not None:
            path, body = "/batches", {"mode": "independent", "items": [{"op": op, **body}]}
    answer = town.check(await town.client.post(path, body))
    if path != "/batches" and answer.status_code < 300:
        town.transactions += [answer.json()["id"]] if "entries" in answer.json() and not dry else []
        again = town.check(await town.client.post(path, body))
        # The code of a claim is in its first answer only.
        first = {name: each for name, each in answer.json().items() if name != "code"}
        assert dry or (again.json() == first if path == "/claims" else again.content == answer.content)
    if source not in town.own and source in path + json.dumps(body):
        nobody = str(uuid4())
        other = json.loads(json.dumps(body).replace(source, nobody).replace('"ref-', '"ref-again-'))
        told_of_nobody = town.check(await town.client.post(path.replace(source, nobody), other))
        assert _story(answer, source) == _story(told_of_nobody, nobody), body


def _story(answer: Any, wallet: str) -> Any:
    status, text, headers = told(answer, wallet)
    return status, re.sub(r"ref-(again-)?[0-9a-f-]{36}", "ref", text), headers


async def read_everything(town: Town) -> None:
    lists = [
        "/transactions",
        "/ledger-entries",
        "/wallets",
        "/users",
        "/assets",
        "/assets/1",
        "/transactions?type=transfer",
    ]
    for path in lists:
        following: str | None = ""
        while following is not None:
            mark = "&" if "?" in path else "?"
            page = town.check(await town.client.get(f"{path}{mark}limit=2{following}")).json()
            following = f"&cursor={page['next']}" if page.get("next") else None
    for wallet in [*town.own, *town.others, GOLD_TREASURY]:
        for part in ("", "/balance", "/entries", "/holds", "/lots?status=all", "/statement", "/statement?format=csv"):
            answer = town.check(await town.client.get(f"/wallets/{wallet}{part}"))
            assert (answer.status_code == 200) == (wallet in town.own)
        town.check(await town.client.get(f"/transactions?wallet_id={wallet}"))
    for hold in town.holds:
        town.check(await town.client.get(f"/holds/{hold}"))
    for claim in town.claims:
        town.check(await town.client.get(f"/claims/{claim}"))
    for each in town.transactions:
        answer = town.check(await town.client.get(f"/transactions/{each}"))
        whole = await town.api.json(f"/transactions/{each}")
        is_own = any(entry["wallet_id"] in town.own for entry in whole["entries"])
        assert answer.status_code == (200 if is_own else 404)
        town.check(await town.client.get(f"/transactions?reference_id={whole['reference_id']}"))
        town.check(await town.client.get(f"/declines?reference_id={whole['reference_id']}"))


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("by_wallets", [False, True], ids=["a user's key", "a key of wallets"])
@EXAMPLES
@given(data=st.data())
async def test_a_bound_key_hears_of_its_own_wallets_only(
    lanes: Lanes, lane: str, by_wallets: bool, data: st.DataObject
) -> None:
    town = await a_town(lanes[lane], by_wallets=by_wallets)
    for _ in range(data.draw(st.integers(4, 12))):
        await data.draw(st.sampled_from((happen, ask)))(town, data)
    await read_everything(town)


async def test_what_is_long_is_found_wherever_it_is_told(api: Api) -> None:
    """The law looks where there is something to be found: the back end is told all of it."""
    town = await a_town(api, by_wallets=False)
    wallet = town.others[2]
    for path in (f"/wallets/{wallet}/balance", f"/wallets/{wallet}/entries", "/assets/1", f"/wallets/{wallet}/lots"):
        assert list(town.secret(await api.json(path))), path
    assert list(leaks(await api.json(f"/wallets/{wallet}"), town.own))
    refused = await api.post("/transfers", transfer(town.own[0], town.others[1], 900))
    assert list(town.secret(refused.json()))
