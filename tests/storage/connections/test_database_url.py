"""The meaning of each form of a database's URL, and libpq's meaning of the same one."""

import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.storage.connections.libpq import libraries, parsed_by, variables_of
from tests.storage.connections.tls_server import make_certificates
from wallet.errors import SettingsInvalid
from wallet.storage.connections.database_url import ENVIRONMENT, parameters_of
from wallet.storage.connections.destination import Destination, destination_of

ME = pwd.getpwuid(os.geteuid()).pw_name
ANYWHERE = "/run/postgresql:5432 /var/run/postgresql:5432 /tmp:5432 /private/tmp:5432 localhost:5432"

# The URL without postgresql://; the places to try; user; password; database; sslmode, and whom it trusts.
FORMS = [
    ("u:p@h/d", "h:5432", "u", "p", "d", "prefer anyone"),
    ("u:p@h:6/d", "h:6", "u", "p", "d", "prefer anyone"),
    ("h", "h:5432", ME, "", ME, "prefer anyone"),
    ("u@h", "h:5432", "u", "", "u", "prefer anyone"),
    ("u@h/", "h:5432", "u", "", "u", "prefer anyone"),
    ("u:@h:/d", "h:5432", "u", "", "d", "prefer anyone"),
    ("", ANYWHERE, ME, "", ME, "prefer anyone"),
    ("/d", ANYWHERE, ME, "", "d", "prefer anyone"),
    ("u@/d", ANYWHERE, "u", "", "d", "prefer anyone"),
    ("u@:7/d?host=h", "h:7", "u", "", "d", "prefer anyone"),
    # Characters that are percent-encoded, and characters that need not be.
    ("u%40x:p%2F%3A%25@h/d%3Fx", "h:5432", "u@x", "p/:%", "d?x", "prefer anyone"),
    ("u:p:q#r?s=t&v@h/d", "h:5432", "u", "p:q#r?s=t&v", "d", "prefer anyone"),
    ("u:a+b@h/d?password=c+d", "h:5432", "u", "c+d", "d", "prefer anyone"),
    ("u:%C5%82@h/a/b", "h:5432", "u", "ł", "a/b", "prefer anyone"),
    ("h/d?%75ser=%75", "h:5432", "u", "", "d", "prefer anyone"),
    ("h/d?options=-c%20search_path%3Dx", "h:5432", ME, "", "d", "prefer anyone"),
    # Sockets
    ("u@%2Frun%2Fpg/d", "/run/pg:5432", "u", "", "d", "prefer anyone"),
    ("u@%2Frun%2Fpg:6/d", "/run/pg:6", "u", "", "d", "prefer anyone"),
    ("u:p@/d?host=/run/pg", "/run/pg:5432", "u", "p", "d", "prefer anyone"),
    ("/d?host=/run/pg&port=6", "/run/pg:6", ME, "", "d", "prefer anyone"),
    # The query wins, and its last word
    ("u:p@localhost/d?host=/cloudsql/my:eu:x", "/cloudsql/my:eu:x:5432", "u", "p", "d", "prefer anyone"),
    ("u:p@h:5/d?port=6", "h:6", "u", "p", "d", "prefer anyone"),
    ("u:p@h/d?user=v&password=q&dbname=e", "h:5432", "v", "q", "e", "prefer anyone"),
    ("u:p@h/d?host=g&port=6&user=v&password=q&dbname=e", "g:6", "v", "q", "e", "prefer anyone"),
    ("u:p@h,g:1/d?host=i&port=2", "i:2", "u", "p", "d", "prefer anyone"),
    ("h/d?host=", ANYWHERE, ME, "", "d", "prefer anyone"),
    ("h/d?user=", "h:5432", ME, "", "d", "prefer anyone"),
    ("h/d?port=1&port=2&", "h:2", ME, "", "d", "prefer anyone"),
    ("?host=h&dbname=d&user=u", "h:5432", "u", "", "d", "prefer anyone"),
    # Addresses
    ("u@[::1]/d", "::1:5432", "u", "", "d", "prefer anyone"),
    ("u@[2001:db8::7]:6/d", "2001:db8::7:6", "u", "", "d", "prefer anyone"),
    ("/d?host=::1", "::1:5432", ME, "", "d", "prefer anyone"),
    ("h/d?hostaddr=10.0.0.7", "10.0.0.7(h):5432", ME, "", "d", "prefer anyone"),
    ("/d?hostaddr=10.0.0.7", "10.0.0.7:5432", ME, "", "d", "prefer anyone"),
    ("h,g/d?hostaddr=10.0.0.7,::1&port=6", "10.0.0.7(h):6 ::1(g):6", ME, "", "d", "prefer anyone"),
    # Several places
    ("h,g/d", "h:5432 g:5432", ME, "", "d", "prefer anyone"),
    ("u:p@h:1,g:2,[::1]:3/d", "h:1 g:2 ::1:3", "u", "p", "d", "prefer anyone"),
    ("h:1,g/d", "h:1 g:5432", ME, "", "d", "prefer anyone"),
    ("h,g/d?port=6", "h:6 g:6", ME, "", "d", "prefer anyone"),
    ("/d?host=h,/run/pg&port=1,2", "h:1 /run/pg:2", ME, "", "d", "prefer anyone"),
    ("h%2Cg/d", "h:5432 g:5432", ME, "", "d", "prefer anyone"),
    ("h,g/d?target_session_attrs=read-write", "h:5432 g:5432", ME, "", "d", "prefer anyone"),
    # Encryption
    ("h/d?sslmode=disable", "h:5432", ME, "", "d", "disable -"),
    ("h/d?sslmode=allow", "h:5432", ME, "", "d", "allow anyone"),
    ("h/d?sslmode=require", "h:5432", ME, "", "d", "require anyone"),
    ("h/d?ssl=true", "h:5432", ME, "", "d", "require anyone"),
    ("h/d?sslmode=require&sslrootcert=ca.pem", "h:5432", ME, "", "d", "require ca"),
    ("h/d?sslrootcert=ca.pem", "h:5432", ME, "", "d", "prefer ca"),
    ("h/d?sslmode=verify-ca&sslrootcert=ca.pem", "h:5432", ME, "", "d", "verify-ca ca"),
    ("h/d?sslmode=verify-full&sslrootcert=ca.pem", "h:5432", ME, "", "d", "verify-full name"),
    ("h/d?sslmode=verify-full&sslrootcert=system", "h:5432", ME, "", "d", "verify-full name"),
    ("/d?sslmode=verify-full&sslrootcert=ca.pem&hostaddr=10.0.0.7", "10.0.0.7:5432", ME, "", "d", "verify-full name"),
    ("h/d?sslrootcert=system", "h:5432", ME, "", "d", "verify-full name"),
    ("h/d?sslmode=verify-ca&sslrootcert=ca.pem&sslcrl=crl.pem", "h:5432", ME, "", "d", "verify-ca ca revoked"),
    ("h/d?sslmode=verify-ca&sslrootcert=ca.pem&sslcrldir=.", "h:5432", ME, "", "d", "verify-ca ca revoked"),
    ("h/d?sslmode=require&sslcert=client.pem&sslkey=client.key", "h:5432", ME, "", "d", "require anyone"),
    ("h/d?sslmode=require&sslcert=client.pem&sslkey=locked.key&sslpassword=x", "h:5432", ME, "", "d", "require anyone"),
    ("h/d?sslmode=require&sslnegotiation=direct", "h:5432", ME, "", "d", "require anyone direct"),
    ("h/d?sslmode=require&ssl_min_protocol_version=TLSv1.3", "h:5432", ME, "", "d", "require anyone"),
    # Parameters that ask for nothing new, or that the service sets itself
    (
        "h/d?channel_binding=prefer&gssencmode=prefer&sslcompression=0&sslsni=1&client_encoding=utf8&connect_timeout=9"
        "&application_name=x&keepalives=1&keepalives_idle=9&tcp_user_timeout=9&krbsrvname=postgres&replication=false",
        "h:5432", ME, "", "d", "prefer anyone",
    ),
]  # fmt: skip

