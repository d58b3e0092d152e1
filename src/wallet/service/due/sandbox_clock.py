"""The sandbox's clock: weeks in a moment, with everything that happens in them, in the order it happens in.

It is the ledger's clock only. Leadership, cursors and every bound of the service go by real time.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from wallet.errors import FieldError, Malformed, Overloaded, SettingsInvalid
from wallet.service.due.keeper import DuePoster, Submit
from wallet.storage.connections.database import Database, close
from wallet.storage.connections.shard import Shard
from wallet.storage.upkeep.clock import ClockReading, advance_clock, read_clock, try_lock_clock
from wallet.storage.upkeep.due import look_ahead

ADVANCE_SECONDS_MAX: Final = 10 * 366 * 24 * 3600
"""How far one request may advance it."""
OFFSET_SECONDS_MAX: Final = 100 * 366 * 24 * 3600
"""How far it may be ahead in all: the calendar ends somewhere."""
POSTED_MAX: Final = 20_000
"""How much one request posts, about; then it answers, and says how far there is still to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """The clock after a request. `remaining_seconds`: how far there is still to go, because the work has a bound."""

    reading: ClockReading
    remaining_seconds: int


def ensure_real_time(reading: ClockReading) -> None:
    """Raise SettingsInvalid if this database is a sandbox, for a service that is none."""
    if reading.offset_seconds > 0:
        raise SettingsInvalid(
            f"the ledger's clock in this database is ahead by {timedelta(seconds=round(reading.offset_seconds))}:"
            " it is a sandbox's database. Start with WALLET_SANDBOX=1, or on another database"
        )


class SandboxClock:
    """Reads and advances the ledger's clock. `submit` is Committer.submit."""

    def __init__(
        self,
        database: Database,
        submit: Submit,
        *,
        posted_max: int = POSTED_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._submit = submit
        self._posted_max = posted_max
        # How long one request works, about; likewise.
        self._work_seconds_max = database.settings.stage_seconds_max
        self._now = now

    async def read(self) -> ClockReading:
        """Raises StorageUnavailable."""
        async with self._connected() as shard:
            return await read_clock(shard.connection)

    async def advance(self, seconds: int) -> Advanced:
        """Advance the clock instant by instant: to each at which something is due, which is then posted, and so on.

        Raises Overloaded while somebody else advances it, Malformed beyond the bounds, StorageUnavailable. A due
        step that could not be posted stops the clock: the answer says how far there is still to go.
        """
        if not 1 <= seconds <= ADVANCE_SECONDS_MAX:
            raise _malformed(f"Must be between 1 and {ADVANCE_SECONDS_MAX}.")
        async with self._connected() as shard:
            if not await try_lock_clock(shard.connection):
                raise Overloaded("somebody else is advancing the clock")
            reading = await read_clock(shard.connection)
            if reading.offset_seconds + seconds > OFFSET_SECONDS_MAX:
                raise _malformed(f"The clock may be {OFFSET_SECONDS_MAX} seconds ahead at most.")
            target = reading.now + timedelta(seconds=seconds)
            if await self._advance(shard, target):
                return Advanced(reading=await advance_clock(shard.connection, target), remaining_seconds=0)
            reading = await read_clock(shard.connection)
            remaining = max(1, math.ceil((target - reading.now).total_seconds()))
            return Advanced(reading=reading, remaining_seconds=remaining)

    async def _advance(self, shard: Shard, target: datetime) -> bool:
        """Go through every instant up to `target` at which something is due. False: not all of them."""
        poster = DuePoster(self._submit, now=self._now)
        begun, posted = self._now(), 0
        while posted < self._posted_max and self._now() - begun < self._work_seconds_max:
            outlook = await look_ahead(shard)
            if outlook.is_anything_due:
                page = await poster.post_page(shard)
                posted += page.settled + page.granted
                if page.is_progress:
                    continue
                if page.failed or poster.resting:
                    return False
            if outlook.next_at is None or outlook.next_at > target:
                return True
            await advance_clock(shard.connection, outlook.next_at)
        return False

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Shard]:
        connection = await self._database.reconnect("sandbox clock", finds_by_key=True)
        try:
            yield Shard(connection, self._database.shard)
        finally:
            # And with it the lock, even if the caller is gone.
            await asyncio.shield(close(connection))


def _malformed(message: str) -> Malformed:
    return Malformed([FieldError("advance_seconds", message)])
