"""Finds sequences that are behind the rows they number, as after a logical copy, and moves them forward.

Start, readiness, `wallet verify` and `wallet migrate` find them; only `wallet migrate` moves them (docs/adr/0026).
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from wallet.storage.connections.sql_files import load_statements
from wallet.storage.schema.made import TABLES

_SQL: Final = load_statements("schema/sequences.sql")

LOOKS: Final = {"batch_seq": _SQL["look_at_batches"], "declines_id_seq": _SQL["look_at_declines"]}
"""The statements for sequences whose check takes more than the end of one index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A sequence that gives `next_number` next, although `place`, the column that it numbers, has reached
    `last_number`.
    """

    name: str
    sequence: str
    place: str
    next_number: int
    last_number: int

    def __str__(self) -> str:
        return (
            f"the sequence {self.name} is behind its table: it gives {self.next_number} next, "
            f"and {self.place} is at {self.last_number}"
        )


async def find_behind(connection: asyncpg.Connection) -> tuple[Behind, ...]:
    """The sequences that are behind, by name. Raises the driver's errors."""
    behind = []
    for found in await connection.fetch(_SQL["find_sequences"], TABLES):
        name = found["sequence_name"]
        look = LOOKS.get(name, _SQL["look_at"])
        next_number, last_number = await connection.fetchrow(look.format(**found))
        if last_number is not None and next_number <= last_number:
            behind.append(
                Behind(
                    name=name,
                    sequence=found["sequence"],
                    place=found["place"],
                    next_number=next_number,
                    last_number=last_number,
                )
            )
    return tuple(behind)


async def move_forward(connection: asyncpg.Connection) -> tuple[Behind, ...]:
    """Move each sequence that is behind to the last used number, and answer the sequences as they were. None is moved
    back.

    Raises the driver's errors: the login must own the sequences, and may have to wait for writers.
    """
    if not await find_behind(connection):
        return ()
    async with connection.transaction():
        await connection.execute(_SQL["keep_writers_out"])
        behind = await find_behind(connection)
        for each in behind:
            await connection.execute(_SQL["move"], each.sequence, each.last_number)
    return behind
