"""The meaning of a database URL: the servers to try, the login, and the encryption.

A parameter that would make the connection safer is honoured or refused by name, and never ignored. This module opens
no connection.
"""

import os
import pwd
import random
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from wallet.errors import SettingsInvalid
from wallet.storage.connections.database_url import Parameters
from wallet.storage.connections.encryption import context_of, mode_of
from wallet.storage.connections.password_file import find_password

_FOLDERS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp")  # noqa: S108
"""The folders in which the usual PostgreSQL packages put their sockets."""
_PORT: Final = 5432
_SOCKET_PATH_BYTES_MAX: Final = 107

_INSTEAD: Final = "to know the server, use sslmode=verify-full, with sslrootcert"
_WRITTEN_OUT: Final = "write what it stands for into the URL"

# The parameters that this service cannot honour, with their harmless values, and an advice. Any other value is refused:
# to ignore it would pretend that it works.
_NOT_HONOURED: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "channel_binding": (("disable", "prefer"), _INSTEAD),
    "require_auth": (("",), _INSTEAD),
    "requirepeer": (("",), "protect the socket's folder"),
    "sslcertmode": (("allow", "disable"), "the server's pg_hba.conf can ask for a certificate (clientcert)"),
    "sslsni": (("1",), "this service always sends the host's name"),
    "sslkeylogfile": (("",), "take it out"),
    "gssencmode": (("disable", "prefer"), "use sslmode=verify-full"),
    "gssdelegation": (("", "0"), "take it out"),
    "gsslib": (("", "gssapi"), "take it out"),
    "scram_client_key": (("",), "use the password"),
    "scram_server_key": (("",), "use the password"),
    "oauth_issuer": (("",), "use a password"),
    "oauth_client_id": (("",), "use a password"),
    "oauth_client_secret": (("",), "use a password"),
    "oauth_scope": (("",), "use a password"),
    "min_protocol_version": (("", "3.0"), "the version spoken here is 3.0"),
    "replication": (("", "false", "off", "no", "0"), "take it out"),
    "service": (("",), _WRITTEN_OUT),
    "servicefile": (("",), _WRITTEN_OUT),
    # As server settings, PostgreSQL would read these as start parameters of its own; libpq has other names for them.
    "ssl": ((), "its name is sslmode"),
    "database": ((), "its name is dbname"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server to try."""

    address: str
    """A host's name or address, or the folder of a Unix socket."""
    name: str
    """The server's name in its certificate and in a password file."""
    port: int

    @property
    def is_socket(self) -> bool:
        return self.address.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The servers, the login and the encryption of a URL. `context`: for TLS, as `sslmode` asks; None: without TLS."""

    named: str
    places: Sequence[Endpoint]
    user: str
    database: str
    password: str = field(repr=False)
    password_file: str
    sslmode: str
    context: ssl.SSLContext | None
    negotiates_directly: bool
    target_session_attrs: str
    kerberos_service: str
    server_settings: Mapping[str, str]

    def password_at(self, place: Endpoint) -> str | None:
        """The password for one server, since a password file may have one for each. None if there is none.

        Raises SettingsInvalid if the named file cannot be read.
        """
        if self.password:
            return self.password
        names = {place.name, "localhost"} if place.is_socket else {place.name}
        return find_password(self.password_file, hosts=names, port=place.port, database=self.database, user=self.user)


def destination_of(url: str, *, named: str, environment: Mapping[str, str]) -> Destination:
    """The destination of this URL. Raises SettingsInvalid with one line, which holds no part of a password."""
    parameters = Parameters(url, environment, named=named)
    for name, (harmless, instead) in _NOT_HONOURED.items():
        if parameters.is_given(name) and parameters.get(name) not in harmless:
            parameters.refuse(name, f"asks for something that this service does not support: {instead}")
    places = tuple(_places(parameters))
    sslmode = mode_of(parameters)
    user = parameters.get("user") or _own_name(named)
    return Destination(
        named=named,
        places=random.sample(places, k=len(places)) if _is_balanced(parameters) else places,
        user=user,
        database=parameters.get("dbname") or user,
        password=parameters.get("password"),
        password_file=parameters.get("passfile"),
        sslmode=sslmode,
        context=context_of(parameters, sslmode, {place.address: place.name for place in places}),
        negotiates_directly=_is_direct(parameters, sslmode),
        target_session_attrs=parameters.choice(
            "target_session_attrs",
            ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
            "any",
        ),
        kerberos_service=parameters.get("krbsrvname"),
        server_settings=_server_settings(parameters),
    )


def server_settings_of(url: str, *, named: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The server settings of this URL. Does not read the files that the URL names."""
    return _server_settings(Parameters(url, environment, named=named))


def _places(parameters: Parameters) -> Iterator[Endpoint]:
    addresses, hosts = parameters.get("hostaddr").split(","), parameters.get("host").split(",")
    count = max(len(addresses), len(hosts))
    addresses, hosts = _as_many(addresses, count, parameters, "hostaddr"), _as_many(hosts, count, parameters, "host")
    ports = parameters.get("port").split(",")
    ports = ports * count if len(ports) == 1 else _as_many(ports, count, parameters, "port")
    for address, host, port in zip(addresses, hosts, ports, strict=True):
        yield from _places_of(address, host, _port(port, parameters), parameters)


def _as_many(values: list[str], count: int, parameters: Parameters, name: str) -> list[str]:
    if values == [""]:
        return [""] * count
    if len(values) != count:
        parameters.refuse(name, "must have as many values as there are hosts")
    return values


def _port(text: str, parameters: Parameters) -> int:
    if not text:
        return _PORT
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65_536):
        # Perhaps the URL was cut in the middle of a password that has a slash.
        parameters.refuse(
            "port", "must be a number from 1 to 65535; special characters of a password are percent-encoded"
        )
    return int(text)


def _places_of(address: str, host: str, port: int, parameters: Parameters) -> Iterator[Endpoint]:
    if address:
        try:
            ip_address(address)
        except ValueError:
            parameters.refuse("hostaddr", "must be an IP address")
        yield Endpoint(address=address, name=host or address, port=port)
    elif not host:
        yield from (Endpoint(address=folder, name="localhost", port=port) for folder in _FOLDERS)
        yield Endpoint(address="localhost", name="localhost", port=port)
    else:
        if host.startswith("@"):
            parameters.refuse("host", "names an abstract socket, which this service does not open")
        if host.startswith("/") and len(os.fsencode(f"{host}/.s.PGSQL.{port}")) > _SOCKET_PATH_BYTES_MAX:
            parameters.refuse("host", "names a folder whose path is too long for a Unix socket")
        yield Endpoint(address=host, name=host, port=port)


def _own_name(named: str) -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise SettingsInvalid(
            f"{named} names no user, and the user {os.geteuid()} that this process runs as has no name: "
            "name one, like postgresql://user@host/database"
        ) from None


def _is_balanced(parameters: Parameters) -> bool:
    return parameters.choice("load_balance_hosts", ("disable", "random"), "disable") == "random"


def _is_direct(parameters: Parameters, sslmode: str) -> bool:
    is_direct = parameters.choice("sslnegotiation", ("postgres", "direct"), "postgres") == "direct"
    if is_direct and sslmode in ("disable", "allow", "prefer"):
        parameters.refuse("sslnegotiation", "may be direct only with sslmode require, verify-ca or verify-full")
    return is_direct


def _server_settings(parameters: Parameters) -> dict[str, str]:
    options = {"options": parameters.get("options")} if parameters.get("options") else {}
    return parameters.unknown() | options
