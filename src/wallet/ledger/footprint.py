"""The footprint of requests: the ids that they name, which storage locks and loads before they are decided.

The records in kinds say what each kind of request names.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wallet.ledger.batch import Context
from wallet.ledger.model import Asset, HoldId, ProgrammeId, TransactionId, WalletId, WalletKind
from wallet.ledger.requests import Group, Leg, Post, Request, Single


class Footprint(NamedTuple):
    """The ids that requests name, in no order and perhaps twice.

    ending: wallets that are to be closed or merged, for which all open holds are needed, also those that name them as
    target. merging: wallets whose attachments are needed. reserving: wallets whose holds are counted; holds of merging
    wallets are counted, too. redeeming: claims that are redeemed, with the wallets, whose users are needed.
    """

    wallets: list[WalletId]
    holds: list[HoldId]
    originals: list[TransactionId]
    attachments: list[tuple[ProgrammeId, WalletId]]
    ending: list[WalletId]
    merging: list[WalletId]
    reserving: list[WalletId]
    redeeming: list[tuple[HoldId, WalletId]]


def wallet_of(leg: Leg, asset: Asset | None) -> WalletId | None:
    """The wallet this leg moves; None for a system wallet of an asset that does not exist."""
    if isinstance(leg.wallet, WalletKind):
        return None if asset is None else asset.system_wallet(leg.wallet)
    return leg.wallet


def asset_of(asset_code: str | None, assets: Mapping[str, Asset]) -> Asset | None:
    """The asset of this code; None without a code, and if there is no such asset."""
    return None if asset_code is None else assets.get(asset_code)


def singles(batch: Iterable[Request]) -> Iterable[Single]:
    """The requests of a batch with its groups opened up, in order."""
    for request in batch:
        if type(request) is Group:
            yield from request.items
        else:
            yield request


def is_plain(request: Request) -> bool:
    """Whether nothing but the wallets of its legs has to be loaded for a request."""
    return type(request) is Post and request.options.lot is None


def wallets_of_legs(post: Post, assets: Mapping[str, Asset]) -> list[WalletId]:
    """The wallets that a movement names, in the order of its legs."""
    # As wallet_of does, without a call for each.
    asset = asset_of(post.asset_code, assets)
    wallets: list[WalletId] = []
    for wallet, _, _ in post.legs:
        if not isinstance(wallet, WalletKind):
            wallets.append(wallet)
        elif asset is not None:
            wallets.append(asset.system_wallet(wallet))
    return wallets


def wallets_implied(context: Context) -> set[WalletId]:
    """The wallets that the loaded rows point at: both ends of holds, wallets of originals and lots, and targets of
    merges.

    The decision needs all of them. If one of them was not loaded, storage begins the batch again with it. Revenue and
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