# The URL without postgresql://, and what the line that refuses it has.
REFUSED = [
    ("h:port/d", "port of DATABASE_URL"),
    ("h:0/d", "port of DATABASE_URL"),
    ("h:65536/d", "port of DATABASE_URL"),
    ("u:zyxw/q@h/d", "port of DATABASE_URL"),
    ("h,g/d?port=1,2,3", "port of DATABASE_URL"),
    ("h,g/d?hostaddr=10.0.0.7", "hostaddr of DATABASE_URL"),
    ("/d?hostaddr=localhost", "hostaddr of DATABASE_URL"),
    ("@h/d?host=@abstract", "host of DATABASE_URL"),
    (f"/d?host=/{'x' * 100}", "host of DATABASE_URL"),
    ("[::1/d", "[::1]:5432"),
    ("[]/d", "[::1]:5432"),
    ("[::1]x/d", "[::1]:5432"),
    ("u:50%@h/d", "%25"),
    ("u:zyxw%00@h/d", "%00"),
    ("u:%FF@h/d", "UTF-8"),
    ("h/d?sslmode", "name=value"),
    ("h/d?&sslmode=require", "name=value"),
    ("h/d?sslmode=", "sslmode of DATABASE_URL must be one of disable"),
    ("h/d?sslmode=verify_full", "sslmode of DATABASE_URL must be one of disable"),
    ("h/d?ssl=false", "ssl of DATABASE_URL"),
    ("h/d?sslmode=verify-ca", "sslrootcert"),
    ("h/d?sslmode=verify-full", "sslrootcert"),
    ("h/d?sslmode=require&sslrootcert=system", "verify-full"),
    ("h/d?sslmode=require&sslcrl=crl.pem", "sslcrl of DATABASE_URL"),
    ("h/d?sslcrldir=.", "sslcrldir of DATABASE_URL"),
    ("h/d?sslnegotiation=direct", "sslnegotiation of DATABASE_URL"),
    ("h/d?sslnegotiation=none", "sslnegotiation of DATABASE_URL"),
    ("h/d?ssl_min_protocol_version=TLSv9", "ssl_min_protocol_version of DATABASE_URL"),
    ("h/d?ssl_max_protocol_version=TLSv1", "ssl_min_protocol_version"),
    ("h/d?target_session_attrs=master", "target_session_attrs of DATABASE_URL"),
    ("h/d?load_balance_hosts=yes", "load_balance_hosts of DATABASE_URL"),
    ("h/d?channel_binding=require", "channel_binding of DATABASE_URL"),
    ("h/d?channel_binding=", "channel_binding of DATABASE_URL"),
    ("h/d?require_auth=scram-sha-256", "require_auth of DATABASE_URL"),
    ("h/d?requirepeer=postgres", "requirepeer of DATABASE_URL"),
    ("h/d?sslcertmode=require", "sslcertmode of DATABASE_URL"),
    ("h/d?sslsni=0", "sslsni of DATABASE_URL"),
    ("h/d?gssencmode=require", "gssencmode of DATABASE_URL"),
    ("h/d?gssdelegation=1", "gssdelegation of DATABASE_URL"),
    ("h/d?min_protocol_version=3.2", "min_protocol_version of DATABASE_URL"),
    ("h/d?replication=database", "replication of DATABASE_URL"),
    ("h/d?scram_client_key=x", "scram_client_key of DATABASE_URL"),
    ("h/d?oauth_issuer=x", "oauth_issuer of DATABASE_URL"),
    ("h/d?sslkeylogfile=x", "sslkeylogfile of DATABASE_URL"),
    ("?service=main", "service of DATABASE_URL"),
    ("h/?database=d", "dbname"),
]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_certificates(folder)
    return folder


