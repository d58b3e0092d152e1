"""Opening connections: where each form of a URL really leads, beside psql, and what is said when it leads nowhere."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from tests.storage.connections.fake_server import authentication, error, fake_server
from tests.storage.connections.tls_server import NAME, PASSWORD, TlsServer, bindir_with_tls, tls_server
from tests.storage.ledgers import until
from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.settings import Settings
from wallet.storage.connections.database import Database, driver_errors
from wallet.storage.connections.opening import open_connection
from wallet.storage.schema.migrate import migrate

SECRET = quote(PASSWORD, safe="")
PSQL = shutil.which("psql")
WHO = (
    "SELECT current_user, current_database(), coalesce(inet_server_port()::text, 'socket'),"
    " (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())::text"
)

# {port}, {socket} and {files} are the server's, {secret} is the password, {nothing} a port where nobody listens.
LEADING_THERE = [
    "somebody:{secret}@127.0.0.1:{port}/wallet",
    "somebody:{secret}@localhost:{port}/wallet",
    "somebody@127.0.0.1:{port}/wallet?password={secret}",
    "somebody:wrong@127.0.0.1:{port}/wallet?password={secret}",
    "nobody:wrong@elsewhere.invalid:1/none?host=127.0.0.1&port={port}&user=somebody&password={secret}&dbname=wallet",
    "somebody:{secret}@{socket_encoded}:{port}/wallet",
    "somebody:{secret}@/wallet?host={socket}&port={port}",
    "somebody:{secret}@localhost/wallet?host={socket}&port={port}",
    "somebody:{secret}@localhost/wallet?host={socket}&port={port}&sslmode=require",
    "somebody:{secret}@127.0.0.1:{nothing},127.0.0.1:{port}/wallet",
    "somebody:{secret}@127.0.0.1:{nothing},127.0.0.1:{port}/wallet?sslmode=require",
    "somebody:{secret}@127.0.0.1,localhost/wallet?port={port}&target_session_attrs=read-write",
    "somebody:{secret}@127.0.0.1:{port}/wallet?target_session_attrs=prefer-standby",
    "somebody:{secret}@elsewhere.invalid:{port}/wallet?hostaddr=127.0.0.1",
    "somebody:{secret}@127.0.0.1:{port}/wallet?passfile={files}/passwords",
    "somebody@127.0.0.1:{port}/wallet?passfile={files}/passwords",
    "somebody@127.0.0.1:{port}?dbname=wallet&passfile={files}/passwords",
    "somebody:{secret}@127.0.0.1:{port}/wallet?options=-c%20search_path%3Dx&application_name=x&connect_timeout=9",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=disable",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=allow",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=require&ssl_max_protocol_version=TLSv1.2",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=require&sslrootcert={files}/ca.pem",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=verify-ca&sslrootcert={files}/ca.pem",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=verify-ca&sslrootcert={files}/ca.pem&sslcrl={files}/empty_crl.pem",
    "somebody:{secret}@{name}:{port}/wallet?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={files}/ca.pem",
    "somebody:{secret}@127.0.0.1:{port}/wallet?sslrootcert={files}/other_ca.pem",
    "plain_only:{secret}@127.0.0.1:{port}/wallet",
    "tls_only:{secret}@127.0.0.1:{port}/wallet?sslmode=allow",
    "certified@127.0.0.1:{port}/wallet?sslmode=require&sslcert={files}/client.pem&sslkey={files}/client.key",
]

# As above, and what the one line has that is said at once.
LEADING_NOWHERE = [
    ("somebody:wrong@127.0.0.1:{port}/wallet", "28P01"),
    ("unheard_of:wrong@127.0.0.1:{port}/wallet", "28P01"),
    ("somebody@127.0.0.1:{port}/wallet", "28P01), and DATABASE_URL has none"),
    ("no_login:x@127.0.0.1:{port}/wallet", "28000"),
    ("plain_only:{secret}@127.0.0.1:{port}/wallet?sslmode=require", "28000"),
    ("tls_only:{secret}@127.0.0.1:{port}/wallet?sslmode=disable", "28000"),
    ("certified@127.0.0.1:{port}/wallet?sslmode=require", "28000"),
    ("somebody:{secret}@127.0.0.1:{port}/unheard_of", "3D000"),
    ("somebody:{secret}@127.0.0.1:{port}/closed", "42501"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?options=-x", "42601"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?options=-c%20unheard_of%3D1", "options"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?schema=public", "schema"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?work_mem=much", "work_mem"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=verify-ca&sslrootcert={files}/other_ca.pem", "not trusted"),
    ("somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=verify-full&sslrootcert={files}/ca.pem", "not trusted"),
    ("somebody:{secret}@{name}:{port}/wallet?hostaddr=127.0.0.1&sslrootcert=system", "not trusted"),
    (
        "somebody:{secret}@127.0.0.1:{port}/wallet?sslmode=verify-ca&sslrootcert={files}/ca.pem&sslcrl={files}/crl.pem",
        "revoked",
    ),
    ("somebody:{secret}@a..b:{port}/wallet", "names a host that cannot be one"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    bindir = bindir_with_tls()
    if bindir is None:
        pytest.skip("no PostgreSQL with TLS is at hand")
    with tls_server(bindir) as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home folder, and no variable that stands in for a parameter."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
async def everything_closed() -> AsyncIterator[None]:
    """After a refusal, the driver's connection closes itself a moment later; the loop of a test must not end before."""
    before = len(os.listdir("/dev/fd"))

    async def nothing_is_open() -> bool:
        return len(os.listdir("/dev/fd")) <= before

    yield
    await until(nothing_is_open)


