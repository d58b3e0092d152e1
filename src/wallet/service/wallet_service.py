"""The service as HTTP and the command line see it: one object that holds all use cases, and starts and ends their
background work.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from wallet.errors import StorageUnavailable
from wallet.ledger.model import AssetId, WalletId
from wallet.ledger.outcomes import Outcome, Refused
from wallet.ledger.requests import Request, Single
from wallet.service.access.acts import ActPages, Acts
from wallet.service.access.callers import Caller
from wallet.service.access.guesses import Guesses
from wallet.service.access.key_ring import CONNECTIONS_MAX, KeyRing
from wallet.service.access.keys import KeyPages, Keys
from wallet.service.access.own_reads import OwnReads
from wallet.service.access.ownership import Ownership
from wallet.service.access.permissions import Permissions
from wallet.service.claims import Claims
from wallet.service.due.sandbox_clock import SandboxClock, ensure_real_time
from wallet.service.due.settler import Settler
from wallet.service.keepers.leader import Keepers
from wallet.service.loop_watch import LoopWatch
from wallet.service.programmes import Programmes
from wallet.service.readiness import Probe, ServiceReadiness, clock_warnings
from wallet.service.reads.balances import Balances
from wallet.service.reads.cursors import Cursors
from wallet.service.reads.lists import Reads
from wallet.service.reads.pages import Pages
from wallet.service.reads.receipts import Receipts
from wallet.service.reads.statements import Statements
from wallet.service.writes.bulk import Bulk
from wallet.service.writes.commands import Commands
from wallet.service.writes.committer import Committer, Receiver
from wallet.storage.chain.evidence import ReceiptStore
from wallet.storage.connections.database import Database
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.claim_codes import ClaimCodeStore
from wallet.storage.reads.owners import OwnerStore
from wallet.storage.reads.resources import ReadStore
from wallet.storage.reads.statement_lines import StatementStore
from wallet.storage.reads.wallet_at import HistoryStore
from wallet.storage.registry.acts import ActStore
from wallet.storage.registry.keys import QUESTION_SECONDS_MAX, KeyStore
from wallet.storage.registry.programmes import ProgrammeStore
from wallet.storage.registry.resources import Resources
from wallet.storage.rows.asset_cache import AssetCache
from wallet.storage.schema.readiness import Obstacle
from wallet.storage.upkeep.clock import read_clock
from wallet.telemetry import Telemetry

POOL_CONNECTIONS_MAX: Final = 4
"""Connections for reads and creates, per process. Movements and balances have connections of their own."""

_log = logging.getLogger(__name__)


class WalletService:
    """Built by bootstrap, not yet connected. Belongs to the event loop it is started in.

    The declared attributes exist once it is started. `clock` is None except in a sandbox. `ring` authenticates keys.
    """

    reads: Reads
    permissions: Permissions
    programmes: Programmes
    resources: Resources
    statements: Statements
    receipts: Receipts
    claims: Claims
    keys: Keys
    key_pages: KeyPages
    acts: Acts
    act_pages: ActPages

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
        ring: KeyRing,
    ) -> None:
        self._database = database
        self._keepers = keepers
        self._probe = Probe(database)
        self._closing = False
        self.commands = commands
        self.committer = committer
        self.bulk = bulk
        self.balances = balances
        self.assets = assets
        self.telemetry = telemetry
        self.ring = ring
        self._watch = LoopWatch(telemetry.loop_stall_seconds.observe)
        self.clock = SandboxClock(database, committer.submit) if database.settings.sandbox else None

    @property
    def stage_seconds_max(self) -> float:
        """How long one stage of an answer may take."""
        return self._database.settings.stage_seconds_max

    async def start(self) -> None:
        """Connect and begin. Waits for the database as long as settings say, then raises StorageUnavailable."""
        settings = self._database.settings
        seconds_max = min(settings.statement_timeout_ms / 1000, self.stage_seconds_max)
        self._pool = await ShardPool.open(
            self._database, "reads", connections_max=POOL_CONNECTIONS_MAX, seconds_max=seconds_max
        )
        # Keys have connections of their own: a flood of wrong keys must not delay reads, nor reads a revocation.
        self._keys_pool = await ShardPool.open(
            self._database, "keys", connections_max=CONNECTIONS_MAX, seconds_max=QUESTION_SECONDS_MAX
        )
        store = ReadStore(self._pool)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StorageUnavailable),
            stop=stop_after_delay(settings.database_wait_seconds),
            wait=wait_exponential(multiplier=0.1, max=1),
            reraise=True,
        ):
            with attempt:
                cursors = Cursors(await store.cursor_key())
                await self._check_clock()
        pages = Pages(cursors)
        self._store, self._pages = store, pages
        self.reads = Reads(store, pages, settle=self.settle_if_due)
        self.permissions = Permissions(Ownership(OwnerStore(self._pool)))
        self.programmes = Programmes(ProgrammeStore(self._pool), pages, self.committer.submit)
        self.resources = Resources(self._pool)
        history = HistoryStore(self._pool)
        self._settler = Settler(history, self.committer.submit)
        lines = StatementStore(self._pool)
        self.statements = Statements(history, lines, cursors, self._settler)
        self.receipts = Receipts(ReceiptStore(self._pool))
        self.claims = Claims(ClaimCodeStore(self._pool), Guesses(workers=settings.workers), self.perform)
        self._start_administration(pages)
        self.ring.start(KeyStore(self._keys_pool))
        self.committer.start()
        self.bulk.start()
        self._keepers.start()
        self._watch.start()
        if settings.development:
            _log.warning(
                "DEVELOPMENT: a request to %s:%d without a key may do everything. Never with real money.",
                settings.host,
                settings.port,
            )

    def _start_administration(self, pages: Pages) -> None:
        self.keys = Keys(KeyStore(self._pool))
        self.key_pages = KeyPages(self.keys, pages)
        self.acts = Acts(ActStore(self._pool))
        self.act_pages = ActPages(self.acts, pages)

    async def submit(self, request: Request) -> Outcome:
        """The outcome of a movement, once it is durable. Raises what Committer.submit raises."""
        outcome = await self.committer.submit(request)
        if isinstance(outcome, Refused):
            self.count_refusal(outcome)
        return outcome

    def accept(self, request: Single, receiver: Receiver) -> None:
        """The same for a caller that Permissions.admits_at_once: `receiver` is given what `submit` answers or raises.

        Raises at once what says that it was not accepted. Refusals are for the receiver to count.
        """
        self.committer.accept(request, receiver)

    def count_refusal(self, refused: Refused) -> None:
        self.telemetry.refusals.labels(refused.code.value).inc()

    async def perform(self, caller: Caller, request: Single) -> Outcome:
        """The outcome of a caller's movement, if the caller may ask for it, with the parts that the caller may see.

        Raises Forbidden, too.
        """
        if self.permissions.admits_at_once(caller, request):
            return await self.submit(request)
        admitted = await self.permissions.admit(caller, request)
        if isinstance(admitted, Refused):
            self.count_refusal(admitted)
            return admitted
        outcome = await self.submit(admitted)
        return await self.permissions.mask(caller, outcome) if caller.is_bound else outcome

    def reads_of(self, caller: Caller) -> Reads:
        """The reads for this caller. To a bound caller they answer as if all wallets but its own did not exist."""
        if not caller.is_bound:
            return self.reads
        return OwnReads(
            self._store,
            self._pages,
            settle=self.settle_if_due,
            permissions=self.permissions,
            caller=caller,
        )

    async def settle(self, wallet_id: WalletId) -> None:
        """Post everything that is due at a wallet. Raises Overloaded and StorageUnavailable."""
        await self._settler.settle(wallet_id)

    async def settle_if_due(self, wallet_id: WalletId) -> None:
        """Post what is due at a wallet before it is read. Does nothing if nothing is due, or the wallet is unknown."""
        await self._settler.settle_if_due(wallet_id)

    async def load_assets(self, ids: Iterable[AssetId]) -> None:
        """Load these assets into the cache unless they are there. Another process may have made them."""
        if missing := set(ids) - self.assets.by_id.keys():
            await self._pool.ask(lambda shard: self.assets.load_ids(shard.connection, missing))

    async def load_asset_code(self, code: str) -> None:
        """Load the asset with this code into the cache, if it exists."""
        if code not in self.assets.by_code:
            await self._pool.ask(lambda shard: self.assets.load_codes(shard.connection, [code]))

    async def readiness(self) -> ServiceReadiness:
        """Whether movements can be made now. Answers within two seconds, even if the database does not."""
        seen = await self._probe.look()
        return replace(
            seen,
            obstacles=(*seen.obstacles, *self._obstacles()),
            warnings=(*seen.warnings, *clock_warnings(self.ring.clock_offset_seconds)),
        )

    def begin_shutdown(self) -> None:
        """Turn readiness off. Everything else goes on."""
        self._closing = True
        self.bulk.begin_shutdown()

    async def drain(self, seconds_max: float) -> None:
        """Answer all accepted requests within this time; then accept no more."""
        await asyncio.gather(self.committer.drain(seconds_max), self.bulk.drain(seconds_max))
        await self.balances.drain(seconds_max)

    async def close(self) -> None:
        """End the background work and close every connection."""
        await self.drain(0)
        self._watch.close()
        await self._keepers.close()
        await self._probe.close()
        await self.ring.close()
        self._keys_pool.terminate()
        self._pool.terminate()

    async def _check_clock(self) -> None:
        """Raise SettingsInvalid if the database's clock was advanced and this service is no sandbox."""
        reading = await self._pool.ask(lambda shard: read_clock(shard.connection))
        if self.clock is None:
            ensure_real_time(reading)
        else:
            _log.warning(
                "SANDBOX: POST /sandbox/clock advances the ledger's clock, now %s. Never with real money.",
                reading.now.isoformat(),
            )

    def _obstacles(self) -> Iterable[Obstacle]:
        """The obstacles in this process."""
        if self._closing:
            yield Obstacle("committer", "shutting_down", "shutting down")
        committers = (self.committer, self.bulk.committer)
        if any(each.fault is not None for each in committers):
            yield Obstacle("committer", "writer_stopped", "stopped after a fault; see the log")
        if why := next(filter(None, (each.outage.reason for each in committers)), None):
            yield Obstacle("committer", "writer_not_connected", f"the writer gets no connection: {why}")
        seconds = max(each.standstill_seconds for each in committers)
        if seconds > self.stage_seconds_max:
            yield Obstacle("committer", "writer_not_moving", f"nothing has been decided for {seconds:.0f} s")
