"""States of the ledger, without rules: rules/ decides what may happen, and movements/ makes it happen.

Amounts are integers in the asset's minor unit, 1 .. AMOUNT_MAX.
"""

from datetime import datetime
from enum import Enum, IntEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

AMOUNT_MAX = 2**63 - 1

AssetId: TypeAlias = int
HoldId: TypeAlias = UUID
LotId: TypeAlias = UUID
DueKey: TypeAlias = tuple[datetime, int, HoldId | LotId]
"""The place of a due step among others: its instant, 0 for a hold and 1 for a lot, and which one."""
ProgrammeId: TypeAlias = UUID
TransactionId: TypeAlias = UUID
UserId: TypeAlias = UUID
WalletId: TypeAlias = UUID

ORIGIN_API = "api"
"""The origin of the references that the back end's own requests carry."""

ORIGIN_SERVICE = "service"
"""The origin of the references that the service makes itself: expiries and grants."""


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
    """A unit of value. All of it is fixed at creation, so it may be cached for ever. Its Policy may change."""

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


class OnRefundToExpired(Enum):
    """The treatment of a refund into a lot that has expired meanwhile."""

    GRACE = "grace"
    FORFEIT = "forfeit"
    TO_MAIN = "to_main"


class Policy(NamedTuple):
    """The rules of an asset for lots. `main_first`: main credit is drawn before lots, down to zero."""

    main_first: bool = False
    on_refund_to_expired: OnRefundToExpired = OnRefundToExpired.GRACE
    grace_seconds: int = 30 * 24 * 3600


class Standing(NamedTuple):
    """The state that few wallets have: an end, freezes, spending limits, lots, or something that falls due.

    next_due_at: no hold and no lot here falls due before this (a lower bound, None: never).
    lot_balance: the remainders of the wallet's lots; the rest of its balance is main credit.
    limit_*: spending limits per rolling 24 hours and per calendar month (UTC). spent_*: the debits that count for
    them, without open holds; day_resets_at, month_resets_at: when the first of those leaves its window.
    """

    closed: bool = False
    merged_into: WalletId | None = None
    freeze_outgoing: bool = False
    freeze_incoming: bool = False
    limit_day: int | None = None
    limit_month: int | None = None
    next_due_at: datetime | None = None
    lot_balance: int = 0
    spent_day: int = 0
    spent_month: int = 0
    day_resets_at: datetime | None = None
    month_resets_at: datetime | None = None


ORDINARY = Standing()
"""The standing of nearly all wallets. It is always this very object, so that `is` recognises it."""


class WalletState(NamedTuple):
    """The state of a wallet. Nothing is decided on the numbers of an unlocked wallet, which may take part as well.

    last_entry_at: the time of the last entry, hold step or event of a locked wallet.
    """

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
    standing: Standing = ORDINARY

    @property
    def available(self) -> int:
        """The only number that an amount is compared with."""
        return self.balance - self.held + self.overdraft_limit


class LotCategory(Enum):
    PAID = "paid"
    PROMOTIONAL = "promotional"


class Lot(NamedTuple):
    """A parcel of credit in a wallet with its own category and expiry.

    amount: the amount that it was opened with. remaining: the rest of that amount and of all that has joined it; open
    holds reserve `held` of it. opened_by: the transaction that opened it. expiries: how often a part of it was posted
    to breakage.
    """

    id: LotId
    wallet_id: WalletId
    asset_id: AssetId
    category: LotCategory
    priority: int
    expires_at: datetime | None
    opened_at: datetime
    opened_by: TransactionId
    amount: int
    remaining: int
    held: int = 0
    expiries: int = 0
    programme_id: ProgrammeId | None = None

    @property
    def free(self) -> int:
        return self.remaining - self.held


class Slice(NamedTuple):
    """A part of an amount that belongs to one lot; to main credit if `lot_id` is None."""

    lot_id: LotId | None
    amount: int


