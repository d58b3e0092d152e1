"""Small worlds to decide in: wallets and movements from text, and what the next batch would find after a decision."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from tests.ledger.contexts import thrifty_context, whole_context
from tests.ledger.tables import number, rows
from wallet.ledger.apply import apply_batch
from wallet.ledger.batch import DEFAULT_BOUNDS, Bounds, Context, Decision
from wallet.ledger.fingerprint import fingerprint
from wallet.ledger.model import (
    Asset,
    AssetId,
    Attachment,
    Direction,
    Hold,
    HoldId,
    HoldStep,
    Lot,
    LotId,
    LotMove,
    Policy,
    Posted,
    ProgrammeId,
    RedemptionKey,
    ReferenceKey,
    TransactionId,
    UserId,
    WalletEvent,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Refused
from wallet.ledger.requests import ORIGIN_WALLET, Leg, Post, Request, Single
from wallet.ledger.transaction_types import BUILT_IN, GENERAL_FIELDS, GENERAL_LAYOUT

LAYOUTS = {name: each.layout for name, each in BUILT_IN.items() if each.layout is not GENERAL_LAYOUT}
"""Of the types that have a layout of their own."""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASSET_IDS = {"GOLD": 1, "COIN": 2}
_ids = count(1)


def wallet_id(name: str) -> WalletId:
    """Every name is the name of a wallet; whether it exists is the world's affair."""
    return UUID(bytes=name.encode().ljust(16, b"\0"))


def user_id(name: str) -> UserId:
    return UUID(bytes=(b"@" + name.encode()).ljust(16, b"\0"))


def asset(code: str, *, max_supply: int | None = None) -> Asset:
    system_wallets = [wallet_id(f"{code}.{kind}") for kind in ("treasury", "revenue", "breakage")]
    return Asset(ASSET_IDS[code], code, 0, max_supply, *system_wallets)


def system_wallets(of: Asset, *, treasury_balance: int = 0) -> list[WalletState]:
    """As the service makes them: nothing is locked but the treasury of a capped asset."""
    capped = of.max_supply is not None
    return [
        WalletState(
            of.treasury, of.id, WalletKind.TREASURY, capped, treasury_balance, overdraft_limit=of.max_supply or 0
        ),
        WalletState(of.revenue, of.id, WalletKind.REVENUE, locked=False),
        WalletState(of.breakage, of.id, WalletKind.BREAKAGE, locked=False),
    ]


NOTHING = Decision((), (), {}, {})
"""The decision of a batch without effect, except for its answers."""


@dataclass(frozen=True)
class World:
    """All wallets, assets and accepted transactions there are, and all else that decisions left behind.

    is_thrifty: whether a decision is given no more than storage would load for it (Context says what), or everything.
    history, steps, lot_moves, events, declines: all there ever were, in order.
    """

    wallets: Mapping[WalletId, WalletState]
    assets: Mapping[str, Asset]
    known: Mapping[ReferenceKey, Posted]
    now: datetime = NOON
    policies: Mapping[AssetId, Policy] = field(default_factory=dict)
    holds: Mapping[HoldId, Hold] = field(default_factory=dict)
    lots: Mapping[LotId, Lot] = field(default_factory=dict)
    refunded: Mapping[TransactionId, tuple[int, int]] = field(default_factory=dict)
    attachments: Mapping[tuple[ProgrammeId, WalletId], Attachment] = field(default_factory=dict)
    users: Mapping[WalletId, UserId] = field(default_factory=dict)
    redeemed: Mapping[RedemptionKey, TransactionId] = field(default_factory=dict)
    history: tuple[Posted, ...] = ()
    steps: tuple[HoldStep, ...] = ()
    lot_moves: tuple[LotMove, ...] = ()
    events: tuple[WalletEvent, ...] = ()
    declines: tuple[tuple[Single, Refused], ...] = ()
    is_thrifty: bool = False
    bounds: Bounds = DEFAULT_BOUNDS

    def decide(self, *batch: Request) -> Decision:
        return apply_batch(batch, self.context(batch), self.now)

    def context(self, batch: Sequence[Request]) -> Context:
        """The context of a batch."""
        return thrifty_context(self, batch) if self.is_thrifty else whole_context(self, batch)

    def after(self, *batch: Request, seconds: int = 1) -> "World":
        """The world that the next batch finds, a second later."""
        return self.left_by(self.decide(*batch)).at(self.now + timedelta(seconds=seconds))

    def left_by(self, decision: Decision) -> "World":
        """The world as storage would keep it once this was decided."""
        changes = decision.changes
        known = {(posted.origin, posted.reference_id): posted for posted in decision.posted}
        known |= {(each.origin, each.reference_id): each for each in _changed(decision.outcomes)}
        attachments = dict(self.attachments)
        for attachment, target in changes.moved:
            del attachments[attachment.programme_id, attachment.wallet_id]
            if target is not None:
                attachments[attachment.programme_id, target] = attachment._replace(wallet_id=target)
        # The next period of an attachment moved with it.
        for attachment in changes.granted:
            key = (attachment.programme_id, attachment.wallet_id)
            if key in attachments and attachments[key].period <= attachment.period:
                attachments[key] = attachment._replace(period=attachment.period + 1)
        return replace(
            self,
            wallets={**self.wallets, **decision.states},
            known={**self.known, **known},
            holds={**self.holds, **changes.holds},
            lots={**self.lots, **changes.lots},
            refunded={**self.refunded, **changes.refunded},
            attachments=attachments,
            redeemed={**self.redeemed, **changes.redemptions},
            history=(*self.history, *decision.posted),
            steps=(*self.steps, *changes.steps),
            lot_moves=(*self.lot_moves, *changes.lot_moves),
            events=(*self.events, *changes.events),
            declines=(*self.declines, *changes.declines),
        )

    def at(self, now: datetime) -> "World":
        return replace(self, now=now)

    def later(self, seconds: int) -> "World":
        return self.at(self.now + timedelta(seconds=seconds))

    def state(self, name: str) -> WalletState:
        return self.wallets[wallet_id(name)]

    def asset_id_of(self, id_: WalletId) -> AssetId:
        return self.wallets[id_].asset_id

    def hold(self, reference: str) -> Hold:
        """The hold that was placed under this reference."""
        return self.holds[self.known["api", reference].id]

    def posted(self, reference: str) -> Posted:
        """The transaction under this reference, the service's own ones included."""
        return next(each for each in reversed(self.history) if each.reference_id == reference)

    def lots_of(self, name: str) -> list[Lot]:
        """The lots of a wallet of which something is left, oldest first."""
        return [lot for lot in self.lots.values() if lot.wallet_id == wallet_id(name) and lot.remaining]


