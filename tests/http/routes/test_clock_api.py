"""The sandbox's clock over HTTP, on the whole service: weeks of expiries and grants in a moment."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.http.client import Api, code_of, fields_of, new_reference, running_api
from tests.http.conftest import add_demo_data
from tests.postgres import Server
from wallet.bootstrap import make_service
from wallet.errors import SettingsInvalid
from wallet.service.due.sandbox_clock import ADVANCE_SECONDS_MAX
from wallet.settings import Settings
from wallet.storage.verify.ledger import verify

DAY = 24 * 3600


@pytest.fixture
def sandbox_url(postgres: Server) -> Iterator[str]:
    """A database with the demo data, for a test of its own: its clock goes on."""
    with postgres.database() as dsn:
        add_demo_data(dsn)
        yield dsn


@pytest_asyncio.fixture
async def sandbox(sandbox_url: str) -> AsyncIterator[Api]:
    async with running_api(sandbox_url, sandbox=True) as api:
        yield api
    report = await verify(sandbox_url, on_progress=lambda _: None)
    assert report.is_sound, report.findings


async def advance(api: Api, seconds: int) -> Any:
    answer = await api.post("/sandbox/clock", {"advance_seconds": seconds})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["remaining_seconds"] == 0
    return body


async def now(api: Api) -> datetime:
    return datetime.fromisoformat((await api.json("/sandbox/clock"))["now"])


def movement(amount: int, **fields: Any) -> dict[str, Any]:
    return {"reference_id": new_reference(), "amount": amount, "asset_code": "GOLD", **fields}


async def gold(api: Api) -> Any:
    return await api.json("/assets/1")


# The clock


async def test_without_a_sandbox_there_is_no_such_clock(sandbox_url: str) -> None:
    async with running_api(sandbox_url) as api:
        assert code_of(await api.get("/sandbox/clock")) == (404, "not_found")
        assert code_of(await api.post("/sandbox/clock", {"advance_seconds": 1})) == (404, "not_found")
        assert code_of(await api.send("POST", "/sandbox/clock", b"what")) == (404, "not_found")


async def test_the_clock_of_a_sandbox_is_real_until_it_is_advanced(sandbox: Api) -> None:
    clock = await sandbox.json("/sandbox/clock")
    assert clock["offset_seconds"] == 0
    assert abs(datetime.fromisoformat(clock["now"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_clock_goes_forward_by_what_is_asked_for(sandbox: Api) -> None:
    before = await now(sandbox)
    advanced = await advance(sandbox, 60 * DAY)
    assert timedelta(0) <= datetime.fromisoformat(advanced["now"]) - before - timedelta(days=60) < timedelta(minutes=1)
    assert await now(sandbox) > datetime.fromisoformat(advanced["now"])
    assert (await sandbox.get("/sandbox/clock")).headers["cache-control"] == "no-store"


async def test_what_is_posted_is_posted_at_the_ledgers_time(sandbox: Api) -> None:
    wallet = await sandbox.wallet()
    await advance(sandbox, 60 * DAY)
    before = await now(sandbox)
    posted = await sandbox.moved("topup", wallet, 5)
    assert before <= datetime.fromisoformat(posted["created_at"]) <= await now(sandbox)


@pytest.mark.parametrize(
    "body",
    [
        {"advance_seconds": 0}, {"advance_seconds": -1}, {"advance_seconds": ADVANCE_SECONDS_MAX + 1},
        {"advance_seconds": 1.5}, {"advance_seconds": "1"}, {},
    ],
)  # fmt: skip
async def test_the_clock_goes_forward_within_bounds(sandbox: Api, body: Any) -> None:
    answer = await sandbox.post("/sandbox/clock", body)
    assert answer.status_code == 400
    assert fields_of(answer) == ["advance_seconds"]
    assert (await sandbox.json("/sandbox/clock"))["offset_seconds"] == 0


async def test_a_database_that_was_advanced_is_served_by_a_sandbox_only(sandbox_url: str) -> None:
    async with running_api(sandbox_url, sandbox=True) as api:
        await advance(api, DAY)
    service = make_service(Settings(database_url=sandbox_url))
    with pytest.raises(SettingsInvalid, match="WALLET_SANDBOX"):
        await service.start()
    await service.close()
    async with running_api(sandbox_url, sandbox=True) as api:
        assert (await api.get("/readyz")).status_code == 200


async def test_a_sandbox_says_so_when_it_starts(sandbox_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_api(sandbox_url, sandbox=True):
        pass
    assert "SANDBOX" in caplog.text
    caplog.clear()
    async with running_api(sandbox_url):
        pass
    assert "SANDBOX" not in caplog.text


# Events on the way


async def test_credit_that_expires_after_sixty_days_is_gone_and_breakage_has_it(sandbox: Api) -> None:
    wallet = await sandbox.wallet(3)
    before = await gold(sandbox)
    terms = {"category": "paid", "expires_in_seconds": 60 * DAY}
    topup = await sandbox.made(f"/wallets/{wallet}/topup", movement(100, lot=terms))
    await sandbox.moved("spend", wallet, 30)
    await advance(sandbox, 59 * DAY)
    assert await sandbox.balance(wallet) == 73
    await advance(sandbox, DAY)
    assert await sandbox.balance(wallet) == 3
    after = await gold(sandbox)
    assert after["breakage"] - before["breakage"] == 70
    assert after["revenue"] - before["revenue"] == 30
    newest = (await sandbox.json(f"/wallets/{wallet}/entries"))["data"][0]
    expiry = await sandbox.json(f"/transactions/{newest['transaction_id']}")
    assert (expiry["type"], newest["direction"], newest["amount"]) == ("expiry", "debit", 70)
    expires_at = datetime.fromisoformat(topup["created_at"]) + timedelta(days=60)
    assert datetime.fromisoformat(expiry["effective_at"]) == expires_at
    [lot] = topup["lot_ids"]
    assert expiry["reference_id"] == f"lot:{lot}:expiry:1"


async def test_holds_end_on_the_way(sandbox: Api) -> None:
    wallet, shop = await sandbox.wallet(100), await sandbox.wallet()
    released = await sandbox.made("/holds", movement(40, wallet_id=wallet, expires_in_seconds=DAY))
    captured = await sandbox.made(
        "/holds",
        movement(50, wallet_id=wallet, target_wallet_id=shop, expires_in_seconds=2 * DAY, on_expiry="capture"),
    )
    await advance(sandbox, 3 * DAY)
    assert (await sandbox.json(f"/holds/{released['id']}"))["status"] == "expired"
    assert (await sandbox.json(f"/holds/{captured['id']}"))["status"] == "captured"
    assert (await sandbox.balance(wallet), await sandbox.balance(shop)) == (50, 50)


async def test_a_year_of_months_is_granted_on_the_way_and_expires(sandbox: Api) -> None:
    wallet = await sandbox.wallet()
    before = await gold(sandbox)
    programme = await sandbox.made(
        "/programmes", {"asset_code": "gold", "amount": 100, "per": "month", "expires_in_seconds": 20 * DAY}
    )
    attached = await sandbox.made(f"/programmes/{programme['id']}/wallets/{wallet}", None)
    await sandbox.moved("spend", wallet, 60)
    await advance(sandbox, 366 * DAY)
    anchor = datetime.fromisoformat(attached["anchor_at"])
    grants = await grants_of(sandbox, wallet)
    starts = [datetime.fromisoformat(grant["effective_at"]) for grant in grants]
    assert starts == [_months_after(anchor, number) for number in range(13)]
    assert await sandbox.balance(wallet) == 100
    after = await gold(sandbox)
    assert after["issued"] - before["issued"] == 1300
    assert after["breakage"] - before["breakage"] == 40 + 11 * 100


async def test_no_period_starts_after_the_end_of_a_programme(sandbox: Api) -> None:
    wallet, other = await sandbox.wallet(), await sandbox.wallet()
    ends_at = (await now(sandbox) + timedelta(days=2, hours=12)).isoformat()
    programme = await sandbox.made(
        "/programmes", {"asset_code": "gold", "amount": 10, "per": "day", "ends_at": ends_at}
    )
    attached = await sandbox.made(f"/programmes/{programme['id']}/wallets/{wallet}", None)
    assert attached["next_at"] is not None
    await advance(sandbox, 10 * DAY)
    assert await sandbox.balance(wallet) == 30
    assert (await sandbox.json(f"/programmes/{programme['id']}/wallets/{wallet}"))["next_at"] is None
    late = await sandbox.made(f"/programmes/{programme['id']}/wallets/{other}", None)
    assert (late["next_at"], await sandbox.balance(other)) == (None, 0)


async def test_a_programme_that_is_ended_is_granted_what_had_started(sandbox: Api) -> None:
    wallet = await sandbox.wallet()
    programme = await sandbox.made("/programmes", {"asset_code": "gold", "amount": 10, "per": "week"})
    await sandbox.made(f"/programmes/{programme['id']}/wallets/{wallet}", None)
    await advance(sandbox, 8 * DAY)
    await sandbox.send("POST", f"/programmes/{programme['id']}/end")
    await advance(sandbox, 30 * DAY)
    assert await sandbox.balance(wallet) == 20
    assert (await sandbox.json(f"/programmes/{programme['id']}/wallets/{wallet}"))["next_at"] is None


async def test_rollover_fills_up_and_a_period_without_room_is_skipped(sandbox: Api) -> None:
    wallet = await sandbox.wallet()
    programme = await sandbox.made("/programmes", {"asset_code": "gold", "amount": 10, "per": "day", "rollover_max": 5})
    await sandbox.made(f"/programmes/{programme['id']}/wallets/{wallet}", None)
    await advance(sandbox, DAY)
    assert await sandbox.balance(wallet) == 15
    await advance(sandbox, DAY)
    assert await sandbox.balance(wallet) == 15
    grants = await grants_of(sandbox, wallet, programme["id"])
    assert [len(grant["entries"]) for grant in grants] == [2, 2, 0]
    assert grants[2]["skipped"]
    await sandbox.moved("spend", wallet, 12)
    await advance(sandbox, DAY)
    assert await sandbox.balance(wallet) == 13


async def test_a_period_that_is_refused_is_skipped_and_not_tried_again(sandbox: Api) -> None:
    wallet = await sandbox.wallet()
    programme = await sandbox.made("/programmes", {"asset_code": "gold", "amount": 10, "per": "day"})
    await sandbox.made(f"/programmes/{programme['id']}/wallets/{wallet}", None)
    frozen = await sandbox.send("PATCH", f"/wallets/{wallet}", b'{"freeze_incoming": true}')
    assert frozen.status_code == 200, frozen.text
    await advance(sandbox, DAY)
    thawed = await sandbox.send("PATCH", f"/wallets/{wallet}", b'{"freeze_incoming": false}')
    assert thawed.status_code == 200, thawed.text
    assert await sandbox.balance(wallet) == 10
    await advance(sandbox, DAY)
    assert await sandbox.balance(wallet) == 20
    attached = await sandbox.json(f"/programmes/{programme['id']}/wallets/{wallet}")
    assert attached["next_period"] == 3


async def grants_of(api: Api, wallet: str, programme: str | None = None) -> list[Any]:
    """The grants of a wallet, the oldest first; those that moved nothing only if the programme is given."""
    if programme is None:
        entries = (await api.json(f"/wallets/{wallet}/entries?limit=200"))["data"]
        ids = dict.fromkeys(entry["transaction_id"] for entry in reversed(entries))
        found = [await api.json(f"/transactions/{id_}") for id_ in ids]
        return [each for each in found if each["type"] == "grant"]
    attached = await api.json(f"/programmes/{programme}/wallets/{wallet}")
    anchor = datetime.fromisoformat(attached["anchor_at"])
    grants = []
    for number in range(attached["next_period"]):
        start = (anchor + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        reference = f"grant:{programme}:{wallet}:{start}"
        grants += (await api.json(f"/transactions?reference_id={reference}"))["data"]
    return grants


def _months_after(anchor: datetime, months: int) -> datetime:
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    for day in (anchor.day, 30, 29, 28):
        try:
            return anchor.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    raise AssertionError("a month has at least 28 days")