@pytest.fixture(autouse=True)
def among_files(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URLs name files of the working folder; the home folder is empty."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("HOME", str(tmp_path))


def destination(url: str, **environment: str) -> Destination:
    return destination_of(url, named="DATABASE_URL", environment=environment)


def refusal(url: str, **environment: str) -> str:
    with pytest.raises(SettingsInvalid) as raised:
        destination(url, **environment)
    assert raised.value.__cause__ is None
    said = str(raised.value)
    assert "\n" not in said
    assert "zyxw" not in said
    return said


def described(found: Destination) -> tuple[str, str, str, str, str]:
    def trust() -> str:
        if found.context is None:
            return "-"
        whom = "name" if found.context.check_hostname else "ca" if found.context.verify_mode else "anyone"
        return whom + (" revoked" if found.context.verify_flags & 0x4 else "")

    places = [
        f"{place.address}{f'({place.name})' if place.name not in (place.address, 'localhost') else ''}:{place.port}"
        for place in found.places
    ]
    tls = f"{found.sslmode} {trust()}{' direct' if found.negotiates_directly else ''}"
    return " ".join(places), found.user, found.password, found.database, tls


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[0][:60])
def test_a_form_of_the_url_leads_there(form: tuple[str, ...]) -> None:
    url, *wanted = form
    assert described(destination(f"postgresql://{url}")) == tuple(wanted)
    assert described(destination(f"postgres://{url}")) == tuple(wanted)


