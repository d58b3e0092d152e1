"""The answers about claims."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from wallet.errors import InvariantViolated
from wallet.http.operations.answers import transaction_answer
from wallet.http.operations.operation import Answered
from wallet.ledger.instants import rfc3339
from wallet.ledger.model import Asset, AssetId, Hold, Posted
from wallet.ledger.rules.claims import CLAIM_STATUSES


class ClaimAnswer(Struct, kw_only=True):
    """Credit reserved for the holders of a code: `amount` for each use. `id` is null in a dry run that would place it.

    `status`: open, or redeemed (no use is left), cancelled or expired. `code`: in the first answer to the request that
    placed it, and never again.
    """

    id: str | None
    wallet_id: str
    asset_code: str
    status: str
    amount: int
    uses: int
    uses_redeemed: int
    uses_left: int
    once_per_user: bool
    expires_at: str | None
    created_at: str
    code: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


def claim_answer(
    hold: Hold, assets: Mapping[AssetId, Asset], *, dry_run: bool = False, code: str | UnsetType = UNSET
) -> ClaimAnswer:
    """A claim as it is; in a dry run, as it would be."""
    claim = hold.claim
    if claim is None:
        raise InvariantViolated(f"hold {hold.id} is no claim")
    return ClaimAnswer(
        id=None if dry_run else str(hold.id),
        wallet_id=str(hold.wallet_id),
        asset_code=assets[hold.asset_id].code,
        status=CLAIM_STATUSES[hold.status],
        amount=claim.amount,
        uses=claim.uses,
        uses_redeemed=hold.captured // claim.amount,
        uses_left=hold.remaining // claim.amount,
        once_per_user=claim.once_per_user,
        expires_at=None if hold.expires_at is None else rfc3339(hold.expires_at),
        created_at=rfc3339(hold.created_at),
        code=code,
        dry_run=True if dry_run else UNSET,
    )


def _step_answer(
    posted: Posted, assets: Mapping[AssetId, Asset], *, dry_run: bool, code: str | UnsetType = UNSET
) -> Struct:
    """The claim as the step left it. The transaction, if the claim's wallet is not the caller's own any more."""
    if posted.details is None or posted.details.hold is None:
        return transaction_answer(posted, assets, dry_run=dry_run)
    return claim_answer(posted.details.hold, assets, dry_run=dry_run, code=code)


BY_A_CLAIM: Final = Answered(ClaimAnswer, _step_answer)
