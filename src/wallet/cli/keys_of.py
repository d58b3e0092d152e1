"""Gives commands access to the keys in their database, and records what they do as administrative acts."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wallet.cli.database import database_of, ensure_set_up
from wallet.errors import Malformed, NotFound, SettingsInvalid, WalletError
from wallet.service.access.acts import Acts
from wallet.service.access.callers import COMMAND_LINE
from wallet.service.access.keys import Keys
from wallet.settings import Settings
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.registry.acts import ActStore
from wallet.storage.registry.keys import KeyStore

Result = TypeVar("Result")

_DONE = 200
_STATUSES: Mapping[type[WalletError], int] = {Malformed: 400, NotFound: 404}
"""The statuses that HTTP would answer. For other errors 503 is recorded."""


async def act_on_keys(
    settings: Settings,
    act: str,
    work: Callable[[Keys], Awaitable[Result]],
    *,
    subject: str | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Result:
    """Do `work`, after writing it as an administrative act. Raises what `work` raises."""
    await ensure_set_up(settings)
    async with _opened(settings) as (keys, acts):
        text = None if asked is None else json.dumps(asked, sort_keys=True, separators=(",", ":"))
        act_id = await acts.asked(COMMAND_LINE, act, subject=subject, asked=text)
        try:
            result = await work(keys)
        except WalletError as error:
            await acts.answered(act_id, _STATUSES.get(type(error), 503))
            raise
        await acts.answered(act_id, _DONE)
        return result


async def ensure_a_key(settings: Settings) -> None:
    """Raise SettingsInvalid unless the database has a valid key. The schema must be up to date."""
    async with _opened(settings) as (keys, _):
        if not await keys.is_any_usable():
            raise SettingsInvalid(
                "there is no key in the database that is valid: create one with "
                "`wallet keys create --name NAME --scope read --scope spend`, or to try it out, run `wallet dev`"
            )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Keys, Acts]]:
    seconds_max = settings.statement_timeout_ms / 1000
    pool = await ShardPool.open(database_of(settings), "keys", connections_max=1, seconds_max=seconds_max)
    try:
        yield Keys(KeyStore(pool)), Acts(ActStore(pool))
    finally:
        pool.terminate()