@pytest.mark.parametrize(("url", "words"), REFUSED, ids=[url[:60] for url, _ in REFUSED])
def test_a_form_that_cannot_be_honoured_is_refused_in_one_line_that_names_it(url: str, words: str) -> None:
    assert words in refusal(f"postgresql://{url}")


@pytest.mark.parametrize("url", ["mysql://h/d", "h/d", "host=h dbname=d", "postgresql:h/d", "postgresql+asyncpg://h/d"])
def test_what_is_no_url_of_postgresql_is_refused(url: str) -> None:
    assert "postgresql://user:password@host/database" in refusal(url)


@pytest.mark.skipif(not libraries(), reason="no libpq at hand")
@pytest.mark.parametrize("library", libraries(), ids=lambda library: library.PQlibVersion())
def test_libpq_takes_every_form_apart_in_the_same_way(library: Any) -> None:
    known = variables_of(library)
    for url, *_ in FORMS:
        parameters = parameters_of(f"postgresql://{url}", named="DATABASE_URL")
        if parameters.keys() <= known.keys():  # an old libpq does not know the newest
            assert parsed_by(library, f"postgresql://{url}") == parameters, url


@pytest.mark.skipif(not libraries(), reason="no libpq at hand")
@pytest.mark.parametrize("library", libraries(), ids=lambda library: library.PQlibVersion())
def test_every_parameter_of_libpq_and_its_variable_is_known(library: Any) -> None:
    # One that is not would be sent to the server as a setting; what it asks for must be honoured or refused by name.
    assert variables_of(library).items() <= ENVIRONMENT.items()


# The environment


def test_the_environment_says_what_the_url_does_not() -> None:
    found = destination(
        "postgresql://", PGHOST="h,g", PGPORT="6", PGUSER="u", PGPASSWORD="p w%", PGDATABASE="d", PGSSLMODE="require"
    )
    assert described(found) == ("h:6 g:6", "u", "p w%", "d", "require anyone")


def test_the_url_wins_over_the_environment() -> None:
    found = destination(
        "postgresql://u:p@h:5/d?sslmode=disable",
        PGHOST="g", PGHOSTADDR="10.0.0.7", PGPORT="6", PGUSER="v", PGPASSWORD="q", PGDATABASE="e", PGSSLMODE="require",
    )  # fmt: skip
    assert described(found) == ("h:5", "u", "p", "d", "disable -")


def test_an_empty_variable_says_nothing() -> None:
    assert described(destination("postgresql://h/d", PGSSLMODE="", PGUSER="")) == described(
        destination("postgresql://h/d")
    )


def test_a_variable_that_cannot_be_honoured_is_refused_by_its_name() -> None:
    assert refusal("postgresql://h/d", PGCHANNELBINDING="require").startswith("PGCHANNELBINDING ")
    assert refusal("postgresql://h/d", PGSERVICE="main").startswith("PGSERVICE ")


def test_a_user_without_a_name_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_123)
    assert "4000123" in refusal("postgresql://h/d")
    assert destination("postgresql://u@h/d").user == "u"


# Other properties


def test_balanced_hosts_are_tried_in_any_order() -> None:
    url = "postgresql://a,b,c,d,e,f/d?load_balance_hosts=random"
    orders = {tuple(place.address for place in destination(url).places) for _ in range(50)}
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {("a", "b", "c", "d", "e", "f")}


def test_what_only_the_server_may_know_is_for_the_server() -> None:
    found = destination("postgresql://h/d?search_path=x&options=-c%20jit=off&sslmode=disable")
    assert found.server_settings == {"search_path": "x", "options": "-c jit=off"}


def test_nothing_shows_the_password() -> None:
    assert "zyxw" not in repr(destination("postgresql://u:zyxw@h/d"))


