"""`wallet migrate`."""

import asyncio
import json

import click

from wallet.cli.database import database_of, existing_database, wait_for_missing
from wallet.cli.options import DATABASE, EMBEDDED, json_option, with_settings
from wallet.settings import Settings
from wallet.storage.migrate import migrate
from wallet.storage.setup import login_of


@click.command("migrate")
@with_settings(*DATABASE, "migration_database_url", *EMBEDDED)
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Bring the database's schema up to date.

    Waits for the database, applies the migrations it lacks, and prints their names; makes the role that the
    service takes there, and gives it its grants. Safe to run by several starts at once, and again at any time.
    Without DATABASE_URL it works on the data of `wallet dev`.

    \b
    Examples:
      wallet migrate
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet migrate --json
      WALLET_MIGRATION_DATABASE_URL_FILE=/run/secrets/owner_url wallet migrate
    """
    with existing_database(settings) as found:
        applied = asyncio.run(migrate_when_there(found))
    if as_json:
        click.echo(json.dumps({"applied": applied}))
    else:
        click.echo("\n".join(applied) or "up to date")


async def migrate_when_there(settings: Settings) -> list[str]:
    """Wait for the database and answer the names of the migrations applied to it."""
    if await wait_for_missing(settings) is None:
        return []
    database = database_of(settings)
    own_url = settings.migration_database_url
    return await migrate(
        own_url or database.dsn,
        named="WALLET_MIGRATION_DATABASE_URL" if own_url else "DATABASE_URL",
        role=settings.database_role,
        login=await login_of(database),
        connect_seconds_max=settings.connect_seconds_max,
    )
