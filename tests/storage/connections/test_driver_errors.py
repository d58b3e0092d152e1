"""Our errors for those of the server: by SQLSTATE, and by the name of a constraint only if that says too little."""

import asyncpg
import pytest

from wallet.errors import BadData, InvariantViolated, StaleContext, StorageUnavailable
from wallet.storage.connections.database import LockTimedOut, SequenceBehind, translated


def error_of(kind: type[asyncpg.PostgresError], constraint: str | None = None) -> asyncpg.PostgresError:
    error = kind("what the server says")
    error.constraint_name = constraint
    return error


@pytest.mark.parametrize(
    ("kind", "constraint", "expected"),
    [
        (asyncpg.SerializationError, None, StaleContext),
        (asyncpg.DeadlockDetectedError, None, StaleContext),
        (asyncpg.UniqueViolationError, "transactions_reference_uq", StaleContext),
        (asyncpg.UniqueViolationError, "transactions_reference_uq_102046", StaleContext),
        (asyncpg.UniqueViolationError, "batches_pk", SequenceBehind),
        (asyncpg.UniqueViolationError, "declines_pk_7", SequenceBehind),
        (asyncpg.UniqueViolationError, "ledger_entries_pk", InvariantViolated),
        # The same names with another SQLSTATE.
        (asyncpg.CheckViolationError, "transactions_reference_uq", InvariantViolated),
        (asyncpg.ForeignKeyViolationError, "batches_pk", InvariantViolated),
        (asyncpg.NotNullViolationError, None, BadData),
        (asyncpg.LockNotAvailableError, "batches_pk", LockTimedOut),
        (asyncpg.TooManyConnectionsError, "transactions_reference_uq", StorageUnavailable),
    ],
)
def test_an_error_is_told_by_its_sqlstate_first(
    kind: type[asyncpg.PostgresError], constraint: str | None, expected: type[Exception]
) -> None:
    assert type(translated(error_of(kind, constraint))) is expected
