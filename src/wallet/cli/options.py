"""Turns settings into options of a command, and holds the few other options that several commands share.

An option takes its name, environment variable, default and help from the setting.
"""

import os
from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from typing import Any, Final

import click

from wallet.cli.secret_files import read_secret
from wallet.errors import SettingsInvalid
from wallet.settings import Settings

Function = Callable[..., Any]

# bool is not among them: such an option is a flag, --x/--no-x.
_TYPES: Final[dict[Any, click.ParamType[Any]]] = {int: click.INT, float: click.FLOAT}
SETTING_NAMES: Final = tuple(each.name for each in fields(Settings))

DATABASE: Final = ("database_url", "database_role", "database_wait_seconds", "connect_seconds_max")
"""The settings of every command that works on a database."""

EMBEDDED: Final = ("data_dir", "pg_bindir")
"""The further settings of a command that can start the embedded database."""


def with_settings(*names: str, **defaults: Any) -> Callable[[Function], Function]:
    """Give a command an option for each named setting, and pass its function one `Settings` made of them.

    `defaults`: those of this command, if they differ from the setting's. Other settings keep their defaults.
    """

    def decorate(function: Function) -> Function:
        by_name = {each.name: each for each in fields(Settings)}

        @wraps(function)
        def with_options(**options: Any) -> Any:
            given = {name: options.pop(name) for name in names}
            for name in filter(is_secret, names):
                given[name] = _value_or_file(by_name[name], given[name], options.pop(f"{name}_file"))
            return function(Settings(**given), **options)

        command: Function = with_options
        for name in reversed(names):  # the last decorator's option comes first in --help
            if is_secret(name):
                command = _file_option(by_name[name])(command)
            command = _option(by_name[name], defaults.get(name, by_name[name].default))(command)
        return command

    return decorate


def is_secret(setting: str) -> bool:
    """Whether the setting can also be given as a file, by `file_variable` or the option of the same name."""
    return any(each.name == setting and each.metadata["is_secret"] for each in fields(Settings))


def file_variable(setting: Field[Any]) -> str:
    return f"{setting.metadata['env']}_FILE"


def file_meaning(setting: Field[Any]) -> str:
    return f"A file that holds {setting.metadata['env']} in one line."


def _value_or_file(setting: Field[Any], value: str | None, file: str | None) -> str | None:
    if not file:
        return value
    if value:
        raise SettingsInvalid(f"set either {setting.metadata['env']} or {file_variable(setting)}, not both")
    return read_secret(file, named=file_variable(setting))


def option_name(setting: str) -> str:
    """The option of a setting as --help shows it."""
    kebab = setting.replace("_", "-")
    is_flag = any(each.name == setting and each.type is bool for each in fields(Settings))
    return f"--{kebab}/--no-{kebab}" if is_flag else f"--{kebab}"


def flag(declaration: str, name: str, *, env: str, meaning: str) -> Callable[[Function], Function]:
    """An option that is on or off, and belongs to single commands instead of the service's settings."""
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


class _EmptyIsAValue(click.Option):
    """An option for which an empty environment variable is a value, and not the same as none."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        variable = str(self.envvar)
        return os.environ[variable] if variable in os.environ else super().resolve_envvar_value(ctx)


def _file_option(setting: Field[Any]) -> Callable[[Function], Function]:
    name = f"{setting.name}_file"
    return click.option(
        option_name(name), name, envvar=file_variable(setting), show_envvar=True, help=file_meaning(setting)
    )


def _option(setting: Field[Any], default: Any) -> Callable[[Function], Function]:
    return click.option(
        option_name(setting.name),
        setting.name,
        cls=_EmptyIsAValue if setting.metadata["empty_means_something"] else None,
        type=None if setting.type is bool else _TYPES.get(setting.type, click.STRING),
        default=default,
        envvar=setting.metadata["env"],
        show_envvar=True,
        show_default=default != "",
        help=setting.metadata["help"],
    )
