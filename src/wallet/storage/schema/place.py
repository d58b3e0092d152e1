"""The place of a migration. Obstacles that would stop it in the middle are found and reported before it begins."""

from typing import Any, Final

import asyncpg

from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.storage.connections.sql_files import load_statements
from wallet.storage.schema.made import NAMES, REVISIONS
from wallet.storage.schema.revision import applied_revision

_SQL: Final = load_statements("schema/migrate.sql")

_KEPT_IN_THE_SHARED_TABLE: Final = REVISIONS[: REVISIONS.index("0005_sequences")]
"""Migrations of releases that kept their record in the library's own table, which other applications use as well."""


async def ensure_may_migrate(connection: asyncpg.Connection) -> None:
    """Raise SettingsInvalid if no second try can help, StorageUnavailable if the database takes no writes now.

    A ledger of a release that kept its record in the library's own table has one of our own afterwards. The caller
    holds the lock on migrations.
    """
    applied = await applied_revision(connection)
    place = await connection.fetchrow(_SQL["look_around"], sorted(frozenset().union(*NAMES.values())))
    _ensure_writable(place)
    _ensure_schema(place)
    is_adopted = applied is None and await _is_ours_in_the_shared_table(connection, place)
    if is_adopted:
        applied = await connection.fetchval(_SQL["shared_revision"])
    if applied is not None and applied not in REVISIONS:
        raise SettingsInvalid(
            f"the database's schema is at {applied!r}, which is no migration of this release, nor of a later one"
        )
    _ensure_room(place, applied)
    if is_adopted:
        await connection.execute(_SQL["adopt_revision"])


async def _is_ours_in_the_shared_table(connection: asyncpg.Connection, place: Any) -> bool:
    if not place["has_shared_table"] or "watermarks" not in place["taken"]:
        return False
    try:
        rows = await connection.fetch(_SQL["shared_revision"])
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedColumnError):
        return False
    return len(rows) == 1 and rows[0]["version_num"] in _KEPT_IN_THE_SHARED_TABLE


def _ensure_writable(place: Any) -> None:
    if place["is_standby"]:
        raise StorageUnavailable("the database is a standby, which takes no writes: name its primary in DATABASE_URL")
    if place["is_read_only"]:
        raise StorageUnavailable(
            "the database takes no writes (25006): default_transaction_read_only is on for it, its role or its server, "
            "as a provider sets it when the disk is full"
        )


def _ensure_schema(place: Any) -> None:
    name = place["place"]
    if name is None:
        raise SettingsInvalid(
            "search_path names no schema that is there and that the migrating login may use: "
            "make one (CREATE SCHEMA), or set search_path"
        )
    if place["kept_in"] not in (None, name):
        raise SettingsInvalid(
            f"the ledger's tables are in the schema {place['kept_in']!r}, and search_path begins with {name!r}: "
            "let it begin with theirs, or name theirs not at all for a ledger of its own"
        )
    if not place["may_create"]:
        raise SettingsInvalid(
            f"the migrating login may not make tables in the schema {name!r}: its owner "
            "may GRANT CREATE ON SCHEMA; or name a login that may by WALLET_MIGRATION_DATABASE_URL"
        )


def _ensure_room(place: Any, applied: str | None) -> None:
    """Raise SettingsInvalid for an existing object that only migrations after the `applied` one make."""
    first_missing = 0 if applied is None else REVISIONS.index(applied) + 1
    there = frozenset().union(*(NAMES[revision] for revision in REVISIONS[:first_missing]))
    missing = frozenset().union(*(NAMES[revision] for revision in REVISIONS[first_missing:]))
    if in_the_way := sorted(missing.difference(there).intersection(place["taken"])):
        raise SettingsInvalid(
            f"the schema {place['place']!r} has something of another application's, by names that the ledger needs "
            f"({', '.join(in_the_way[:5])}{', …' if in_the_way[5:] else ''}): use a database or schema of its own"
        )
