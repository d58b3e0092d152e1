"""`wallet verify`: laws 1 to 4 of the ledger, proved row by row on one snapshot of the database.

Goes by ranges of keys, so memory stays bounded on both sides whatever the ledger's size. What is checked is said in
sql/verify.sql. Holds no lock, takes no xid; like any long reader it keeps vacuum from removing newer dead rows.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from wallet.storage.database import close, driver_errors
from wallet.storage.opening import open_connection
from wallet.storage.statements import load_statements

ROWS_MAX: Final = 50_000
"""Rows in one range."""
CONNECT_SECONDS_MAX: Final = 10.0

_SQL = load_statements("verify.sql")

# What a step proves something about: the rows that it reads count for these laws.
_STEPS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "assets": (2, 3),
        "wallets": (2, 3, 4),
        "transactions": (1, 4),
        "entries": (1, 2, 4),
        "deltas": (2,),
        "snapshots": (2,),
        "batches": (4,),
        "sums": (1,),
    }
)
_TABLE_OF_STEP: Final = {
    "wallets": "wallets",
    "transactions": "transactions",
    "entries": "ledger_entries",
    "batches": "batches",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProgress:
    """How far a step is. `rows_expected` is an estimate, and 0 where there is none.

    Steps come in the order assets, wallets, transactions, entries, deltas, snapshots, batches, sums; per shard
    but for the last.
    """

    step: str
    rows_done: int
    rows_expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The first row, in order of its key, that fails a check. `where` is its table and key."""

    law: int
    check: str
    where: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification saw: rows read per law, and the first wrong row of each check, in order of law."""

    rows_checked: Mapping[int, int]
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        return not self.findings


async def verify(dsn: str, *, on_progress: Callable[[VerifyProgress], None], rows_max: int = ROWS_MAX) -> VerifyReport:
    """Check the whole ledger as it is when this begins. Changes nothing and may be cancelled at any time.

    Raises StorageUnavailable when the database cannot be asked to the end, SettingsInvalid for a bad URL.
    """
    async with _snapshot(dsn) as connection:
        return await _Verification(connection, on_progress, rows_max).run()


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    session = {
        "application_name": "wallet verify",
        "timezone": "UTC",
        "jit": "off",
        # Whether a range has an end is in the parameters, and the plan has to know.
        "plan_cache_mode": "force_custom_plan",
        # Where a range is thought to be small and is not, this one is quadratic. Probes remain: they have no choice.
        "enable_nestloop": "off",
    }
    with driver_errors():
        connection = await open_connection(dsn, seconds_max=CONNECT_SECONDS_MAX, server_settings=session)
        try:
            await connection.execute(_SQL["lift_limits"])
            await connection.execute(_SQL["begin"])
            yield connection
        finally:
            await close(connection)


class _Verification:
    """One run on one snapshot: the steps, and what they found so far."""

    def __init__(
        self, connection: asyncpg.Connection, on_progress: Callable[[VerifyProgress], None], rows_max: int
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._rows_max = rows_max
        self._rows_done = dict.fromkeys(_STEPS, 0)
        self._rows_expected: dict[str, int] = {}
        self._findings: dict[str, Finding] = {}

    async def run(self) -> VerifyReport:
        rows_of_table = dict(await self._connection.fetch(_SQL["estimate_rows"]))
        self._rows_expected = {step: rows_of_table[table] for step, table in _TABLE_OF_STEP.items()}
        shard = await self._connection.fetchval(_SQL["next_shard"], None)
        while shard is not None:
            await self._check_shard(shard)
            shard = await self._connection.fetchval(_SQL["next_shard"], shard)
        await self._read_whole_tables(True)
        self._count("sums", 0)
        await self._check("check_sums")
        self._count("sums", await self._connection.fetchval(_SQL["count_assets"]))
        rows_checked = {
            law: sum(self._rows_done[step] for step, laws in _STEPS.items() if law in laws) for law in (1, 2, 3, 4)
        }
        findings = tuple(sorted(self._findings.values(), key=lambda finding: finding.law))
        return VerifyReport(rows_checked=MappingProxyType(rows_checked), findings=findings)

    async def _check_shard(self, shard: int) -> None:
        await self._read_whole_tables(False)
        self._count("assets", 0)
        await self._check("check_assets", shard)
        self._count("assets", await self._connection.fetchval(_SQL["count_assets"]))
        await self._check_ranges("wallets", "next_wallets", ("check_wallets",), shard)
        both_sides = ("check_transactions", "check_entries_of_transactions")
        await self._check_ranges("transactions", "next_transactions", both_sides, shard)
        await self._check_ranges("entries", "next_entries", ("check_entries",), shard, width=2)
        await self._check("check_strays", shard)
        unlocked = [row["id"] for row in await self._connection.fetch(_SQL["unlocked_wallets"], shard)]
        for wallet_id in unlocked:
            await self._check_ranges("deltas", "next_deltas", ("check_deltas",), shard, wallet_id)
        for wallet_id in unlocked:
            await self._check_ranges("snapshots", "next_snapshots", ("check_snapshots",), shard, wallet_id)
        await self._read_whole_tables(True)
        self._count("batches", 0)
        await self._check("check_batches", shard)
        self._count("batches", await self._connection.fetchval(_SQL["count_batches"], shard))

    async def _check_ranges(
        self, step: str, next_range: str, checks: Sequence[str], *fixed: Any, width: int = 1
    ) -> None:
        """Run the checks on one range after the other. `width` is the number of columns of the range's key."""
        self._count(step, 0)
        no_end = after = (None,) * width
        is_last = False
        while not is_last:
            rows, *last = await self._connection.fetchrow(_SQL[next_range], *fixed, *after, self._rows_max)
            # The last range has no end, so that nothing escapes that sorts behind the last known key.
            is_last = rows < self._rows_max
            up_to = no_end if is_last else tuple(last)
            for each in checks:
                await self._check(each, *fixed, *after, *up_to)
            self._count(step, rows)
            after = up_to

    async def _check(self, name: str, *arguments: Any) -> None:
        for row in await self._connection.fetch(_SQL[name], *arguments):
            finding = Finding(
                law=row["law"],
                check=row["check_name"],
                where=row["location"],
                expected=row["expected"],
                found=row["found"],
            )
            self._findings.setdefault(finding.check, finding)

    async def _read_whole_tables(self, may: bool) -> None:
        await self._connection.execute(_SQL["read_whole_tables"], "on" if may else "off")

    def _count(self, step: str, rows: int) -> None:
        self._rows_done[step] += rows
        done, expected = self._rows_done[step], self._rows_expected.get(step, 0)
        self._on_progress(
            VerifyProgress(step=step, rows_done=done, rows_expected=max(done, expected) if expected else 0)
        )