# Files


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder that may not be entered, also where the tests run as root."""
    real = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if path.is_relative_to("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setenv("HOME", "/closed")


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-full&sslrootcert=ca.pem"])
def test_a_home_that_may_not_be_entered_is_not_looked_into(mode: str) -> None:
    found = destination(f"postgresql://h/d?sslmode={mode}")
    assert found.password_at(found.places[0]) is None


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
@pytest.mark.parametrize("file", ["missing.pem", ".", "empty.pem", "garbage.pem"])
def test_a_file_that_is_not_what_it_should_be_is_named_at_once(name: str, file: str, files: Path) -> None:
    (files / "empty.pem").touch()
    (files / "garbage.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n\xff\x00\n-----END CERTIFICATE-----\n")
    named = {"sslrootcert": "ca.pem", "sslcert": "client.pem", "sslkey": "client.key", "sslcrl": "crl.pem", name: file}
    query = "&".join(f"{name}={path}" for name, path in named.items())
    said = refusal(f"postgresql://h/d?sslmode=verify-ca&{query}")
    if name == "sslkey" and file in ("empty.pem", "garbage.pem"):
        assert "private key (sslkey, sslpassword)" in said  # only together do they go wrong
    else:
        assert said.startswith(f"{name} of DATABASE_URL names '{file}'")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslrootcert=crl.pem", "holds no certificate"),
        ("sslrootcert=client.key", "holds no certificate"),
        ("sslrootcert=ca.pem&sslcrl=ca.pem", "holds no revocation list"),
        ("sslrootcert=ca.pem&sslcrldir=nowhere", "sslcrldir of DATABASE_URL names 'nowhere'"),
        ("sslrootcert=ca.pem&sslcrldir=ca.pem", "sslcrldir of DATABASE_URL names 'ca.pem'"),
        ("sslrootcert=ca.pem&sslcert=client.pem&sslkey=ca.key", "private key (sslkey, sslpassword)"),
        ("sslrootcert=ca.pem&sslcert=client.pem&sslkey=locked.key", "private key (sslkey, sslpassword)"),
        ("sslrootcert=ca.pem&sslcert=client.pem&sslkey=locked.key&sslpassword=zyxw", "private key (sslkey"),
        ("sslrootcert=ca.pem&sslcert=client.pem", "private key (sslkey, sslpassword)"),
    ],
)
def test_files_that_do_not_fit_are_named(query: str, words: str) -> None:
    assert words in refusal(f"postgresql://h/d?sslmode=verify-ca&{query}")


def test_files_of_the_home_folder_are_used_where_none_is_named(files: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    shutil.copy(files / "ca.pem", folder / "root.crt")
    assert described(destination("postgresql://h/d"))[-1] == "prefer ca"
    assert described(destination("postgresql://h/d?sslmode=verify-full"))[-1] == "verify-full name"
    shutil.copy(files / "crl.pem", folder / "root.crl")
    assert described(destination("postgresql://h/d"))[-1] == "prefer ca revoked"
    (folder / "root.crt").write_text("")
    assert str(folder / "root.crt") in refusal("postgresql://h/d")


# Password files

LINES = r"""
# a comment
h:5432:d:u:of h
h:*:d:u:of another port
*:*:na\:me:u:with \: and \\
localhost:*:*:u:of sockets
"""


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text(LINES)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("u@h/d", "of h"),
        ("u@h:6/d", "of another port"),
        ("u@g/na:me", "with : and \\"),
        ("u@%2Frun%2Fpg/d", "of sockets"),
        ("u@/d", "of sockets"),
        ("u@h/d?hostaddr=10.0.0.7", "of h"),
        ("v@h/d", None),
        ("u:own@h/d", "own"),
    ],
)
def test_a_password_file_has_the_password_of_each_place(url: str, password: str | None, password_file: Path) -> None:
    mark = "&" if "?" in url else "?"
    for found in (
        destination(f"postgresql://{url}{mark}passfile={password_file}"),
        destination(f"postgresql://{url}", PGPASSFILE=str(password_file)),
    ):
        assert found.password_at(found.places[0]) == password


def test_the_password_file_of_the_home_folder_is_read(password_file: Path, tmp_path: Path) -> None:
    password_file.rename(tmp_path / ".pgpass")
    found = destination("postgresql://u@g,h/d")
    assert [found.password_at(place) for place in found.places] == [None, "of h"]
    (tmp_path / ".pgpass").chmod(0o644)  # as libpq: it is not used
    assert found.password_at(found.places[1]) is None


@pytest.mark.parametrize("spoilt", ["missing", "folder", "open", "binary"])
def test_a_password_file_that_is_named_and_cannot_be_used_is_named(spoilt: str, password_file: Path) -> None:
    if spoilt in ("missing", "folder"):
        password_file.unlink()
    if spoilt == "folder":
        password_file.mkdir()
    if spoilt == "open":
        password_file.chmod(0o640)
    if spoilt == "binary":
        password_file.write_bytes(b"\xff\xfe")
    found = destination(f"postgresql://u@h/d?passfile={password_file}")
    with pytest.raises(SettingsInvalid, match=str(password_file)):
        found.password_at(found.places[0])
    assert destination(f"postgresql://u:p@h/d?passfile={password_file}").password == "p"
