"""Connections with their settings and time-outs, and the only translation of the driver's errors into ours."""

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from wallet.errors import (
    BadData,
    InvariantViolated,
    SettingsInvalid,
    StaleContext,
    StorageUnavailable,
    WalletBusy,
)
from wallet.settings import Settings
from wallet.storage.connections.opening import open_connection
from wallet.storage.connections.session import configure
from wallet.storage.connections.shard import SHARD_ONLY
from wallet.storage.connections.sqlstates import words_of

_log = logging.getLogger(__name__)

# Another writer committed first. Errors are told apart by codes and names, never by messages.
_CONFLICTS: Final = frozenset({"40001", "40P01"})
_REFERENCE_CONSTRAINT: Final = "transactions_reference_uq"
# Bad values that only PostgreSQL refuses: data exceptions and program limits.
_BAD_DATA_CLASSES: Final = ("22", "54")
# Raised by our own triggers (0001_ledger.sql): a statement broke a law of the ledger.
_LAWS_CLASS: Final = "WL"

_LOCK_TIMEOUT: Final = "55P03"
_TAKEN: Final = "23505"
# A table that is distributed consists of parts, and the constraints of a part have its number behind their names.
_OF_A_PART: Final = re.compile(r"_\d+$")


# By primary key, the sequence that numbers its rows: a duplicate means that the sequence is behind.
_NUMBERED: Final = {"batches_pk": "batch_seq", "declines_pk": "declines_id_seq"}


class LockTimedOut(WalletBusy):
    """Another session holds a wallet or a reference for too long. The other requests of the batch need not wait."""


class SequenceBehind(StorageUnavailable):
    """A sequence is behind its table, as after a logical copy, so PostgreSQL refuses the numbers that it gives."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the sequence {name} is behind its table: run `wallet migrate`, which moves it forward")


class CannotConnect(StorageUnavailable):
    """A writer has no connection and gets none, though other parts of the service may. The message says why."""


class NotPrimary(StorageUnavailable):
    """The server is a standby: it takes no writes, and its rows may be old."""


# Planning a write again costs more than executing it, so plans are kept. A plan made while the tables were empty would
# scan them. With index look-ups as the only choice, a kept plan is right at any size.
_KEYED_PLANS: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
# Likewise: a bitmap scan may combine two indexes, and then reads all that one of them has of a shard. A statement sets
# it, because a pooler is told by name which settings of a start packet it may ignore, and refuses any other.
_KEYED_PLANS_LATER: Final = {"enable_bitmapscan": "off"}
# Statements with optional filters need plans for the values at hand.
_FRESH_PLANS: Final = {"plan_cache_mode": "force_custom_plan"}

COMMAND_SECONDS_MORE: Final = 1.0
"""How much longer than the server's time-out the service waits for an answer."""

