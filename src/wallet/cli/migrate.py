"""`wallet migrate`."""

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple

import click

from wallet.cli.database import database_of, existing_database, wait_for_missing
from wallet.cli.options import DATABASE, EMBEDDED, json_option, with_settings
from wallet.settings import Settings
from wallet.storage.schema.migrate import migrate, move_sequences
from wallet.storage.schema.sequences import Behind
from wallet.storage.schema.setup import login_of, sequences_behind


@click.command("migrate")
@with_settings(*DATABASE, "migration_database_url", *EMBEDDED)
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date.

    Waits for the database, applies the missing migrations, and prints their names; makes the role that the
    service takes, and gives it its grants; moves sequences forward that are behind their tables, as after a
    logical copy. Several processes may run it at once, and it may run again at any time. Without DATABASE_URL it
    works on the data of `wallet dev`.

    \b
    Examples:
      wallet migrate
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet migrate --json
      WALLET_MIGRATION_DATABASE_URL_FILE=/run/secrets/owner_url wallet migrate
    """
    with existing_database(settings) as found:
        done = asyncio.run(migrate_when_there(found))
    if as_json:
        moved = {each.name: each.last_number for each in done.moved}
        click.echo(json.dumps({"applied": done.applied, "sequences_moved": moved}))
    else:
        moves = [f"{each}; it is moved forward to {each.last_number}" for each in done.moved]
        click.echo("\n".join([*done.applied, *moves]) or "up to date")


class Migrated(NamedTuple):
    """The names of the applied migrations, and the sequences that were moved forward, with their state before."""

    applied: Sequence[str]
    moved: Sequence[Behind]


async def migrate_when_there(settings: Settings) -> Migrated:
    """Wait for the database, and bring it up to date."""
    database = database_of(settings)
    if await wait_for_missing(settings) is None and not await sequences_behind(database):
        return Migrated([], [])
    own_url = settings.migration_database_url
    dsn, named = own_url or database.dsn, "WALLET_MIGRATION_DATABASE_URL" if own_url else "DATABASE_URL"
    applied = await migrate(
        dsn,
        named=named,
        role=settings.database_role,
        login=await login_of(database),
        connect_seconds_max=settings.connect_seconds_max,
    )
    moved = await move_sequences(dsn, named=named, connect_seconds_max=settings.connect_seconds_max)
    return Migrated(applied, moved)
