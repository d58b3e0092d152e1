"""The requests to the ledger. All of them are well-formed: the edge has checked ranges and shapes.

Every request has id, origin, reference_id, fingerprint and type; all but Settle may have Options.

carries_lots: credit that moves from a user's wallet to a user's wallet arrives as the lots and main credit that it was,
and repays no debt. The service sets this for bound callers, who must not turn lots into main credit. It is no part of a
fingerprint: an origin belongs to bound callers or to others, never to both.
"""

from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, final

from wallet.ledger import transaction_types
from wallet.ledger.model import (
    Direction,
    HoldId,
    LotCategory,
    ProgrammeId,
    TransactionId,
    WalletId,
    WalletKind,
)


class Condition(NamedTuple):
    """A condition on a wallet that takes part: on its version before the movement, or its balance after it."""

    wallet_id: WalletId
    expected_version: int | None = None
    min_balance: int | None = None
    max_balance: int | None = None


PRIORITY_DEFAULT: Final = 50
"""The priority of a lot. Of lots that expire at one instant, one with a lower number is drawn first."""


class LotTerms(NamedTuple):
    """The lot that a top-up or bonus opens. At most one of the expiries is given; none: it never expires."""

    category: LotCategory
    priority: int = PRIORITY_DEFAULT
    expires_at: datetime | None = None
    expires_in_seconds: int | None = None


class Options(NamedTuple):
    """The options that most requests leave out.

    up_to: move the smaller of the amount and the funds without overdraft, at least min_amount.
    """

    effective_at: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    dry_run: bool = False
    up_to: bool = False
    min_amount: int = 1
    lot: LotTerms | None = None


NO_OPTIONS = Options()
"""The options of a request that gives none: always this very object, so that `is` recognises it."""


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
    options: Options = NO_OPTIONS
    carries_lots: bool = False


class PlaceHold(NamedTuple):
    """Reserve an amount of a wallet. Its id becomes the hold's. `target` None: the asset's revenue wallet."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    wallet_id: WalletId
    asset_code: str
    amount: int
    target: WalletId | None = None
    expires_in_seconds: int | None = None
    capture_at_expiry: bool = False
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.HOLD.name
    carries_lots: bool = False


class Capture(NamedTuple):
    """Move part of a hold to its target; `amount` None: all that remains. `final` releases the rest."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    hold_id: HoldId
    amount: int | None = None
    final: bool = False
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.CAPTURE.name
    carries_lots: bool = False


class Void(NamedTuple):
    """Release what is left of a hold."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    hold_id: HoldId
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.VOID.name


class Increase(NamedTuple):
    """Reserve more by an open hold."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    hold_id: HoldId
    amount: int
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.INCREASE.name
    carries_lots: bool = False


class Extend(NamedTuple):
    """Let a hold expire that many seconds from now, or when it did, whichever is later."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    hold_id: HoldId
    expires_in_seconds: int
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.EXTEND.name


class PlaceClaim(NamedTuple):
    """Reserve `uses` times an amount of a wallet for the holders of a code. Its id becomes the claim's."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    wallet_id: WalletId
    asset_code: str
    amount: int
    code_hash: bytes
    expires_in_seconds: int
    uses: int = 1
    once_per_user: bool = False
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.CLAIM_PLACE.name


class RedeemClaim(NamedTuple):
    """Move one use of a claim to a user's wallet. The service knows from the code which claim it is."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    claim_id: HoldId
    wallet_id: WalletId
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.CLAIM_REDEEM.name


class CancelClaim(NamedTuple):
    """Release what is left of a claim."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    claim_id: HoldId
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.CLAIM_CANCEL.name


class Refund(NamedTuple):
    """Mirror an earlier transaction, in part or whole; `amount` None: all that is left to refund."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    original_id: TransactionId
    amount: int | None = None
    force: bool = False
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.REFUND.name


class Merge(NamedTuple):
    """Move balance, lots, open holds and programmes of `source` into `target`; `source` ends."""

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    source: WalletId
    target: WalletId
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.MERGE.name


class ChangeWallet(NamedTuple):
    """Change, close or reopen a wallet. `type`: change, close, reopen. Not a transaction: it is a wallet event.

    changes: pairs of a field and its new value, null clears. origin is ORIGIN_WALLET and reference_id the id as
    text: each try is a request of its own, which only a second look at the same try finds again.
    """

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    type: str
    wallet_id: WalletId
    changes: tuple[tuple[str, str | int | bool | None], ...] = ()
    expected_version: int | None = None
    metadata: str | None = None
    options: Options = NO_OPTIONS


ORIGIN_WALLET = "wallet"
"""The origin of ChangeWallet. No transaction has it."""


class Grant(NamedTuple):
    """Post one period of a programme to a wallet, from the asset's treasury: min(amount, max(0, rollover_max + amount
    - unspent of this programme)), or skip it. The service's own: origin ORIGIN_SERVICE.

    rollover_max None: no bound. starts_at: of the period. expires_at: of the lot that it opens.
    """

    id: TransactionId
    origin: str
    reference_id: str
    fingerprint: bytes
    programme_id: ProgrammeId
    wallet_id: WalletId
    asset_code: str
    period: int
    starts_at: datetime
    amount: int
    rollover_max: int | None
    category: LotCategory
    priority: int
    expires_at: datetime | None
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = transaction_types.GRANT.name


class Settle(NamedTuple):
    """Post the due steps of a wallet, and nothing else. The request itself leaves no row."""

    id: TransactionId
    origin: str
    reference_id: str
    wallet_id: WalletId
    fingerprint: bytes = b""
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = "settle"


Single: TypeAlias = (
    Post
    | PlaceHold
    | Capture
    | Void
    | Increase
    | Extend
    | PlaceClaim
    | RedeemClaim
    | CancelClaim
    | Refund
    | Merge
    | ChangeWallet
    | Grant
    | Settle
)


@final
class Group(NamedTuple):
    """All of these, in order, or none. It is a dry run if its `options` say so, whatever those of its items say."""

    id: TransactionId
    origin: str
    reference_id: str
    items: tuple[Single, ...]
    fingerprint: bytes = b""
    metadata: str | None = None
    options: Options = NO_OPTIONS
    type: str = "group"


Request: TypeAlias = Single | Group
"""The closed union of all requests. `kinds` has a record for each kind."""


DRY_WEIGHT = 10
"""The weight of a dry run in requests, because each is decided on a copy of everything that its batch has loaded."""


def weight(request: Request) -> int:
    """About the cost of a request, counted in wallets that it locks."""
    if type(request) is Group:
        return sum(map(legs_of, request.items))
    return legs_of(request) * DRY_WEIGHT if request.options.dry_run else legs_of(request)


def legs_of(request: Single) -> int:
    """The number of a movement's legs; two if it has none."""
    return len(request.legs) if type(request) is Post else 2
