"""The ledger after the runs: whether the money adds up, and the bytes it takes."""

from typing import Any

from tests.bench.participants import Totals, Wallets
from tests.bench.postgres import Database
from tests.bench.service import Service

_LEDGER_FREE_TABLES = ("wallets", "users", "assets", "service_secrets", "wallet_alembic_version")
"""Tables that do not grow with transactions."""


def money_check(service: Service, database: Database, wallets: Wallets, totals: Totals) -> dict[str, Any]:
    """Whether the ledger moved exactly what was acknowledged, no more and no less."""
    accepted = totals.accepted
    issued = accepted.get("funding", 0) + accepted.get("topup", 0) + accepted.get("bonus", 0)
    spent = accepted.get("spend", 0)
    treasury = service.call(f"/wallets/{wallets.treasury}/balance")["balance"]
    revenue = service.call(f"/wallets/{wallets.revenue}/balance")["balance"]
    users = int(database.value("SELECT sum(balance) FROM wallets WHERE kind = 'user'"))
    return {
        "acknowledged": accepted,
        "unknown_requests": totals.unknown,
        "treasury": {"expected": -issued, "found": treasury},
        "revenue": {"expected": spent, "found": revenue},
        "users": {"expected": issued - spent, "found": users},
        "agrees": (treasury, revenue, users) == (-issued, spent, issued - spent),
    }


def table_bytes(database: Database) -> dict[str, Any]:
    """Bytes of each table that grows with transactions, indexes included, after VACUUM and CHECKPOINT; and how many
    transactions there are.
    """
    names = [
        row[0]
        for row in database.rows(
            "SELECT relname::text FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname = current_schema() AND relname <> ALL ($1) ORDER BY relname",
            list(_LEDGER_FREE_TABLES),
        )
    ]
    for name in names:
        database.execute(f'VACUUM "{name}"')
    database.execute("CHECKPOINT")
    sizes = database.rows(
        "SELECT name, pg_total_relation_size(quote_ident(name)) FROM unnest($1::text[]) AS name", names
    )
    return {
        "tables": {row[0]: row[1] for row in sizes},
        "transactions": database.value("SELECT count(*) FROM transactions"),
    }


def bytes_per_transaction(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Growth between two calls of `table_bytes`, per transaction, in all and by table."""
    transactions = after["transactions"] - before["transactions"]
    by_table = {
        name: (size - before["tables"].get(name, 0)) / max(transactions, 1) for name, size in after["tables"].items()
    }
    return {
        "transactions": transactions,
        "by_table": {name: value for name, value in by_table.items() if value >= 0.5},
        "total": sum(by_table.values()),
    }
