"""Opens a connection to the servers that a database URL names, or says in one line why it cannot.

An error that no second try can mend is SettingsInvalid, raised at once. Other errors may pass: they are the driver's,
or StorageUnavailable.
"""

import asyncio
import os
import ssl
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg

from wallet.errors import SettingsInvalid, StorageUnavailable
from wallet.storage.connections.destination import Destination, Endpoint, destination_of

_CUT: Final = (asyncpg.ConnectionDoesNotExistError, asyncpg.ConnectionFailureError)
_NEXT_PLACE: Final = (OSError, *_CUT, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)
"""The errors after which the next server is tried. A wrong password is not: all are servers of one database."""

_TLS_REQUEST: Final = struct.pack("!ii", 8, 80877103)

# By SQLSTATE; {named} is the setting. No text repeats a part of the URL: if the URL is cut in the wrong place, any part
# may hold a piece of the password.
_TO_CHANGE: Final[Mapping[str, str]] = {
    "28P01": "the database refused the password (28P01): correct the user or the password of {named}",
    "28000": "the database does not let this login in (28000): the user of {named} does not exist or may not log in, "
    "or pg_hba.conf has no line for this user from this machine, with or without TLS as sslmode says",
    "3D000": "the server has no database of that name (3D000): create it, or correct the end of {named}",
    "08P01": "a pooler stands between, and refuses settings at the start of a session (08P01): let it ignore them "
    "(PgBouncer: pool_mode = session and the ignore_startup_parameters of docs/operations.md), or let {named} lead to "
    "PostgreSQL itself",
    "42501": "the login of {named} may not connect to this database (42501): GRANT CONNECT ON DATABASE … TO it",
    "42601": "the parameter options of {named} is not valid for a PostgreSQL server (42601)",
}
_NONE_GIVEN: Final = "the database asks for a password (28P01), and {named} has none, nor has PGPASSWORD or PGPASSFILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """The parameters that are the same for each server that is tried."""

    destination: Destination
    seconds_max: float
    command_seconds_max: float | None
    server_settings: Mapping[str, str]


async def open_connection(
    url: str,
    *,
    seconds_max: float,
    server_settings: Mapping[str, str],
    command_seconds_max: float | None = None,
    named: str = "DATABASE_URL",
) -> asyncpg.Connection:
    """A connection with these settings, to the first server that accepts it. `seconds_max`: for each server.

    `named`: the setting that holds the URL. Raises SettingsInvalid if no second try can help, StorageUnavailable, or
    the driver's own errors.
    """
    destination = destination_of(url, named=named, environment=os.environ)
    session = _Session(
        destination=destination,
        seconds_max=seconds_max,
        command_seconds_max=command_seconds_max,
        server_settings={**destination.server_settings, **server_settings},
    )
    try:
        return await _open_first(session)
    except ssl.SSLCertVerificationError as error:
        raise SettingsInvalid(
            f"the database's certificate is not trusted ({error.verify_message}): check sslmode, sslrootcert and "
            f"sslcrl of {named}"
        ) from None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # the connection was cut, which may pass
        raise
    except ssl.SSLError as error:
        raise SettingsInvalid(
            f"TLS with the database's server fails ({error.reason}): check the ssl parameters of {named}"
        ) from None
    except PermissionError:
        raise SettingsInvalid(
            f"this process may not connect to the socket of {named}: check who may enter the socket's folder"
        ) from None
    except asyncpg.TargetServerAttributeNotMatched:
        raise StorageUnavailable(
            f"no server of {named} is {destination.target_session_attrs}, as target_session_attrs requires"
        ) from None
    except asyncpg.PostgresError as error:
        raise _to_change(error, session) or error from None
    except ValueError:  # its own text may quote a part of the password
        raise SettingsInvalid(f"{named} names a host that cannot be one: check its spelling") from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError):
        raise SettingsInvalid(
            "the database's server requires a way to log in that this service does not support, such as Kerberos: let "
            "its pg_hba.conf require scram-sha-256"
        ) from None


async def _open_first(session: _Session) -> asyncpg.Connection:
    last: BaseException | None = None
    attributes = session.destination.target_session_attrs
    for wanted in ("standby", "any") if attributes == "prefer-standby" else (attributes,):
        for place in session.destination.places:
            try:
                return await _open_at(session, place, wanted)
            except ssl.SSLCertVerificationError:
                raise
            except _NEXT_PLACE as error:
                last = error
    raise last or AssertionError("unreachable: there is a place")


async def _open_at(session: _Session, place: Endpoint, wanted: str) -> asyncpg.Connection:
    destination = session.destination
    ways = tuple(_ways(destination, place))
    refusal: asyncpg.PostgresError | None = None
    for way, context in enumerate(ways, 1):
        try:
            return await asyncpg.connect(
                host=place.address,
                port=place.port,
                user=destination.user,
                password=destination.password_at(place) or "",
                database=destination.database,
                ssl=context or False,
                direct_tls=bool(context) and destination.negotiates_directly,
                target_session_attrs=wanted,
                krbsrvname=destination.kerberos_service or None,
                timeout=session.seconds_max,
                command_timeout=session.command_seconds_max,
                server_settings=dict(session.server_settings),
            )
        except (OSError, *_CUT, asyncpg.InvalidAuthorizationSpecificationError) as error:
            if way < len(ways) and _may_work_otherwise(error):
                refusal = error if isinstance(error, asyncpg.PostgresError) else None
                continue
            if refusal and not isinstance(error, asyncpg.PostgresError):
                raise refusal from None  # the server's reason says more than the failure of the other way
            if context and await _lacks_tls(error, session, place):
                raise SettingsInvalid(
                    f"the database's server has no TLS, which sslmode of {destination.named} requires"
                ) from None
            raise
    raise AssertionError("unreachable: there is a way")


def _ways(destination: Destination, place: Endpoint) -> Iterator[ssl.SSLContext | None]:
    """With TLS or without it (None), in the order to try. A Unix socket needs no TLS: nobody can listen in between."""
    if destination.context is None or place.is_socket:
        yield None
    elif destination.sslmode == "allow":
        yield from (None, destination.context)
    elif destination.sslmode == "prefer":
        yield from (destination.context, None)
    else:
        yield destination.context


def _may_work_otherwise(error: Exception) -> bool:
    """Whether the server answered and refused only the way of connecting: with TLS, or without it."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate == "28000" or isinstance(error, _CUT)
    return isinstance(error, ssl.SSLError | ConnectionError) and not isinstance(error, ConnectionRefusedError)


