"""Reads secret settings from files: orchestrators mount such files, and no list of processes shows their content."""

from pathlib import Path
from typing import Final

from wallet.errors import SettingsInvalid

_BYTES_MAX: Final = 65_536


def read_secret(file: str, *, named: str) -> str:
    """The one line in `file`, without the newline at its end. `named`: the variable that names the file.

    Raises SettingsInvalid, which names both and repeats nothing of the content.
    """
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise SettingsInvalid(f"{named} names {file!r}, which cannot be read: {why}") from None
    try:
        text = content.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.strip():
        raise SettingsInvalid(f"{named} names {file!r}, which is empty")
    if len(content) > _BYTES_MAX or not text.isprintable():
        raise SettingsInvalid(f"{named} names {file!r}, which is not one line of text in UTF-8")
    return text
