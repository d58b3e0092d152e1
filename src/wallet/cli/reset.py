"""`wallet reset`."""

import click

from wallet.cli.database import data_dir_of
from wallet.cli.options import with_settings
from wallet.settings import Settings
from wallet.storage.embedded.server import remove_embedded_data


@click.command("reset")
@with_settings("data_dir")
def command(settings: Settings) -> None:
    """Remove the data of `wallet dev`, so that the next start makes the demo data anew.

    Refused while a command uses the data. A database of DATABASE_URL is never touched.

    \b
    Examples:
      wallet reset
    """
    click.echo(f"removed {remove_embedded_data(data_dir_of(settings))}")
