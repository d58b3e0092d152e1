"""The rules for attaching a wallet to a programme. Each grant is then decided by itself."""

from typing import NamedTuple

from wallet.ledger.model import AssetId, WalletId, WalletKind
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.rules import shared


class Candidate(NamedTuple):
    """The state of a wallet that is to be attached, as far as the rules need it."""

    asset_id: AssetId
    kind: WalletKind
    is_closed: bool
    merged_into: WalletId | None


def first_refusal_attach(
    wallet_id: WalletId, wallet: Candidate | None, *, asset_id: AssetId, asset_code: str
) -> Refused | None:
    """`wallet`: None if there is no wallet with this id. asset_id, asset_code: of what the programme grants."""
    if wallet is None:
        return shared.wallet_not_found(wallet_id)
    if wallet.asset_id != asset_id:
        detail = f"The programme grants {asset_code}, and the wallet holds something else."
        return Refused(RefusalCode.ASSET_MISMATCH, detail, wallet_id)
    if wallet.kind is not WalletKind.USER:
        return Refused(RefusalCode.SYSTEM_WALLET, "A system wallet takes part in no programme.", wallet_id)
    if wallet.merged_into is not None:
        members = (("merged_into", str(wallet.merged_into)),)
        return Refused(RefusalCode.WALLET_MERGED, "The wallet was merged into another.", wallet_id, members=members)
    if wallet.is_closed:
        return Refused(RefusalCode.WALLET_CLOSED, "The wallet is closed.", wallet_id)
    return None
