"""Callers, and the scopes that they have."""

from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID

from wallet.ledger.model import ORIGIN_API, WalletId


class Scope(Enum):
    """The permissions that a key can have. None implies another: moving money is not issuing it."""

    READ = "read"
    SPEND = "spend"
    ISSUE = "issue"
    REFUND = "refund"
    REFUND_FORCE = "refund:force"
    ADMIN = "admin"


BINDABLE: Final = frozenset({Scope.READ, Scope.SPEND})
"""The scopes that a key bound to a user or to wallets can have. A constraint of the database says the same."""


class Caller(NamedTuple):
    """The sender of a request: a key, the command line or, in development mode, anybody.

    origin: that of the references in its requests. user_id, wallet_ids: its binding, at most one of them; a bound
    caller sees and debits these wallets only. key_id: None if there is no key.
    """

    name: str
    scopes: frozenset[Scope]
    origin: str = ORIGIN_API
    key_id: UUID | None = None
    user_id: UUID | None = None
    wallet_ids: frozenset[WalletId] | None = None

    @property
    def is_bound(self) -> bool:
        return self.user_id is not None or self.wallet_ids is not None


DEVELOPER: Final = Caller("development", frozenset(Scope))
"""The caller of a request without a key in development mode."""

COMMAND_LINE: Final = Caller("command line", frozenset(Scope))
"""The caller on the command line, who has the database's address."""