async def _lacks_tls(error: Exception, session: _Session, place: Endpoint) -> bool:
    """Whether the attempt failed because the server has no TLS, so that no further try can help."""
    # The driver raises one class for this and for a connection that was cut. So the server is asked.
    if type(error) is not ConnectionError:
        return False
    try:
        async with asyncio.timeout(session.seconds_max):
            reader, writer = await asyncio.open_connection(place.address, place.port)
            try:
                writer.write(_TLS_REQUEST)
                return await reader.read(1) == b"N"
            finally:
                writer.close()
    except OSError:
        return False


def _to_change(error: asyncpg.PostgresError, session: _Session) -> SettingsInvalid | None:
    """The error that says what to change, if the server's reason does not pass by itself; else None."""
    destination, role = session.destination, session.server_settings.get("role")
    named, state = destination.named, error.sqlstate or ""
    if state == "28P01" and not any(destination.password_at(place) for place in destination.places):
        return SettingsInvalid(_NONE_GIVEN.format(named=named))
    if role and state in ("22023", "42501"):
        # Of all settings that the service asks for, only the role can be unknown or forbidden.
        return SettingsInvalid(
            f"the database has no role {role!r}, or this login may not take it: run `wallet migrate` (see "
            f"WALLET_DATABASE_ROLE); or {named} has a parameter with a wrong value"
        )
    if state in ("22023", "42704", "55P02"):
        names = ", ".join(sorted(destination.server_settings))
        return SettingsInvalid(f"the database does not know or does not take a parameter of {named}: one of {names}")
    return SettingsInvalid(_TO_CHANGE[state].format(named=named)) if state in _TO_CHANGE else None
