"""What a request names, so that storage knows what to lock and load before it is decided."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wallet.ledger.batch import Context
from wallet.ledger.legs import asset_of
from wallet.ledger.model import Asset, HoldId, ProgrammeId, TransactionId, WalletId, WalletKind
from wallet.ledger.requests import (
    CancelClaim,
    Capture,
    ChangeWallet,
    Extend,
    Grant,
    Group,
    Increase,
    Merge,
    PlaceClaim,
    PlaceHold,
    Post,
    RedeemClaim,
    Refund,
    Request,
    Settle,
    Single,
    Void,
)


class Named(NamedTuple):
    """What requests name by id, in no order and perhaps twice.

    ending: wallets that are to be closed or merged: all their open holds are needed, and whether they are the target
    of one. merging: wallets whose attachments are needed. reserving: wallets whose holds are counted, and of those
    merging, too. redeeming: claims that are redeemed, and into which wallets: whose these are is needed.
    """

    wallets: list[WalletId]
    holds: list[HoldId]
    originals: list[TransactionId]
    attachments: list[tuple[ProgrammeId, WalletId]]
    ending: list[WalletId]
    merging: list[WalletId]
    reserving: list[WalletId]
    redeeming: list[tuple[HoldId, WalletId]]


def singles(batch: Iterable[Request]) -> Iterable[Single]:
    """The requests of a batch with its groups opened up, in order."""
    for request in batch:
        if type(request) is Group:
            yield from request.items
        else:
            yield request  # type: ignore[misc]  # all others are single


def is_plain(request: Request) -> bool:
    """Whether nothing but the wallets of its legs has to be loaded for a request."""
    return type(request) is Post and request.options.lot is None


def wallets_named(request: Request, assets: Mapping[str, Asset]) -> list[WalletId]:
    """Every wallet that a request names itself, in the order of its legs. Holds and originals bring in more."""
    if type(request) is Post:
        # As legs.wallet_of does, without a call for each.
        asset = asset_of(request.asset_code, assets)
        wallets: list[WalletId] = []
        for wallet, _, _ in request.legs:
            if not isinstance(wallet, WalletKind):
                wallets.append(wallet)
            elif asset is not None:
                wallets.append(asset.system_wallet(wallet))
        return wallets
    return named((request,), assets).wallets


def named(batch: Iterable[Request], assets: Mapping[str, Asset]) -> Named:
    """All that a batch names."""
    found = Named([], [], [], [], [], [], [], [])
    for request in singles(batch):
        match request:
            case Post():
                found.wallets.extend(wallets_named(request, assets))
                # A condition on a wallet that takes no part is refused without looking at it.
            case PlaceHold():
                ends = [each for each in (request.wallet_id, request.target) if each is not None]
                found.wallets.extend(ends)
                found.reserving.extend(ends)
            case Capture() | Void() | Increase() | Extend():
                found.holds.append(request.hold_id)
            case PlaceClaim():
                found.wallets.append(request.wallet_id)
                found.reserving.append(request.wallet_id)
            case RedeemClaim():
                found.wallets.append(request.wallet_id)
                found.holds.append(request.claim_id)
                found.redeeming.append((request.claim_id, request.wallet_id))
            case CancelClaim():
                found.holds.append(request.claim_id)
            case Refund():
                found.originals.append(request.original_id)
            case Merge():
                found.wallets.extend((request.source, request.target))
                found.ending.append(request.source)
                found.merging.extend((request.source, request.target))
            case ChangeWallet() | Settle():
                found.wallets.append(request.wallet_id)
                if request.type == "close":
                    found.ending.append(request.wallet_id)
            case Grant():
                found.wallets.append(request.wallet_id)
                found.attachments.append((request.programme_id, request.wallet_id))
                if (asset := assets.get(request.asset_code)) is not None:
                    found.wallets.append(asset.treasury)
    return found


def wallets_implied(context: Context) -> set[WalletId]:
    """Wallets that what was loaded points at: both ends of holds, those of originals, and where these were merged.

    The decision needs them all. If one was not among the wallets asked for, storage begins anew with it. Revenue and
    breakage wallets are always unlocked: the core makes their states itself.
    """
    implied: set[WalletId] = set()
    for hold in context.holds.values():
        implied.add(hold.wallet_id)
        if hold.target is not None:
            implied.add(hold.target)
    for original in context.originals.values():
        implied.update(entry.wallet_id for entry in original.posted.entries)
    implied.update(lot.wallet_id for lot in context.lots.values())
    for wallet in context.wallets.values():
        if wallet.standing.merged_into is not None:
            implied.add(wallet.standing.merged_into)
    return implied
