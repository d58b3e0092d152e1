"""Claims over HTTP: the code that is shown once, redemptions by it, and what a caller hears who has no good code."""

import json
import logging
import re
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.http.asked import available, changed, movement, pass_time, step, with_lot
from tests.http.client import GOLD_REVENUE, NOBODY, Api, code_of, fields_of, new_reference
from tests.http.keyed import READ_AND_SPEND, keyed, person
from wallet.service.writes.claim_commands import ClaimCommands

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){4}")
NO_CODE = "00000-00000-00000-00000-00000"


async def placed(api: Api, wallet: str, amount: int = 5, **fields: Any) -> Any:
    """A claim that must be accepted."""
    return await api.made("/claims", movement(amount, wallet_id=wallet, **fields))


def redemption(code: str, wallet: str, **fields: Any) -> dict[str, Any]:
    return step(code=code, wallet_id=wallet, **fields)


async def redeemed(api: Api, code: str, wallet: str, **fields: Any) -> Any:
    return await api.made("/claims/redeem", redemption(code, wallet, **fields))


async def wallet_of(api: Api, user: str) -> str:
    made: str = (await api.made("/wallets", {"asset_code": "GOLD", "user_id": user}))["id"]
    return made


class TestPlace:
    async def test_it_reserves_all_uses_and_shows_the_code(self, api: Api) -> None:
        wallet = await api.wallet(100)
        answer = await placed(api, wallet, 5, uses=3, once_per_user=True, expires_in_seconds=60)
        assert CODE.fullmatch(answer["code"])
        assert answer == {
            "id": answer["id"],
            "wallet_id": wallet,
            "asset_code": "GOLD",
            "status": "open",
            "amount": 5,
            "uses": 3,
            "uses_redeemed": 0,
            "uses_left": 3,
            "once_per_user": True,
            "expires_at": answer["expires_at"],
            "created_at": answer["created_at"],
            "code": answer["code"],
        }
        assert await available(api, wallet) == (100, 15, 85)

    async def test_the_code_is_shown_once(self, api: Api) -> None:
        body = movement(5, wallet_id=await api.wallet(100))
        first = await api.post("/claims", body)
        again = await api.post("/claims", body)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        without = {name: value for name, value in first.json().items() if name != "code"}
        assert again.json() == without == await api.json(f"/claims/{without['id']}")
        cancelled = await api.made(f"/claims/{without['id']}/cancel", step())
        assert "code" not in cancelled

    async def test_each_code_is_another(self, api: Api) -> None:
        wallet = await api.wallet(100)
        codes = {(await placed(api, wallet, 1))["code"] for _ in range(20)}
        assert len(codes) == 20

    async def test_a_default_that_is_said_is_no_difference(self, api: Api) -> None:
        body = movement(5, wallet_id=await api.wallet(100))
        await api.made("/claims", body)
        said = {**body, "uses": 1, "once_per_user": False, "expires_in_seconds": 30 * 86400, "dry_run": None}
        assert (await api.post("/claims", said)).status_code == 200
        nulls = {**body, "uses": None, "once_per_user": None, "expires_in_seconds": None, "conditions": None}
        assert (await api.post("/claims", nulls)).status_code == 200

    async def test_another_claim_with_the_reference_is_told_the_difference(self, api: Api) -> None:
        body = movement(5, wallet_id=await api.wallet(100))
        await api.made("/claims", body)
        answer = await api.post("/claims", {**body, "uses": 2, "once_per_user": True})
        assert code_of(answer) == (422, "reference_reused")
        assert answer.json()["differs"] == ["uses", "once_per_user"]

    async def test_its_reference_may_be_the_header(self, api: Api) -> None:
        body, key = movement(4, wallet_id=await api.wallet(10)), new_reference()
        del body["reference_id"]
        assert (await api.post("/claims", body, headers={"Idempotency-Key": key})).status_code == 201
        assert (await api.post("/claims", {**body, "reference_id": key})).status_code == 200

    async def test_without_an_expiry_it_ends_in_30_days(self, api: Api, ledger: asyncpg.Connection) -> None:
        claim = await placed(api, await api.wallet(10))
        lasts = await ledger.fetchval("SELECT expires_at - created_at FROM holds WHERE id = $1", claim["id"])
        assert lasts.days == 30

    async def test_a_dry_run_shows_neither_code_nor_id_and_reserves_nothing(self, api: Api) -> None:
        wallet = await api.wallet(100)
        answer = await api.post("/claims", movement(5, wallet_id=wallet, dry_run=True))
        assert (answer.status_code, answer.json()["dry_run"], answer.json()["id"]) == (200, True, None)
        assert "code" not in answer.json()
        assert await available(api, wallet) == (100, 0, 100)

    async def test_what_is_wrong_is_named(self, api: Api) -> None:
        wallet = await api.wallet(100)
        for field, value in (
            ("uses", 0), ("uses", 10_001), ("uses", "3"), ("once_per_user", 1), ("expires_in_seconds", 0),
            ("expires_in_seconds", 400 * 86400 + 1), ("amount", 0), ("code", "MY-OWN"), ("target_wallet_id", wallet),
            ("effective_at", "2026-01-01T00:00:00Z"),
        ):  # fmt: skip
            answer = await api.post("/claims", {**movement(5, wallet_id=wallet), field: value})
            assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), [field]), field

    async def test_all_uses_together_are_within_63_bits(self, api: Api) -> None:
        body = movement(2**62, wallet_id=await api.wallet(), uses=2)
        assert fields_of(await api.post("/claims", body)) == ["uses"]
        body = movement(2**62 - 1, wallet_id=await api.wallet(), uses=2)
        assert code_of(await api.post("/claims", body)) == (422, "insufficient_funds")

    async def test_amounts_are_strings_for_who_asks(self, api: Api) -> None:
        answer = await api.post("/claims?amounts=string", movement("5", wallet_id=await api.wallet(10)))
        assert (answer.json()["amount"], answer.json()["uses"]) == ("5", 1)


