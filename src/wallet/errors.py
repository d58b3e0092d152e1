"""The exceptions of the service. A refusal by the ledger is no exception: it is a value (ledger.outcomes).

WalletError
├── Malformed             the request can never be right as it is; the caller must change it
├── NotFound              the resource that the URL names does not exist
├── Unauthenticated       no key, or one that is unknown, expired or revoked
├── Forbidden             the key does not have the scope that the request needs
├── RateLimited           the key asks too often; certainly not applied
├── NotSealed             the audit chain does not cover the transaction yet; ask again in a moment
├── GroupTooLarge         the group needs more work than one group may; never applied, however often it is sent
├── NotAtOnce             internal: the group is too much work for the event loop; a thread decides it
├── AlreadyExists         the id or code that the client chose belongs to a resource with other content
├── Overloaded            too much of its kind is under way or waits, as in a full queue; certainly not applied
├── StorageUnavailable    failed before COMMIT was sent; certainly not applied
│   └── WalletBusy        another session holds the wallet or the reference, or too much is due at the wallet
├── OutcomeUnknown        the connection was lost while committing; may have been applied
├── StaleContext          internal: reload and decide again; raised to the caller only after the last try
├── BadData               internal: PostgreSQL refused a value; raised only to the request that holds the value
└── SettingsInvalid       the service refuses to start with these settings
InvariantViolated         outside the tree on purpose: no code may catch it as an ordinary error
"""

from collections.abc import Sequence
from dataclasses import dataclass


class WalletError(Exception):
    """The root of all errors that a healthy program expects."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake in one field. `field` is a dotted path, empty for the body as a whole."""

    field: str
    message: str


class Malformed(WalletError):
    """The request is wrong whatever the state of the ledger is."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors))
        self.errors = tuple(errors)


class NotFound(WalletError):
    """The resource that the URL names does not exist. `code` is one of the `*_not_found` codes of docs/errors.md."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Unauthenticated(WalletError):
    """The request has no valid key. The message never says whether a key is unknown, expired or revoked."""


class Forbidden(WalletError):
    """The caller is known, and may not do this. Nothing was applied."""


class RateLimited(WalletError):
    """The key asks more often than it may. Nothing was applied.

    retry_after_seconds: the time until the key's next request is accepted, in whole seconds, at least 1.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotSealed(WalletError):
    """The audit chain does not cover this transaction yet. It will in a moment."""


class GroupTooLarge(WalletError):
    """A group needs more work than one group may. Nothing was applied, and another try would end in the same way.

    Raised for several requests together it is internal: the service then decides them in parts.
    """


class NotAtOnce(WalletError):
    """Internal: a group turned out to be too much work for the event loop. Nothing was applied; a thread decides it."""


class AlreadyExists(WalletError):
    """A resource with this id or code exists, and differs from the one that the request describes."""


class Overloaded(WalletError):
    """The queue is full. Nothing was applied."""


class StorageUnavailable(WalletError):
    """The database was out of reach, or failed before COMMIT was sent. Nothing was applied."""


class WalletBusy(StorageUnavailable):
    """The database answers, but a wallet or a reference did not become free in time. Nothing was applied."""


class OutcomeUnknown(WalletError):
    """COMMIT was sent and not clearly answered. The caller must ask again with the same reference."""


class StaleContext(WalletError):
    """Another writer committed first: reload the states and decide again."""


class BadData(WalletError):
    """PostgreSQL refused a value that had passed the service's own checks."""


class SettingsInvalid(WalletError):
    """The service refuses to start with these settings. The message says what to change."""


class InvariantViolated(Exception):
    """An invariant is broken. The writer stops, readiness fails, and an operator must look."""


def ensure(truth: bool, message: str) -> None:
    """Raise InvariantViolated unless `truth`. Unlike `assert`, it stays under `python -O`."""
    if not truth:
        raise InvariantViolated(message)
