"""Whether movements can be made now: what the database says of itself, or that it does not answer in time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from wallet.errors import WalletError
from wallet.storage.connections.database import Database, NotPrimary, close, driver_errors
from wallet.storage.schema.readiness import CHECKS, Check, Obstacle
from wallet.storage.schema.role import login_owns_tables

ANSWER_SECONDS_MAX: Final = 1.5
"""How long who asks waits for a look that is under way. A probe usually waits for two seconds or more."""
LOOK_SECONDS_MAX: Final = 3.0
"""How long one look may take, connecting included; then its connection is given up."""
FRESH_SECONDS: Final = 0.25
"""How long a look counts. Anybody may ask, as often as they like."""
CLOCK_OFFSET_SECONDS_MAX: Final = 5.0
"""How far this machine's clock may be off from the database's before it is warned of."""

_OWNS_TABLES: Final = (
    "the database login owns the ledger's tables, so whoever has it can rewrite them: "
    "use one that owns nothing, and WALLET_MIGRATION_DATABASE_URL for migrations"
)
_NO_ANSWER: Final = Obstacle("database", "database_not_answering", "the database does not answer in time")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReadiness:
    """Whether movements can be made: there is no obstacle. `warnings`: what is in nobody's way, and should be changed
    all the same. is_schema_known: whether the database could be asked for its schema.
    """

    obstacles: tuple[Obstacle, ...] = ()
    warnings: tuple[str, ...] = ()
    is_schema_known: bool = True

    @property
    def ready(self) -> bool:
        return not self.obstacles

    def state_of(self, part: str) -> str:
        """`ok`, or what is in the way."""
        details = [each.detail for each in self.obstacles if each.part == part]
        if not details and part == "migrations" and not self.is_schema_known:
            return "unknown"
        return "; ".join(details) or "ok"


def clock_warnings(offset_seconds: float) -> Sequence[str]:
    """What to say of a clock that is so far ahead of the database's."""
    if abs(offset_seconds) <= CLOCK_OFFSET_SECONDS_MAX:
        return ()
    side = "ahead of" if offset_seconds > 0 else "behind"
    return (
        f"this machine's clock is {abs(offset_seconds):.0f} s {side} the database's: set it right, since from five "
        "minutes on lists by time leave out what it has posted",
    )


class Probe:
    """Looks at the database on a connection of its own, for everybody who asks meanwhile."""

    def __init__(self, database: Database, checks: Sequence[Check] = CHECKS) -> None:
        self._database = database
        self._checks = checks
        self._answer_seconds_max = min(ANSWER_SECONDS_MAX, database.settings.step_seconds_max)
        self._connection: Any = None
        self._looking: asyncio.Task[ServiceReadiness] | None = None
        self._looked_at = -FRESH_SECONDS

    async def look(self) -> ServiceReadiness:
        """What the database says of itself, or that it says nothing."""
        looking = self._looking
        if looking is None or (looking.done() and time.monotonic() - self._looked_at >= FRESH_SECONDS):
            looking = self._looking = asyncio.create_task(self._look())
        done, _ = await asyncio.wait([looking], timeout=self._answer_seconds_max)
        return looking.result() if done else _stopped_by(_NO_ANSWER)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
            self._looking = None
        connection, self._connection = self._connection, None
        await close(connection)

    async def _look(self) -> ServiceReadiness:
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                with driver_errors():
                    seen = await self._ask()
        except TimeoutError:
            seen = _stopped_by(_NO_ANSWER)
        except NotPrimary as error:
            seen = _stopped_by(Obstacle("database", "database_standby", str(error)))
        except WalletError as error:
            seen = _stopped_by(Obstacle("database", "database_unavailable", str(error)))
        finally:
            self._looked_at = time.monotonic()
        return seen

    async def _ask(self) -> ServiceReadiness:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.reconnect("readiness")
        connection = self._connection
        try:
            for check in self._checks:
                if (obstacle := await check(connection)) is not None:
                    # The next look connects anew: the URL may lead elsewhere by then, to what has changed meanwhile.
                    connection.terminate()
                    return ServiceReadiness(obstacles=(obstacle,))
            return ServiceReadiness(warnings=(_OWNS_TABLES,) if await login_owns_tables(connection) else ())
        except BaseException:
            connection.terminate()
            raise


def _stopped_by(obstacle: Obstacle) -> ServiceReadiness:
    return ServiceReadiness(obstacles=(obstacle,), is_schema_known=False)
