"""A PostgreSQL that listens on TCP with TLS and passwords, and the certificates that its clients need."""

import asyncio
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.postgres import postgres_bindirs
from wallet.storage.embedded.account import Account, account_for
from wallet.storage.embedded.folder import LOG, read_postmaster_file
from wallet.storage.embedded.process import launched, stop
from wallet.storage.embedded.server import USER, embedded_postgres

START_SECONDS_MAX = 60.0
PASSWORD = "a:b\\c d/e@f%g"
"""Of the login `somebody`: characters that mean something in a URL or a password file."""
NAME = "db.example"
"""The only name of the server's certificate. It has no address, so only `hostaddr` leads there."""

HBA = """\
local   all      postgres                     trust
local   all      all                          scram-sha-256
hostssl all      certified  127.0.0.1/32      cert
hostssl all      plain_only 127.0.0.1/32      reject
hostnossl all    tls_only   127.0.0.1/32      reject
host    all      all        127.0.0.1/32      scram-sha-256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsServer:
    """`files`: what `make_certificates` makes, and a password file, passwords."""

    socket_dir: Path
    port: int
    files: Path

    @property
    def admin(self) -> str:
        return f"postgresql://{USER}@/wallet?host={self.socket_dir}&port={self.port}"


def bindir_with_tls() -> Path | None:
    """Binaries that can do TLS; those of the wheel cannot."""
    for bindir in reversed(postgres_bindirs().values()):
        configured = subprocess.run([bindir / "pg_config", "--configure"], capture_output=True, text=True, check=False)
        if "openssl" in configured.stdout:
            return bindir
    return None


@contextmanager
def tls_server(bindir: Path) -> Iterator[TlsServer]:
    with tempfile.TemporaryDirectory(prefix="wt-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # as root, the server runs as somebody else, who must get through here
        with _server_in(Path(folder), bindir) as server:
            yield server


@contextmanager
def _server_in(folder: Path, bindir: Path) -> Iterator[TlsServer]:
    data_dir, files = folder / "pg", folder / "files"
    with embedded_postgres(data_dir, bindir):
        pass  # the data folder is made
    account = account_for(data_dir)
    files.mkdir()
    make_certificates(files)
    (files / "passwords").write_text("127.0.0.1:*:wallet:somebody:" + re.sub(r"([:\\])", r"\\\1", PASSWORD) + "\n")
    (files / "passwords").chmod(0o600)
    for name in ("server.pem", "server.key", "ca.pem"):
        _give((files / name).read_bytes(), data_dir / name, account)
    _give(HBA.encode(), data_dir / "own_hba.conf", account)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with _started(data_dir, bindir, account, port) as socket_dir:
        found = TlsServer(socket_dir=socket_dir, port=port, files=files)
        asyncio.run(_make_logins(found.admin))
        yield found


@contextmanager
def _started(data_dir: Path, bindir: Path, account: Account, port: int) -> Iterator[Path]:
    settings = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(data_dir),
        "ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key", "ssl_ca_file": "ca.pem",
        "hba_file": str(data_dir / "own_hba.conf"), "fsync": "off", "shared_buffers": "16MB",
    }  # fmt: skip
    command: list[str | Path] = [bindir / "postgres", "-D", data_dir]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    lock = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    server = launched(command, account=account, lock=lock, log=data_dir / LOG)
    os.close(lock)
    try:
        give_up_at = time.monotonic() + START_SECONDS_MAX
        while (there := read_postmaster_file(data_dir)) is None or there.status != "ready" or there.pid != server.pid:
            is_hopeless = server.poll() is not None or time.monotonic() > give_up_at
            assert not is_hopeless, (data_dir / LOG).read_text()
            time.sleep(0.05)
        yield data_dir
    finally:
        stop(server)


async def _make_logins(admin: str) -> None:
    connection = await asyncpg.connect(admin)
    for login in ("somebody", "certified", "plain_only", "tls_only"):
        await connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD $${PASSWORD}$$")
    await connection.execute("CREATE DATABASE closed")
    await connection.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    await connection.execute("CREATE ROLE full_up LOGIN CONNECTION LIMIT 0 PASSWORD 'x'")
    await connection.execute("CREATE ROLE no_login PASSWORD 'x'")
    await connection.close()


def _give(content: bytes, path: Path, account: Account) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    os.chown(path, account.uid, account.gid)


def make_certificates(files: Path) -> None:
    """Certificates ca, other_ca, server and client, each .pem and .key; client's key also as locked.key (password x);
    crl.pem, which revokes the server's certificate, and empty_crl.pem.
    """
    ca, ca_key = _certificate(files, "ca", None)
    _certificate(files, "other_ca", None)
    server, _ = _certificate(files, "server", (ca, ca_key), names=[x509.DNSName(NAME)])
    _, client_key = _certificate(files, "client", (ca, ca_key), common_name="certified")
    (files / "locked.key").write_bytes(_pem(client_key, serialization.BestAvailableEncryption(b"x")))
    _revocation_list(files / "crl.pem", ca, ca_key, [server.serial_number])
    _revocation_list(files / "empty_crl.pem", ca, ca_key, [])


Issuer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _certificate(
    files: Path, file: str, issuer: Issuer | None, *, names: list[x509.GeneralName] | None = None, common_name: str = ""
) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or file)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (files / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (files / f"{file}.key").write_bytes(_pem(key, serialization.NoEncryption()))
    (files / f"{file}.key").chmod(0o600)
    return certificate, key


def _pem(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _revocation_list(path: Path, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, serials: list[int]) -> None:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject)
    builder = builder.last_update(now - timedelta(days=1)).next_update(now + timedelta(days=1))
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=1))
        builder = builder.add_revoked_certificate(revoked.build())
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
