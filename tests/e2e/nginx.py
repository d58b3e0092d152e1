"""nginx in front of a service, where it is installed: one upstream connection that all clients share."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
# No measurement: it ends a test that would hang.
READY_SECONDS_MAX = 30.0

PLAIN = 'proxy_set_header Connection "";'
"""As nginx documents keep-alive to upstream servers."""

WEBSOCKETS = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
"""As nginx documents WebSocket proxying; often set for a whole server."""

_CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream service {{ server {host}:{port}; keepalive 1; }}
    server {{
        listen unix:{folder}/front;
        {location}
    }}
}}
"""


@contextmanager
def nginx_before(address: tuple[str, int], headers: str, *, prefix: str = "/") -> Iterator[Path]:
    """Yield the Unix socket that nginx listens on. A request below `prefix` goes to the service without the prefix."""
    assert NGINX is not None
    # The Host of this machine: the services of these tests are in development mode.
    proxied = f"proxy_pass http://service/; proxy_http_version 1.1; proxy_set_header Host localhost; {headers}"
    location = f"location {prefix} {{ {proxied} }}"
    with tempfile.TemporaryDirectory(prefix="wn-", ignore_cleanup_errors=True) as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, host=address[0], port=address[1], location=location)
        )
        process = subprocess.Popen(
            [NGINX, "-c", configuration, "-p", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            front = Path(folder) / "front"
            _wait_for(front, process)
            yield front
        finally:
            process.kill()
            process.communicate(timeout=READY_SECONDS_MAX)


def _wait_for(front: Path, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            connect(front).close()
            return
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < give_up_at
            time.sleep(0.02)


def connect(front: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(READY_SECONDS_MAX)
    try:
        connection.connect(str(front))
    except OSError:
        connection.close()
        raise
    return connection
