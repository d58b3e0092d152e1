"""`wallet version`. Imports next to nothing: it is how people test that the command is there."""

import json
import platform

import click

from wallet import __version__
from wallet.cli.options import json_option


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Say which version of the service this is, and on which Python it runs.

    \b
    Examples:
      wallet version
      wallet version --json
    """
    if as_json:
        click.echo(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"wallet {__version__} (Python {platform.python_version()})")
