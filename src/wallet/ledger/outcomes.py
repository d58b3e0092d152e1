"""What can become of a request. A refusal is a value: it has no effect and harms no neighbour."""

from enum import Enum
from typing import NamedTuple, TypeAlias

from wallet.ledger.model import Posted, WalletId


class RefusalCode(Enum):
    """In order of precedence: of all that applies, the first is the answer.

    What is not found is one step, wallet or asset: the first leg that lacks one names it.
    """

    REFERENCE_REUSED = "reference_reused"
    SAME_WALLET = "same_wallet"
    WALLET_NOT_FOUND = "wallet_not_found"
    ASSET_NOT_FOUND = "asset_not_found"
    ASSET_MISMATCH = "asset_mismatch"
    LEGS_UNBALANCED = "legs_unbalanced"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    SUPPLY_EXCEEDED = "supply_exceeded"
    MAX_BALANCE_EXCEEDED = "max_balance_exceeded"


class Applied(NamedTuple):
    """The movement happened, now."""

    posted: Posted


class Replayed(NamedTuple):
    """The movement had happened before; this is its first answer."""

    posted: Posted


class Refused(NamedTuple):
    """Nothing happened. `available` and `required` are what was compared; `differs` names request fields."""

    code: RefusalCode
    detail: str
    wallet_id: WalletId | None = None
    available: int | None = None
    required: int | None = None
    differs: tuple[str, ...] = ()


Outcome: TypeAlias = Applied | Replayed | Refused