def url_of(form: str, server: TlsServer) -> str:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nothing = reserved.getsockname()[1]
    path = server.socket_dir
    return "postgresql://" + form.format(
        port=server.port, socket=path, socket_encoded=quote(str(path), safe=""), files=server.files, secret=SECRET,
        name=NAME, nothing=nothing,
    )  # fmt: skip


async def who(url: str) -> str:
    connection = await open_connection(url, seconds_max=20, server_settings={})
    try:
        return "|".join(await connection.fetchrow(WHO))
    finally:
        await connection.close()


async def complaint(url: str) -> str:
    with pytest.raises(SettingsInvalid) as raised:
        await who(url)
    said = str(raised.value)
    assert "\n" not in said
    assert "hush" not in said
    return said


@pytest.mark.parametrize("form", LEADING_THERE)
async def test_a_url_leads_to_the_server(form: str, server: TlsServer) -> None:
    said = (await who(url_of(form, server))).split("|")
    assert said[0] == next(name for name in ("somebody", "plain_only", "tls_only", "certified") if name in form)
    assert said[1] == "wallet"
    assert said[2] == ("socket" if "{socket" in form else str(server.port))


@pytest.mark.skipif(PSQL is None, reason="no psql at hand")
@pytest.mark.parametrize("form", LEADING_THERE)
async def test_a_url_leads_where_it_leads_psql(form: str, server: TlsServer) -> None:
    assert PSQL is not None
    url = url_of(form, server)
    command = [PSQL, url, "--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--command", WHO]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert await who(url) == done.stdout.strip()


@pytest.mark.parametrize(("form", "words"), LEADING_NOWHERE, ids=[form[:70] for form, _ in LEADING_NOWHERE])
async def test_a_url_that_leads_nowhere_is_refused_at_once_in_words(form: str, words: str, server: TlsServer) -> None:
    assert words in await complaint(url_of(form, server))


async def test_what_may_pass_is_waited_for_and_said_in_words(server: TlsServer) -> None:
    for url, words in (
        (url_of("full_up:x@127.0.0.1:{port}/wallet", server), r"no more connections.*53300"),
        (url_of("somebody:{secret}@127.0.0.1:{port}/wallet?target_session_attrs=standby", server), "is standby"),
        (url_of("somebody:{secret}@127.0.0.1:{nothing}/wallet", server), "cannot be reached"),
    ):
        with pytest.raises(StorageUnavailable, match=words), driver_errors():
            await who(url)


