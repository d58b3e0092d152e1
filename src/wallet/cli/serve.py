"""`wallet serve`."""

import asyncio

import click

from wallet.bootstrap import make_app
from wallet.cli.database import database_of, ensure_set_up, orderly_end
from wallet.cli.keys_of import ensure_a_key
from wallet.cli.migrate import migrate_when_there
from wallet.cli.options import EMBEDDED, SETTING_NAMES, flag, with_settings
from wallet.errors import SettingsInvalid
from wallet.http.server.serve import serve
from wallet.service.demo import make_demo_data
from wallet.settings import Settings
from wallet.storage.schema.setup import sequences_behind


@click.command("serve")
@with_settings(*(name for name in SETTING_NAMES if name not in EMBEDDED))
@flag("--migrate/--no-migrate", "with_migrations", env="WALLET_MIGRATE", meaning="Migrate first, as `wallet migrate`.")
@flag("--seed/--no-seed", "with_demo_data", env="WALLET_SEED_DEMO", meaning="Make the demo data first.")
def command(settings: Settings, with_migrations: bool, with_demo_data: bool) -> int:
    """Serve HTTP on the database of DATABASE_URL.

    Waits for the database. Does not start if the schema is not up to date, or if the database has no valid key.
    After SIGTERM or Ctrl-C it answers all accepted requests and ends; a second Ctrl-C ends it at once.

    \b
    Examples:
      DATABASE_URL=postgresql://wallet:secret@db/wallet wallet serve
      wallet serve --host 0.0.0.0 --port 80 --workers 4
      wallet serve --migrate --seed
    """
    with orderly_end():
        asyncio.run(_prepare(settings, with_migrations=with_migrations, with_demo_data=with_demo_data))
    return serve(settings, make_app, on_ready=lambda _url: None)


async def _prepare(settings: Settings, *, with_migrations: bool, with_demo_data: bool) -> None:
    if with_migrations:
        await migrate_when_there(settings)
    else:
        await ensure_set_up(settings)
        if behind := await sequences_behind(database_of(settings)):
            # The service does not move it forward: a sequence is behind after rows were copied, and the copy may still
            # be under way.
            raise SettingsInvalid(f"{behind[0]}: run `wallet migrate` once no more rows are copied into this database")
    if with_demo_data:
        await make_demo_data(database_of(settings))
    if not settings.development:
        await ensure_a_key(settings)
