"""What can go wrong besides a refusal. A refusal is a value (ledger.outcomes); everything here is raised.

WalletError
├── Malformed             the request can never be right as it is; the caller must change it
├── NotFound              what the URL names does not exist
├── Unauthenticated       no key, or one that is unknown, expired or revoked
├── Forbidden             the key does not have the scope that this needs
├── RateLimited           the key asks too often; certainly not applied
├── NotSealed             too new to be proved; ask again in a moment
├── GroupTooLarge         more than is done at once, so it will never be done like this; certainly not applied
├── NotAtOnce             internal: too much for the event loop, so it is decided aside
├── AlreadyExists         a client-made id is taken by another body
├── Overloaded            queue full; certainly not applied
├── StorageUnavailable    failed before COMMIT was sent; certainly not applied
│   └── WalletBusy        another session holds the wallet or the reference, or too much is due there
├── OutcomeUnknown        connection lost while committing; may have been applied
├── StaleContext          internal: reload and decide again; escapes only after the last try
├── BadData               internal: the database refused a value; escapes only for the one culprit
└── SettingsInvalid       refuses to start
InvariantViolated         outside the tree on purpose: nobody may catch it as an ordinary error
"""

from collections.abc import Sequence
from dataclasses import dataclass


class WalletError(Exception):
    """The root of everything that is expected to happen in a healthy program."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field. `field` is a dotted path, empty for the body as a whole."""

    field: str
    message: str


class Malformed(WalletError):
    """A request that no state of the ledger could make right."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors))
        self.errors = tuple(errors)


class NotFound(WalletError):
    """`code` is one of the `*_not_found` codes of docs/errors.md."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Unauthenticated(WalletError):
    """Who asks is not known. The message never says which of the reasons it is."""


class Forbidden(WalletError):
    """Who asks is known, and may not do this. Nothing was applied."""


class RateLimited(WalletError):
    """The key asks more often than it may. Nothing was applied.

    retry_after_seconds: when the next request will be let in, in whole seconds, at least 1.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotSealed(WalletError):
    """The audit chain has not come to this yet. It will in a moment."""


class GroupTooLarge(WalletError):
    """A group asks for more work than is done at once. Nothing was applied, and no other try would end otherwise.

    Raised for several requests together it is internal: they are decided in parts.
    """


class NotAtOnce(WalletError):
    """Internal: a group turned out to be too much for the event loop. Nothing was applied; it is decided aside."""


class AlreadyExists(WalletError):
    """A resource with this id or code is there, and it is not the one described."""


class Overloaded(WalletError):
    """The queue is full. Nothing was applied."""


class StorageUnavailable(WalletError):
    """The database could not be asked, or failed before COMMIT was sent. Nothing was applied."""


class WalletBusy(StorageUnavailable):
    """The database answers, and a wallet or a reference could not be had in time. Nothing was applied."""


class OutcomeUnknown(WalletError):
    """COMMIT was sent and no clean answer came. Ask again with the same reference."""


class StaleContext(WalletError):
    """Another writer was there first: reload and decide again."""


class BadData(WalletError):
    """The database refused a value that passed our own checks."""


class SettingsInvalid(WalletError):
    """The service refuses to start like this. The message says what to change."""


class InvariantViolated(Exception):
    """Something that must always hold does not. The writer stops, and somebody is paged."""


def ensure(truth: bool, message: str) -> None:
    """Raise InvariantViolated unless `truth`. Unlike `assert`, it stays under `python -O`."""
    if not truth:
        raise InvariantViolated(message)