class HoldStatus(Enum):
    OPEN = "open"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class Claim(NamedTuple):
    """The terms of a hold that is a claim. None of them changes.

    The hold reserves `uses` times `amount` for the holders of a code, of which only the hash is known. once_per_user:
    no user redeems twice, not even into another wallet.
    """

    amount: int
    uses: int
    once_per_user: bool
    code_hash: bytes


class Hold(NamedTuple):
    """Funds reserved until captured, voided or expired. Its id is that of the transaction that placed it.

    amount: all that was ever reserved, increases included; amount = captured + released + remaining, always. target:
    None for the asset's revenue wallet. slices: the remaining credit, in the order in which it was reserved.
    carries_lots: each capture carries lots to a user's wallet, whoever asks for it. claim: the hold is a claim. It has
    no target then, and is captured by redemptions only, one use at a time.
    """

    id: HoldId
    wallet_id: WalletId
    asset_id: AssetId
    target: WalletId | None
    amount: int
    captured: int
    released: int
    expires_at: datetime | None
    capture_at_expiry: bool
    status: HoldStatus
    created_at: datetime
    slices: tuple[Slice, ...]
    carries_lots: bool = False
    claim: Claim | None = None

    @property
    def remaining(self) -> int:
        return self.amount - self.captured - self.released


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


class Drawn(NamedTuple):
    """The amount that one debit took from one lot, or from main credit (lot_id and category None)."""

    wallet_id: WalletId
    lot_id: LotId | None
    category: LotCategory | None
    amount: int


class Details(NamedTuple):
    """The parts of a transaction's first answer beyond its row and entries. They are stored with it, and never change.

    requested_amount: the amount that an up-to movement asked for. drawn: of every debit of a user wallet if lots took
    part, in the order in which they were drawn. opened: the lots that it opened, in order. joined: the amounts that it
    carried into existing lots, in order. forfeited: the part of a refund that went on to breakage. hold: as the step
    left it. skipped: why a grant moved nothing.
    """

    requested_amount: int | None = None
    drawn: tuple[Drawn, ...] = ()
    opened: tuple[LotId, ...] = ()
    forfeited: int | None = None
    hold: Hold | None = None
    skipped: str | None = None
    joined: tuple[Slice, ...] = ()


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
    hold_id: HoldId | None = None
    refund_of: TransactionId | None = None
    details: Details | None = None


class Original(NamedTuple):
    """A transaction that may be refunded, and its refunds so far: their amount and their number."""

    posted: Posted
    refunded: int = 0
    refunds: int = 0


class Attachment(NamedTuple):
    """A programme attached to a wallet: the next period to be granted is number `period`."""

    programme_id: ProgrammeId
    wallet_id: WalletId
    period: int


class HoldStep(NamedTuple):
    """One change of a hold, as a line in its wallet's history.

    kind: place, increase, extend, capture, void, expire, move_out, move_in. held_change: the change of the wallet's
    held, which is held_after then. captured, released: parts of the hold's amount. expires_at: the hold's, after this
    step.
    """

    transaction_id: TransactionId
    hold_id: HoldId
    wallet_id: WalletId
    version: int
    kind: str
    held_change: int
    held_after: int
    captured: int
    released: int
    expires_at: datetime | None


class LotMove(NamedTuple):
    """A change of a lot's remainder and of its held part, while it belongs to `wallet_id`.

    ordinal: its place among the moves of its transaction, from 0.
    """

    transaction_id: TransactionId
    ordinal: int
    lot_id: LotId
    wallet_id: WalletId
    change: int
    held_change: int


class WalletEvent(NamedTuple):
    """A change of the rules for a wallet, as a line in its history. `changes`: field names and new values."""

    id: TransactionId
    wallet_id: WalletId
    version: int
    kind: str
    changes: tuple[tuple[str, str | int | bool | None], ...]


RedemptionKey: TypeAlias = tuple[HoldId, UserId]
"""A claim that each user may redeem once, and a user who has redeemed it."""

ReferenceKey: TypeAlias = tuple[str, str]
"""(origin, reference_id), which is unique per shard."""
