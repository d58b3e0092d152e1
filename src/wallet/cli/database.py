"""Finds the database that a command works on, and waits until it answers."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn, assert_never

import click
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
)

from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.settings import Settings
from wallet.storage.connections.database import Database
from wallet.storage.embedded.folder import default_data_dir, major_of
from wallet.storage.embedded.server import embedded_postgres
from wallet.storage.schema.setup import Missing, find_missing

_RETRY_SECONDS_MAX = 1.0


@contextmanager
def database_or_embedded(settings: Settings) -> Iterator[Settings]:
    """Yield settings whose `database_url` is set: the given one, else the embedded server's, made unless it exists.

    A server that this function started is stopped at the end, last of all. SIGTERM ends the command in order.
    """
    if settings.database_url:
        with orderly_end():
            yield settings
        return
    bindir = Path(settings.pg_bindir) if settings.pg_bindir else None
    with orderly_end(), embedded_postgres(data_dir_of(settings), bindir) as server:
        yield replace(settings, database_url=server.dsn)


@contextmanager
def existing_database(settings: Settings) -> Iterator[Settings]:
    """As `database_or_embedded`, but never a new and empty database.

    An operator who forgets DATABASE_URL must not read that a ledger that was made a moment ago is in order.
    """
    if not settings.database_url and not _embedded_exists(settings):
        raise SettingsInvalid(
            "set DATABASE_URL to the database, like postgresql://user:password@host/database "
            f"(there is no data of `wallet dev` in {data_dir_of(settings)} either)"
        )
    with database_or_embedded(settings) as found:
        yield found


async def ensure_set_up(settings: Settings) -> None:
    """Wait for the database as `wait_for_missing` does. Raise SettingsInvalid unless `wallet migrate` has set it up."""
    match await wait_for_missing(settings):
        case Missing.MIGRATIONS:
            raise SettingsInvalid("the database's schema is not up to date: run `wallet migrate` first")
        case Missing.GRANTS:
            raise SettingsInvalid(
                f"the role {settings.database_role!r} has not the grants of this release, or the login of DATABASE_URL "
                "may not take it: run `wallet migrate` with a login that owns the tables (see WALLET_DATABASE_ROLE)"
            )
        case None:
            pass
        case never:
            assert_never(never)


async def wait_for_missing(settings: Settings) -> Missing | None:
    """The work that `wallet migrate` still has at the database of `settings.database_url`; None if there is none.

    Waits for the database up to `database_wait_seconds`, then raises StorageUnavailable.
    """

    def say_so_once(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            reason = state.outcome.exception()
            click.echo(f"wallet: waiting up to {settings.database_wait_seconds:g} s: {reason}", err=True)

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(StorageUnavailable),
        stop=stop_after_delay(settings.database_wait_seconds),
        wait=wait_exponential(multiplier=0.1, max=_RETRY_SECONDS_MAX),
        before_sleep=say_so_once,
        reraise=True,
    )
    async for attempt in attempts:
        with attempt:
            return await find_missing(database_of(settings))
    raise AssertionError("unreachable: the last attempt returns or raises")


def database_of(settings: Settings) -> Database:
    """The database of these settings. Raises SettingsInvalid if DATABASE_URL is not set."""
    if not settings.database_url:
        raise SettingsInvalid(
            "set DATABASE_URL to the database, like postgresql://user:password@host/database; "
            "to try the service without one, run `wallet dev`"
        )
    return Database(dsn=settings.database_url, settings=settings)


def data_dir_of(settings: Settings) -> Path:
    return Path(settings.data_dir) if settings.data_dir else default_data_dir()


def _embedded_exists(settings: Settings) -> bool:
    try:
        return major_of(data_dir_of(settings).expanduser()) is not None
    except OSError:  # this process may not start a server in a folder that it cannot read
        return False


@contextmanager
def orderly_end() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, so that the embedded server is stopped.

    Process 1 of a container ignores SIGTERM by default, so without this the command would not end there.
    """

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
