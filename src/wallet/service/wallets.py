"""The service as edges see it: one object that holds the use cases, starts their background work and ends it."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from wallet.errors import StorageUnavailable
from wallet.ledger.model import AssetId, WalletId
from wallet.ledger.outcomes import Outcome, Refused
from wallet.ledger.requests import Request
from wallet.service.balances import Balances
from wallet.service.bulk import Bulk
from wallet.service.clock import SandboxClock, ensure_real_time
from wallet.service.commands import Commands
from wallet.service.committer import Committer
from wallet.service.cursors import Cursors
from wallet.service.keepers import Keepers
from wallet.service.programmes import Programmes
from wallet.service.reads import Reads
from wallet.service.settling import Settling
from wallet.service.statements import Statements
from wallet.storage.asking import ask
from wallet.storage.assets import AssetCache
from wallet.storage.clock import read_clock
from wallet.storage.database import Database
from wallet.storage.history import HistoryStore
from wallet.storage.programmes import ProgrammeStore
from wallet.storage.reads import ReadStore
from wallet.storage.resources import Resources
from wallet.storage.revision import is_current
from wallet.storage.statement_lines import StatementStore
from wallet.telemetry import Telemetry

POOL_CONNECTIONS_MAX: Final = 4
"""For reads and creates, per process. Movements and balances have connections of their own."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether movements can be made, and per part `ok` or what is in the way."""

    database: str
    migrations: str
    committer: str

    @property
    def ready(self) -> bool:
        return self.database == self.migrations == self.committer == "ok"


class WalletService:
    """Built by bootstrap, not yet connected. Belongs to the event loop it is started in.

    `reads`, `programmes`, `resources` and `statements` are there once it is started. `clock` is None unless this is a
    sandbox.
    """

    reads: Reads
    programmes: Programmes
    resources: Resources
    statements: Statements

    def __init__(
        self,
        database: Database,
        *,
        commands: Commands,
        committer: Committer,
        bulk: Bulk,
        balances: Balances,
        keepers: Keepers,
        assets: AssetCache,
        telemetry: Telemetry,
    ) -> None:
        self._database = database
        self._keepers = keepers
        self._closing = False
        self.commands = commands
        self.committer = committer
        self.bulk = bulk
        self.balances = balances
        self.assets = assets
        self.telemetry = telemetry
        self.clock = SandboxClock(database, committer.submit) if database.settings.sandbox else None

    async def start(self) -> None:
        """Connect and begin. Waits for the database as long as settings say, then raises StorageUnavailable."""
        settings = self._database.settings
        seconds_max = settings.statement_timeout_ms / 1000
        self._pool = await self._database.pool("reads", connections_max=POOL_CONNECTIONS_MAX)
        store = ReadStore(self._pool, seconds_max=seconds_max)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StorageUnavailable),
            stop=stop_after_delay(settings.database_wait_seconds),
            wait=wait_exponential(multiplier=0.1, max=1),
            reraise=True,
        ):
            with attempt:
                cursors = Cursors(await store.cursor_key())
                await self._check_clock()
        self.reads = Reads(store, cursors, settle=self.settle_if_due)
        programmes = ProgrammeStore(self._pool, seconds_max=seconds_max)
        self.programmes = Programmes(store, programmes, cursors, self.committer.submit)
        self.resources = Resources(self._pool, seconds_max=seconds_max)
        history = HistoryStore(self._pool, seconds_max=seconds_max)
        self._settling = Settling(history, self.committer.submit)
        lines = StatementStore(self._pool, seconds_max=seconds_max)
        self.statements = Statements(history, lines, cursors, self._settling)
        self.committer.start()
        self.bulk.start()
        self._keepers.start()

    async def submit(self, request: Request) -> Outcome:
        """The outcome of a movement, once it is durable. Raises as Committer.submit does."""
        outcome = await self.committer.submit(request)
        if isinstance(outcome, Refused):
            self.telemetry.refusals.labels(outcome.code.value).inc()
        return outcome

    async def settle(self, wallet_id: WalletId) -> None:
        """Have everything posted that is due at a wallet. Raises Overloaded and StorageUnavailable."""
        await self._settling.settle(wallet_id)

    async def settle_if_due(self, wallet_id: WalletId) -> None:
        """The same, if anything is: before a wallet is read. Nothing happens where there is none."""
        await self._settling.settle_if_due(wallet_id)

    async def load_assets(self, ids: Iterable[AssetId]) -> None:
        """See to it that these assets are in the cache, which another process may have made."""
        if missing := set(ids) - self.assets.by_id.keys():
            await ask(self._pool, lambda connection: self.assets.load_ids(connection, missing))

    async def load_asset_code(self, code: str) -> None:
        """See to it that the asset of this code is in the cache, if there is one."""
        if code not in self.assets.by_code:
            await ask(self._pool, lambda connection: self.assets.load_codes(connection, [code]))

    async def readiness(self) -> Readiness:
        database, migrations = await self._database_state()
        return Readiness(database=database, migrations=migrations, committer=self._committer_state())

    def begin_shutdown(self) -> None:
        """Readiness goes off; everything else goes on."""
        self._closing = True
        self.bulk.begin_shutdown()

    async def drain(self, seconds_max: float) -> None:
        """Answer everything that was accepted, within the time given; then accept nothing more."""
        await asyncio.gather(self.committer.drain(seconds_max), self.bulk.drain(seconds_max))
        await self.balances.drain(seconds_max)

    async def close(self) -> None:
        """End the background work and close every connection."""
        await self.drain(0)
        await self._keepers.close()
        self._pool.terminate()

    async def _check_clock(self) -> None:
        """Raise SettingsInvalid where this service must not serve a database whose clock was advanced."""
        reading = await ask(self._pool, read_clock)
        if self.clock is None:
            ensure_real_time(reading)
        else:
            _log.warning(
                "SANDBOX: POST /sandbox/clock advances the ledger's clock, now %s. Never with real money.",
                reading.now.isoformat(),
            )

    async def _database_state(self) -> tuple[str, str]:
        try:
            current = await ask(self._pool, is_current)
        except StorageUnavailable as error:
            return str(error), "unknown"
        return "ok", "ok" if current else "not up to date: run `wallet migrate`"

    def _committer_state(self) -> str:
        if self._closing:
            return "shutting down"
        if self.committer.fault is not None or self.bulk.committer.fault is not None:
            return "stopped after a fault; see the log"
        return "ok"
