"""What a batch is decided on, and what it comes to."""

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
"""Five times the entries of 10,000 transfers: of each, three may draw a lot and open another one."""

LINES_OF_SEVERAL_MAX: Final = 10_000
"""More than 2,000 legs come to, each with a lot. Beyond it a batch of several requests is decided in parts."""


class Bounds(NamedTuple):
    """How many live lots a wallet may have; how many open holds may be placed on it, and as many that are captured into
    it at their expiry. Where there are more already, these are as good as ever.
    """

    lots_max: int = 1_000
    holds_max: int = 1_000

    def share_of(self, origin: str) -> "Bounds":
        """What a caller may fill: one that is bound the half, so that there is room for the back end in any case."""
        return self if origin == ORIGIN_API else Bounds(self.lots_max // 2, self.holds_max // 2)


DEFAULT_BOUNDS = Bounds()


class Context(NamedTuple):
    """What a batch is decided on, all read after its wallets were locked.

    wallets: every wallet named that exists. assets: by code, those that exist; assets_by_id: those of the wallets, too.
    known: transactions whose reference the batch names.

    The rest is there only where a wallet's standing or a request asks for it:
    holds: those named by id; those due, with either wallet among `wallets`; all open ones of a wallet that is to be
    closed or merged. lots: all with a remainder, of wallets that have a lot_balance; whatever is left of them, those
    that an original opened or drew from. originals: the transactions that refunds name. policies: of the assets
    of those wallets. next_due: where something is due, the earliest instant after it at which more will be (None:
    never). targeted: of wallets to be closed, the open holds that name them as their target. attachments: the ones that
    grants name, and all of a wallet that is to be merged, and of its target. holds_placed, holds_aimed: of wallets that
    the batch places a hold on or aims one at, and of those that it merges, how many open holds are placed there or are
    captured into them at their expiry. Where there are none, they may be missing.
    users: of wallets that claims are redeemed into, the users that they belong to. redeemed: of claims that each user
    may redeem once, which of these users have redeemed which, and by which transaction.

    due_until: where more is due than one batch posts, the last step that this one does. Then the batch settles and asks
    nothing else, and of lots and holds there are only those due by then and the lots that such holds reserve; if one of
    them is captured with its lots, the live lots of the wallets as well.

    group_lines_at_once: how many lines a group may come to where it is decided; beyond it NotAtOnce is raised.
    group_lines_max: how many lines (Book.lines) a group may come to. Beyond it the item at hand is refused.
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
    """What a batch changed besides balances: each row once, in its final state; lines of history in order.

    refunded: of originals, in amount and number, now. moved: attachments that went to another wallet (old, new; None:
    it ended there). declines: refusals that no caller hears, of captures at expiry. redemptions: new ones, of claims
    that each user may redeem once.
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
    """What a batch comes to.

    outcomes: one per request, in order. posted: what was applied, in order, due steps included. states: the last state
    of every locked wallet that changed. deltas: net change of every unlocked wallet that took part.
    """

    outcomes: tuple[Outcome, ...]
    posted: tuple[Posted, ...]
    states: Mapping[WalletId, WalletState]
    deltas: Mapping[WalletId, int]
    changes: Changes = NO_CHANGES
