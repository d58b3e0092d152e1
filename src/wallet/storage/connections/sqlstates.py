"""The meaning, for the operator, of PostgreSQL's errors that may pass by themselves, by SQLSTATE."""

from collections.abc import Mapping
from typing import Final

_MAY_PASS: Final[Mapping[str, str]] = {
    "25006": "the database takes no writes: it is a standby, or was set read-only (default_transaction_read_only)",
    "53100": "the database's disk is full",
    "53200": "the database's server has no memory left",
    "53300": "the database takes no more connections: raise its limit, or start fewer workers",
    "57014": "the database took too long and was interrupted",
    "57P01": "the database's administrator ended the session",
    "57P02": "the database's server has crashed and is restarting",
    "57P03": "the database is starting up, or shutting down",
}


def words_of(state: str) -> str:
    """The meaning of a failure that may pass. PostgreSQL's own text is not repeated: it may quote values."""
    return f"{_MAY_PASS.get(state, 'the database cannot serve this now')} ({state})"
