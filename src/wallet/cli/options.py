"""How settings become options of a command, and the few options that several commands share.

An option's name, environment variable, default and help are the setting's; nothing is said twice.
"""

from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from typing import Any, Final

import click

from wallet.settings import Settings

Function = Callable[..., Any]

# bool stays the flag's own business: --x/--no-x.
_TYPES: Final[dict[Any, click.ParamType[Any]]] = {int: click.INT, float: click.FLOAT}
SETTING_NAMES: Final = tuple(each.name for each in fields(Settings))

DATABASE: Final = ("database_url", "database_role", "database_wait_seconds", "connect_seconds_max")
"""What any command needs that talks to a database."""

EMBEDDED: Final = ("data_dir", "pg_bindir")
"""What a command needs in addition to start the embedded database."""


def with_settings(*names: str, **defaults: Any) -> Callable[[Function], Function]:
    """Give a command an option per setting named, and hand its function one `Settings` made of them.

    `defaults` are this command's own, where they differ from the setting's. Settings not named keep theirs.
    """

    def decorate(function: Function) -> Function:
        @wraps(function)
        def with_options(**options: Any) -> Any:
            return function(Settings(**{name: options.pop(name) for name in names}), **options)

        by_name = {each.name: each for each in fields(Settings)}
        command: Function = with_options
        for name in reversed(names):  # the last decorator's option comes first in --help
            command = _option(by_name[name], defaults.get(name, by_name[name].default))(command)
        return command

    return decorate


def option_name(setting: str) -> str:
    """The option of a setting as --help shows it."""
    kebab = setting.replace("_", "-")
    is_flag = any(each.name == setting and each.type is bool for each in fields(Settings))
    return f"--{kebab}/--no-{kebab}" if is_flag else f"--{kebab}"


def flag(declaration: str, name: str, *, env: str, meaning: str) -> Callable[[Function], Function]:
    """An option that is on or off and belongs to single commands, not to the service's settings."""
    return click.option(
        declaration,
        name,
        is_flag=True,
        default=False,
        envvar=env,
        show_envvar=True,
        show_default="/" in declaration,
        help=meaning,
    )


json_option = flag("--json", "as_json", env="WALLET_JSON", meaning="Print the result as one JSON object.")


def _option(setting: Field[Any], default: Any) -> Callable[[Function], Function]:
    return click.option(
        option_name(setting.name),
        setting.name,
        type=None if setting.type is bool else _TYPES.get(setting.type, click.STRING),
        default=default,
        envvar=setting.metadata["env"],
        show_envvar=True,
        show_default=default != "",
        help=setting.metadata["help"],
    )
