"""The wallets that take part, and the money they were given."""

import random
from dataclasses import dataclass, field
from typing import Any

import uvloop

from tests.bench import loadgen, traffic
from tests.bench.postgres import Database
from tests.bench.service import Service

ASSET = "gold"
_FUNDING = 1_000_000_000


@dataclass(slots=True)
class Totals:
    """The movements that the service has acknowledged, over all runs: only these may have moved money."""

    accepted: dict[str, int] = field(default_factory=dict)
    """Amount in minor units, by verb."""
    unknown: int = 0
    """Movements without a clear answer: the money check needs this to be zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallets:
    """The two designs that take part."""

    all: list[str]
    funded: list[str]
    """Those that can afford any number of spends and transfers."""
    treasury: str
    revenue: str


def set_up_wallets(service: Service, database: Database, totals: Totals, *, count: int, funded: int) -> Wallets:
    """An asset, `count` wallets and money in `funded` of them.

    One wallet is made by the service and copied in SQL, as a hundred thousand requests would prove nothing.
    No balance is written that way: money arrives by top-ups only.
    """
    service.call("/assets", {"code": ASSET.upper()})
    assets = service.call("/assets")
    asset = next(each for each in _listed(assets) if each["code"] == ASSET.upper())
    template = service.call("/wallets", {"label": "bench wallet", "asset_code": ASSET})
    columns = [
        row[0]
        for row in database.rows(
            "SELECT quote_ident(column_name) FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = 'wallets' AND column_name <> 'id'"
            " AND is_generated = 'NEVER' ORDER BY ordinal_position"
        )
    ]
    names = ", ".join(columns)
    database.execute(
        f"INSERT INTO wallets (id, {names}) SELECT gen_random_uuid(), {names} FROM wallets,"
        f" generate_series(1, {count - 1}) WHERE id = '{template['id']}'"
    )
    database.execute("VACUUM ANALYZE wallets")
    ids = [str(row[0]) for row in database.rows("SELECT id FROM wallets WHERE label = 'bench wallet'")]
    generator = random.Random(0)
    generator.shuffle(ids)
    wallets = Wallets(
        all=ids, funded=ids[:funded], treasury=asset["treasury_wallet_id"], revenue=asset["revenue_wallet_id"]
    )
    result = uvloop.run(
        loadgen.drive(
            service.port,
            # The references must not be those of an earlier run on the same database.
            traffic.fundings(wallets.funded, ASSET, _FUNDING, random.SystemRandom(), key=service.key),
            connections=64,
            accepted_status=201,
            requests_max=funded,
        )
    )
    if result.accepted != funded:
        raise RuntimeError(f"funding the wallets: {result.statuses}")
    totals.accepted["funding"] = funded * _FUNDING
    return wallets


def _listed(answer: Any) -> list[dict[str, Any]]:
    """The rows of a list answer, whether it is wrapped or bare."""
    return list(answer["data"]) if isinstance(answer, dict) else list(answer)
