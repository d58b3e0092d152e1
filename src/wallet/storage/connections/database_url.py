"""Parses a database URL as libpq does, so that a URL that works with psql means the same here.

This module holds the grammar and the environment variables: it makes parameters with libpq's names. The module
`destination` gives them their meaning.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

from wallet.errors import SettingsInvalid

ENVIRONMENT: Final[Mapping[str, str]] = {
    "service": "PGSERVICE", "servicefile": "PGSERVICEFILE", "user": "PGUSER", "password": "PGPASSWORD",
    "passfile": "PGPASSFILE", "dbname": "PGDATABASE", "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT",
    "channel_binding": "PGCHANNELBINDING", "require_auth": "PGREQUIREAUTH", "requirepeer": "PGREQUIREPEER",
    "connect_timeout": "PGCONNECT_TIMEOUT", "client_encoding": "PGCLIENTENCODING", "options": "PGOPTIONS",
    "application_name": "PGAPPNAME", "fallback_application_name": "", "keepalives": "", "keepalives_idle": "",
    "keepalives_interval": "", "keepalives_count": "", "tcp_user_timeout": "", "replication": "",
    "sslmode": "PGSSLMODE", "sslnegotiation": "PGSSLNEGOTIATION", "sslcompression": "PGSSLCOMPRESSION",
    "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslpassword": "", "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcrl": "PGSSLCRL", "sslcrldir": "PGSSLCRLDIR", "sslsni": "PGSSLSNI",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION", "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "gsslib": "PGGSSLIB",
    "gssdelegation": "PGGSSDELEGATION", "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS", "scram_client_key": "", "scram_server_key": "", "oauth_issuer": "",
    "oauth_client_id": "", "oauth_client_secret": "", "oauth_scope": "", "sslkeylogfile": "",
}  # fmt: skip
"""Every parameter of libpq, and the environment variable that replaces it. A test compares both with libpq's list."""

_SCHEMES: Final = ("postgresql://", "postgres://")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


class Parameters:
    """The parameters of the URL, and from the environment those that the URL does not give."""

    def __init__(self, url: str, environment: Mapping[str, str], *, named: str) -> None:
        self.named = named
        self._of_url = parameters_of(url.strip(), named=named)
        self._of_environment = {
            name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)
        }
        if "host" in self._of_url:
            # Unlike libpq: an address that was set for another host must not lead to another ledger.
            self._of_environment.pop("hostaddr", None)

    def get(self, name: str) -> str:
        """The value of a parameter; empty if it is not given."""
        return self._of_url.get(name, self._of_environment.get(name, ""))

    def is_given(self, name: str) -> bool:
        return name in self._of_url or name in self._of_environment

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """The value, which must be one of `choices`. An empty value is refused: probably a variable was not set."""
        value = self.get(name) if self.is_given(name) else default
        if value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}")
        return value

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise SettingsInvalid, which names the parameter and the place that it was given in."""
        if name in self._of_url:
            raise SettingsInvalid(f"{name} of {self.named} {why}")
        raise SettingsInvalid(f"{ENVIRONMENT[name] if name in self._of_environment else name} {why}")

    def unknown(self) -> dict[str, str]:
        """The parameters that libpq does not know. They may be settings of the server."""
        return {name: value for name, value in self._of_url.items() if name not in ENVIRONMENT}


def parameters_of(url: str, *, named: str) -> dict[str, str]:
    """The parameters of a URL. The query wins over the front part, and the last of several values wins.

    `named`: the setting that holds the URL, for the line that says what is wrong. That line repeats no part of the URL:
    if the URL is cut in the wrong place, any part may hold a piece of the password.
    """
    scheme = next((each for each in _SCHEMES if url.startswith(each)), None)
    if scheme is None:
        raise SettingsInvalid(f"{named} is not a PostgreSQL URL, like postgresql://user:password@host/database")
    front, _, query = _cut_query(url.removeprefix(scheme))
    try:
        given = {name: _decoded(text) for name, text in _front(front) if text}
        return given | dict(_query(query))
    except ValueError as error:
        raise SettingsInvalid(f"{named} is not a PostgreSQL URL: {error}") from None


def _cut_query(rest: str) -> tuple[str, str, str]:
    """The text before the query, the question mark, and the query.

    A question mark in the password begins no query: the login ends at the first @, unless a / comes before it.
    """
    login = re.match(r"[^@/]*@", rest)
    end = login.end() if login else 0
    before, mark, query = rest[end:].partition("?")
    return rest[:end] + before, mark, query


def _front(front: str) -> Iterator[tuple[str, str]]:
    login = re.match(r"([^@/:]*)(?::([^@/]*))?@", front)
    if login:
        yield "user", login[1]
        yield "password", login[2] or ""
        front = front[login.end() :]
    places, _, database = front.partition("/")
    hosts, ports = zip(*(_host_and_port(each) for each in places.split(",")), strict=True)
    yield "host", ",".join(hosts)
    yield "port", ",".join(ports)
    yield "dbname", database


def _host_and_port(place: str) -> tuple[str, str]:
    if not place.startswith("["):
        host, _, port = place.partition(":")
        return host, port
    found = re.fullmatch(r"\[([^\]]+)\](?::(.*))?", place)
    if found is None:
        raise ValueError("an IPv6 address is written like [::1]:5432")
    return found[1], found[2] or ""


def _query(query: str) -> Iterator[tuple[str, str]]:
    for part in query.removesuffix("&").split("&") if query else ():
        # A second = is part of the value, as in options=-c search_path=wallet. libpq requires it to be encoded.
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("each parameter after the question mark is written like name=value")
        given = _decoded(name), _decoded(value)
        # The form of JDBC, which libpq takes, too.
        yield ("sslmode", "require") if given == ("ssl", "true") else given


def _decoded(text: str) -> str:
    """The text percent-decoded. A plus sign stays a plus sign, unlike in HTML forms."""
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("a percent sign is written as %25, and no character may be %00")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("its percent-encoded characters are not UTF-8") from None
