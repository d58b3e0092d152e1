"""TLS to the database: the certificates that are trusted, the client's own certificate, and the files that hold them.

Files that the URL names must exist and have the right content. Files in ~/.postgresql are used if they exist.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from wallet.storage.connections.database_url import Parameters

_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SYSTEM: Final = "system"
_VERSIONS: Final = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}


def mode_of(parameters: Parameters) -> str:
    """The sslmode. Raises SettingsInvalid if it is unknown, or too weak for the system's certificates."""
    if parameters.get("sslrootcert") != _SYSTEM:
        return parameters.choice("sslmode", _MODES, "prefer")
    # Anybody can get a certificate of these authorities. So it proves nothing unless the name is checked.
    mode = parameters.choice("sslmode", _MODES, "verify-full")
    if mode != "verify-full":
        parameters.refuse("sslmode", "must be verify-full with sslrootcert=system")
    return mode


def context_of(parameters: Parameters, mode: str, names: Mapping[str, str]) -> ssl.SSLContext | None:
    """The TLS context of this mode; None if nothing is encrypted. `names`: by address, the name in the certificate.

    Raises SettingsInvalid, which names the wrong file or parameter.
    """
    if mode == "disable":
        return None
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.names = names
    context.check_hostname = mode == "verify-full"
    context.set_alpn_protocols(["postgresql"])
    _trust(context, parameters, mode)
    if context.verify_mode is ssl.CERT_REQUIRED:
        _distrust_revoked(context, parameters)
    elif any(parameters.get(name) for name in ("sslcrl", "sslcrldir")):
        parameters.refuse("sslcrl" if parameters.get("sslcrl") else "sslcrldir", "checks nothing without sslrootcert")
    if parameters.get("sslcertmode") != "disable":
        _show_certificate(context, parameters)
    _bound_versions(context, parameters)
    return context


class _NamedContext(ssl.SSLContext):
    """Checks certificates against the host's name. The driver passes the address, which differs with hostaddr."""

    names: Mapping[str, str]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: Any = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        name = self.names.get(server_hostname, server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, name, session)


def _trust(context: ssl.SSLContext, parameters: Parameters, mode: str) -> None:
    root = _file(parameters, "sslrootcert", "root.crt")
    if parameters.get("sslrootcert") == _SYSTEM:
        context.set_default_verify_paths()
    elif root:
        _load(parameters, "sslrootcert", root, "certificate", lambda: context.load_verify_locations(root))
        if not context.cert_store_stats()["x509"]:
            _refuse_content(parameters, "sslrootcert", root, "certificate")
    elif mode in ("verify-ca", "verify-full"):
        parameters.refuse(
            "sslmode", f"is {mode}, which needs sslrootcert, a file of certificates to trust, or sslrootcert=system"
        )
    else:
        # As in libpq: without a trusted certificate, the connection is encrypted, but the server is not checked.
        context.verify_mode = ssl.CERT_NONE


def _distrust_revoked(context: ssl.SSLContext, parameters: Parameters) -> None:
    file, folder = _file(parameters, "sslcrl", "root.crl"), parameters.get("sslcrldir")
    if file:
        _load(parameters, "sslcrl", file, "revocation list", lambda: context.load_verify_locations(file))
        if not context.cert_store_stats()["crl"]:
            _refuse_content(parameters, "sslcrl", file, "revocation list")
    if folder:
        _load(parameters, "sslcrldir", folder, "revocation list", lambda: os.listdir(folder))
        context.load_verify_locations(capath=folder)
    if file or folder:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _show_certificate(context: ssl.SSLContext, parameters: Parameters) -> None:
    certificate, key = _file(parameters, "sslcert", "postgresql.crt"), _file(parameters, "sslkey", "postgresql.key")
    if not certificate:
        return
    if key:
        _load(parameters, "sslkey", key, "private key", Path(key).read_bytes)
    _load(
        parameters,
        "sslcert",
        certificate,
        "certificate that goes with the private key (sslkey, sslpassword)",
        # Without a function, OpenSSL would ask for the password on the terminal.
        lambda: context.load_cert_chain(certificate, key or None, lambda: parameters.get("sslpassword")),
    )


def _bound_versions(context: ssl.SSLContext, parameters: Parameters) -> None:
    least, most = (
        _VERSIONS[parameters.get(name).lower() or default]
        if parameters.get(name).lower() in ("", *_VERSIONS)
        else parameters.refuse(name, "must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")
        for name, default in (("ssl_min_protocol_version", "tlsv1.2"), ("ssl_max_protocol_version", "tlsv1.3"))
    )
    if least > most:
        parameters.refuse("ssl_min_protocol_version", "must not be above ssl_max_protocol_version (TLSv1.2 by default)")
    context.minimum_version, context.maximum_version = least, most


def _file(parameters: Parameters, name: str, in_home: str) -> str:
    """The path of the file that the URL names, else of the one in the home folder; empty if there is neither."""
    if parameters.get(name):
        return parameters.get(name)
    path = Path(os.path.expanduser("~"), ".postgresql", in_home)
    try:
        path.stat()
    except OSError:  # there is no such file, or the home folder belongs to another user, as under `su`
        return ""
    return str(path)


def _load(parameters: Parameters, name: str, path: str, content: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (ssl.SSLError, ValueError):
        _refuse_content(parameters, name, path, content)
    except OSError as error:
        parameters.refuse(name, f"names {path!r}, which cannot be read: {error.strerror}")


def _refuse_content(parameters: Parameters, name: str, path: str, content: str) -> NoReturn:
    parameters.refuse(name, f"names {path!r}, which holds no {content}")
