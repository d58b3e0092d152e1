"""`wallet dev`, which `make run` runs."""

import asyncio
from dataclasses import replace
from functools import partial

import click

from wallet.bootstrap import make_app
from wallet.cli.database import data_dir_of, database_of, database_or_embedded
from wallet.cli.migrate import migrate_when_there
from wallet.cli.options import SETTING_NAMES, with_settings
from wallet.http.server.listeners import listen, listen_for_metrics
from wallet.http.server.serve import serve
from wallet.service.demo import MIKASA_WALLET, make_demo_data
from wallet.settings import Settings


@click.command("dev")
@with_settings(*(name for name in SETTING_NAMES if name != "development"), log_level="warning")
def command(settings: Settings) -> int:
    """Try the service: an embedded database, the schema, demo data, and HTTP on 127.0.0.1:8080.

    Needs no database server: it starts an embedded PostgreSQL, and stops it at the end. It keeps the data for the
    next time, in the folder that it prints; each clone has data of its own. With DATABASE_URL it uses that database
    instead. Requests need no key, so it serves on loopback only. Ctrl-C ends it.

    \b
    Examples:
      wallet dev
      wallet dev --port 8081
      DATABASE_URL=postgresql://wallet:secret@localhost/wallet wallet dev
    """
    settings = replace(settings, development=True)
    # Check the ports before a database is started in vain. Free them again, since no request can be answered yet.
    listen(settings).close()
    if (for_metrics := listen_for_metrics(settings)) is not None:
        for_metrics.close()
    with database_or_embedded(settings) as found:
        asyncio.run(_prepare(found))
        place = "DATABASE_URL" if settings.database_url else str(data_dir_of(settings))
        return serve(found, make_app, on_ready=partial(_say_where, place))


async def _prepare(settings: Settings) -> None:
    await migrate_when_there(settings)
    await make_demo_data(database_of(settings))


def _say_where(place: str, url: str) -> None:
    click.echo(f"Wallet service: {url}")
    click.echo(f"Documentation:  {url}/docs")
    click.echo(f"Data:           {place}")
    # On a line of its own, so that it can be copied.
    click.echo(f"curl {url}/wallets/{MIKASA_WALLET}/balance")
    click.echo("DEVELOPMENT MODE: no key is asked for; every program on this machine may do everything.")
