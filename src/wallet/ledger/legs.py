"""From the legs a request was sent with to the wallets they mean."""

from collections.abc import Mapping

from wallet.ledger.model import Asset, Leg, Post, WalletId, WalletKind


def wallet_of(leg: Leg, asset: Asset | None) -> WalletId | None:
    """The wallet this leg moves; None for a system wallet of an asset that does not exist."""
    if isinstance(leg.wallet, WalletKind):
        return None if asset is None else asset.system_wallet(leg.wallet)
    return leg.wallet


def asset_of(post: Post, assets: Mapping[str, Asset]) -> Asset | None:
    """The asset that the request names, if it names one that exists."""
    return None if post.asset_code is None else assets.get(post.asset_code)


def wallets_named(post: Post, assets: Mapping[str, Asset]) -> list[WalletId]:
    """Every wallet whose state the decision needs, in the order of the legs."""
    asset = asset_of(post, assets)
    return [wallet for leg in post.legs if (wallet := wallet_of(leg, asset)) is not None]
