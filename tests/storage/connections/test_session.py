"""The properties of a session: on a safe server, as it was asked for, and nobody else's; also behind a pooler."""

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import Server
from tests.storage.connections.pooler import PGBOUNCER, pooled
from tests.storage.posting import commit_all, make_asset, make_wallets, topup, writer_of
from wallet.errors import SettingsInvalid
from wallet.settings import SERVICE_ROLE, Settings
from wallet.storage.connections.database import Database
from wallet.storage.connections.session import configure
from wallet.storage.schema.migrate import migrate
from wallet.storage.schema.setup import find_missing, sequences_behind
from wallet.storage.verify.ledger import verify

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
# As docs/operations.md gives it.
IGNORED = next(iter(re.findall(r"^ignore_startup_parameters = .+$", OPERATIONS.read_text("utf-8"), re.MULTILINE)))

Pool = Callable[..., str]

ENCODINGS = ("LATIN1", "LATIN9", "WIN1252", "SQL_ASCII")


def database_of(dsn: str) -> Database:
    return Database(dsn=dsn, settings=Settings(connect_seconds_max=5))


# The server


@pytest.fixture(params=ENCODINGS)
def other_encoding_url(request: pytest.FixtureRequest, postgres: Server) -> Iterator[str]:
    """An empty database of another encoding."""
    name = f"wallet_test_{secrets.token_hex(6)}"

    async def administer(statement: str) -> None:
        connection = await asyncpg.connect(postgres.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(administer(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'"))
    yield re.sub(r"/[\w]*\?", f"/{name}?", postgres.dsn, count=1)
    asyncio.run(administer(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_a_database_that_cannot_store_every_text_is_refused_at_start_and_by_migrating(
    other_encoding_url: str,
) -> None:
    for attempt in (migrate(other_encoding_url), find_missing(database_of(other_encoding_url))):
        with pytest.raises(SettingsInvalid, match=r"encoding is .*ENCODING 'UTF8'"):
            await attempt


# A pooler


@pytest.fixture
def pool(database_url: str, tmp_path: Path) -> Iterator[Pool]:
    """Starts a pooler before `database_url`, and answers the URL through it."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not at hand: what the service does behind a pooler is not tried")
    with ExitStack() as stack:
        yield lambda *settings: stack.enter_context(pooled(database_url, tmp_path, "\n".join(settings)))


async def test_behind_a_pooler_in_session_mode_each_session_is_as_it_was_asked_for(pool: Pool) -> None:
    database = database_of(pool("pool_mode = session", IGNORED))
    assert await find_missing(database) is None
    assert await sequences_behind(database) == ()
    connection = await database.connect("test", finds_by_key=True)
    try:
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
            ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "jit", "enable_seqscan"],
        )
        limits = database.settings
        assert dict(rows) == {
            "lock_timeout": str(limits.lock_timeout_ms),
            "statement_timeout": str(limits.statement_timeout_ms),
            "idle_in_transaction_session_timeout": str(limits.idle_transaction_ms_max),
            "jit": "off",
            "enable_seqscan": "off",
        }
        assert await connection.fetchval("SELECT current_user") == SERVICE_ROLE
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM transactions")
    finally:
        await connection.close()


async def test_behind_a_pooler_in_session_mode_money_moves_and_is_verified(
    pool: Pool, connection: asyncpg.Connection
) -> None:
    url = pool("pool_mode = session", IGNORED)
    assert await migrate(url) == []
    await make_asset(connection, "GOLD")
    (wallet,) = await make_wallets(connection, "GOLD", 1)
    writer = writer_of(url)
    try:
        await commit_all(writer, *([topup(wallet, 1)] for _ in range(5)))
    finally:
        await writer.close()
    assert (await verify(url, on_progress=lambda seen: None)).is_sound


async def test_the_search_path_of_the_url_is_kept_where_the_pooler_leaves_it_out(
    pool: Pool, connection: asyncpg.Connection
) -> None:
    url = pool("pool_mode = session", IGNORED + ",options")
    await connection.execute("CREATE SCHEMA elsewhere")
    elsewhere = await database_of(f"{url}?options=-c%20search_path%3Delsewhere").connect("test", as_login=True)
    assert await elsewhere.fetchval("SHOW search_path") == "elsewhere"
    await elsewhere.close()


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_pooler_that_refuses_the_start_packet_is_named_at_once(pool: Pool, mode: str) -> None:
    url = pool(f"pool_mode = {mode}")
    for attempt in (migrate(url), find_missing(database_of(url))):
        with pytest.raises(SettingsInvalid, match="a pooler stands between, and refuses"):
            await attempt


@pytest.mark.parametrize("more", ["", "server_round_robin = 1"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_connections_is_refused_at_once(pool: Pool, mode: str, more: str) -> None:
    url = pool(f"pool_mode = {mode}", IGNORED, more)
    for _ in range(3):
        for attempt in (find_missing(database_of(url)), migrate(url), verify(url, on_progress=lambda seen: None)):
            with pytest.raises(SettingsInvalid, match="a pooler stands between, and gives"):
                await attempt


async def test_nothing_is_set_on_a_connection_that_is_others_as_well(
    pool: Pool, connection: asyncpg.Connection
) -> None:
    url = pool("pool_mode = transaction", IGNORED)
    with pytest.raises(SettingsInvalid):
        await migrate(url)
    others = await asyncpg.connect(url, statement_cache_size=0)
    assert await others.fetchval("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'") == "0"
    await others.close()


async def test_a_setting_that_does_not_come_to_be_as_asked_for_is_a_reason_to_refuse(
    connection: asyncpg.Connection, database_url: str
) -> None:
    with pytest.raises(SettingsInvalid, match=r"leaves out .*\(lock_timeout\)"):
        await configure(connection, {"lock_timeout": "1s"}, dsn=database_url)  # the server calls it 1000


async def test_the_documented_line_names_every_setting_that_sessions_are_started_with(
    pool: Pool, connection: asyncpg.Connection
) -> None:
    url = pool("pool_mode = session", IGNORED)
    for finds_by_key in (False, True):
        await (await database_of(url).connect("test", finds_by_key=finds_by_key)).close()
    assert (await verify(url, on_progress=lambda seen: None)).is_sound