def _changed(outcomes: Iterable[Outcome]) -> Iterator[Posted]:
    """The record that a second look at the same change of a wallet finds, although it is no transaction."""
    for outcome in outcomes:
        if isinstance(outcome, Grouped):
            yield from _changed(outcome.outcomes)
        elif isinstance(outcome, Applied) and outcome.posted.origin == ORIGIN_WALLET:
            yield outcome.posted


def world(wallets: str, *, max_supply: int = 1000) -> World:
    """GOLD without a cap, COIN with one, and the user wallets of the table; every column but two may be left out.

    A row named like a system wallet (`COIN.treasury`) gives that wallet a balance.
    """
    assets = {"GOLD": asset("GOLD"), "COIN": asset("COIN", max_supply=max_supply)}
    states = {state.id: state for each in assets.values() for state in system_wallets(each)}
    for row in rows(wallets):
        id_ = wallet_id(row["wallet"])
        numbers = {name: number(row.get(name, "0")) or 0 for name in ("balance", "held", "version", "overdraft_limit")}
        if id_ in states:
            states[id_] = states[id_]._replace(balance=numbers["balance"])
            continue
        states[id_] = WalletState(
            id_,
            ASSET_IDS[row["asset"]],
            WalletKind.USER,
            locked=True,
            max_balance=number(row.get("max_balance", "-")),
            **numbers,
        )
    return World(states, assets, {})


def legs(text: str) -> tuple[Leg, ...]:
    """`alice-30,bob+30`: 30 from alice to bob. `treasury`, `revenue` and `breakage` are those of the asset named."""
    return tuple(_leg(each) for each in text.split(","))


def _leg(text: str) -> Leg:
    parts = re.fullmatch(r"([^+-]+)([+-])(\d+|MAX)", text)
    assert parts is not None, f"not a leg: {text}"
    name, sign, amount = parts.groups()
    kinds = {kind.value: kind for kind in WalletKind}
    direction = Direction.CREDIT if sign == "+" else Direction.DEBIT
    return Leg(kinds.get(name) or wallet_id(name), direction, number(amount) or 0)


def post(
    reference: str,
    asset_code: str | None,
    moved: str | tuple[Leg, ...],
    *,
    type_: str = "exchange",
    metadata: str | None = None,
    origin: str = "api",
) -> Post:
    """A movement with an id of its own. The asset `-` is none: a general transaction."""
    post_legs = legs(moved) if isinstance(moved, str) else moved
    code = None if asset_code == "-" else asset_code
    return Post(
        UUID(int=next(_ids)),
        origin,
        reference,
        _fingerprint(type_, post_legs, code, metadata),
        type_,
        post_legs,
        code,
        metadata,
    )


def tried_again(request: Post) -> Post:
    """The same request in another try: only its id is new."""
    return request._replace(id=UUID(int=next(_ids)))


def _fingerprint(type_: str, moved: tuple[Leg, ...], asset_code: str | None, metadata: str | None) -> bytes:
    named = [leg for leg in moved if not isinstance(leg.wallet, WalletKind)]
    fields = {
        "type": type_,
        "wallet_id": str(named[0].wallet) if named else None,
        "from_wallet_id": str(moved[0].wallet),
        "to_wallet_id": str(moved[-1].wallet),
        "asset_code": asset_code,
        "amount": str(moved[0].amount),
        "legs": repr((asset_code, moved)),
        "metadata": metadata,
    }
    layout = LAYOUTS.get(type_, GENERAL_FIELDS)
    texts = [fields.get(name) for name in layout]
    return fingerprint(layout, [None if text is None else text.encode() for text in texts])


def named(outcome: Outcome) -> str:
    """An outcome as the tables write it."""
    if isinstance(outcome, Grouped):
        return ",".join(map(named, outcome.outcomes))
    return outcome.code.value if isinstance(outcome, Refused) else type(outcome).__name__.lower()
