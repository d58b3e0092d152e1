"""The listening sockets, and the operating system's limit of open files."""

import logging
import os
import resource
import socket
from dataclasses import replace
from errno import EACCES, EADDRINUSE
from typing import Final

from wallet.errors import SettingsInvalid
from wallet.settings import Settings

BACKLOG: Final = 4096
# Files kept back from client connections: database connections, listening sockets, metrics, logs.
FILES_RESERVED: Final = 200
ALL_ADDRESSES: Final = ("", "0.0.0.0", "::")  # noqa: S104  compared with, not bound to

_log = logging.getLogger(__name__)


def listen(settings: Settings) -> socket.socket:
    """The listening socket. From now on a second start finds the port taken.

    Address reuse is on, so that a restart need not wait for connections that are still closing. Port reuse is off:
    with it, a second start would silently share the port.
    """
    return _listening(settings.host, settings.port, env="PORT")


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """The listening socket for metrics; None if they have no port of their own."""
    return (
        _listening(settings.host, settings.metrics_port, env="WALLET_METRICS_PORT") if settings.metrics_port else None
    )


def _listening(host: str, port: int, *, env: str) -> socket.socket:
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise SettingsInvalid(
                f"port {port} on {host or 'all addresses'} is taken by another program; "
                f"end that one, or choose another port with {env}"
            ) from error
        if error.errno == EACCES:
            raise SettingsInvalid(
                f"this user may not listen on port {port}; choose one above 1023 with {env}"
            ) from error
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise SettingsInvalid(f"cannot listen on {host} (WALLET_HOST), port {port}: {reason}") from error


def turn_away(listener: socket.socket) -> None:
    """Close the connections that wait to be accepted. No byte of them was read, so nothing was applied."""
    listener.setblocking(False)  # a server sets the same
    for _ in range(BACKLOG):
        try:
            connection, _ = listener.accept()
        except OSError:  # no connection is waiting, the client has hung up, or no file descriptor is left
            return
        connection.close()


def base_url(host: str, port: int) -> str:
    """A URL that works on this machine, even if the service listens on all addresses."""
    if host in ALL_ADDRESSES:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def within_open_files(settings: Settings) -> Settings:
    """Raise the limit of open files as far as allowed, and bound the number of connections by it.

    A process without free file descriptors could not even reconnect to its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (ValueError, OSError):
        pass  # some systems report an infinite hard limit and refuse to set it
    connections_max = max(1, soft - FILES_RESERVED)
    if soft == resource.RLIM_INFINITY or settings.connections_max <= connections_max:
        return settings
    _log.info("%d open files allow %d connections, not %d", soft, connections_max, settings.connections_max)
    return replace(settings, connections_max=connections_max)
