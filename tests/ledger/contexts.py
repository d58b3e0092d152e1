"""The context that storage would give with a batch: everything there is, or no more than Context promises."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wallet.ledger.batch import Context
from wallet.ledger.footprint import singles, wallets_implied
from wallet.ledger.kinds import footprint_of
from wallet.ledger.model import (
    ORIGIN_SERVICE,
    Hold,
    HoldId,
    HoldStatus,
    Lot,
    Original,
    Posted,
    WalletId,
    WalletKind,
    WalletState,
)
from wallet.ledger.requests import ChangeWallet, Request

if TYPE_CHECKING:
    from tests.ledger.worlds import World

NOT_COUNTED = {"topup", "bonus", "refund", "expiry", "merge", "grant", "hold", "void", "increase", "extend",
               "claim_place", "claim_cancel"}  # fmt: skip
"""Types of transactions whose debits do not count for spending limits."""


def whole_context(world: "World", batch: Sequence[Request]) -> Context:
    """Everything there is."""
    return Context(
        _with_spent(world, world.wallets, batch),
        world.assets,
        world.known,
        assets_by_id={asset.id: asset for asset in world.assets.values()},
        holds=world.holds,
        lots=world.lots,
        originals={posted.id: _original(world, posted) for posted in world.history},
        policies=world.policies,
        next_due={id_: next_due(world, id_) for id_ in world.wallets},
        targeted=_targeted(world, world.wallets),
        attachments=world.attachments,
        **_counted_holds(world, world.wallets),
        bounds=world.bounds,
        users=world.users,
        redeemed=world.redeemed,
    )


def thrifty_context(world: "World", batch: Sequence[Request]) -> Context:
    """No more than Context promises. Begins anew with every wallet that what was loaded points at, as storage does."""
    asked = footprint_of(batch, world.assets)
    wallets = set(asked.wallets)
    while True:
        context = _loaded(world, batch, wallets)
        more = {id_ for id_ in wallets_implied(context) if id_ in world.wallets} - wallets
        if not more:
            return context
        wallets |= more


def _loaded(world: "World", batch: Sequence[Request], ids: Iterable[WalletId]) -> Context:
    asked = footprint_of(batch, world.assets)
    wallets = {id_: world.wallets[id_] for id_ in ids if id_ in world.wallets}
    due = {id_ for id_, state in wallets.items() if _has_due(state, world.now)}
    originals = {
        posted.id: _original(world, posted) for posted in world.history if posted.id in set(asked.originals)
    }  # fmt: skip
    asset_ids = {state.asset_id for state in wallets.values()}
    merging = set(asked.merging)
    keys = {(request.origin, request.reference_id) for request in singles(batch)}
    return Context(
        _with_spent(world, wallets, batch),
        {code: asset for code, asset in world.assets.items() if asset.id in asset_ids or _names_asset(batch, code)},
        {key: posted for key, posted in world.known.items() if key in keys},
        assets_by_id={asset.id: asset for asset in world.assets.values() if asset.id in asset_ids},
        holds={
            hold.id: hold
            for hold in world.holds.values()
            if hold.id in asked.holds or _is_due(world, hold, due) or _is_open_on(hold, asked.ending)
        },
        lots={lot.id: lot for lot in world.lots.values() if _is_needed(lot, wallets, originals)},
        originals=originals,
        policies={id_: policy for id_, policy in world.policies.items() if id_ in asset_ids},
        next_due={id_: next_due(world, id_) for id_ in due},
        targeted=_targeted(world, asked.ending),
        attachments={
            key: attachment
            for key, attachment in world.attachments.items()
            if key in asked.attachments or key[1] in merging
        },
        **_counted_holds(world, (*asked.reserving, *asked.merging)),
        bounds=world.bounds,
        users={id_: world.users[id_] for _, id_ in asked.redeeming if id_ in world.users},
        redeemed={
            key: world.redeemed[key]
            for claim_id, id_ in asked.redeeming
            if (key := (claim_id, world.users.get(id_))) in world.redeemed
        },
    )


def _counted_holds(world: "World", ids: Iterable[WalletId]) -> dict[str, dict[WalletId, int]]:
    """The open holds at wallets: those placed there, and those that are captured into them at their expiry."""
    open_ = [hold for hold in world.holds.values() if hold.status is HoldStatus.OPEN]
    due = [hold for hold in open_ if hold.capture_at_expiry and hold.expires_at is not None]
    return {
        "holds_placed": {id_: sum(hold.wallet_id == id_ for hold in open_) for id_ in ids},
        "holds_aimed": {id_: sum(_aims(world, hold, id_) for hold in due) for id_ in ids},
    }


def _names_asset(batch: Sequence[Request], code: str) -> bool:
    return any(getattr(request, "asset_code", None) == code for request in singles(batch))


def _has_due(state: WalletState, now: datetime) -> bool:
    next_due_at = state.standing.next_due_at
    return next_due_at is not None and next_due_at <= now


def _is_due(world: "World", hold: Hold, wallets: Iterable[WalletId]) -> bool:
    is_past = hold.status is HoldStatus.OPEN and hold.expires_at is not None and hold.expires_at <= world.now
    is_into = hold.capture_at_expiry and any(_aims(world, hold, id_) for id_ in wallets)
    return is_past and (hold.wallet_id in wallets or is_into)


def _is_open_on(hold: Hold, wallets: Iterable[WalletId]) -> bool:
    return hold.status is HoldStatus.OPEN and hold.wallet_id in wallets


def _is_needed(lot: Lot, wallets: Mapping[WalletId, WalletState], originals: Mapping[object, Original]) -> bool:
    for original in originals.values():
        details = original.posted.details
        if details is not None and (lot.id in details.opened or any(drawn.lot_id == lot.id for drawn in details.drawn)):
            return True
    return lot.remaining > 0 and lot.wallet_id in wallets and wallets[lot.wallet_id].standing.lot_balance > 0


def _original(world: "World", posted: Posted) -> Original:
    return Original(posted, *world.refunded.get(posted.id, (0, 0)))


def _targeted(world: "World", ids: Iterable[WalletId]) -> dict[WalletId, frozenset[HoldId]]:
    """The open holds that would be captured into a wallet, be it by way of merges."""
    found: dict[WalletId, frozenset[HoldId]] = {}
    for id_ in ids:
        aiming = [
            hold.id for hold in world.holds.values() if hold.status is HoldStatus.OPEN and _aims(world, hold, id_)
        ]
        if aiming:
            found[id_] = frozenset(aiming)
    return found


def _aims(world: "World", hold: Hold, id_: WalletId) -> bool:
    target = hold.target
    while target is not None and target != id_:
        target = world.wallets[target].standing.merged_into
    return target is not None


def next_due(world: "World", id_: WalletId) -> datetime | None:
    """The earliest instant after now at which a hold or a lot falls due at a wallet."""
    instants = [
        hold.expires_at
        for hold in world.holds.values()
        if hold.status is HoldStatus.OPEN
        and (hold.wallet_id == id_ or (hold.capture_at_expiry and _aims(world, hold, id_)))
    ]
    instants += [lot.expires_at for lot in world.lots.values() if lot.wallet_id == id_ and lot.free]
    return min((instant for instant in instants if instant is not None and instant > world.now), default=None)


def _with_spent(
    world: "World", wallets: Mapping[WalletId, WalletState], batch: Sequence[Request]
) -> dict[WalletId, WalletState]:
    """The wallets with what was spent of their limits so far, where they have some or are about to."""
    about_to = {
        request.wallet_id
        for request in singles(batch)
        if isinstance(request, ChangeWallet) and any(name.startswith("limit_") for name, _ in request.changes)
    }
    found = dict(wallets)
    for id_, state in wallets.items():
        standing = state.standing
        is_limited = standing.limit_day is not None or standing.limit_month is not None
        if state.kind is WalletKind.USER and (is_limited or id_ in about_to):
            spent = [(_counts_at(posted), amount) for posted, amount in _counted(world, id_)]
            day = [(at, amount) for at, amount in spent if at > world.now - DAY]
            month = [(at, amount) for at, amount in spent if at >= month_start(world.now)]
            found[id_] = state._replace(
                standing=standing._replace(
                    spent_day=sum(amount for _, amount in day),
                    spent_month=sum(amount for _, amount in month),
                    day_resets_at=min(at for at, _ in day) + DAY if day else None,
                    month_resets_at=next_month(world.now) if month else None,
                )
            )
    return found


DAY = timedelta(days=1)


def month_start(now: datetime) -> datetime:
    return datetime(now.year, now.month, 1, tzinfo=UTC)


def next_month(now: datetime) -> datetime:
    return month_start(month_start(now) + timedelta(days=31))


def _counts_at(posted: Posted) -> datetime:
    """A due step counts from its own instant, whenever it was posted."""
    return posted.effective_at if posted.origin == ORIGIN_SERVICE else posted.created_at


def _counted(world: "World", id_: WalletId) -> Iterable[tuple[Posted, int]]:
    for posted in world.history:
        if posted.type not in NOT_COUNTED:
            for entry in posted.entries:
                if entry.wallet_id == id_ and entry.direction < 0:
                    yield posted, entry.amount
