"""`wallet verify` against holds, lots, refunds, wallet events and programmes: each wrong row is named."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.mixed_traffic import MixedTraffic
from tests.storage.posting import commit_all, make_asset, make_wallets, topup, writer_of
from tests.storage.verify.handmade import handmade_ledger
from tests.storage.verify.tampering import TAMPERINGS, Tampering
from tests.storage.verify.tampering_claims import CLAIMS
from tests.storage.verify.tampering_history import HISTORY, WALLETS
from tests.storage.verify.tampering_holdings import HOLDS, LOTS
from tests.storage.verify.tampering_refunds import PROGRAMMES, REFUNDS, UNREADABLE
from wallet.ledger.model import LotCategory
from wallet.ledger.requests import Capture, Increase, LotTerms, Options, PlaceHold, Settle
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.verify.ledger import FILES, SESSION, VerifyReport, verify, verify_seen

TAMPERINGS_OF_MOVEMENTS = [*HISTORY, *WALLETS, *HOLDS, *CLAIMS, *LOTS, *REFUNDS, *PROGRAMMES, *UNREADABLE]


@pytest.fixture(scope="module")
def ledger_url(postgres: Server) -> Iterator[str]:
    """A database with the ledger in it and every trigger off. Nobody changes it."""

    async def write() -> None:
        connection = await asyncpg.connect(dsn)
        await handmade_ledger().write(connection)
        await connection.close()

    with postgres.database() as dsn:
        asyncio.run(write())
        yield dsn


async def verified(dsn: str, *, rows_max: int) -> VerifyReport:
    return await verify(dsn, on_progress=lambda progress: None, rows_max=rows_max)


async def verified_after(dsn: str, sql: str) -> VerifyReport:
    """The finding in a database where somebody has tampered, which is undone again."""
    connection = await asyncpg.connect(dsn, server_settings=dict(SESSION))
    try:
        await connection.execute("BEGIN")
        await connection.execute(sql)
        return await verify_seen(connection, on_progress=lambda progress: None, rows_max=20)
    finally:
        await connection.close()


# A ledger written by hand


@pytest.mark.parametrize("rows_max", [1, 2, 3, 7, 50_000])
async def test_a_ledger_written_by_hand_is_sound(ledger_url: str, rows_max: int) -> None:
    assert (await verified(ledger_url, rows_max=rows_max)).findings == ()


async def test_it_is_sound_on_each_version(each_database_url: str) -> None:
    connection = await asyncpg.connect(each_database_url)
    await handmade_ledger().write(connection)
    await connection.close()
    assert (await verified(each_database_url, rows_max=4)).findings == ()


# Tampering


@pytest.mark.parametrize("tampering", TAMPERINGS_OF_MOVEMENTS, ids=[each.name for each in TAMPERINGS_OF_MOVEMENTS])
async def test_tampering_is_found_and_named(ledger_url: str, tampering: Tampering) -> None:
    findings = {each.check: each for each in (await verified_after(ledger_url, tampering.sql)).findings}
    assert tampering.check in findings, findings
    finding = findings[tampering.check]
    assert finding.law == tampering.law
    assert tampering.where in finding.where
    assert finding.expected != finding.found


def test_every_check_is_tampered_with() -> None:
    sql = "".join(statement for file in FILES for statement in load_statements(file).values())
    checks = set(re.findall(r"SELECT [1-7](?: AS law)?, '(\w+)'", sql))
    assert len(checks) > 80
    tampered = {each.check for each in (*TAMPERINGS, *TAMPERINGS_OF_MOVEMENTS)}
    assert checks == {check for check in tampered if not check.endswith("_can_be_read")}


# A ledger made by the service


@pytest.mark.parametrize("seed", range(3))
async def test_a_ledger_made_by_traffic_of_every_kind_is_sound(
    database_url: str, connection: asyncpg.Connection, seed: int
) -> None:
    traffic = MixedTraffic(database_url, connection, seed)
    await traffic.begin()
    await traffic.run(110)
    assert (await verified(database_url, rows_max=40)).findings == ()
    happened = {name.removesuffix(" applied") for name in traffic.outcomes if name.endswith(" applied")}
    assert {"topup", "spend", "transfer", "hold", "capture", "refund", "grant", "merge", "change"} <= happened
    assert {"claim_place", "claim_redeem", "claim_cancel"} <= happened
    for table in ("hold_steps", "lot_moves", "wallet_events", "refund_states", "backdated_entries"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") > 5, table
    assert await connection.fetchval("SELECT count(*) FROM transactions WHERE type = 'expiry'") > 5
    carried = await connection.fetch("SELECT DISTINCT t.type FROM lots JOIN transactions AS t ON t.id = opened_by")
    assert {"transfer", "spend"} <= {row["type"] for row in carried}


async def test_a_hold_that_has_one_lot_in_two_slices_is_captured_from_both(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    await connection.execute("UPDATE assets SET draw_order = 'main_first'")
    [wallet] = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(database_url)
    place = PlaceHold(**unique(), wallet_id=wallet, asset_code="GOLD", amount=2)
    await commit_all(
        writer,
        [topup(wallet, 20)._replace(options=Options(lot=LotTerms(LotCategory.PAID))), place],
        # Main credit comes first by now, and the rest of the increase out of the lot again.
        [topup(wallet, 1), Increase(**unique(), hold_id=place.id, amount=5)],
        [Capture(**unique(), hold_id=place.id)],
    )
    await writer.close()
    assert (await verified(database_url, rows_max=40)).findings == ()
    assert await connection.fetchval("SELECT remaining FROM lots") == 14


async def test_lots_that_went_along_with_a_late_capture_are_sound(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await make_asset(connection, "GOLD")
    source, target = await make_wallets(connection, "GOLD", 2)
    writer = writer_of(database_url)
    place = PlaceHold(
        **unique(), wallet_id=source, asset_code="GOLD", amount=5, target=target, expires_in_seconds=50,
        capture_at_expiry=True, carries_lots=True,
    )  # fmt: skip
    for terms in (LotTerms(LotCategory.PROMOTIONAL, expires_in_seconds=60), LotTerms(LotCategory.PROMOTIONAL, 60)):
        await commit_all(writer, [topup(source, 3)._replace(options=Options(lot=terms))])
    await commit_all(writer, [place])
    await connection.execute("UPDATE sandbox_clock SET advanced = advanced + interval '99 seconds'")
    await writer.commit([Settle(place.id, "service", "settle", target)])
    await writer.close()
    assert (await verified(database_url, rows_max=40)).findings == ()
    lots = await connection.fetch(
        "SELECT remaining, opened_at = (SELECT expires_at FROM holds) AS is_as_old_as_its_capture"
        "  FROM lots WHERE wallet_id = $1 ORDER BY remaining",
        target,
    )
    assert [tuple(row) for row in lots] == [(0, True), (2, True)]
    assert await connection.fetchval("SELECT count(*) FROM transactions WHERE type = 'expiry'") == 1


def unique() -> dict[str, Any]:
    """The part of a request that tells it from all others."""
    id_ = uuid4()
    return {"id": id_, "origin": "api", "reference_id": str(id_), "fingerprint": b"\x01" + id_.bytes}
