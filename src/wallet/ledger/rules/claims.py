"""Claims: placing, redeeming and cancelling them. A claim is a hold whose uses are captured by a code."""

from typing import Final

from wallet.ledger.book import Book
from wallet.ledger.lots import split
from wallet.ledger.model import ORIGIN_API, Claim, Direction, Hold, HoldId, HoldStatus, WalletId, WalletState
from wallet.ledger.outcomes import RefusalCode, Refused
from wallet.ledger.parcels import carried_over
from wallet.ledger.requests import CancelClaim, PlaceClaim, PlaceHold, RedeemClaim
from wallet.ledger.rules import shared
from wallet.ledger.rules.bounds import beyond_lots
from wallet.ledger.rules.holds import first_refusal_place_hold

CLAIM_STATUSES: Final = {
    HoldStatus.OPEN: "open",
    HoldStatus.CAPTURED: "redeemed",
    HoldStatus.VOIDED: "cancelled",
    HoldStatus.EXPIRED: "expired",
}
"""The status of a claim by that of its hold."""


def as_hold(request: PlaceClaim) -> PlaceHold:
    """The hold of a claim: for all its uses, without a target, and with its lots."""
    return PlaceHold(
        request.id,
        request.origin,
        request.reference_id,
        request.fingerprint,
        request.wallet_id,
        request.asset_code,
        request.amount * request.uses,
        expires_in_seconds=request.expires_in_seconds,
        metadata=request.metadata,
        options=request.options,
        type=request.type,
        carries_lots=True,
    )


def first_refusal_place_claim(request: PlaceClaim, book: Book) -> Refused | None:
    return first_refusal_place_hold(as_hold(request), book)


def first_refusal_redeem(request: RedeemClaim, book: Book) -> Refused | None:
    hold, claim = claim_of(request.claim_id, book)
    if hold is None or claim is None:
        return _code_not_found()
    source, target = book.wallets[book.at_home(hold.wallet_id)], book.wallet(request.wallet_id)
    # A bound caller may be guessing. So a claim that nobody can redeem looks to it like a code that no claim has.
    if request.origin != ORIGIN_API and not _is_redeemable(hold, source):
        return _code_not_found()
    if target is None:
        return shared.wallet_not_found(request.wallet_id)
    if source.id == target.id:
        return shared.same_wallet()
    if target.asset_id != source.asset_id:
        return shared.asset_mismatch(target, book.assets_by_id[source.asset_id].code)
    conditions = request.options.conditions
    return (
        shared.first_system((target,))
        or shared.first_ended((source, target))
        or shared.first_frozen(debited=(source,), credited=(target,))
        or _closed(hold)
        or _redeemed_by_user(hold.id, claim, target.id, book)
        or shared.version_conflict(conditions, (source, target))
        or shared.overfull(target, claim.amount)
        or _beyond_lots(request, hold, claim, target, book)
        or shared.condition_failed(
            conditions, [(source, Direction.DEBIT, claim.amount), (target, Direction.CREDIT, claim.amount)], book
        )
    )


def first_refusal_cancel(request: CancelClaim, book: Book) -> Refused | None:
    hold, claim = claim_of(request.claim_id, book)
    if hold is None or claim is None:
        return claim_not_found(request.claim_id)
    # A cancellation moves nothing and reserves no more, so it ignores freezes.
    source, conditions = book.wallets[book.at_home(hold.wallet_id)], request.options.conditions
    return (
        _closed(hold)
        or shared.version_conflict(conditions, (source,))
        or shared.condition_failed(conditions, [(source, Direction.DEBIT, 0)], book)
    )


def claim_of(claim_id: HoldId, book: Book) -> tuple[Hold | None, Claim | None]:
    """The claim with its hold; None for both if the hold is no claim, and if there is none."""
    hold = book.holds.get(claim_id)
    return (None, None) if hold is None or hold.claim is None else (hold, hold.claim)


def claim_not_found(claim_id: HoldId) -> Refused:
    return Refused(RefusalCode.CLAIM_NOT_FOUND, f"There is no claim {claim_id}.")


def _code_not_found() -> Refused:
    """It names no id: that would tell whether there is such a claim."""
    return Refused(RefusalCode.CLAIM_NOT_FOUND, "No claim has this code.")


def _is_redeemable(hold: Hold, source: WalletState) -> bool:
    return hold.status is HoldStatus.OPEN and not (
        shared.first_ended((source,)) or shared.first_frozen(debited=(source,), credited=())
    )


def _closed(hold: Hold) -> Refused | None:
    if hold.status is HoldStatus.OPEN:
        return None
    status = CLAIM_STATUSES[hold.status]
    return Refused(RefusalCode.CLAIM_CLOSED, f"The claim is {status}.", members=(("claim_status", status),))


def _beyond_lots(request: RedeemClaim, hold: Hold, claim: Claim, target: WalletState, book: Book) -> Refused | None:
    parcels = carried_over(split(hold.slices, claim.amount)[0], target, book) or ()
    return beyond_lots(target, parcels, book, origin=request.origin, repays=False)


def _redeemed_by_user(claim_id: HoldId, claim: Claim, wallet_id: WalletId, book: Book) -> Refused | None:
    """The refusal of a second use by one user, or of a use by no user, if each user may redeem the claim once."""
    if not claim.once_per_user:
        return None
    user_id = book.users.get(wallet_id)
    if user_id is None:
        detail = f"Each user may redeem this claim once, and wallet {wallet_id} belongs to no user."
        return Refused(RefusalCode.WALLET_WITHOUT_USER, detail, wallet_id)
    if (claim_id, user_id) not in book.redeemed:
        return None
    return Refused(RefusalCode.ALREADY_REDEEMED, "The user of this wallet has redeemed this claim.", wallet_id)
