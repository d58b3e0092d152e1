"""The objects that the migrations make, by name. The names identify our tables in a schema, and no other object may
have them.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

# Objects that are made IF NOT EXISTS are left out: they may exist before (docs/operations.md).
_CREATE: Final = re.compile(r"^CREATE (TABLE|SEQUENCE|INDEX|FUNCTION) (?!IF NOT EXISTS)(\w+)", re.MULTILINE)


def _made() -> Mapping[str, tuple[tuple[str, str], ...]]:
    versions = files("wallet.storage.schema").joinpath("migrations", "versions")
    texts = {each.name: each.read_text("utf-8") for each in versions.iterdir() if each.name.endswith(".sql")}
    return {name.removesuffix(".sql"): tuple(_CREATE.findall(texts[name])) for name in sorted(texts)}


_MADE: Final = _made()

REVISIONS: Final = tuple(_MADE)
"""The migrations of this release, in order."""

TABLES: Final = tuple(name for made in _MADE.values() for kind, name in made if kind == "TABLE")

NAMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {revision: frozenset(name for _, name in made) for revision, made in _MADE.items()}
)
"""The objects that each migration makes."""
