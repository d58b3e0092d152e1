"""`wallet verify`: laws 1 to 4 of the ledger proved row by row on one snapshot of the database, and of law 7 that every
state is what the history says (the audit chain has a check of its own: storage.verify.chain).

It goes by ranges of keys, so memory is bounded on both sides whatever the size of the ledger. The SQL files beside this
module have the checks. It takes no lock and no xid. Like any long reader, it keeps vacuum from removing newer dead
rows.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import asyncpg

from wallet.storage.connections.database import close, driver_errors
from wallet.storage.connections.opening import open_connection
from wallet.storage.connections.session import configure
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.schema.sequences import find_behind

ROWS_MAX: Final = 50_000
"""The rows of one range."""
CONNECT_SECONDS_MAX: Final = 10.0
SESSION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application_name": "wallet verify",
        "timezone": "UTC",
        "jit": "off",
        # The plan depends on whether a range has an end, which is in the parameters.
        "plan_cache_mode": "force_custom_plan",
        # If PostgreSQL takes a large range for a small one, a nested loop is quadratic. It does not affect probes.
        "enable_nestloop": "off",
    }
)
LAWS: Final = (1, 2, 3, 4, 7)
"""The laws of the ledger that are checked. The others are about the behaviour of a service, which no row shows."""

FILES: Final = (
    "verify/ledger.sql",
    "verify/wallets.sql",
    "verify/transactions.sql",
    "verify/history.sql",
    "verify/holds.sql",
    "verify/claims.sql",
    "verify/lots.sql",
    "verify/refunds.sql",
    "verify/programmes.sql",
    "verify/system.sql",
)
_SQL: Final = {name: statement for file in FILES for name, statement in load_statements(file).items()}


class _Stage(NamedTuple):
    """Checks that go by the same ranges. laws: the laws for which the rows count. width: the number of columns of the
    key.
    """

    name: str
    laws: tuple[int, ...]
    tables: tuple[str, ...]
    next_range: str
    checks: tuple[str, ...]
    width: int = 1


_RANGED: Final = (
    _Stage(
        "wallets",
        (2, 3, 4, 7),
        ("wallets",),
        "next_wallets",
        ("check_wallets", "check_standings", "check_slices", "check_targets"),
    ),
    _Stage(
        "transactions",
        (1, 2, 4, 7),
        ("transactions",),
        "next_transactions",
        ("check_transactions", "check_entries_of_transactions", "check_lot_moves", "check_details", "check_grants"),
    ),
    _Stage(
        "history",
        (1, 2, 3, 4, 7),
        ("ledger_entries", "hold_steps", "wallet_events"),
        "next_history",
        ("check_history", "check_events"),
        width=2,
    ),
    _Stage("holds", (2, 4, 7), ("holds",), "next_holds", ("check_holds", "check_hold_steps", "check_claims")),
    _Stage("lots", (2, 7), ("lots",), "next_lots", ("check_lots",)),
    _Stage("refunds", (7,), ("refund_states",), "next_refund_states", ("check_refund_states",)),
    _Stage("backdated", (7,), ("backdated_entries",), "next_backdated_entries", ("check_backdated_entries",), width=3),
    _Stage("programmes", (7,), ("programme_wallets",), "next_programme_wallets", ("check_programme_wallets",), width=2),
)
_DELTAS: Final = _Stage("deltas", (2,), (), "next_deltas", ("check_deltas",))
_SNAPSHOTS: Final = _Stage("snapshots", (2,), (), "next_snapshots", ("check_snapshots",))

_LAWS_OF_STAGE: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "assets": (2, 3),
        **{stage.name: stage.laws for stage in (*_RANGED, _DELTAS, _SNAPSHOTS)},
        "batches": (4,),
        "sums": (1,),
    }
)
STAGES: Final = tuple(_LAWS_OF_STAGE)
"""The stages in order. All but the last run for each shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyProgress:
    """The progress of one of the STAGES. `rows_expected` is an estimate; 0 if there is none."""

    stage: str
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
    """The result of a verification: rows read per law, and the first wrong row of each check, in order of law."""

    rows_checked: Mapping[int, int]
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        return not self.findings


async def verify(dsn: str, *, on_progress: Callable[[VerifyProgress], None], rows_max: int = ROWS_MAX) -> VerifyReport:
    """Check the whole ledger as it is when this begins. It changes nothing and may be cancelled at any time.

    Raises StorageUnavailable if the database goes away before the end, SettingsInvalid for a bad URL.
    """
    async with one_snapshot(dsn) as connection:
        return await verify_seen(connection, on_progress=on_progress, rows_max=rows_max)


