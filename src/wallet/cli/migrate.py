"""`wallet migrate`."""

import asyncio
import json

import click

from wallet.cli.database import database_of, existing_database, schema_is_current
from wallet.cli.options import DATABASE, EMBEDDED, json_option, with_settings
from wallet.settings import Settings
from wallet.storage.migrate import migrate


@click.command("migrate")
@with_settings(*DATABASE, *EMBEDDED)
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date.

    Waits for the database, applies the migrations it lacks, and prints their names. Safe to run by several
    starts at once, and again at any time. Without DATABASE_URL it works on the data of `wallet dev`.

    \b
    Examples:
      wallet migrate
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet migrate --json
    """
    with existing_database(settings) as found:
        applied = asyncio.run(migrate_when_there(found))
    if as_json:
        click.echo(json.dumps({"applied": applied}))
    else:
        click.echo("\n".join(applied) or "up to date")


async def migrate_when_there(settings: Settings) -> list[str]:
    """Wait for the database and answer the names of the migrations applied to it."""
    if await schema_is_current(settings):
        return []
    return await migrate(database_of(settings).dsn, connect_seconds_max=settings.connect_seconds_max)
