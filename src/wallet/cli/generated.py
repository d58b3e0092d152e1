"""Writes or checks the files that are generated from the code and kept in the repository."""

from pathlib import Path

import click

from wallet.cli.options import flag

check_option = flag("--check", "check", env="WALLET_CHECK", meaning="Write nothing; fail if the file is out of date.")


def write_or_check(path: Path, content: bytes, *, check: bool, again: str) -> None:
    """Write `content`. With `check`, raise ClickException instead, unless the file already has this content.

    `again`: the command that writes the file, for the message.
    """
    if not check:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
        click.echo(f"wrote {path}")
    elif not path.is_file():
        raise click.ClickException(f"{path} is not there: run `{again}`")
    elif path.read_bytes() != content:
        raise click.ClickException(f"{path} is not up to date: run `{again}`")
    else:
        click.echo(f"{path} is up to date")
