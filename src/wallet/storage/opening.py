"""Opening a connection from a database URL, and saying in one line what is wrong with the URL."""

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from wallet.errors import SettingsInvalid

# What other clients of PostgreSQL take in a URL, and hosting providers put there. The driver would send them to the
# server as settings, which it does not have; time-outs and keepalives are ours to set.
_OF_OTHER_CLIENTS: Final = frozenset(
    {
        "channel_binding", "connect_timeout", "fallback_application_name", "gssencmode", "keepalives",
        "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts", "sslcompression",
        "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip


async def open_connection(
    dsn: str, *, seconds_max: float, server_settings: Mapping[str, str], command_seconds_max: float | None = None
) -> asyncpg.Connection:
    """A connection with these settings. Raises SettingsInvalid for what no second try can mend, else the driver's."""
    try:
        return await asyncpg.connect(
            _for_the_driver(dsn),
            timeout=seconds_max,
            command_timeout=command_seconds_max,
            server_settings=dict(server_settings),
        )
    except ssl.SSLCertVerificationError:
        raise SettingsInvalid("the database's certificate is not trusted: check sslmode and sslrootcert") from None
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        # Of all that we set, a role alone may be unknown, or not for everybody.
        raise SettingsInvalid(
            f"the database has no role {server_settings.get('role')!r}, or this login may not take it: run "
            "`wallet migrate` (see WALLET_DATABASE_ROLE); or DATABASE_URL has a parameter with a wrong value"
        ) from None
    except asyncpg.ProtocolViolationError:
        raise SettingsInvalid(
            "a pooler stands between, and refuses what each session is started with: let it leave that out (PgBouncer: "
            "pool_mode = session and the ignore_startup_parameters of docs/operations.md), or connect to PostgreSQL "
            "directly"
        ) from None
    except (asyncpg.UndefinedObjectError, asyncpg.CantChangeRuntimeParamError):
        raise SettingsInvalid("DATABASE_URL has a parameter that the database does not know") from None
    except ValueError:  # also the driver's own; the text may quote a part of the password
        raise SettingsInvalid(
            "DATABASE_URL is not a PostgreSQL URL, or names a certificate (sslrootcert, sslcert) that cannot be read"
        ) from None


def _for_the_driver(dsn: str) -> str:
    parts = urlsplit(dsn)
    if not parts.query:
        return dsn
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in _OF_OTHER_CLIENTS]
    return urlunsplit(parts._replace(query=urlencode(kept)))
