"""From the legs a request was sent with to the wallets they mean."""

from collections.abc import Mapping

from wallet.ledger.model import Asset, WalletId, WalletKind
from wallet.ledger.requests import Leg


def wallet_of(leg: Leg, asset: Asset | None) -> WalletId | None:
    """The wallet this leg moves; None for a system wallet of an asset that does not exist."""
    if isinstance(leg.wallet, WalletKind):
        return None if asset is None else asset.system_wallet(leg.wallet)
    return leg.wallet


def asset_of(asset_code: str | None, assets: Mapping[str, Asset]) -> Asset | None:
    """The asset that a request names, if it names one that exists."""
    return None if asset_code is None else assets.get(asset_code)
