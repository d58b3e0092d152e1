"""Connections whose statements stop at gates: a batch goes on from one step of the write path to the next when told.

A step is all that a database transaction does until the next statement that begins another step, by STEP_OF. A
statement that is not named there belongs to the running step, so that one more statement changes no step.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from functools import cache
from typing import Any, Final

import asyncpg

from wallet.storage.connections.database import Database
from wallet.storage.connections.sql_files import load_statements

STEP_OF: Final[Mapping[str, Mapping[str, str]]] = {
    "batch/commit.sql": {
        "begin_and_lock": "lock",
        "lock_and_read": "lock",
        "load": "load",
        "write_batch": "write",
        "write_declines": "write",
    },
    "batch/load_special.sql": {
        "resolve": "find",
        "load_standings": "more",
        "load_spent": "more",
        "load_holds": "more",
        "load_lots": "more",
        "make_refund_states": "mark",
        "lock_refund_states": "mutex",
        "load_originals": "more",
    },
    "batch/write_special.sql": {"write_special": "write", "name_wallets": "write"},
    "rows/assets.sql": {"load_by_code": "find"},
    "connections/transactions.sql": {"begin": "begin", "commit": "commit"},
    "registry/resources.sql": {"insert_wallet": "make"},
}
"""The step that a named statement begins, or goes on with."""


def _body(sql: str) -> str:
    """A statement without its header."""
    return "\n".join(line for line in sql.splitlines() if not line.startswith("--"))


_STEPS: Final = [
    # A statement with placeholders is told by what stands before the first.
    (_body(load_statements(file)[name]).split("{")[0], step)
    for file, steps in STEP_OF.items()
    for name, step in steps.items()
    if name in load_statements(file)
]


@cache
def step_of(sql: str) -> str | None:
    """The step that a statement belongs to, by the longest named statement that it begins with."""
    found = [(len(text), step) for text, step in _STEPS if _body(sql).startswith(text)]
    return max(found)[1] if found else None


class Actor:
    """Something that takes steps: mostly a batch on a connection. It stops before each, until it is told to go on.

    at: the step it stops before; None while it goes on, waits, or has ended. waits_for: letters of those whose locks it
    waits for. rests: is set when it stops or ends.
    """

    def __init__(self, letter: str, rests: asyncio.Event) -> None:
        self.letter = letter
        self.rests = rests
        self.at: str | None = None
        self.waits_for: Sequence[str] = ()
        self.pid: int | None = None
        self.task: asyncio.Task[Any] | None = None
        self._last: str | None = None
        self._gate: asyncio.Event = asyncio.Event()

    @property
    def is_moving(self) -> bool:
        return self.at is None and self.task is not None and not self.task.done()

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self.task = asyncio.create_task(work)
        self.task.add_done_callback(lambda _: self.rests.set())

    async def stop_before(self, step: str | None) -> None:
        if step is None or step == self._last:
            return
        self._last = self.at = step
        self._gate.clear()
        self.rests.set()
        await self._gate.wait()

    def go_on(self) -> None:
        self.at = None
        self._gate.set()


class GatedConnection:
    """A connection on which statements stop before each step, while somebody acts on it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.actor: Actor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._stop_before(sql)
        return await self._connection.execute(sql, *arguments, **options)

    async def fetch(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._stop_before(sql)
        return await self._connection.fetch(sql, *arguments, **options)

    async def fetchrow(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._stop_before(sql)
        return await self._connection.fetchrow(sql, *arguments, **options)

    async def fetchval(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._stop_before(sql)
        return await self._connection.fetchval(sql, *arguments, **options)

    async def _stop_before(self, sql: str) -> None:
        if self.actor is not None:
            self.actor.pid = self._connection.get_server_pid()
            await self.actor.stop_before(step_of(sql))


class GatedDatabase:
    """Makes gated connections for one writer, and says who acts on them. Also a pool of the one it made last."""

    def __init__(self, database: Database) -> None:
        self.settings = database.settings
        self.shard = database.shard
        self._database = database
        self._connection: GatedConnection | None = None

    def act(self, actor: Actor | None) -> None:
        assert self._connection is not None
        self._connection.actor = actor

    @property
    def pid(self) -> int:
        assert self._connection is not None
        pid: int = self._connection.get_server_pid()
        return pid

    async def reconnect(self, purpose: str, **options: Any) -> Any:
        actor = self._connection.actor if self._connection else None
        self._connection = GatedConnection(await self._database.connect(purpose, **options))
        self._connection.actor = actor
        return self._connection

    async def acquire(self, **_: Any) -> Any:
        return self._connection

    async def release(self, *_: Any, **__: Any) -> None:
        """It stays where it is."""


class InnerGates:
    """Gates within the statement that writes: each actor stops before each row of `transactions`, by a trigger."""

    TRIGGER: Final = """
        CREATE FUNCTION stop_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_lock_shared(pg_backend_pid(), hashtext(NEW.reference_id));
            PERFORM pg_advisory_unlock_shared(pg_backend_pid(), hashtext(NEW.reference_id));
            RETURN NEW;
        END $$;
        CREATE TRIGGER stops_at_the_gate BEFORE INSERT ON transactions FOR EACH ROW
        EXECUTE FUNCTION stop_at_the_gate();
        """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.pid = connection.get_server_pid()
        self._marks: dict[str, int] = {}

    async def close(self, pids: Sequence[int], references: Mapping[str, str]) -> None:
        """From now on these sessions stop before they insert any of these references, which are named by the keys."""
        rows = await self._connection.fetch(
            "SELECT hashtext(ref) AS mark FROM unnest($1::text[]) AS ref", list(references.values())
        )
        self._marks = {name: row["mark"] for name, row in zip(references, rows, strict=True)}
        await self._connection.fetch(
            "SELECT pg_advisory_lock(pid, mark) FROM unnest($1::int[]) AS pid, unnest($2::int[]) AS mark",
            pids,
            list(self._marks.values()),
        )

    async def step_before(self, pid: int) -> str:
        """The step of a session that waits here: which reference it is about to insert."""
        waited_for = await self._connection.fetchval(
            "SELECT objid::bigint FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND NOT granted", pid
        )
        return next(f"insert:{name}" for name, mark in self._marks.items() if mark % 2**32 == waited_for)

    async def open(self, pid: int, step: str) -> None:
        mark = self._marks[step.removeprefix("insert:")]
        await self._connection.fetchval("SELECT pg_advisory_unlock($1, $2)", pid, mark)

    async def open_all(self) -> None:
        await self._connection.execute("SELECT pg_advisory_unlock_all()")
