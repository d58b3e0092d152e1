"""Finds out whether movements can be made now: asks the database, and notices if it does not answer in time."""

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
"""How long a caller waits for the look that is under way. A readiness probe usually waits two seconds or more."""
LOOK_SECONDS_MAX: Final = 3.0
"""How long one look may take, with connecting; then its connection is closed."""
FRESH_SECONDS: Final = 0.25
"""How long the result of a look is used again. Readiness needs no key, so anybody may ask at any rate."""
CLOCK_OFFSET_SECONDS_MAX: Final = 5.0
"""The largest difference between this machine's clock and the database's that causes no warning."""

_OWNS_TABLES: Final = (
    "the database login owns the ledger's tables, so anybody with this login can rewrite them: "
    "use a login that owns nothing, and WALLET_MIGRATION_DATABASE_URL for migrations"
)
_NO_ANSWER: Final = Obstacle("database", "database_not_answering", "the database does not answer in time")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReadiness:
    """Movements can be made if there is no obstacle. `warnings`: stop nothing, but the operator should act on them.
    is_schema_known: whether the database told its schema.
    """

    obstacles: tuple[Obstacle, ...] = ()
    warnings: tuple[str, ...] = ()
    is_schema_known: bool = True

    @property
    def ready(self) -> bool:
        return not self.obstacles

    def state_of(self, part: str) -> str:
        """`ok`, or the obstacles of this part."""
        details = [each.detail for each in self.obstacles if each.part == part]
        if not details and part == "migrations" and not self.is_schema_known:
            return "unknown"
        return "; ".join(details) or "ok"


def clock_warnings(offset_seconds: float) -> Sequence[str]:
    """The warning about a clock that is ahead of the database's by this much; negative: behind."""
    if abs(offset_seconds) <= CLOCK_OFFSET_SECONDS_MAX:
        return ()
    side = "ahead of" if offset_seconds > 0 else "behind"
    return (
        f"this machine's clock is {abs(offset_seconds):.0f} s {side} the database's: correct it, since from five "
        "minutes on lists by time leave out the movements that this machine has posted",
    )


class Probe:
    """Looks at the database on a connection of its own. Callers that ask meanwhile share one look."""

    def __init__(self, database: Database, checks: Sequence[Check] = CHECKS) -> None:
        self._database = database
        self._checks = checks
        self._answer_seconds_max = min(ANSWER_SECONDS_MAX, database.settings.stage_seconds_max)
        self._connection: Any = None
        self._looking: asyncio.Task[ServiceReadiness] | None = None
        self._looked_at = -FRESH_SECONDS

    async def look(self) -> ServiceReadiness:
        """The state of the database, or that it does not answer."""
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
                    # The next look makes a new connection: by then the URL may lead to another server.
                    connection.terminate()
                    return ServiceReadiness(obstacles=(obstacle,))
            return ServiceReadiness(warnings=(_OWNS_TABLES,) if await login_owns_tables(connection) else ())
        except BaseException:
            connection.terminate()
            raise


def _stopped_by(obstacle: Obstacle) -> ServiceReadiness:
    return ServiceReadiness(obstacles=(obstacle,), is_schema_known=False)