UNDER_UVLOOP = """
import sys, uvloop
from wallet.storage.connections.opening import open_connection
try:
    print(uvloop.run(open_connection(sys.argv[1], seconds_max=20, server_settings={})).is_closed())
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(("name", "words"), [(NAME, "False"), ("other.example", "not valid for")])
def test_the_name_of_a_certificate_is_checked_under_the_loop_of_the_service_too(
    name: str, words: str, server: TlsServer
) -> None:
    there = f"somebody:{{secret}}@{name}:{{port}}/wallet?hostaddr=127.0.0.1&sslmode=verify-full"
    url = url_of(f"{there}&sslrootcert={{files}}/ca.pem", server)
    done = subprocess.run([sys.executable, "-c", UNDER_UVLOOP, url], capture_output=True, text=True, timeout=60)
    assert words in done.stdout


@pytest.mark.parametrize("mode", ["require", "verify-ca&sslrootcert={files}/ca.pem", "require&sslnegotiation=postgres"])
async def test_a_server_without_tls_is_said_to_have_none(mode: str, server: TlsServer) -> None:
    async with fake_server(error("57P03")) as place:
        assert "has no TLS" in await complaint(f"postgresql://u@{place}/d?sslmode={mode.format(files=server.files)}")


async def test_what_a_server_said_is_not_hidden_by_the_other_way_that_is_not_open() -> None:
    async with fake_server(error("28000")) as place:
        assert "28000" in await complaint(f"postgresql://u@{place}/d?sslmode=allow")


async def test_a_server_that_only_fails_to_agree_on_tls_is_no_server_without_it() -> None:
    async with fake_server(b"", tls=b"E") as place:
        with pytest.raises(StorageUnavailable), driver_errors():
            await who(f"postgresql://u@{place}/d?sslmode=require")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error("08P01"), "a pooler stands between"),
        (error("28000"), "28000"),
        (error("3D000"), "3D000"),
        (authentication(7), "a way to log in"),
        (authentication(2), "a way to log in"),
    ],
)
async def test_what_a_server_says_to_the_start_of_a_session_is_said_in_words(answer: bytes, words: str) -> None:
    async with fake_server(answer) as place:
        assert words in await complaint(f"postgresql://u@{place}/d")


@pytest.mark.parametrize("state", ["57P03", "53300", "XX000"])
async def test_what_may_pass_is_not_refused_at_once(state: str) -> None:
    async with fake_server(error(state)) as place:
        with pytest.raises(StorageUnavailable, match=state), driver_errors():
            await who(f"postgresql://u@{place}/d")


async def test_a_place_that_does_not_answer_leaves_time_for_the_next(server: TlsServer) -> None:
    async with fake_server(b"") as silent:
        url = url_of(f"somebody:{{secret}}@{silent},127.0.0.1:{{port}}/wallet", server)
        connection = await open_connection(url, seconds_max=0.5, server_settings={})
        await connection.close()


async def test_each_place_has_the_password_that_the_file_has_for_it(server: TlsServer, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    escaped = PASSWORD.replace("\\", r"\\").replace(":", r"\:")
    async with fake_server(error("57P03")) as starting:
        passwords.write_text(f"{starting}:*:*:wrong\n127.0.0.1:{server.port}:*:*:{escaped}\n")
        passwords.chmod(0o600)
        url = url_of(f"somebody@{starting},127.0.0.1:{{port}}/wallet?passfile={passwords}", server)
        assert (await who(url)).startswith("somebody")


async def test_a_socket_that_may_not_be_opened_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # As root nothing is closed to us.
    monkeypatch.setattr(asyncpg, "connect", refuse)
    assert "who may enter the socket's folder" in await complaint("postgresql://u@/d?host=/run/closed")


async def test_a_database_that_is_set_read_only_is_said_to_be(database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    name = re.search(r"/(wallet_test_\w+)", database_url)[1]  # type: ignore[index]
    await owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await owner.execute("DELETE FROM wallet_alembic_version")
    await owner.close()
    with pytest.raises(StorageUnavailable, match="takes no writes"):
        await migrate(database_url)


async def test_a_role_that_is_not_there_is_not_taken_for_a_database_that_is_away(database_url: str) -> None:
    settings = Settings(database_role="unheard_of")
    with pytest.raises(SettingsInvalid, match="unheard_of"):
        await Database(dsn=database_url, settings=settings).connect("test")


# A service that runs


async def test_what_keeps_a_running_service_out_is_logged_once_until_it_is_let_in_again(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A keeper, the key ring and the writer connect again each second or oftener, for as long as it lasts."""
    database = Database(dsn=database_url, settings=Settings(database_role="nobody_by_this_name"))
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await database.reconnect("test")
    assert len(caplog.records) == 1
    assert "nobody_by_this_name" in caplog.text


async def test_it_is_logged_again_after_it_was_over(
    database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(dsn=database_url, settings=Settings())
    for _ in range(2):
        monkeypatch.setenv("PGSSLMODE", "none_by_this_name")
        with pytest.raises(StorageUnavailable):
            await database.reconnect("test")
        monkeypatch.delenv("PGSSLMODE")
        await (await database.reconnect("test")).close()
    assert len(caplog.records) == 2


def test_what_shows_a_database_or_the_settings_shows_no_password() -> None:
    settings = Settings(database_url="postgresql://a:secret@h/d", migration_database_url="postgresql://b:secret@h/d")
    assert "secret" not in repr(Database(dsn="postgresql://a:secret@h/d", settings=settings))
