"""A PgBouncer of a test's own, before the database of a URL."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
START_SECONDS_MAX = 20.0

_CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
default_pool_size = 30
{settings}
"""


@contextmanager
def pooled(dsn: str, folder: Path, settings: str) -> Iterator[str]:
    """The URL of the same database through a pooler with these settings (lines of its [pgbouncer])."""
    assert PGBOUNCER is not None
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    server = {
        "host": parts.hostname or query.get("host", ""),
        "port": str(parts.port or query.get("port", 5432)),
        "user": parts.username or query.get("user", ""),
    } | ({"password": parts.password} if parts.password else {})
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    file = folder / "pgbouncer.ini"
    text = _CONFIGURATION.format(
        server=" ".join(f"{name}='{value}'" for name, value in server.items()), port=port, settings=settings
    )
    file.write_text(text)
    nowhere = subprocess.DEVNULL
    command = [PGBOUNCER, "-q", *_as_somebody(server["host"], server["port"]), file]
    process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    try:
        _wait_until_it_listens(process, port)
        yield f"postgresql://{server['user']}@127.0.0.1:{port}{parts.path}"
    finally:
        process.kill()
        process.wait()


def _as_somebody(host: str, port: str) -> list[str]:
    """It refuses root, who starts it as the owner of the server's socket, which is closed to others."""
    if os.geteuid() != 0:
        return []
    owner = pwd.getpwuid(os.stat(f"{host}/.s.PGSQL.{port}").st_uid).pw_name if host.startswith("/") else "nobody"
    return ["-u", owner]


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while True:
        assert process.poll() is None, "the pooler has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < give_up_at, "the pooler does not listen"
            time.sleep(0.02)
