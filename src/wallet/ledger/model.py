"""States and requests of the ledger. No rules here: what may happen is in rules, what then happens in movements.

Amounts are integers in the asset's minor unit, 1 .. AMOUNT_MAX.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, IntEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

AMOUNT_MAX = 2**63 - 1

AssetId: TypeAlias = int
TransactionId: TypeAlias = UUID
WalletId: TypeAlias = UUID


class Direction(IntEnum):
    """A credit raises the wallet's balance, a debit lowers it: `direction * amount` is the change."""

    CREDIT = 1
    DEBIT = -1


class WalletKind(Enum):
    USER = "user"
    TREASURY = "treasury"
    REVENUE = "revenue"
    BREAKAGE = "breakage"


SYSTEM_KINDS = frozenset({WalletKind.TREASURY, WalletKind.REVENUE, WalletKind.BREAKAGE})


class Asset(NamedTuple):
    """A unit of value. All of this is fixed at creation, so it may be cached for ever."""

    id: AssetId
    code: str
    scale: int
    max_supply: int | None
    treasury: WalletId
    revenue: WalletId
    breakage: WalletId

    def system_wallet(self, kind: WalletKind) -> WalletId:
        """The asset's system wallet of this kind. Raises KeyError for `user`."""
        if kind is WalletKind.TREASURY:
            return self.treasury
        if kind is WalletKind.REVENUE:
            return self.revenue
        if kind is WalletKind.BREAKAGE:
            return self.breakage
        raise KeyError(kind)


class WalletState(NamedTuple):
    """What is decided on. Unlocked wallets take part in movements, but nothing is decided on their numbers."""

    id: WalletId
    asset_id: AssetId
    kind: WalletKind
    locked: bool
    balance: int = 0
    held: int = 0
    version: int = 0
    overdraft_limit: int = 0
    max_balance: int | None = None
    last_entry_at: datetime | None = None

    @property
    def available(self) -> int:
        """The only number that an amount is compared with."""
        return self.balance - self.held + self.overdraft_limit


class Leg(NamedTuple):
    """One side of a movement. `wallet` is a wallet's id, or a kind: the system wallet of the request's asset."""

    wallet: WalletId | WalletKind
    direction: Direction
    amount: int


class Post(NamedTuple):
    """A movement of 2 to 100 legs. Top-up, bonus, spend and transfer are Posts with two legs and an asset code;
    a general transaction names no asset: each asset among its legs must cancel out on its own.
    """

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    type: str
    legs: tuple[Leg, ...]
    asset_code: str | None = None
    metadata: str | None = None


Request: TypeAlias = Post
"""The closed union of all requests. A new kind of request joins it here and in apply.KINDS."""


class Entry(NamedTuple):
    """One line of a transaction on one wallet. `version` and `balance_after` are None on unlocked wallets."""

    transaction_id: TransactionId
    leg: int
    wallet_id: WalletId
    asset_id: AssetId
    direction: int
    amount: int
    version: int | None
    balance_after: int | None


class Posted(NamedTuple):
    """An accepted transaction, as its first answer shows it and every replay shows it again."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    type: str
    metadata: str | None
    created_at: datetime
    effective_at: datetime
    entries: tuple[Entry, ...]


ReferenceKey: TypeAlias = tuple[str, str]
"""(origin, reference_id): what is unique per shard."""


class Context(NamedTuple):
    """What a batch is decided on, all read after its wallets were locked.

    wallets: every wallet named that exists. assets: by code, those that exist. known: transactions whose
    reference the batch names.
    """

    wallets: Mapping[WalletId, WalletState]
    assets: Mapping[str, Asset]
    known: Mapping[ReferenceKey, Posted]