CONNECTION_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Makes connections to the database of one URL, set up as the settings say. Holds none."""

    dsn: str = field(repr=False)
    settings: Settings
    shard: int = SHARD_ONLY
    """The shard that is asked there, and that ids made for it have."""
    _said: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """The errors that `reconnect` has logged since it last succeeded. Many parts reconnect again and again; each error
    is logged once.
    """

    async def connect(self, purpose: str, *, finds_by_key: bool = False, as_login: bool = False) -> asyncpg.Connection:
        """One connection, set up and checked. Raises StorageUnavailable (NotPrimary on a standby), or SettingsInvalid
        for an unsafe server.

        `as_login`: at a start, without the service's role, which may not exist yet.

        `finds_by_key`: every statement on the connection finds rows by a given key, so that one plan suits all values
        (docs/adr/0005).
        """
        limits = self.settings
        session = {
            "application_name": f"wallet {purpose}",
            "statement_timeout": str(limits.statement_timeout_ms),
            "lock_timeout": str(limits.lock_timeout_ms),
            # A stopped worker must not keep its locks.
            "idle_in_transaction_session_timeout": str(limits.idle_transaction_ms_max),
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "15000",
            "timezone": "UTC",
            # Compiling a plan costs more time than any statement of ours.
            "jit": "off",
            # Warnings must come: by one PostgreSQL reports that a commit was not replicated. Notices must not.
            "client_min_messages": "warning",
        }
        session |= _KEYED_PLANS | {"plan_cache_mode": limits.plan_cache_mode} if finds_by_key else _FRESH_PLANS
        set_later = _KEYED_PLANS_LATER if finds_by_key else {}
        if limits.database_role and not as_login:
            # Set at the session's start, so that a RESET does not bring the login's own rights back.
            session["role"] = limits.database_role

        async def connect() -> asyncpg.Connection:
            return await open_connection(
                self.dsn,
                seconds_max=limits.connect_seconds_max,
                # Our own limit: a frozen or unreachable server does not keep its time-out.
                command_seconds_max=limits.statement_timeout_ms / 1000 + COMMAND_SECONDS_MORE,
                server_settings=session,
            )

        with driver_errors():
            connection = await connect()
            try:
                is_standby = await configure(
                    connection, session | set_later, dsn=self.dsn, connect_another=connect if as_login else None
                )
                if is_standby:
                    raise NotPrimary("the database is a standby, which takes no writes")
            except BaseException:
                connection.terminate()
                raise
        return connection

    async def reconnect(self, purpose: str, *, finds_by_key: bool = False) -> asyncpg.Connection:
        """As `connect`, for a running service: settings that a start would refuse are a failure that may pass."""
        try:
            connection = await self.connect(purpose, finds_by_key=finds_by_key)
        except SettingsInvalid as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _log.error("%s", error)
            raise StorageUnavailable("the database is not as it was when the service started") from error
        self._said.clear()
        return connection

    async def pool(self, purpose: str, *, connections_max: int) -> asyncpg.Pool:
        """A pool for short pieces of work. It makes each connection when it first needs it, and none at once.

        Acquiring one raises what `connect` raises, and TimeoutError if none becomes free in the given time.
        """

        async def connect(*_: Any, **__: Any) -> asyncpg.Connection:
            return await self.reconnect(purpose)

        async def keep(_: asyncpg.Connection) -> None:
            """Reset nothing, and save a round trip: the users of the pool change no setting."""

        return await asyncpg.create_pool(connect=connect, reset=keep, min_size=0, max_size=connections_max)


@contextmanager
def driver_errors() -> Iterator[None]:
    """Translate the driver's errors before COMMIT is sent. No raised text repeats the driver's."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise translated(error) from error
    except asyncpg.DataError as error:  # the driver itself could not encode a value
        raise BadData("a value cannot be stored") from error
    except CONNECTION_LOST as error:
        raise StorageUnavailable("the database cannot be reached") from error


def translated(error: asyncpg.PostgresError) -> Exception:
    """Our error for the server's: by its SQLSTATE, and by the constraint where that says too little."""
    state, constraint = error.sqlstate or "", _OF_A_PART.sub("", error.constraint_name or "")
    if state in _CONFLICTS or (state == _TAKEN and constraint == _REFERENCE_CONSTRAINT):
        return StaleContext(f"another writer was there first ({state})")
    if state == _TAKEN and (sequence := _NUMBERED.get(constraint)):
        return SequenceBehind(sequence)
    if state.startswith(_LAWS_CLASS) or (state.startswith("23") and constraint):
        return InvariantViolated(f"the database refused what the ledger had decided ({constraint or state})")
    if state.startswith((*_BAD_DATA_CLASSES, "23")):
        return BadData(f"the database refused a value ({state})")
    if state == _LOCK_TIMEOUT:
        return LockTimedOut("another session has locked a wallet or a reference for too long")
    if state in ("42501", "42P01", "42703", "42883"):
        return StorageUnavailable(f"the database is not set up for this release ({state})")
    return StorageUnavailable(words_of(state))


def is_fatal(error: asyncpg.PostgresError) -> bool:
    """Whether the server ended the session with this error, so that the result of a COMMIT is unknown."""
    fields: Mapping[str, Any] = error.as_dict()
    return (fields.get("severity_en") or fields.get("severity")) != "ERROR"


async def close(connection: asyncpg.Connection | None) -> None:
    """Close the connection in the protocol's way, or at once if that takes longer than a second."""
    if connection is None or connection.is_closed():
        return
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except (*CONNECTION_LOST, asyncpg.PostgresError):
        connection.terminate()
