"""The service as edges see it: one object that holds the use cases, starts their background work and ends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from wallet.errors import StorageUnavailable
from wallet.ledger.model import AssetId, Request
from wallet.ledger.outcomes import Outcome, Refused
from wallet.service.balances import Balances
from wallet.service.commands import Commands
from wallet.service.committer import Committer
from wallet.service.cursors import Cursors
from wallet.service.keepers import Keepers
from wallet.service.reads import Reads
from wallet.storage.assets import AssetCache
from wallet.storage.database import Database
from wallet.storage.reads import ReadStore, ask
from wallet.storage.resources import Resources
from wallet.storage.revision import is_current
from wallet.telemetry import Telemetry

POOL_CONNECTIONS_MAX: Final = 4
"""For reads and creates, per process. Movements and balances have connections of their own."""


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

    `reads` and `resources` are there once it is started.
    """

    reads: Reads
    resources: Resources

    def __init__(
        self,
        database: Database,
        *,
        commands: Commands,
        committer: Committer,
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
        self.balances = balances
        self.assets = assets
        self.telemetry = telemetry

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
                self.reads = Reads(store, Cursors(await store.cursor_key()))
        self.resources = Resources(self._pool, seconds_max=seconds_max)
        self.committer.start()
        self._keepers.start()

    async def submit(self, request: Request) -> Outcome:
        """The outcome of a movement, once it is durable. Raises as Committer.submit does."""
        outcome = await self.committer.submit(request)
        if isinstance(outcome, Refused):
            self.telemetry.refusals.labels(outcome.code.value).inc()
        return outcome

    async def load_assets(self, ids: Iterable[AssetId]) -> None:
        """See to it that these assets are in the cache, which another process may have made."""
        if missing := set(ids) - self.assets.by_id.keys():
            await ask(self._pool, lambda connection: self.assets.load_ids(connection, missing))

    async def readiness(self) -> Readiness:
        database, migrations = await self._database_state()
        return Readiness(database=database, migrations=migrations, committer=self._committer_state())

    def begin_shutdown(self) -> None:
        """Readiness goes off; everything else goes on."""
        self._closing = True

    async def drain(self, seconds_max: float) -> None:
        """Answer everything that was accepted, within the time given; then accept nothing more."""
        await self.committer.drain(seconds_max)
        await self.balances.drain(seconds_max)

    async def close(self) -> None:
        """End the background work and close every connection."""
        await self.drain(0)
        await self._keepers.close()
        self._pool.terminate()

    async def _database_state(self) -> tuple[str, str]:
        try:
            current = await ask(self._pool, is_current)
        except StorageUnavailable as error:
            return str(error), "unknown"
        return "ok", "ok" if current else "not up to date: run `wallet migrate`"

    def _committer_state(self) -> str:
        if self._closing:
            return "shutting down"
        if self.committer.fault is not None:
            return "stopped after a fault; see the log"
        return "ok"
