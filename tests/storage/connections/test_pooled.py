"""Questions on pooled connections: each store keeps the one time limit, and a stuck connection is given up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest

from tests.storage.posting import database_of
from wallet.errors import StorageUnavailable
from wallet.storage.chain.evidence import ReceiptStore
from wallet.storage.connections import transactions
from wallet.storage.connections.pooled import ShardPool
from wallet.storage.reads.owners import OwnerStore
from wallet.storage.reads.resources import ReadStore
from wallet.storage.reads.wallet_at import HistoryStore
from wallet.storage.registry.acts import ActStore
from wallet.storage.registry.keys import KeyStore
from wallet.storage.registry.programmes import ProgrammeStore
from wallet.storage.registry.resources import Resources

QUESTIONS: Final[dict[str, Callable[[ShardPool], Awaitable[Any]]]] = {
    "act": lambda pool: ActStore(pool).acts(before=None, limit=1),
    "key": lambda pool: KeyStore(pool).is_any_usable(),
    "keys": lambda pool: KeyStore(pool).keys(before=None, limit=1),
    "programme": lambda pool: ProgrammeStore(pool).programme(uuid4()),
    "programmes": lambda pool: ProgrammeStore(pool).programmes(after=None, limit=1),
    "attached": lambda pool: ProgrammeStore(pool).attached(uuid4(), uuid4()),
    "first grant": lambda pool: ProgrammeStore(pool).first_grant(uuid4(), uuid4()),
    "attached wallets": lambda pool: ProgrammeStore(pool).attached_wallets(uuid4(), after=None, limit=1),
    "end of a programme": lambda pool: ProgrammeStore(pool).end(uuid4()),
    "wallet": lambda pool: ReadStore(pool).wallet(uuid4()),
    "due": lambda pool: HistoryStore(pool).is_due(uuid4()),
    "owners": lambda pool: OwnerStore(pool).owners([uuid4()]),
    "receipt": lambda pool: ReceiptStore(pool).evidence(uuid4()),
    "user": lambda pool: Resources(pool).create_user(name="A"),
}
"""A question of each store, and all that once had a limit of their own or none."""

TABLES: Final = "admin_acts, api_keys, programmes, programme_wallets, wallets, users, transactions"


@pytest.mark.parametrize("question", QUESTIONS)
async def test_no_question_is_waited_for_longer_than_its_pool_allows(
    connection: asyncpg.Connection, database_url: str, question: str
) -> None:
    pool = await ShardPool.open(database_of(database_url), "test", connections_max=1, seconds_max=0.1)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(3):  # less than the server's own time-outs
                with pytest.raises(StorageUnavailable):
                    await QUESTIONS[question](pool)
    finally:
        pool.terminate()


class Stuck:
    """A connection that does not answer ROLLBACK."""

    def __init__(self, answer: Callable[[], Awaitable[str]]) -> None:
        self._answer = answer
        self.is_terminated = False

    async def execute(self, sql: str) -> str:
        assert sql.endswith("ROLLBACK")
        return await self._answer()

    def terminate(self) -> None:
        self.is_terminated = True


async def _never() -> str:
    await asyncio.Event().wait()
    return "ROLLBACK"


async def _refuse() -> str:
    raise asyncpg.InterfaceError("another operation is in progress")


async def _obey() -> str:
    return "ROLLBACK"


@pytest.mark.parametrize(("answer", "is_terminated"), [(_never, True), (_refuse, True), (_obey, False)])
async def test_a_connection_that_does_not_roll_back_is_given_up(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Awaitable[str]], is_terminated: bool
) -> None:
    monkeypatch.setattr(transactions, "ROLLBACK_SECONDS_MAX", 0.01)
    connection = Stuck(answer)
    await transactions.roll_back(connection)
    assert connection.is_terminated is is_terminated
