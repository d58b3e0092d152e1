"""The movements and reads of keys that are bound to a user or to wallets."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from tests.http.asked import changed, held, leg, movement, step, transaction, transfer, with_lot
from tests.http.client import GOLD_REVENUE, GOLD_TREASURY, Api, code_of, fields_of, new_reference
from tests.http.keyed import READ_AND_SPEND, Foreign, Person, foreign, keyed, leaks, person, told

pytestmark = pytest.mark.asyncio(loop_scope="module")

Asked = Callable[[Person, Foreign], tuple[str, Any]]

READS: Mapping[str, Asked] = {
    "a wallet": lambda me, it: (f"/wallets/{it.wallet}", None),
    "a balance": lambda me, it: (f"/wallets/{it.wallet}/balance", None),
    "a balance as strings": lambda me, it: (f"/wallets/{it.wallet}/balance?amounts=string", None),
    "a balance at an instant": lambda me, it: (f"/wallets/{it.wallet}/balance?at=2020-01-01T00:00:00Z", None),
    "a balance in the future": lambda me, it: (f"/wallets/{it.wallet}/balance?at=2099-01-01T00:00:00Z", None),
    "a balance on the other axis": lambda me, it: (f"/wallets/{it.wallet}/balance?axis=effective", None),
    "entries": lambda me, it: (f"/wallets/{it.wallet}/entries", None),
    "entries, one": lambda me, it: (f"/wallets/{it.wallet}/entries?limit=1", None),
    "holds": lambda me, it: (f"/wallets/{it.wallet}/holds", None),
    "open holds": lambda me, it: (f"/wallets/{it.wallet}/holds?status=open", None),
    "lots": lambda me, it: (f"/wallets/{it.wallet}/lots", None),
    "a statement": lambda me, it: (f"/wallets/{it.wallet}/statement", None),
    "a statement of the future": lambda me, it: (f"/wallets/{it.wallet}/statement?from=2099-01-01T00:00:00Z", None),
    "a statement as CSV": lambda me, it: (f"/wallets/{it.wallet}/statement?format=csv", None),
    "transactions of a wallet": lambda me, it: (f"/transactions?wallet_id={it.wallet}", None),
    "transactions of a wallet by type": lambda me, it: (f"/transactions?wallet_id={it.wallet}&type=topup", None),
    "a hold": lambda me, it: (f"/holds/{it.hold}", None),
    "a transaction": lambda me, it: (f"/transactions/{it.transaction}", None),
    "a receipt": lambda me, it: (f"/transactions/{it.transaction}/receipt", None),
    "a user": lambda me, it: (f"/users/{it.user}", None),
    "wallets of a user": lambda me, it: (f"/users/{it.user}/wallets", None),
}

WRITES: Mapping[str, Asked] = {
    "a spend": lambda me, it: (f"/wallets/{it.wallet}/spend", movement()),
    "a spend of far too much": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(10**12)),
    "a spend in another asset": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(asset_code="DIAMOND")),
    "a spend in no asset": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(asset_code="NOSUCH")),
    "a spend of all": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(amount_mode="up_to")),
    "a dry spend": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(dry_run=True)),
    "a spend to oneself": lambda me, it: (f"/wallets/{it.wallet}/spend", movement(target_wallet_id=me.wallet)),
    "a spend with a condition": lambda me, it: (
        f"/wallets/{it.wallet}/spend",
        movement(conditions=[{"wallet_id": it.wallet, "expected_version": 3}]),
    ),
    "a transfer from": lambda me, it: ("/transfers", transfer(it.wallet, me.wallet)),
    "a transfer from and to": lambda me, it: ("/transfers", transfer(it.wallet, it.wallet)),
    "a dry transfer from": lambda me, it: ("/transfers", transfer(it.wallet, me.wallet, dry_run=True)),
    "a transfer to, on condition": lambda me, it: (
        "/transfers",
        transfer(me.wallet, it.wallet, conditions=[{"wallet_id": it.wallet, "expected_version": 3}]),
    ),
    "a dry transfer to, on condition": lambda me, it: (
        "/transfers",
        transfer(me.wallet, it.wallet, dry_run=True, conditions=[{"wallet_id": it.wallet, "max_balance": 5000}]),
    ),
    "a hold": lambda me, it: ("/holds", movement(wallet_id=it.wallet)),
    "a general transaction": lambda me, it: (
        "/transactions",
        transaction(leg(me.wallet, "debit", 1), leg(it.wallet, "debit", 1), leg(me.second, "credit", 2)),
    ),
    "one out of balance": lambda me, it: (
        "/transactions",
        transaction(leg(it.wallet, "debit", 1), leg(me.second, "credit", 2)),
    ),
    "one with a leg twice": lambda me, it: (
        "/transactions",
        transaction(leg(it.wallet, "debit", 1), leg(it.wallet, "credit", 1)),
    ),
    "a capture": lambda me, it: (f"/holds/{it.hold}/capture", step()),
    "a capture of too much": lambda me, it: (f"/holds/{it.hold}/capture", step(amount=99)),
    "a dry capture": lambda me, it: (f"/holds/{it.hold}/capture", step(dry_run=True)),
    "a void": lambda me, it: (f"/holds/{it.hold}/void", step()),
    "an increase": lambda me, it: (f"/holds/{it.hold}/increase", step(amount=1)),
    "an extension": lambda me, it: (f"/holds/{it.hold}/extend", step(expires_in_seconds=9)),
    "an atomic batch": lambda me, it: (
        "/batches",
        {
            "mode": "atomic",
            "items": [
                {"op": "spend", "wallet_id": me.wallet, **movement()},
                {"op": "spend", "wallet_id": it.wallet, **movement()},
            ],
        },
    ),
    "a dry atomic batch": lambda me, it: (
        "/batches",
        {"mode": "atomic", "dry_run": True, "items": [{"op": "void", "hold_id": it.hold, **step()}]},
    ),
    "an independent batch": lambda me, it: (
        "/batches",
        {
            "mode": "independent",
            "items": [
                {"op": "transfer", **transfer(it.wallet, me.wallet)},
                {"op": "capture", "hold_id": it.hold, **step()},
                {"op": "hold", **movement(wallet_id=it.wallet, dry_run=True)},
            ],
        },
    ),
}


def nothing() -> Foreign:
    """Ids that nothing has."""
    return Foreign(wallet=str(uuid4()), user=str(uuid4()), hold=str(uuid4()), transaction=str(uuid4()))


async def sent(client: Api, path: str, body: Any) -> Any:
    return await (client.get(path) if body is None else client.post(path, body))


class TestWhatIsNotOnesOwn:
    """It is answered in the same way as what does not exist."""

    @pytest.mark.parametrize("name", READS)
    async def test_a_read(self, api: Api, name: str) -> None:
        await self.check(api, READS[name])

    @pytest.mark.parametrize("name", WRITES)
    async def test_a_write(self, api: Api, name: str) -> None:
        await self.check(api, WRITES[name])

    async def check(self, api: Api, asked: Asked) -> None:
        me, theirs, no = await person(api), await foreign(api), nothing()
        answers = []
        for it in (theirs, no):
            path, body = asked(me, it)
            reference = [body["reference_id"]] if body and "reference_id" in body else []
            references = [each["reference_id"] for each in (body or {}).get("items", ())]
            answer = await sent(me.client, path, body)
            answers.append(told(answer, it.wallet, it.user, it.hold, it.transaction, *reference, *references))
        assert answers[0] == answers[1]
        status, text, _ = answers[0]
        assert "not_found" in text
        assert status == 404 or "items" in text
        assert await api.balance(theirs.wallet) == 995
        assert await api.balance(me.wallet) == 1000

    async def test_it_says_what_everybody_is_told_of_what_is_not_there(self, api: Api) -> None:
        """The same words as to an unbound key that names nothing."""
        me, theirs, no = await person(api), await foreign(api), nothing()
        for name, asked in {**READS, **WRITES}.items():
            if name in ("a spend in no asset", "a transfer from and to", "one with a leg twice"):
                continue  # where more than one thing is wrong, the ledger looks at others first
            (path, body), (no_path, no_body) = asked(me, theirs), asked(me, no)
            mine, anybodys = await sent(me.client, path, body), await sent(api, no_path, no_body)
            if mine.status_code == 404:
                ids = (theirs.wallet, theirs.user, theirs.hold, theirs.transaction)
                no_ids = (no.wallet, no.user, no.hold, no.transaction)
                assert told(mine, *ids)[:2] == told(anybodys, *no_ids)[:2], name

    async def test_a_wallet_that_nobody_owns_is_nobodys(self, api: Api) -> None:
        me, wallet = await person(api), await api.wallet(10)
        assert code_of(await me.client.get(f"/wallets/{wallet}")) == (404, "wallet_not_found")

    @pytest.mark.parametrize("wallet", [GOLD_TREASURY, GOLD_REVENUE])
    async def test_a_system_wallet_is_not_there(self, api: Api, wallet: str) -> None:
        me = await person(api)
        for path, body in (
            (f"/wallets/{wallet}", None),
            (f"/wallets/{wallet}/balance", None),
            ("/transactions", transaction(leg(wallet, "debit", 1), leg(me.wallet, "credit", 1))),
        ):
            assert code_of(await sent(me.client, path, body)) == (404, "wallet_not_found")

    async def test_a_key_bound_to_a_system_wallet_sees_nothing_of_it(self, api: Api) -> None:
        client = await keyed(api, *READ_AND_SPEND, wallet_ids=[GOLD_REVENUE])
        assert code_of(await client.get(f"/wallets/{GOLD_REVENUE}/balance")) == (404, "wallet_not_found")
        assert code_of(await client.post(f"/wallets/{GOLD_REVENUE}/spend", movement())) == (404, "wallet_not_found")
        assert (await client.json("/ledger-entries"))["data"] == []


class TestOrder:
    async def test_a_scope_comes_before_the_body(self, api: Api) -> None:
        me = await person(api)
        assert code_of(await me.client.post(f"/wallets/{uuid4()}/topup", {})) == (403, "forbidden")

    async def test_the_body_comes_before_the_binding(self, api: Api) -> None:
        me, it = await person(api), await foreign(api)
        answer = await me.client.post(f"/wallets/{it.wallet}/spend", {"amount": 0})
        assert code_of(answer) == (400, "invalid_request")
        assert (await me.client.get(f"/wallets/{it.wallet}/entries?limit=x")).status_code == 400

    async def test_what_the_body_needs_comes_before_the_binding(self, api: Api) -> None:
        me, it = await person(api), await foreign(api)
        body = movement(effective_at="2020-01-01T00:00:00Z")
        answer = await me.client.post(f"/wallets/{it.wallet}/spend", body)
        assert code_of(answer) == (403, "forbidden")
        assert "issue" in answer.json()["detail"]

    async def test_the_binding_comes_before_the_ledger(self, api: Api) -> None:
        me, it = await person(api), await foreign(api)
        await changed(api, it.wallet, freeze_outgoing=True)
        assert code_of(await me.client.post(f"/wallets/{it.wallet}/spend", movement())) == (404, "wallet_not_found")


class TestMasks:
    async def test_a_transfer_shows_its_own_side(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        answer = await me.client.made("/transfers", transfer(me.wallet, other.wallet, 5, metadata={"for": "tea"}))
        debit, credit = answer["entries"]
        assert (debit["balance_after"], debit["version"]) == (995, 2)
        assert (credit["wallet_id"], credit["amount"]) == (other.wallet, 5)
        assert (credit["balance_after"], credit["version"]) == (None, None)
        assert answer["metadata"] == {"for": "tea"}
        assert answer["drawn"]["main"] == 5

    async def test_everywhere_the_same(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        body = transfer(me.wallet, other.wallet, 5)
        first = await me.client.post("/transfers", body)
        again = await me.client.post("/transfers", body)
        assert (again.status_code, again.content) == (200, first.content)
        shown = first.json()
        read = await me.client.json(f"/transactions/{shown['id']}")
        assert read == {**shown, "refunds": [], "refundable": 5}
        assert (await me.client.json("/transactions"))["data"][0] == shown
        assert (await me.client.json(f"/transactions?wallet_id={me.wallet}"))["data"][0] == shown
        assert (await me.client.json(f"/transactions?reference_id={shown['reference_id']}"))["data"] == [shown]
        batch = {"mode": "independent", "items": [{"op": "transfer", **body}]}
        assert (await me.client.post("/batches", batch)).json()["items"][0]["body"] == shown
        atomic = {"mode": "atomic", "items": [{"op": "transfer", **body}]}
        assert (await me.client.post("/batches", atomic)).json()["items"][0]["body"] == shown

    async def test_the_other_side_sees_its_own(self, api: Api) -> None:
        """The receiver of a payment is not told which lots it came from, nor how much the other had."""
        me = await person(api)
        lots = await with_lot(api, 50)
        paid = await api.made("/transfers", transfer(lots, me.wallet, 80, amount_mode="up_to"))
        assert paid["drawn"]["lots"]
        assert paid["requested_amount"] == 80
        seen = await me.client.json(f"/transactions/{paid['id']}")
        assert "drawn" not in seen
        assert "requested_amount" not in seen
        assert [each["balance_after"] for each in seen["entries"]] == [None, 1050]

    async def test_a_hold_is_its_owners(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        hold = await held(me.client, me.wallet, 30, target_wallet_id=other.wallet)
        captured = await me.client.made(f"/holds/{hold['id']}/capture", step(amount=10))
        assert captured["hold"]["remaining"] == 20
        assert captured["entries"][1]["balance_after"] is None
        seen = await other.client.json(f"/transactions/{captured['id']}")
        assert seen["hold_id"] == hold["id"]
        assert "hold" not in seen
        assert code_of(await other.client.get(f"/holds/{hold['id']}")) == (404, "hold_not_found")
        assert (await other.client.json(f"/wallets/{other.wallet}/holds"))["data"] == []

    async def test_lots_opened_elsewhere_are_not_named(self, api: Api) -> None:
        me, other = await person(api), await api.wallet()
        terms = {"category": "promotional"}
        body = movement(9, funding_wallet_id=me.wallet, lot=terms)
        bonus = await api.made(f"/wallets/{other}/bonus", body)
        assert bonus["lot_ids"]
        seen = await me.client.json(f"/transactions/{bonus['id']}")
        assert "lot_ids" not in seen
        assert seen["entries"][0]["balance_after"] == 991

    async def test_lots_joined_elsewhere_are_not_named(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        await api.made(f"/wallets/{me.wallet}/topup", movement(9, lot={"category": "promotional"}))
        for names in ("lot_ids", "joined_lot_ids"):
            paid = await me.client.made("/transfers", transfer(me.wallet, other.wallet, 2))
            assert names not in paid
            assert (await other.client.json(f"/transactions/{paid['id']}"))[names]

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"max_balance": 1002}, "max_balance_exceeded"),
            ({"freeze_incoming": True}, "wallet_frozen"),
        ],
    )
    async def test_a_refusal_for_another_says_no_more_than_that(
        self, api: Api, change: dict[str, Any], code: str
    ) -> None:
        me, other = await person(api), await person(api)
        await changed(api, other.wallet, **change)
        body = transfer(me.wallet, other.wallet, 5)
        problem = (await me.client.post("/transfers", body)).json()
        assert problem["code"] == code
        assert problem["wallet_id"] == other.wallet
        assert problem.keys() == {
            "type",
            "title",
            "status",
            "detail",
            "code",
            "request_id",
            "applied",
            "retry",
            "wallet_id",
        }
        assert "1002" not in problem["detail"]
        batch = {"mode": "atomic", "items": [{"op": "transfer", **body}]}
        refused = (await me.client.post("/batches", batch)).json()
        assert "1002" not in str(refused)
        (decline,) = (await me.client.json(f"/declines?reference_id={body['reference_id']}"))["data"][:1]
        assert (decline["code"], decline["available"], decline["required"]) == (code, None, None)

    async def test_where_another_wallet_went_is_not_told(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        await api.made(f"/wallets/{other.wallet}/merge-into/{other.second}", step())
        answer = await me.client.post("/transfers", transfer(me.wallet, other.wallet, 5))
        assert code_of(answer) == (409, "wallet_merged")
        assert other.second not in answer.text

    async def test_its_own_refusals_are_told_whole(self, api: Api) -> None:
        me = await person(api)
        problem = (await me.client.post(f"/wallets/{me.wallet}/spend", movement(5000))).json()
        assert (problem["code"], problem["available"], problem["required"]) == ("insufficient_funds", 1000, 5000)

    async def test_assets_have_no_totals(self, api: Api) -> None:
        me = await person(api)
        for asset in ((await me.client.json("/assets"))["data"][0], await me.client.json("/assets/1")):
            assert {asset[name] for name in ("issued", "revenue", "breakage", "circulating")} == {None}
        assert (await api.json("/assets/1"))["issued"] > 0

    async def test_refunds_that_went_elsewhere_are_not_listed(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        spent = await me.client.made(f"/wallets/{me.wallet}/spend", movement(10))
        first = await api.made(f"/transactions/{spent['id']}/refund", step(amount=1))
        await api.made(f"/wallets/{me.wallet}/merge-into/{other.wallet}", step())
        second = await api.made(f"/transactions/{spent['id']}/refund", step(amount=2))
        seen = await me.client.json(f"/transactions/{spent['id']}")
        assert [each["id"] for each in seen["refunds"]] == [first["id"]]
        assert seen["refundable"] == 7
        assert code_of(await me.client.get(f"/transactions/{second['id']}")) == (404, "transaction_not_found")


class TestOrigins:
    async def test_two_users_do_not_stand_in_each_others_way(self, api: Api) -> None:
        me, other, reference = await person(api), await person(api), new_reference()
        body = movement() | {"reference_id": reference}
        mine = await me.client.post(f"/wallets/{me.wallet}/spend", body)
        theirs = await other.client.post(f"/wallets/{other.wallet}/spend", body)
        anybodys = await api.post(f"/wallets/{other.wallet}/spend", body)
        assert [each.status_code for each in (mine, theirs, anybodys)] == [201, 201, 201]
        assert len({each.json()["id"] for each in (mine, theirs, anybodys)}) == 3
        found = (await me.client.json(f"/transactions?reference_id={reference}"))["data"]
        assert [each["id"] for each in found] == [mine.json()["id"]]
        assert len((await api.json(f"/transactions?reference_id={reference}"))["data"]) == 3

    async def test_a_reference_of_the_back_ends_is_free(self, api: Api) -> None:
        me, reference = await person(api), new_reference()
        body = movement() | {"reference_id": reference}
        await api.made(f"/wallets/{me.wallet}/spend", body)
        assert (await me.client.post(f"/wallets/{me.wallet}/spend", body)).status_code == 201
        reused = await me.client.post(f"/wallets/{me.wallet}/spend", {**body, "amount": 6})
        assert code_of(reused) == (422, "reference_reused")

    async def test_a_batch_has_its_callers_origin(self, api: Api) -> None:
        me, body = await person(api), movement()
        await me.client.made(f"/wallets/{me.wallet}/spend", body)
        item = {"op": "spend", "wallet_id": me.wallet, **body}
        for mode in ("atomic", "independent"):
            answer = await me.client.post("/batches", {"mode": mode, "items": [item]})
            assert answer.json()["items"][0]["replayed"] is True
        assert await api.balance(me.wallet) == 995

    @pytest.mark.parametrize("bound_to", ["user_id", "wallet_ids"])
    async def test_a_rotated_key_replays_what_the_one_before_did(self, api: Api, bound_to: str) -> None:
        me = await person(api)
        binding: dict[str, Any] = {bound_to: me.id if bound_to == "user_id" else [me.wallet]}
        old = await keyed(api, *READ_AND_SPEND, **binding)
        body = movement()
        first = await old.post(f"/wallets/{me.wallet}/spend", body)
        new = await keyed(api, replaces=old.key_id)  # type: ignore[attr-defined]
        again = await new.post(f"/wallets/{me.wallet}/spend", body)
        assert (again.status_code, again.content) == (200, first.content)

    async def test_keys_bound_to_wallets_have_references_of_their_own(self, api: Api) -> None:
        me, body = await person(api), movement()
        clients = [await keyed(api, *READ_AND_SPEND, wallet_ids=[me.wallet]) for _ in range(2)]
        answers = [await each.post(f"/wallets/{me.wallet}/spend", body) for each in (*clients, me.client)]
        assert [each.status_code for each in answers] == [201, 201, 201]

    async def test_an_unbound_key_refunds_what_a_bound_one_moved(self, api: Api) -> None:
        me = await person(api)
        spent = await me.client.made(f"/wallets/{me.wallet}/spend", movement(10))
        refund = await api.made(f"/transactions/{spent['id']}/refund", step())
        assert (await me.client.json(f"/transactions/{spent['id']}"))["refundable"] == 0
        assert (await me.client.json(f"/transactions/{refund['id']}"))["refund_of"] == spent["id"]

    async def test_what_was_done_is_told_again_although_the_hold_is_out_of_reach_by_now(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        hold = await held(me.client, me.wallet, 30)
        body = step(amount=10)
        first = await me.client.post(f"/holds/{hold['id']}/capture", body)
        await api.made(f"/wallets/{me.wallet}/merge-into/{other.wallet}", step())
        again = await me.client.post(f"/holds/{hold['id']}/capture", body)
        assert (again.status_code, again.json()) == (200, first.json())
        fresh = await me.client.post(f"/holds/{hold['id']}/capture", step(amount=1))
        assert code_of(fresh) == (404, "hold_not_found")
        reused = await me.client.post(f"/holds/{hold['id']}/capture", {**body, "amount": 2})
        assert code_of(reused) == (422, "reference_reused")


class TestBindings:
    async def test_a_key_bound_to_wallets_sees_these_alone(self, api: Api) -> None:
        me = await person(api)
        client = await keyed(api, *READ_AND_SPEND, wallet_ids=[me.wallet])
        assert (await client.json(f"/wallets/{me.wallet}"))["user_id"] == me.id
        assert code_of(await client.get(f"/wallets/{me.second}")) == (404, "wallet_not_found")
        assert code_of(await client.get(f"/users/{me.id}")) == (404, "user_not_found")
        assert (await client.json("/users"))["data"] == []
        assert [each["id"] for each in (await client.json("/wallets"))["data"]] == [me.wallet]
        moved = await client.made("/transfers", transfer(me.wallet, me.second, 5))
        assert [each["balance_after"] for each in moved["entries"]] == [995, None]

    async def test_a_user_owns_what_is_made_later(self, api: Api) -> None:
        me, wallet = await person(api), str(uuid4())
        assert code_of(await me.client.get(f"/wallets/{wallet}/balance")) == (404, "wallet_not_found")
        await api.made("/wallets", {"id": wallet, "asset_code": "GOLD", "user_id": me.id})
        assert (await me.client.json(f"/wallets/{wallet}/balance"))["balance"] == 0

    async def test_a_merged_wallet_leads_to_nothing_that_is_not_ones_own(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        await api.made(f"/wallets/{me.wallet}/merge-into/{other.wallet}", step())
        assert (await me.client.json(f"/wallets/{me.wallet}/balance"))["merged_into"] == other.wallet
        assert code_of(await me.client.get(f"/wallets/{other.wallet}")) == (404, "wallet_not_found")
        answer = await me.client.post(f"/wallets/{me.wallet}/spend", movement())
        assert code_of(answer) == (409, "wallet_merged")

    async def test_attachments_are_shown_of_ones_own_wallets(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        terms = {"asset_code": "GOLD", "amount": 5, "per": "day", "category": "promotional", "priority": 50}
        programme = (await api.made("/programmes", terms))["id"]
        for wallet in (me.wallet, other.wallet):
            await api.made(f"/programmes/{programme}/wallets/{wallet}", {})
        assert (await me.client.json(f"/programmes/{programme}"))["amount"] == 5
        shown = (await me.client.json(f"/programmes/{programme}/wallets"))["data"]
        assert [each["wallet_id"] for each in shown] == [me.wallet]
        await me.client.json(f"/programmes/{programme}/wallets/{me.wallet}")
        answer = await me.client.get(f"/programmes/{programme}/wallets/{other.wallet}")
        nobodys = await me.client.get(f"/programmes/{programme}/wallets/{(no := str(uuid4()))}")
        assert told(answer, other.wallet) == told(nobodys, no)
        assert code_of(answer) == (404, "programme_not_found")


class TestLists:
    async def test_transactions_are_those_of_ones_own_wallets_each_once(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        ids = [(await me.client.json("/transactions"))["data"][0]["id"]]
        for amount in range(1, 4):
            ids.append((await me.client.made("/transfers", transfer(me.wallet, me.second, amount)))["id"])
            ids.append((await me.client.made("/transfers", transfer(me.second, other.wallet, amount)))["id"])
            await other.client.made("/transfers", transfer(other.wallet, other.second, amount))
        hold = await held(me.client, me.wallet, 30, target_wallet_id=me.second)
        ids.append(hold["id"])
        ids.append((await me.client.made(f"/holds/{hold['id']}/capture", step(amount=10)))["id"])
        await me.client.post(f"/holds/{hold['id']}/void", step())
        everything = (await me.client.json("/transactions?limit=200"))["data"]
        assert len(everything) == len({each["id"] for each in everything}) == len(ids) + 1
        assert [each["id"] for each in everything[1:]] == ids[::-1]
        assert not list(leaks(everything, me.own))
        assert await pages(me.client, "/transactions?limit=2") == everything
        assert (await me.client.json("/transactions?limit=2&offset=3"))["data"] == everything[3:5]
        assert (await me.client.json("/transactions?offset=99"))["data"] == []

    async def test_transactions_by_filters(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        name = new_reference()
        for who in (me, other):
            for number in (1, 2):
                body = movement(number, metadata={"order": name}) | {"reference_id": f"{name}-{number}"}
                await who.client.made(f"/wallets/{who.wallet}/spend", body)
        mine = (await me.client.json(f"/transactions?wallet_id={me.wallet}&type=spend"))["data"]
        assert len(mine) == 2
        for query in ("type=spend", f"metadata.order={name}", f"reference_prefix={name}"):
            assert (await me.client.json(f"/transactions?{query}"))["data"] == mine, query
            assert await pages(me.client, f"/transactions?{query}&limit=1") == mine, query
        found = (await me.client.json(f"/transactions?reference_id={name}-1"))["data"]
        assert found == mine[1:]
        at = mine[0]["created_at"]
        assert (await me.client.json(f"/transactions?from={at}"))["data"] == mine[:1]
        assert (await me.client.json(f"/transactions?type=spend&to={at}"))["data"] == mine[1:]
        assert (await me.client.json("/transactions?type=refund"))["data"] == []
        refused = await me.client.get(f"/transactions?reference_id=x&wallet_id={me.wallet}")
        assert fields_of(refused) == ["wallet_id"]

    async def test_many_lines_of_one_instant_are_paged_through(self, api: Api) -> None:
        """A batch is decided at one time, over several wallets at once."""
        me = await person(api)
        items = [{"op": "transfer", **transfer(*(me.own if n % 3 < 2 else me.own[::-1]), 1 + n % 2)} for n in range(20)]
        answer = await me.client.post("/batches", {"mode": "atomic", "items": items})
        ids = {each["body"]["id"] for each in answer.json()["items"]}
        everything = await pages(me.client, "/transactions?limit=3")
        assert len(everything) == 21
        assert ids < {each["id"] for each in everything}
        lines = await pages(me.client, "/ledger-entries?limit=3")
        assert len(lines) == len({(each["transaction_id"], each["leg"]) for each in lines}) == 41

    async def test_entries_are_those_of_ones_own_wallets(self, api: Api) -> None:
        me, other = await person(api), await person(api)
        await me.client.made("/transfers", transfer(me.wallet, other.wallet, 5))
        await other.client.made("/transfers", transfer(other.wallet, other.second, 5))
        await me.client.made("/transfers", transfer(me.wallet, me.second, 5))
        entries = (await me.client.json("/ledger-entries"))["data"]
        assert {each["wallet_id"] for each in entries} == set(me.own)
        of_first = (await me.client.json(f"/wallets/{me.wallet}/entries"))["data"]
        assert [each for each in entries if each["wallet_id"] == me.wallet] == of_first
        assert await pages(me.client, "/ledger-entries?limit=1") == entries
        assert (await me.client.json("/ledger-entries?limit=1&offset=2"))["data"] == entries[2:3]

    async def test_wallets_and_users(self, api: Api) -> None:
        me, _ = await person(api), await person(api)
        await changed(api, me.second, label="savings", metadata={"kind": "s"})
        both = sorted(me.own, reverse=True)
        for query, expected in (
            ("", both),
            (f"user_id={me.id}", both),
            (f"user_id={uuid4()}", []),
            ("label=savings", [me.second]),
            ("metadata.kind=s", [me.second]),
            ("metadata.kind=t", []),
        ):
            assert [each["id"] for each in (await me.client.json(f"/wallets?{query}"))["data"]] == expected, query
        assert [each["id"] for each in await pages(me.client, "/wallets?limit=1")] == both
        for query, users in (("", [me.id]), ("name=somebody", [me.id]), ("name=nobody", []), ("metadata.a=b", [])):
            assert [each["id"] for each in (await me.client.json(f"/users?{query}"))["data"]] == users, query
        assert (await me.client.json("/users?limit=1"))["next"] is None
        assert len((await me.client.json(f"/users/{me.id}/wallets"))["data"]) == 2

    async def test_declines_are_of_ones_own_requests(self, api: Api) -> None:
        me, other, reference = await person(api), await person(api), new_reference()
        body = movement(5000) | {"reference_id": reference}
        for client in (me.client, other.client, api):
            wallet = other.wallet if client is other.client else me.wallet
            assert (await client.post(f"/wallets/{wallet}/spend", body)).status_code == 422
        (decline,) = (await me.client.json(f"/declines?reference_id={reference}"))["data"]
        assert (decline["wallet_id"], decline["available"]) == (me.wallet, 1000)
        assert len((await api.json(f"/declines?reference_id={reference}"))["data"]) == 3

    @pytest.mark.parametrize("path", ["/transactions", "/ledger-entries", "/wallets"])
    async def test_a_cursor_of_another_shows_no_more(self, api: Api, path: str) -> None:
        me, other = await person(api), await person(api)
        for client in (api, other.client):
            cursor = (await client.json(f"{path}?limit=1"))["next"]
            answer = await me.client.get(f"{path}?cursor={cursor}")
            if answer.status_code == 200:
                shown = answer.json()["data"]
                assert not list(leaks(shown, me.own))
                mine = await pages(me.client, path)
                assert all(each in mine for each in shown)
            else:
                assert fields_of(answer) == ["cursor"]


async def pages(client: Api, path: str) -> list[Any]:
    """All rows of a list, page by page."""
    rows: list[Any] = []
    following = ""
    while True:
        page = await client.json(f"{path}{following}")
        rows += page["data"]
        if not page["has_more"]:
            return rows
        following = f"{'&' if '?' in path else '?'}cursor={page['next']}"