@asynccontextmanager
async def one_snapshot(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the ledger as it is when this begins. Raises StorageUnavailable, SettingsInvalid."""

    async def connect() -> asyncpg.Connection:
        return await open_connection(dsn, seconds_max=CONNECT_SECONDS_MAX, server_settings=SESSION)

    with driver_errors():
        connection = await connect()
        try:
            await configure(connection, SESSION, dsn=dsn, connect_another=connect)
            await connection.execute(_SQL["lift_limits"])
            await connection.execute(_SQL["begin"])
            yield connection
        finally:
            await close(connection)


async def verify_seen(
    connection: asyncpg.Connection, *, on_progress: Callable[[VerifyProgress], None], rows_max: int = ROWS_MAX
) -> VerifyReport:
    """Check the ledger as a connection sees it. The connection has SESSION's settings, and is in a database transaction
    that reads one snapshot. Raises the driver's errors.
    """
    return await _Verification(connection, on_progress, rows_max).run()


async def forget_failure(connection: asyncpg.Connection) -> None:
    """Go on after a statement that failed, on the same snapshot."""
    await connection.execute(_SQL["return_to_savepoint"])


class _Verification:
    """One run on one snapshot: the stages, and their findings so far."""

    def __init__(
        self, connection: asyncpg.Connection, on_progress: Callable[[VerifyProgress], None], rows_max: int
    ) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._rows_max = rows_max
        self._rows_done = dict.fromkeys(STAGES, 0)
        self._rows_expected: dict[str, int] = {}
        self._findings: dict[str, Finding] = {}

    async def run(self) -> VerifyReport:
        rows_of_table = dict(await self._connection.fetch(_SQL["estimate_rows"]))
        self._rows_expected = {stage.name: sum(rows_of_table[table] for table in stage.tables) for stage in _RANGED}
        self._rows_expected["batches"] = rows_of_table["batches"]
        shard = await self._connection.fetchval(_SQL["next_shard"], None)
        while shard is not None:
            await self._check_shard(shard)
            shard = await self._connection.fetchval(_SQL["next_shard"], shard)
        await self._read_whole_tables(True)
        self._count("sums", 0)
        await self._check("check_sums")
        self._count("sums", await self._connection.fetchval(_SQL["count_assets"]))
        await self._check_sequences()
        rows_checked = {
            law: sum(rows for stage, rows in self._rows_done.items() if law in _LAWS_OF_STAGE[stage]) for law in LAWS
        }
        findings = tuple(sorted(self._findings.values(), key=lambda finding: finding.law))
        return VerifyReport(rows_checked=MappingProxyType(rows_checked), findings=findings)

    async def _check_sequences(self) -> None:
        # Sequences are read as they are now, which is never behind their state in this snapshot.
        for behind in await find_behind(self._connection):
            self._add(
                Finding(
                    law=4,
                    check="sequence_is_not_behind_its_table",
                    where=f"{behind.name} (of {behind.place})",
                    expected=f"a next number above {behind.last_number}",
                    found=str(behind.next_number),
                )
            )

    async def _check_shard(self, shard: int) -> None:
        await self._read_whole_tables(False)
        self._count("assets", 0)
        await self._check("check_assets", shard)
        self._count("assets", await self._connection.fetchval(_SQL["count_assets"]))
        for stage in _RANGED:
            await self._check_ranges(stage, shard)
        await self._check("check_strays", shard)
        unlocked = [row["id"] for row in await self._connection.fetch(_SQL["unlocked_wallets"], shard)]
        for stage in (_DELTAS, _SNAPSHOTS):
            self._count(stage.name, 0)
            for wallet_id in unlocked:
                await self._check_ranges(stage, shard, wallet_id)
        await self._read_whole_tables(True)
        self._count("batches", 0)
        await self._check("check_batches", shard)
        self._count("batches", await self._connection.fetchval(_SQL["count_batches"], shard))

    async def _check_ranges(self, stage: _Stage, *fixed: Any) -> None:
        """Run the checks of a stage on one range after the other. `fixed` comes before the keys."""
        self._count(stage.name, 0)
        no_end = after = (None,) * stage.width
        is_last = False
        while not is_last:
            rows, *last = await self._connection.fetchrow(_SQL[stage.next_range], *fixed, *after, self._rows_max)
            # The last range has no end, so that it includes everything after the last known key.
            is_last = rows < self._rows_max
            up_to = no_end if is_last else tuple(last)
            for check in stage.checks:
                await self._check_range(stage, check, fixed, after, up_to, rows)
            self._count(stage.name, rows)
            after = up_to

    async def _check_range(
        self,
        stage: _Stage,
        check: str,
        fixed: Sequence[Any],
        after: Sequence[Any],
        up_to: Sequence[Any],
        rows: int,
    ) -> None:
        """Run one check on one range. If a row cannot be read, halve the range to find it."""
        try:
            await self._check(check, *fixed, *after, *up_to)
        except asyncpg.DataError as error:
            await forget_failure(self._connection)
            half = rows // 2
            _, *middle = await self._connection.fetchrow(_SQL[stage.next_range], *fixed, *after, max(half, 1))
            if half == 0:
                key = ", ".join(map(str, (*fixed[1:], *middle)))
                self._add(
                    Finding(
                        law=7,
                        check=f"{stage.name}_can_be_read",
                        where=f"{stage.name} (shard {fixed[0]}, key {key})",
                        expected="values of their types",
                        found=str(error),
                    )
                )
                return
            await self._check_range(stage, check, fixed, after, middle, half)
            await self._check_range(stage, check, fixed, middle, up_to, rows - half)

    async def _check(self, name: str, *arguments: Any) -> None:
        for row in await self._connection.fetch(_SQL[name], *arguments):
            self._add(
                Finding(
                    law=row["law"],
                    check=row["check_name"],
                    where=row["location"],
                    expected=row["expected"],
                    found=row["found"],
                )
            )

    def _add(self, finding: Finding) -> None:
        self._findings.setdefault(finding.check, finding)

    async def _read_whole_tables(self, may: bool) -> None:
        await self._connection.execute(_SQL["read_whole_tables"], "on" if may else "off")
        await self._connection.execute(_SQL["savepoint"])

    def _count(self, stage: str, rows: int) -> None:
        self._rows_done[stage] += rows
        done, expected = self._rows_done[stage], self._rows_expected.get(stage, 0)
        self._on_progress(
            VerifyProgress(stage=stage, rows_done=done, rows_expected=max(done, expected) if expected else 0)
        )