class TestRedeem:
    async def test_a_use_goes_to_the_wallet(self, api: Api) -> None:
        giver, taker = await api.wallet(100), await api.wallet()
        claim = await placed(api, giver, 5, uses=3)
        answer = await redeemed(api, claim["code"], taker, metadata={"a": 1})
        assert (answer["type"], answer["hold_id"], answer["metadata"]) == ("claim_redeem", claim["id"], {"a": 1})
        assert [(each["wallet_id"], each["direction"], each["amount"]) for each in answer["entries"]] == [
            (giver, "debit", 5),
            (taker, "credit", 5),
        ]
        assert (answer["hold"]["target_wallet_id"], answer["hold"]["remaining"]) == (None, 10)
        assert await available(api, giver) == (95, 10, 85)
        assert await api.balance(taker) == 5
        now = await api.json(f"/claims/{claim['id']}")
        assert (now["status"], now["uses_redeemed"], now["uses_left"]) == ("open", 1, 2)

    @pytest.mark.parametrize(
        "spelled",
        [
            str.lower,
            lambda code: code.replace("-", ""),
            lambda code: code.replace("-", " ").replace("0", "o"),
            lambda code: code.replace("1", "l"),
            lambda code: f" {code.replace('1', 'I')} ",
        ],
    )
    async def test_a_code_may_be_spelled_as_people_do(self, api: Api, spelled: Any) -> None:
        claim = await placed(api, await api.wallet(100))
        await redeemed(api, spelled(claim["code"]), await api.wallet())

    async def test_it_replays_whatever_became_of_the_claim(self, api: Api) -> None:
        claim, taker = await placed(api, await api.wallet(100), 5, uses=2), await api.wallet()
        body = redemption(claim["code"], taker)
        first = await api.post("/claims/redeem", body)
        await redeemed(api, claim["code"], taker)
        again = await api.post("/claims/redeem", {**body, "code": claim["code"].lower()})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.content == first.content
        assert await api.balance(taker) == 10

    async def test_another_redemption_with_the_reference_is_told_the_difference(self, api: Api) -> None:
        giver, taker = await api.wallet(100), await api.wallet()
        one, other = await placed(api, giver), await placed(api, giver)
        body = redemption(one["code"], taker)
        await api.made("/claims/redeem", body)
        for changed_body, differs in (
            ({"code": other["code"]}, ["code"]),
            ({"code": NO_CODE}, ["code"]),
            ({"wallet_id": await api.wallet()}, ["wallet_id"]),
        ):
            answer = await api.post("/claims/redeem", {**body, **changed_body})
            assert code_of(answer) == (422, "reference_reused")
            assert answer.json()["differs"] == differs

    async def test_the_last_use_closes_it(self, api: Api) -> None:
        claim, taker = await placed(api, await api.wallet(100)), await api.wallet()
        await redeemed(api, claim["code"], taker)
        answer = await api.post("/claims/redeem", redemption(claim["code"], taker))
        assert (code_of(answer), answer.json()["claim_status"]) == ((409, "claim_closed"), "redeemed")
        now = await api.json(f"/claims/{claim['id']}")
        assert (now["status"], now["uses_redeemed"], now["uses_left"]) == ("redeemed", 1, 0)

    async def test_each_user_may_redeem_once_where_that_is_said(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        claim = await placed(api, await api.wallet(100), 5, uses=9, once_per_user=True)
        await redeemed(api, claim["code"], me.wallet)
        for wallet in me.own:
            answer = await api.post("/claims/redeem", redemption(claim["code"], wallet))
            assert code_of(answer) == (422, "already_redeemed")
        await redeemed(api, claim["code"], other.wallet)
        answer = await api.post("/claims/redeem", redemption(claim["code"], await api.wallet()))
        assert code_of(answer) == (422, "wallet_without_user")

    async def test_lots_go_along(self, api: Api) -> None:
        giver, taker = await with_lot(api, 8, category="promotional", expires_in_seconds=3600), await api.wallet()
        claim = await placed(api, giver, 5)
        answer = await redeemed(api, claim["code"], taker)
        assert answer["drawn"]["promotional"] == 5
        [lot] = (await api.json(f"/wallets/{taker}/lots"))["data"]
        assert [lot["id"]] == answer["lot_ids"]
        assert (lot["category"], lot["remaining"], lot["expires_at"] is None) == ("promotional", 5, False)

    async def test_it_is_over_at_its_expiry(self, api: Api, ledger: asyncpg.Connection) -> None:
        giver = await api.wallet(100)
        claim = await placed(api, giver, 5, uses=2, expires_in_seconds=3600)
        await redeemed(api, claim["code"], await api.wallet())
        await pass_time(ledger, 3600)
        now = await api.json(f"/claims/{claim['id']}")
        assert (now["status"], now["uses_redeemed"], now["uses_left"]) == ("expired", 1, 0)
        answer = await api.post("/claims/redeem", redemption(claim["code"], await api.wallet()))
        assert (code_of(answer), answer.json()["claim_status"]) == ((409, "claim_closed"), "expired")
        assert await available(api, giver) == (95, 0, 95)

    async def test_a_dry_run_consumes_no_use(self, api: Api) -> None:
        claim, taker = await placed(api, await api.wallet(100)), await api.wallet()
        answer = await api.post("/claims/redeem", redemption(claim["code"], taker, dry_run=True))
        assert (answer.status_code, answer.json()["id"], answer.json()["entries"][1]["balance_after"]) == (200, None, 5)
        assert await api.balance(taker) == 0
        await redeemed(api, claim["code"], taker)

    async def test_a_condition_is_compared_with_what_would_be(self, api: Api) -> None:
        claim, taker = await placed(api, await api.wallet(100)), await api.wallet()
        body = redemption(claim["code"], taker, conditions=[{"wallet_id": taker, "max_balance": 4}])
        assert code_of(await api.post("/claims/redeem", body)) == (422, "condition_failed")
        body["conditions"] = [{"wallet_id": taker, "max_balance": 5}]
        assert (await api.post("/claims/redeem", body)).status_code == 201

    @pytest.mark.parametrize("code", [NO_CODE, "x", "no code at all", "'; DROP TABLE claims", "ß" * 64, "\u0000"])
    async def test_a_text_that_is_no_code_is_not_found(self, api: Api, code: str) -> None:
        answer = await api.post("/claims/redeem", redemption(code, await api.wallet()))
        assert code_of(answer) == ((404, "claim_not_found") if code != "\u0000" else (400, "invalid_request"))

    @pytest.mark.parametrize("code", ["", "x" * 65, 5, None])
    async def test_what_no_code_can_be_is_malformed(self, api: Api, code: Any) -> None:
        answer = await api.post("/claims/redeem", redemption(code, await api.wallet()))
        assert (code_of(answer), fields_of(answer)) == ((400, "invalid_request"), ["code"])

    async def test_it_is_refunded_by_amount(self, api: Api) -> None:
        giver, taker = await api.wallet(100), await api.wallet()
        claim = await placed(api, giver, 5)
        answer = await redeemed(api, claim["code"], taker)
        await api.made(f"/transactions/{answer['id']}/refund", step(amount=2))
        assert (await api.balance(giver), await api.balance(taker)) == (97, 3)
        assert (await api.json(f"/transactions/{answer['id']}"))["refundable"] == 3


class TestCancel:
    async def test_it_gives_the_rest_back(self, api: Api) -> None:
        giver = await api.wallet(100)
        claim = await placed(api, giver, 5, uses=3)
        await redeemed(api, claim["code"], await api.wallet())
        body = step()
        first = await api.post(f"/claims/{claim['id']}/cancel", body)
        assert (first.json()["status"], first.json()["uses_redeemed"], first.json()["uses_left"]) == ("cancelled", 1, 0)
        assert (await api.post(f"/claims/{claim['id']}/cancel", body)).content == first.content
        assert await available(api, giver) == (95, 0, 95)
        answer = await api.post("/claims/redeem", redemption(claim["code"], await api.wallet()))
        assert (code_of(answer), answer.json()["claim_status"]) == ((409, "claim_closed"), "cancelled")

    async def test_it_may_be_tried_dry_and_without_a_body(self, api: Api) -> None:
        claim = await placed(api, await api.wallet(100))
        answer = await api.post(f"/claims/{claim['id']}/cancel", step(dry_run=True))
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert (await api.json(f"/claims/{claim['id']}"))["status"] == "open"
        headers = {"Idempotency-Key": new_reference()}
        assert (await api.send("POST", f"/claims/{claim['id']}/cancel", headers=headers)).status_code == 201

    async def test_what_is_no_claim_is_not_found(self, api: Api) -> None:
        hold = await api.made("/holds", movement(5, wallet_id=await api.wallet(100)))
        for id_ in (NOBODY, hold["id"]):
            assert code_of(await api.post(f"/claims/{id_}/cancel", step())) == (404, "claim_not_found")
            assert code_of(await api.get(f"/claims/{id_}")) == (404, "claim_not_found")


class TestAsAHold:
    @pytest.mark.parametrize(
        ("action", "fields"),
        [("capture", {}), ("void", {}), ("increase", {"amount": 1}), ("extend", {"expires_in_seconds": 9})],
    )
    async def test_no_other_step_is_taken_on_it(self, api: Api, action: str, fields: Any) -> None:
        claim = await placed(api, await api.wallet(100))
        assert code_of(await api.post(f"/holds/{claim['id']}/{action}", step(**fields))) == (409, "hold_is_claim")

    async def test_lists_of_holds_show_it_without_a_target(self, api: Api) -> None:
        wallet = await api.wallet(100)
        hold = await api.made("/holds", movement(7, wallet_id=wallet))
        claim = await placed(api, wallet, 5, uses=2)
        shown = (await api.json(f"/wallets/{wallet}/holds?status=open"))["data"]
        assert [(each["id"], each["target_wallet_id"], each["remaining"]) for each in shown] == [
            (claim["id"], None, 10), (hold["id"], GOLD_REVENUE, 7),
        ]  # fmt: skip
        assert sum(each["remaining"] for each in shown) == (await available(api, wallet))[1]
        assert (await api.json(f"/holds/{claim['id']}"))["target_wallet_id"] is None
        assert len((await api.json(f"/wallets/{wallet}/holds"))["data"]) == 2


class TestSecret:
    async def test_no_batch_or_import_takes_a_claim(self, api: Api) -> None:
        wallet = await api.wallet(100)
        claim = await placed(api, wallet)
        for op, body in (
            ("claim_place", movement(5, wallet_id=wallet)),
            ("claim_redeem", redemption(claim["code"], wallet)),
            ("claim_cancel", step(claim_id=claim["id"])),
        ):
            answer = await api.post("/batches", {"mode": "atomic", "items": [{"op": op, **body}]})
            assert fields_of(answer) == ["items[0].op"]

    async def test_the_code_is_in_its_first_answer_and_nowhere_else(
        self, api: Api, ledger: asyncpg.Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        giver, taker = await api.wallet(100), await api.wallet()
        claim = await placed(api, giver, 5, uses=3)
        said = await redeemed(api, claim["code"], taker)
        wrong = await api.post("/claims/redeem", redemption(claim["code"], GOLD_REVENUE))
        assert code_of(wrong) == (422, "system_wallet")
        told = [json.dumps(said), wrong.text, caplog.text, api.figures()]
        paths = (
            f"/claims/{claim['id']}", f"/holds/{claim['id']}", f"/transactions/{claim['id']}",
            f"/transactions/{said['id']}", f"/wallets/{giver}/holds", f"/wallets/{giver}/statement", "/admin-acts",
        )  # fmt: skip
        told += [(await api.get(path)).text for path in paths]
        tables = await ledger.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        told += [row[0] for (table,) in tables for row in await ledger.fetch(f"SELECT t::text FROM {table} AS t")]
        bare = claim["code"].replace("-", "")
        assert not [text for text in told if claim["code"] in text or bare in text]

    async def test_a_receipt_has_no_code(self, api: Api) -> None:
        claim = await placed(api, await api.wallet(100))
        answer = await redeemed(api, claim["code"], await api.wallet())
        for id_ in (claim["id"], answer["id"]):
            receipt = await api.get(f"/transactions/{id_}/receipt")
            assert claim["code"] not in receipt.text


# Bound keys


async def guessed(client: Api, code: str, wallet: str, **fields: Any) -> tuple[int, str, list[tuple[str, str]]]:
    """All that an answer says, but for the request's id."""
    answer = await client.post("/claims/redeem", redemption(code, wallet, **fields))
    headers = [(name, value) for name, value in answer.headers.items() if name not in ("x-request-id", "date")]
    return answer.status_code, answer.text.replace(answer.headers["x-request-id"], "ID"), headers


class TestBound:
    async def test_it_redeems_into_its_own_wallets_only(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        claim = await placed(api, await api.wallet(100), 5, uses=9)
        for wallet in me.own:
            answer = await redeemed(me.client, claim["code"], wallet)
            assert [entry["balance_after"] is None for entry in answer["entries"]] == [True, False]
            assert "hold" not in answer
        for wallet in (other.wallet, NOBODY, GOLD_REVENUE):
            answer = await me.client.post("/claims/redeem", redemption(claim["code"], wallet))
            assert code_of(answer) == (404, "wallet_not_found")

    async def test_it_places_reads_and_cancels_claims_of_its_own_wallets_only(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        mine, theirs = await placed(me.client, me.wallet, 5, uses=2), await placed(other.client, other.wallet)
        assert CODE.fullmatch(mine["code"])
        assert (await me.client.json(f"/claims/{mine['id']}"))["uses_left"] == 2
        await redeemed(other.client, mine["code"], other.wallet)
        assert (await me.client.json(f"/claims/{mine['id']}"))["uses_left"] == 1
        for answer in (
            await me.client.get(f"/claims/{theirs['id']}"),
            await me.client.post(f"/claims/{theirs['id']}/cancel", step()),
            await me.client.post(f"/claims/{NOBODY}/cancel", step()),
        ):
            assert code_of(answer) == (404, "claim_not_found")
        assert code_of(await me.client.post("/claims", movement(5, wallet_id=other.wallet))) == (
            404,
            "wallet_not_found",
        )
        assert (await me.client.made(f"/claims/{mine['id']}/cancel", step()))["status"] == "cancelled"

    async def test_a_code_that_cannot_be_redeemed_is_one_that_never_was(
        self, api: Api, ledger: asyncpg.Connection
    ) -> None:
        me = await person(api)
        never = await guessed(me.client, NO_CODE, me.wallet)
        assert (never[0], json.loads(never[1])["code"]) == (404, "claim_not_found")
        giver = await api.wallet(1000)
        used, cancelled, over = [await placed(api, giver, 5, expires_in_seconds=3600) for _ in range(3)]
        await redeemed(api, used["code"], await api.wallet())
        await api.made(f"/claims/{cancelled['id']}/cancel", step())
        for claim in (used, cancelled):
            assert await guessed(me.client, claim["code"], me.wallet) == never
        assert await guessed(me.client, "no code", me.wallet) == never
        assert await guessed(me.client, used["code"], me.wallet, dry_run=True) == never
        await pass_time(ledger, 3600)
        assert await guessed(me.client, over["code"], me.second) == never
        frozen = await placed(api, giver, 5)
        await changed(api, giver, freeze_outgoing=True)
        assert await guessed(me.client, frozen["code"], me.wallet) == never
        # Nor does a wallet of its own that would be refused tell them apart.
        other = await person(api)
        await changed(api, other.second, freeze_incoming=True)
        for code in (NO_CODE, used["code"], cancelled["code"], frozen["code"]):
            assert await guessed(other.client, code, other.second) == never

    async def test_to_the_back_end_each_of_them_says_what_it_is(self, api: Api) -> None:
        giver, taker = await api.wallet(100), await api.wallet()
        claim = await placed(api, giver)
        await changed(api, giver, freeze_outgoing=True)
        answer = await api.post("/claims/redeem", redemption(claim["code"], taker))
        assert (code_of(answer), answer.json()["wallet_id"]) == ((422, "wallet_frozen"), giver)

    async def test_what_is_against_its_own_wallet_is_told_of_a_good_code(self, api: Api) -> None:
        me = await person(api)
        claim = await placed(api, await api.wallet(100), 5, uses=9, once_per_user=True)
        await changed(api, me.second, freeze_incoming=True)
        answer = await me.client.post("/claims/redeem", redemption(claim["code"], me.second))
        assert code_of(answer) == (422, "wallet_frozen")
        await redeemed(me.client, claim["code"], me.wallet)
        answer = await me.client.post("/claims/redeem", redemption(claim["code"], me.wallet))
        assert code_of(answer) == (422, "already_redeemed")

    async def test_guesses_are_bounded_by_user_and_a_good_code_waits_as_well(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        second = await keyed(api, *READ_AND_SPEND, user_id=me.id)
        claim = await placed(api, await api.wallet(100), 5, uses=9)
        for client in (me.client, second) * 5:
            assert (await guessed(client, NO_CODE, me.wallet))[0] == 404
        for client, code in ((me.client, NO_CODE), (second, claim["code"])):
            answer = await client.post("/claims/redeem", redemption(code, me.wallet))
            assert code_of(answer) == (429, "rate_limited")
            assert 1 <= int(answer.headers["retry-after"]) <= 6
        assert (await me.client.get(f"/wallets/{me.wallet}")).status_code == 200
        await redeemed(other.client, claim["code"], other.wallet)
        await redeemed(api, claim["code"], me.wallet)

    async def test_good_codes_are_not_counted(self, api: Api) -> None:
        me = await person(api)
        claim = await placed(api, await api.wallet(100), 1, uses=30)
        for _ in range(25):
            await redeemed(me.client, claim["code"], me.wallet)

    async def test_a_cancellation_that_a_merge_overtook_is_answered_without_the_claim(self, api: Api) -> None:
        """It was let in while the claim's wallet was the caller's own. It is decided when somebody else has it."""
        me, other = await person(api), await person(api)
        claim, body = await placed(me.client, me.wallet), step()
        await api.made(f"/wallets/{me.wallet}/merge-into/{other.second}", step())
        let_in = ClaimCommands().claim_cancel(
            claim_id=UUID(claim["id"]), reference_id=body["reference_id"], metadata=None
        )
        await api.app.service.submit(let_in._replace(origin=me.id))
        again = await me.client.post(f"/claims/{claim['id']}/cancel", body)
        assert (again.status_code, again.json()["type"], again.json()["hold_id"]) == (200, "claim_cancel", claim["id"])
        assert other.second not in again.text

    async def test_its_replay_comes_before_what_became_of_the_claim(self, api: Api) -> None:
        me = await person(api)
        claim = await placed(api, await api.wallet(100))
        body = redemption(claim["code"], me.wallet)
        first = await me.client.post("/claims/redeem", body)
        again = await me.client.post("/claims/redeem", body)
        assert (first.status_code, again.status_code, again.content) == (201, 200, first.content)


async def test_scopes(api: Api) -> None:
    wallet = await api.wallet(100)
    claim = await placed(api, wallet)
    reader, spender = await keyed(api, "read"), await keyed(api, "spend")
    body = redemption(claim["code"], await api.wallet())
    for path, asked in (("/claims", movement(5, wallet_id=wallet)), ("/claims/redeem", body)):
        assert code_of(await reader.post(path, asked)) == (403, "forbidden")
        assert (await spender.post(path, asked)).status_code == 201
    assert code_of(await spender.get(f"/claims/{claim['id']}")) == (403, "forbidden")
    assert (await reader.get(f"/claims/{claim['id']}")).status_code == 200
    conditions = [{"wallet_id": wallet, "expected_version": 1}]
    assert code_of(await spender.post("/claims", movement(5, wallet_id=wallet, conditions=conditions))) == (
        403, "forbidden",
    )  # fmt: skip


async def test_the_ledger_decides_on_a_wrong_guess_as_on_a_code_that_is_over(api: Api) -> None:
    """Both cost the same work, and leave the same trace."""
    me = await person(api)
    claim = await placed(api, await api.wallet(100))
    await api.made(f"/claims/{claim['id']}/cancel", step())
    traces = []
    for code in (NO_CODE, claim["code"]):
        body = redemption(code, me.wallet)
        assert code_of(await me.client.post("/claims/redeem", body)) == (404, "claim_not_found")
        [decline] = (await me.client.json(f"/declines?reference_id={body['reference_id']}"))["data"]
        traces.append({**decline, "id": None, "reference_id": None, "created_at": None})
    assert traces[0] == traces[1]
    assert (traces[0]["code"], traces[0]["wallet_id"]) == ("claim_not_found", None)
