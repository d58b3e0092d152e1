"""Claims: credit reserved for the holders of a code. Their bodies, their requests, and their records.

body_fields explains fields that are left out, and null.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.http.operations.body_fields import CommonBody, Conditions, DryRun
from wallet.http.operations.body_options import common_options
from wallet.http.operations.claim_answers import BY_A_CLAIM
from wallet.http.operations.operation import BY_A_TRANSACTION, Builder, Operation, Performed, Target
from wallet.http.wire.decoding import canonical_metadata, malformed
from wallet.http.wire.fields import Amount, AssetCode, HoldSeconds, Id, Metadata, Reference, amount
from wallet.http.wire.query import path_id
from wallet.ledger import requests
from wallet.ledger.kinds import CANCEL_CLAIM, PLACE_CLAIM, REDEEM_CLAIM
from wallet.ledger.model import AMOUNT_MAX
from wallet.service.access.callers import Caller, Scope
from wallet.service.claims import Claims
from wallet.service.writes.claim_commands import EXPIRES_IN_SECONDS_DEFAULT

_CLAIM: Final = Target("claim_id", "The claim.")

_Uses = Annotated[int, Meta(ge=1, le=10_000, description="How many times the code can be redeemed.")]
_OncePerUser = Annotated[bool, Meta(description="No user redeems it twice, and a wallet without a user not at all.")]
_Code = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="As the claim's first answer shows it, in either case, with or without its dashes.",
        examples=["7QK2M-0VXHD-9T4BE-RZ81C-W5NAG"],
    ),
]


class NewClaimBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Reserve an amount of a wallet, `uses` times, for the holders of a code. Without an expiry, it ends in 30 days."""

    wallet_id: Id
    amount: Annotated[Amount, Meta(description="Of each use, in minor units of the asset.")]
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    uses: _Uses | None = 1
    once_per_user: _OncePerUser | None = False
    expires_in_seconds: HoldSeconds | None = EXPIRES_IN_SECONDS_DEFAULT
    metadata: Metadata | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class RedemptionBody(CommonBody, kw_only=True):
    """Redeem one use of a claim into a wallet."""

    code: _Code
    wallet_id: Id


class ClaimCancellationBody(CommonBody, kw_only=True):
    """Release the remaining uses of a claim."""


def _place(by: Builder, given: NewClaimBody, code_hash: bytes, reference_id: str) -> requests.PlaceClaim:
    wallet_id = path_id("wallet_id", given.wallet_id)
    number, uses = amount(given.amount, "amount"), given.uses or 1
    if number * uses > AMOUNT_MAX:
        raise malformed("uses", f"All uses together must be at most {AMOUNT_MAX}.")
    return by.claim_commands.claim_place(
        wallet_id=wallet_id,
        asset_code=given.asset_code.upper(),
        amount=number,
        code_hash=code_hash,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        uses=uses,
        once_per_user=bool(given.once_per_user),
        expires_in_seconds=given.expires_in_seconds or EXPIRES_IN_SECONDS_DEFAULT,
        options=common_options(given, (wallet_id,)),
    )


def _redeem(by: Builder, given: RedemptionBody, claim_id: UUID, reference_id: str) -> requests.RedeemClaim:
    return by.claim_commands.claim_redeem(
        claim_id=claim_id,
        wallet_id=path_id("wallet_id", given.wallet_id),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=common_options(given),
    )


def _cancel(by: Builder, given: ClaimCancellationBody, claim_id: UUID, reference_id: str) -> requests.CancelClaim:
    return by.claim_commands.claim_cancel(
        claim_id=claim_id,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=common_options(given),
    )


async def _place_with_code(claims: Claims, caller: Caller, _: NewClaimBody, make: Any) -> Performed:
    request, outcome, code = await claims.place(caller, make)
    return Performed(request, outcome, {} if code is None else {"code": code})


async def _redeem_by_code(claims: Claims, caller: Caller, given: RedemptionBody, make: Any) -> Performed:
    return Performed(*await claims.redeem(caller, given.code, make))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "claim_place": Operation(
        kind=PLACE_CLAIM,
        body=NewClaimBody,
        build=_place,
        path="/claims",
        target=None,
        scopes=(Scope.SPEND,),
        answered=BY_A_CLAIM,
        name="place_claim",
        description="Claim: reserve credit for the holders of a code. This answer is the only one that has the code: a"
        " replay shows the claim without it. If the answer was lost, cancel the claim and place another one.",
        perform=_place_with_code,
    ),
    "claim_redeem": Operation(
        kind=REDEEM_CLAIM,
        body=RedemptionBody,
        build=_redeem,
        path="/claims/redeem",
        target=None,
        scopes=(Scope.SPEND,),
        answered=BY_A_TRANSACTION,
        name="redeem_claim",
        description="Redeem: move one use of the claim that has this code to a user's wallet; a bound key, to one of"
        " its own. The transaction's `hold_id` is the claim's id.",
        perform=_redeem_by_code,
    ),
    "claim_cancel": Operation(
        kind=CANCEL_CLAIM,
        body=ClaimCancellationBody,
        build=_cancel,
        path="/claims/{claim_id}/cancel",
        target=_CLAIM,
        scopes=(Scope.SPEND,),
        answered=BY_A_CLAIM,
        name="cancel_claim",
        description="Cancel: release what is left of a claim.",
    ),
}
