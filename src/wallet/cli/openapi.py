"""`wallet openapi`."""

from pathlib import Path

import click

from wallet.bootstrap import openapi_bytes
from wallet.cli.generated import check_option, write_or_check


@click.command("openapi")
@check_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("docs/openapi.json"),
    envvar="WALLET_OPENAPI_OUTPUT",
    show_envvar=True,
    show_default=True,
    help="File to write or to compare with.",
)
def command(check: bool, output: Path) -> None:
    """Write the OpenAPI document that is generated from the code.

    \b
    Examples:
      wallet openapi
      wallet openapi --check
    """
    write_or_check(output, openapi_bytes(), check=check, again="wallet openapi")
