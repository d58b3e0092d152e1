"""Sealing as a leader does it, but at once."""

import asyncio

import asyncpg

from wallet.storage.chain.leaves import read_salts
from wallet.storage.chain.seal import seal
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.watermark import move_watermark, read_progress, set_fence


async def make_all_stable(connection: asyncpg.Connection) -> None:
    """Move the watermark to the last seq."""
    fence = await set_fence(connection, seq=(await read_progress(Shard(connection))).last_seq)
    async with asyncio.timeout(60):
        while await move_watermark(Shard(connection), fence) is None:
            await connection.execute("SELECT pg_sleep(0.005)")


async def seal_all(connection: asyncpg.Connection) -> None:
    """Settle and seal all batches that there are."""
    await make_all_stable(connection)
    salts = await read_salts(connection)
    while await seal(Shard(connection), salts=salts):
        pass
