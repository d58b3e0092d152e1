"""Turns parsed input into ledger requests, for claims. A code comes here as its hash, or as the claim that it opens."""

from typing import Final

from wallet.ledger.model import ORIGIN_API, HoldId, WalletId
from wallet.ledger.requests import NO_OPTIONS, CancelClaim, Options, PlaceClaim, RedeemClaim
from wallet.ledger.transaction_types import CLAIM_CANCEL, CLAIM_PLACE, CLAIM_REDEEM
from wallet.service.writes.commands import encoded, fingerprint_of
from wallet.storage.rows.ids import IdSource

EXPIRES_IN_SECONDS_DEFAULT: Final = 30 * 24 * 3600
"""How long a claim lasts if the request does not say: 30 days."""


class ClaimCommands:
    """Makes requests. `asset_code` is upper-case, `metadata` the canonical JSON text or None."""

    def __init__(self) -> None:
        self._ids = IdSource()

    def claim_place(
        self,
        *,
        wallet_id: WalletId,
        asset_code: str,
        amount: int,
        code_hash: bytes,
        reference_id: str,
        metadata: str | None,
        uses: int = 1,
        once_per_user: bool = False,
        expires_in_seconds: int = EXPIRES_IN_SECONDS_DEFAULT,
        options: Options = NO_OPTIONS,
    ) -> PlaceClaim:
        """Reserve `uses` times an amount. The code is made for each try, so it does not tell two requests apart."""
        values = (
            wallet_id.bytes,
            asset_code.encode(),
            b"%d" % amount,
            None if uses == 1 else b"%d" % uses,
            b"true" if once_per_user else None,
            None if expires_in_seconds == EXPIRES_IN_SECONDS_DEFAULT else b"%d" % expires_in_seconds,
            encoded(metadata),
        )
        return PlaceClaim(
            id=self._ids.new_id(),
            origin=ORIGIN_API,
            reference_id=reference_id,
            fingerprint=fingerprint_of(CLAIM_PLACE, *values),
            wallet_id=wallet_id,
            asset_code=asset_code,
            amount=amount,
            code_hash=code_hash,
            expires_in_seconds=expires_in_seconds,
            uses=uses,
            once_per_user=once_per_user,
            metadata=metadata,
            options=options,
        )

    def claim_redeem(
        self,
        *,
        claim_id: HoldId,
        wallet_id: WalletId,
        reference_id: str,
        metadata: str | None,
        options: Options = NO_OPTIONS,
    ) -> RedeemClaim:
        """Move one use to a wallet. Two codes are the same if they open the same claim."""
        fingerprint = fingerprint_of(CLAIM_REDEEM, claim_id.bytes, wallet_id.bytes, encoded(metadata))
        id_ = self._ids.new_id()
        return RedeemClaim(id_, ORIGIN_API, reference_id, fingerprint, claim_id, wallet_id, metadata, options)

    def claim_cancel(
        self, *, claim_id: HoldId, reference_id: str, metadata: str | None, options: Options = NO_OPTIONS
    ) -> CancelClaim:
        """Release what is left of a claim."""
        fingerprint = fingerprint_of(CLAIM_CANCEL, claim_id.bytes, encoded(metadata))
        id_ = self._ids.new_id()
        return CancelClaim(id_, ORIGIN_API, reference_id, fingerprint, claim_id, metadata, options)
