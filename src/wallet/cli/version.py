"""`wallet version`. Imports next to nothing, so that it is quick: operators use it to test the installation."""

import json
import platform

import click

from wallet import __version__
from wallet.cli.options import json_option


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version of the service, and that of the Python it runs on.

    \b
    Examples:
      wallet version
      wallet version --json
    """
    if as_json:
        click.echo(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"wallet {__version__} (Python {platform.python_version()})")
