"""Loads the named statements of a .sql file, and checks them.

Each statement begins with a line `-- name:`. Its header says what goes in, what comes out, and why.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(file_name: str) -> Mapping[str, str]:
    """The statements of one file, by name. Raises ValueError if a name is used twice, or text precedes the first."""
    text = files("wallet.storage").joinpath(file_name).read_text("utf-8")
    before, *rest = _NAME.split(text)
    if any(line and not line.startswith("--") for line in before.splitlines()):
        raise ValueError(f"{file_name}: a statement without a name")
    names, bodies = rest[::2], rest[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{file_name}: a name is given twice")
    return MappingProxyType({name: body.strip().removesuffix(";") for name, body in zip(names, bodies, strict=True)})


def over(statement: str, **relations: str) -> str:
    """The statement, with what it names as relations made by other statements: one text for what they have in common.

    As if they were written inside it: PostgreSQL plans all of it as one.
    """
    made = ", ".join(f"{name} AS NOT MATERIALIZED ({each})" for name, each in relations.items())
    return f"WITH {made} {statement}"
