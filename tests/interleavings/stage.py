"""Plays scenes on a database: real writers on real connections, one step at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg

from tests.interleavings.gates import Actor, GatedDatabase, InnerGates
from tests.interleavings.scenes import GOLD, Act, LetGo, Make, Pass, Place, Scene
from tests.interleavings.schedule import Order, Schedule
from tests.ledger.oracle.agreement import readable
from tests.ledger.worlds import system_wallets, wallet_id
from tests.storage.ledgers import advance, assert_books_balance, make_database, make_writer
from wallet.ledger.model import Asset, Standing, WalletState
from wallet.ledger.outcomes import Applied, Grouped, Settled
from wallet.storage.batch.writer import BatchWriter
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.registry.resources import Resources
from wallet.storage.verify.ledger import verify

SECONDS_MAX: Final = 60.0
"""How long one order may take before it fails. Nothing that a test says depends on it."""
_NEVER_MS: Final = 600_000


class Stage:
    """One database, on which one scene is played again and again, each time with wallets of its own."""

    def __init__(self, dsn: str, scene: Scene, stack: AsyncExitStack) -> None:
        self._dsn = dsn
        self._scene = scene
        self._stack = stack
        self._played: list[Order] = []
        self._databases: list[GatedDatabase] = []
        self._writers: list[BatchWriter] = []
        self._hands: list[asyncpg.Connection] = []

    async def set_up(self) -> None:
        self._control = await self._connect()
        await insert(self._control, [GOLD], [])
        self._inner = InnerGates(await self._connect()) if self._scene.stops_at else None
        if self._inner is not None:
            await self._control.execute(InnerGates.TRIGGER)
        for _ in self._scene.acts:
            limits = {
                "lock_timeout_ms": _NEVER_MS,
                "statement_timeout_ms": _NEVER_MS,
                "idle_transaction_ms_max": _NEVER_MS,
            }
            self._databases.append(GatedDatabase(make_database(self._dsn, **limits)))
            self._writers.append(make_writer(self._databases[-1]))  # type: ignore[arg-type]
            self._stack.push_async_callback(self._writers[-1].close)
            # A connection that knows the asset, so that the first order has the steps of all others.
            await self._writers[-1].commit([Place(self._scene, ".0").act("warm: spend nobody 1")[0]])
            self._hands.append(await self._connect())

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._dsn)
        self._stack.push_async_callback(_end, connection)
        return connection

    async def play(self, order: Order) -> str:
        """The result of this order of steps. Raises Stuck where somebody waits for ever."""
        self._played.append(order)
        here = Place(self._scene, f".{len(self._played)}")
        await insert(self._control, [here.coin] if self._scene.cap else [], here.users)
        for event in here.before():
            if isinstance(event, Pass):
                await advance(self._control, seconds=event.seconds)
            else:
                [answer] = await self._writers[0].commit([event])
                assert isinstance(answer, Applied | Grouped | Settled), (event, answer)
        async with asyncio.timeout(SECONDS_MAX):
            answers = await self._act([here.act(text) for text in self._scene.acts], here, order)
        return here.told(answers, *await read_wallets(self._control, here))

    async def _act(self, acts: Sequence[Act], here: Place, order: Order) -> Mapping[str, Sequence[object]]:
        rests = asyncio.Event()
        actors = [Actor("ABCDE"[at], rests) for at in range(len(acts))]
        works = [
            await self._work(at, actor, act, here) for at, (actor, act) in enumerate(zip(actors, acts, strict=True))
        ]
        if self._inner is not None:
            pids = [each.pid for each in actors if each.pid is not None]
            await self._inner.close(pids, {each: each + here.mark for each in self._scene.stops_at})
        for actor, work in zip(actors, works, strict=True):
            actor.begin(work())
        try:
            await Schedule(self._control, actors, rests, self._inner).run(order)
        except BaseException:
            for actor in actors:
                assert actor.task is not None
                actor.task.cancel()
            raise
        if self._inner is not None:
            await self._inner.open_all()
        for database in self._databases:
            database.act(None)
        return {actor.letter: await actor.task for actor in actors if actor.task is not None}

    async def _work(
        self, at: int, actor: Actor, act: Act, here: Place
    ) -> Callable[[], Coroutine[Any, Any, Sequence[Any]]]:
        """The acts of an actor, beginning with a stop."""
        hand = self._hands[at]
        if isinstance(act, tuple):
            self._databases[at].act(actor)
            actor.pid = self._databases[at].pid
            return lambda: self._writers[at].commit(act)
        if isinstance(act, Make):
            self._databases[at].act(actor)
            return lambda: self._make(self._databases[at], wallet_id(act.wallet + here.mark))
        actor.pid = hand.get_server_pid()
        if isinstance(act, Pass):
            return lambda: _after(actor, "time", lambda: advance(hand, seconds=act.seconds))
        assert isinstance(act, LetGo)
        await hand.execute("BEGIN")
        await hand.execute("SELECT FROM wallets WHERE id = $1 FOR UPDATE", wallet_id(act.wallet + here.mark))
        return lambda: _after(actor, f"let go of {act.wallet}", lambda: hand.execute("ROLLBACK"))

    async def _make(self, database: GatedDatabase, id_: Any) -> Sequence[Any]:
        resources = Resources(ShardPool(database, seconds_max=SECONDS_MAX))  # type: ignore[arg-type]
        await resources.create_wallet(asset_code=GOLD.code, wallet_id=id_)
        return ()

    async def check(self) -> None:
        """Whether the ledger that all orders together have left is sound."""
        report = await verify(self._dsn, on_progress=lambda _: None)
        named = [readable(f"{each}") for each in report.findings]
        orders = "\n".join(f".{number} {order.taken}" for number, order in enumerate(self._played, 1) if named)
        assert not named, "\n".join([*named, "where names end in", orders])
        await assert_books_balance(self._control)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await self._control.fetchval(deadlocks) == 0


@asynccontextmanager
async def stage_of(dsn: str, scene: Scene) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(dsn, scene, stack)
        await stage.set_up()
        yield stage


async def _after(actor: Actor, step: str, work: Callable[[], Awaitable[Any]]) -> Sequence[Any]:
    await actor.stop_before(step)
    await work()
    return ()


async def _end(connection: asyncpg.Connection) -> None:
    connection.terminate()


async def insert(connection: asyncpg.Connection, assets: Sequence[Asset], wallets: Sequence[WalletState]) -> None:
    """Store these assets with their system wallets, and wallets of users."""
    await connection.executemany(
        "INSERT INTO assets (id, code, scale, max_supply, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())",
        assets,
    )
    await connection.execute("SELECT setval('assets_id_seq', (SELECT max(id) FROM assets))")
    states = [state for each in assets for state in system_wallets(each)] + list(wallets)
    await connection.execute(
        "INSERT INTO wallets (created_at, asset_id, shard, locked, hot, id, kind, overdraft_limit)"
        " SELECT clock_timestamp(), w.asset_id, 0, w.locked, w.locked AND w.kind = 'treasury', w.id, w.kind, w.credit"
        " FROM unnest($1::int[], $2::uuid[], $3::text[], $4::bool[], $5::bigint[])"
        " AS w (asset_id, id, kind, locked, credit)",
        [state.asset_id for state in states],
        [state.id for state in states],
        [state.kind.value for state in states],
        [state.locked for state in states],
        [state.overdraft_limit for state in states],
    )


async def read_wallets(connection: asyncpg.Connection, here: Place) -> tuple[list[WalletState], list[Any]]:
    """The users' wallets of a place, and their lots, as they are stored."""
    rows = await connection.fetch("SELECT * FROM wallets WHERE id = ANY($1::uuid[])", list(here.wallets))
    states = [
        here.wallets[row["id"]]._replace(
            balance=row["balance"],
            held=row["held"],
            version=row["version"],
            standing=Standing(
                closed=row["closed_at"] is not None,
                merged_into=row["merged_into"],
                freeze_outgoing=row["freeze_outgoing"],
                freeze_incoming=row["freeze_incoming"],
            ),
        )
        for row in rows
    ]
    lots = await connection.fetch(
        "SELECT wallet_id, remaining, held FROM lots WHERE wallet_id = ANY($1::uuid[])", list(here.wallets)
    )
    return states, [tuple(row) for row in lots]
