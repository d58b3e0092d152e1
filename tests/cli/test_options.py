"""Options are the settings: each has a variable, a help text and the setting's default; wrong values are one line."""

from dataclasses import fields
from typing import Any

import click
import pytest

from tests.cli.running import Wallet
from wallet.cli.main import COMMANDS, all_commands, main
from wallet.cli.options import SETTING_NAMES, with_settings
from wallet.settings import Settings

ALL = dict(all_commands())
"""Every command by its words, those of groups included."""


def options_of(command: str) -> list[click.Option]:
    return [each for each in ALL[command].params if isinstance(each, click.Option)]


def settings_made(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> Settings:
    """The settings that a command with all options is given."""
    given: list[Settings] = []

    @click.command()
    @with_settings(*SETTING_NAMES)
    def command(settings: Settings) -> None:
        given.append(settings)

    for each in fields(Settings):
        monkeypatch.delenv(each.metadata["env"], raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command.main(list(arguments), standalone_mode=False)
    return given[0]


@pytest.mark.parametrize("command", ALL)
def test_every_option_has_an_environment_variable_and_a_help_text(command: str) -> None:
    for option in options_of(command):
        assert isinstance(option.envvar, str), option.name
        assert option.show_envvar, option.name
        assert option.help, option.name


@pytest.mark.parametrize("command", ALL)
def test_help_shows_every_option_with_its_variable_and_examples(command: str, wallet: Wallet) -> None:
    said = wallet(*command.split(), "--help")
    assert said.code == 0
    for option in options_of(command):
        assert option.opts[0] in said.output
        assert str(option.envvar) in " ".join(said.output.split())
    assert f"\n    wallet {command}" in said.output.partition("Examples:")[2]


def test_help_of_the_whole_lists_every_command_in_one_line(wallet: Wallet) -> None:
    said = wallet("--help")
    assert said.code == 0
    for command, meaning in COMMANDS.items():
        assert command in said.output
        assert " ".join(meaning.split()) in " ".join(said.output.split())


def test_no_arguments_show_the_help(wallet: Wallet) -> None:
    assert wallet() == wallet("--help")


def test_without_options_and_variables_every_setting_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_made(monkeypatch) == Settings()


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_the_environment_variable_of_a_setting_sets_it(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = another_value(setting)
    made = settings_made(monkeypatch, **{setting.metadata["env"]: text})
    assert getattr(made, setting.name) == value


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_an_option_wins_over_the_environment_variable(setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = another_value(setting)
    option = "--" + setting.name.replace("_", "-")
    words = [option.replace("--", "--no-")] if setting.type is bool else [option, text]
    before = "true" if setting.type is bool else str(setting.default or "something else")
    made = settings_made(monkeypatch, *words, **{setting.metadata["env"]: before})
    assert getattr(made, setting.name) == value


def test_an_empty_environment_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {each.metadata["env"]: "" for each in fields(Settings) if not each.metadata["empty_means_something"]}
    assert settings_made(monkeypatch, **empty) == Settings()


def test_an_empty_environment_variable_is_a_value_where_its_meaning_says_what_it_stands_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meant = [each for each in fields(Settings) if "Empty:" in each.metadata["help"]]
    assert meant == [each for each in fields(Settings) if each.metadata["empty_means_something"]]
    made = settings_made(monkeypatch, **{each.metadata["env"]: "" for each in meant})
    assert {getattr(made, each.name) for each in meant} == {""}
    assert made.database_role == ""
    # Not set is not empty.
    assert settings_made(monkeypatch).database_role == Settings().database_role


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate", "--database-wait-seconds", "soon"),
        ("migrate", "--database-wait-seconds", "-1"),
        ("migrate", "--database-url", "mysql://localhost/wallet"),
        ("dev", "--port", "65536"),
        ("dev", "--port", "http"),
        ("dev", "--log-level", "loud"),
        ("dev", "--no-such-option"),
        ("dev", "--no-development"),
        ("dev", "--host", "0.0.0.0"),
        ("serve", "--development", "--host", "0.0.0.0"),
        ("serve", "--development", "--host", "::"),
        ("serve", "--development", "--host", ""),
        ("serve", "--development", "--host", "wallet.example"),
        ("dev", "unexpected"),
        ("no-such-command",),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments: tuple[str, ...], wallet: Wallet) -> None:
    said = wallet(*arguments)
    assert said.code == 2
    assert said.output == ""
    assert said.errors.startswith("wallet: ")
    assert said.errors.count("\n") == 1


def test_a_wrong_environment_variable_is_one_line_that_names_it(wallet: Wallet) -> None:
    said = wallet("dev", WALLET_FAST_LANE="perhaps")
    assert said.code == 2
    assert "WALLET_FAST_LANE" in said.errors
    assert said.errors.count("\n") == 1


def test_main_takes_the_arguments_of_the_process_unless_told_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["wallet", "version"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith("wallet ")


def another_value(setting: Any) -> tuple[str, object]:
    """A text and the value it stands for, which is valid and not the setting's default."""
    if setting.type is bool:
        return "no", False
    if setting.type is int:
        return str(setting.default + 1), setting.default + 1
    if setting.type is float:
        return str(setting.default + 0.5), setting.default + 0.5
    texts = {
        "log_level": "error", "plan_cache_mode": "auto", "cors_origins": "https://a.example",
        "public_url": "https://a.example/wallet",
    }  # fmt: skip
    text = texts.get(setting.name, "given")
    return text, text
