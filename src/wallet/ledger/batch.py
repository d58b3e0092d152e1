"""The input of a batch's decision, which is a Context, and its output, which is a Decision."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from wallet.ledger.model import (
    ORIGIN_API,
    Asset,
    AssetId,
    Attachment,
    DueKey,
    Hold,
    HoldId,
    HoldStep,
    Lot,
    LotId,
    LotMove,
    Original,
    Policy,
    Posted,
    ProgrammeId,
    RedemptionKey,
    ReferenceKey,
    TransactionId,
    UserId,
    WalletEvent,
    WalletId,
    WalletState,
)
from wallet.ledger.outcomes import Outcome, Refused
from wallet.ledger.requests import Single

GROUP_LINES_MAX: Final = 100_000
"""Five times the entries of 10,000 transfers, so that each of them may draw three lots and open as many."""

LINES_OF_SEVERAL_MAX: Final = 10_000
"""More lines than 2,000 legs have, each with a lot. A batch of several requests beyond it is decided in parts."""


class Bounds(NamedTuple):
    """The live lots that a wallet may have, and the open holds: as many placed on it, and as many captured into it at
    their expiry. A wallet that has more already keeps all of them.
    """

    lots_max: int = 1_000
    holds_max: int = 1_000

    def share_of(self, origin: str) -> "Bounds":
        """The bounds for a caller: half for a bound one, so that there is always room for the back end."""
        return self if origin == ORIGIN_API else Bounds(self.lots_max // 2, self.holds_max // 2)


DEFAULT_BOUNDS = Bounds()


class Context(NamedTuple):
    """The states that a batch is decided on, all read after its wallets were locked.

    wallets: every named wallet that exists. assets: by code, those that exist; assets_by_id: those of the wallets, too.
    known: transactions whose reference the batch names.

    The other fields are filled only if a wallet's standing or a request needs them:
    holds: those named by id; those due, with either wallet among `wallets`; all open ones of a wallet that is to be
    closed or merged. lots: all with a remainder, of wallets that have a lot_balance; and, with or without a remainder,
    those that an original opened or drew from. originals: the transactions that refunds name. policies: of the assets
    of those wallets. next_due: of wallets with something due, the earliest later instant at which more will be due
    (None: never). targeted: of wallets to be closed, the open holds that name them as their target. attachments: those
    that grants name, and all of a wallet that is to be merged, and of its target. holds_placed, holds_aimed: of wallets
    that the batch places a hold on or aims one at, and of those that it merges, the numbers of open holds that are
    placed there or are captured into them at their expiry; a wallet without any may be missing.
    users: of wallets that claims are redeemed into, the users that they belong to. redeemed: of claims that each user
    may redeem once, which of these users have redeemed which, and by which transaction.

    due_until: if more is due than one batch posts, the last due step that this batch posts. Then the batch only
    settles, and it has only the lots and holds that are due by then and the lots that such holds reserve; if one of
    these holds is captured with its lots, it has the live lots of the wallets as well.

    group_lines_at_once: the number of lines from which a group cannot be decided here; beyond it NotAtOnce is raised.
    group_lines_max: the number of lines (Book.lines) of a group from which the item at hand is refused.
    """

    wallets: Mapping[WalletId, WalletState]
    assets: Mapping[str, Asset]
    known: Mapping[ReferenceKey, Posted]
    shard: int = 0
    assets_by_id: Mapping[AssetId, Asset] = {}
    holds: Mapping[HoldId, Hold] = {}
    lots: Mapping[LotId, Lot] = {}
    originals: Mapping[TransactionId, Original] = {}
    policies: Mapping[AssetId, Policy] = {}
    next_due: Mapping[WalletId, datetime | None] = {}
    targeted: Mapping[WalletId, frozenset[HoldId]] = {}
    attachments: Mapping[tuple[ProgrammeId, WalletId], Attachment] = {}
    due_until: DueKey | None = None
    group_lines_max: int = GROUP_LINES_MAX
    group_lines_at_once: int = GROUP_LINES_MAX * 10
    holds_placed: Mapping[WalletId, int] = {}
    holds_aimed: Mapping[WalletId, int] = {}
    bounds: Bounds = DEFAULT_BOUNDS
    users: Mapping[WalletId, UserId] = {}
    redeemed: Mapping[RedemptionKey, TransactionId] = {}


class Changes(NamedTuple):
    """The changes of a batch other than balances: each row once, in its final state; lines of history in order.

    refunded: the present amount and number of refunds of each original. moved: attachments that went to another wallet
    (old, new; None: it ended there). declines: refusals of captures at expiry, which no caller is told. redemptions:
    new ones, of claims that each user may redeem once.
    """

    holds: Mapping[HoldId, Hold] = {}
    steps: Sequence[HoldStep] = ()
    lots: Mapping[LotId, Lot] = {}
    lot_moves: Sequence[LotMove] = ()
    events: Sequence[WalletEvent] = ()
    refunded: Mapping[TransactionId, tuple[int, int]] = {}
    granted: Sequence[Attachment] = ()
    moved: Sequence[tuple[Attachment, WalletId | None]] = ()
    declines: Sequence[tuple[Single, Refused]] = ()
    redemptions: Mapping[RedemptionKey, TransactionId] = {}


NO_CHANGES = Changes()


class Decision(NamedTuple):
    """The result of a batch.

    outcomes: one per request, in order. posted: the applied transactions in order, due steps included. states: the last
    state of every locked wallet that changed. deltas: the net change of every unlocked wallet that took part.
    """

    outcomes: tuple[Outcome, ...]
    posted: tuple[Posted, ...]
    states: Mapping[WalletId, WalletState]
    deltas: Mapping[WalletId, int]
    changes: Changes = NO_CHANGES
