"""The command `wallet`: the list of its commands, and the reporting of errors. Each command is in its own module.

A command's module is imported when the command is used, so that no command pays for another's libraries.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final, NoReturn

import click

from wallet.errors import SettingsInvalid, WalletError

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130

COMMANDS: Final = {
    "dev": "Try the service: an embedded database, demo data, and HTTP. Needs nothing.",
    "reset": "Remove the data that `wallet dev` has made.",
    "serve": "Serve HTTP on the database of DATABASE_URL.",
    "migrate": "Bring the database's schema up to date.",
    "keys": "Make, list and revoke the keys that programs authenticate with.",
    "seed": "Make the demo data, by real transactions.",
    "verify": "Check the whole ledger and name the first wrong row.",
    "checkpoint": "Print the end of the audit chain, to be kept elsewhere.",
    "receipt": "Check a receipt offline.",
    "openapi": "Write the OpenAPI document.",
    "configuration": "Write the table of all settings.",
    "version": "Print the version of the service.",
}
"""Each command is in the module of its name, as `command`."""


class LazyGroup(click.Group):
    """Lists its commands from COMMANDS, and imports only the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"wallet.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """A wallet service: it moves money between wallets, exactly once, on PostgreSQL.

    \b
    To try it, without a database server:
      wallet dev
    To run it:
      export DATABASE_URL=postgresql://user:password@host/database
      wallet migrate
      wallet keys create --name backend --scope read --scope spend
      wallet serve

    Every option can also be set by the environment variable that its help names; the option wins over the
    variable. `wallet COMMAND --help` explains a command.
    """


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, the commands of groups included."""
    context = click.Context(cli)
    for name in COMMANDS:
        found = cli.get_command(context, name)
        if isinstance(found, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in found.commands.items())
        elif found is not None:
            yield name, found


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `wallet` with these arguments, or those of the process, and exit.

    0: done. 1: failed. 2: wrong usage or settings. 130: interrupted. An expected error is one line on standard error; a
    traceback is a fault of the service.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(args=words or ["--help"], prog_name="wallet", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "wallet"
        _complain(f"{error.format_message()} (see {where} --help)", WRONG_USAGE)
    except click.ClickException as error:
        _complain(error.format_message(), FAILED)
    except SettingsInvalid as error:
        _complain(str(error), WRONG_USAGE)
    except WalletError as error:
        _complain(str(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(code)


def _complain(message: str, code: int) -> NoReturn:
    click.echo(f"wallet: {' '.join(message.split())}", err=True)
    sys.exit(code)
