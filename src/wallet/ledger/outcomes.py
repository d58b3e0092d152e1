"""The outcomes of a request. A refusal is a value: it has no effect, also not on other requests of the batch."""

from enum import Enum
from typing import NamedTuple, TypeAlias

from wallet.ledger.model import Posted, WalletId


class RefusalCode(Enum):
    """The codes in order of precedence: of all that apply, the first is the answer.

    The codes for things that are not found are one step: the first leg that lacks something decides which it is.
    """

    REFERENCE_REUSED = "reference_reused"
    SAME_WALLET = "same_wallet"
    WALLET_NOT_FOUND = "wallet_not_found"
    ASSET_NOT_FOUND = "asset_not_found"
    HOLD_NOT_FOUND = "hold_not_found"
    TRANSACTION_NOT_FOUND = "transaction_not_found"
    PROGRAMME_NOT_FOUND = "programme_not_found"
    CLAIM_NOT_FOUND = "claim_not_found"
    HOLD_IS_CLAIM = "hold_is_claim"
    ASSET_MISMATCH = "asset_mismatch"
    SYSTEM_WALLET = "system_wallet"
    LEGS_UNBALANCED = "legs_unbalanced"
    WALLET_MERGED = "wallet_merged"
    WALLET_CLOSED = "wallet_closed"
    WALLET_FROZEN = "wallet_frozen"
    HOLD_CLOSED = "hold_closed"
    CLAIM_CLOSED = "claim_closed"
    WALLET_WITHOUT_USER = "wallet_without_user"
    ALREADY_REDEEMED = "already_redeemed"
    NOT_REFUNDABLE = "not_refundable"
    EFFECTIVE_IN_FUTURE = "effective_in_future"
    EFFECTIVE_BEFORE_ORIGINAL = "effective_before_original"
    EXPIRY_OUT_OF_RANGE = "expiry_out_of_range"
    VERSION_CONFLICT = "version_conflict"
    CAPTURE_EXCEEDS_HOLD = "capture_exceeds_hold"
    REFUND_EXCEEDS_ORIGINAL = "refund_exceeds_original"
    LIMIT_EXCEEDED = "limit_exceeded"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    SUPPLY_EXCEEDED = "supply_exceeded"
    MAX_BALANCE_EXCEEDED = "max_balance_exceeded"
    TOO_MANY_LOTS = "too_many_lots"
    TOO_MANY_HOLDS = "too_many_holds"
    WALLET_NOT_EMPTY = "wallet_not_empty"
    CONDITION_FAILED = "condition_failed"
    GROUP_TOO_LARGE = "group_too_large"
    GROUP_REFUSED = "group_refused"


class Applied(NamedTuple):
    """The movement happened, now."""

    posted: Posted


class Replayed(NamedTuple):
    """The movement had happened before, and this is its first answer."""

    posted: Posted


class Predicted(NamedTuple):
    """A dry run: the movement would happen like this. Nothing happened, and nothing has its id."""

    posted: Posted


class Settled(NamedTuple):
    """The due steps of a wallet are posted. is_all: False if this was a portion of them, the first in order."""

    is_all: bool = True


class Refused(NamedTuple):
    """Nothing happened. `available` and `required` are the compared amounts; `differs` names request fields.

    members: further members of the problem, by name: hold_status, claim_status, merged_into, direction, limit, used,
    resets_at, version.
    """

    code: RefusalCode
    detail: str
    wallet_id: WalletId | None = None
    available: int | None = None
    required: int | None = None
    differs: tuple[str, ...] = ()
    members: tuple[tuple[str, str | int], ...] = ()


class Grouped(NamedTuple):
    """The outcomes of a group's items, in order."""

    outcomes: tuple["Applied | Replayed | Predicted | Settled | Refused", ...]

    @property
    def is_refused(self) -> bool:
        return any(isinstance(each, Refused) for each in self.outcomes)


Outcome: TypeAlias = Applied | Replayed | Predicted | Settled | Refused | Grouped
