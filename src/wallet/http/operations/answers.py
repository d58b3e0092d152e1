"""The answers to movements: transactions and holds, as their first answer and every later one show them."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from msgspec import UNSET, Raw, Struct, UnsetType, structs

from wallet.ledger.instants import rfc3339
from wallet.ledger.model import Asset, AssetId, Details, Drawn, Entry, Hold, LotCategory, Posted
from wallet.ledger.transaction_types import MERGE, Refunds, refunds_of
from wallet.storage.reads.listings import Refunded


class EntryAnswer(Struct, kw_only=True):
    """One line of a transaction. The last two are null on a system wallet without a cap, and to a bound key on all
    wallets that are not its own.
    """

    wallet_id: str
    asset_code: str
    direction: str
    amount: int
    balance_after: int | None
    version: int | None


class DrawnLotAnswer(Struct, kw_only=True):
    """The amount that was taken from one lot."""

    lot_id: str
    wallet_id: str
    category: str
    amount: int


class DrawnAnswer(Struct, kw_only=True):
    """The amounts that the debits of user wallets took, by category and by lot. No sums over several assets."""

    paid: int | UnsetType = UNSET
    promotional: int | UnsetType = UNSET
    main: int | UnsetType = UNSET
    lots: list[DrawnLotAnswer]


class HoldAnswer(Struct, kw_only=True):
    """Reserved funds: amount = captured + released + remaining. `id` is null in a dry run that would place the hold.
    `target_wallet_id` is null if the hold is a claim, whose uses go to the holders of its code.
    """

    id: str | None
    wallet_id: str
    target_wallet_id: str | None
    asset_code: str
    status: str
    amount: int
    captured: int
    released: int
    remaining: int
    expires_at: str | None
    on_expiry: str
    created_at: str
    dry_run: bool | UnsetType = UNSET


class TransactionAnswer(Struct, kw_only=True):
    """An accepted movement; a replay equals the first answer field for field. `id` is null in a dry run.

    The fields at the end are present only if they apply.
    """

    id: str | None
    reference_id: str
    type: str
    status: str
    created_at: str
    effective_at: str
    metadata: Raw | None
    entries: list[EntryAnswer]
    drawn: DrawnAnswer | UnsetType = UNSET
    hold_id: str | UnsetType = UNSET
    refund_of: str | UnsetType = UNSET
    requested_amount: int | UnsetType = UNSET
    forfeited: int | UnsetType = UNSET
    skipped: str | UnsetType = UNSET
    lot_ids: list[str] | UnsetType = UNSET
    joined_lot_ids: list[str] | UnsetType = UNSET
    hold: HoldAnswer | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class RefundAnswer(Struct, kw_only=True):
    """A refund of a transaction."""

    id: str
    reference_id: str
    amount: int
    created_at: str


class TransactionDetailAnswer(TransactionAnswer, kw_only=True):
    """A transaction, and its refunds so far. `refundable`: the amount that still may be refunded; a general transaction
    is refunded as a whole or not at all.
    """

    refunds: list[RefundAnswer]
    refundable: int


def transaction_answer(posted: Posted, assets: Mapping[AssetId, Asset], *, dry_run: bool = False) -> TransactionAnswer:
    """An accepted transaction as its first answer and every later one show it; in a dry run, as it would be."""
    created_at = rfc3339(posted.created_at)
    same = posted.effective_at == posted.created_at
    answer = TransactionAnswer(
        id=str(posted.id),
        reference_id=posted.reference_id,
        type=posted.type,
        status="posted",
        created_at=created_at,
        effective_at=created_at if same else rfc3339(posted.effective_at),
        metadata=None if posted.metadata is None else Raw(posted.metadata.encode()),
        entries=[
            EntryAnswer(
                wallet_id=str(entry.wallet_id),
                asset_code=assets[entry.asset_id].code,
                direction=direction_name(entry.direction),
                amount=entry.amount,
                balance_after=entry.balance_after,
                version=entry.version,
            )
            for entry in posted.entries
        ],
    )
    # Of system wallets, only a capped treasury has versions.
    debits = [
        entry
        for entry in posted.entries
        if entry.direction < 0 and entry.version is not None and entry.wallet_id != assets[entry.asset_id].treasury
    ]
    # A merge carries lots whole: nothing is drawn from them.
    if debits and posted.type != MERGE.name:
        answer.drawn = _drawn_answer(debits, () if posted.details is None else posted.details.drawn)
    if posted.hold_id is not None:
        answer.hold_id = str(posted.hold_id)
    if posted.refund_of is not None:
        answer.refund_of = str(posted.refund_of)
    if posted.details is not None:
        _add_details(answer, posted.details, assets)
    if dry_run:
        answer.id, answer.dry_run, answer.lot_ids = None, True, UNSET
    return answer


def transaction_detail_answer(
    posted: Posted, refunded: Refunded, assets: Mapping[AssetId, Asset]
) -> TransactionDetailAnswer:
    """A transaction with its refunds, in the order given."""
    first_answer = structs.asdict(transaction_answer(posted, assets))
    return TransactionDetailAnswer(
        **first_answer,
        refunds=[
            RefundAnswer(
                id=str(each.id),
                reference_id=each.reference_id,
                amount=each.amount,
                created_at=rfc3339(each.created_at),
            )
            for each in refunded.refunds
        ],
        refundable=_refundable(posted, refunded),
    )


def hold_answer(hold: Hold, assets: Mapping[AssetId, Asset], *, dry_run: bool = False) -> HoldAnswer:
    """A hold as it is; in a dry run, as it would be."""
    asset = assets[hold.asset_id]
    return HoldAnswer(
        id=None if dry_run else str(hold.id),
        wallet_id=str(hold.wallet_id),
        target_wallet_id=None if hold.claim is not None else str(hold.target or asset.revenue),
        asset_code=asset.code,
        status=hold.status.value,
        amount=hold.amount,
        captured=hold.captured,
        released=hold.released,
        remaining=hold.remaining,
        expires_at=None if hold.expires_at is None else rfc3339(hold.expires_at),
        on_expiry="capture" if hold.capture_at_expiry else "release",
        created_at=rfc3339(hold.created_at),
        dry_run=True if dry_run else UNSET,
    )


def direction_name(direction: int) -> str:
    return "credit" if direction > 0 else "debit"


def _add_details(answer: TransactionAnswer, details: Details, assets: Mapping[AssetId, Asset]) -> None:
    if details.requested_amount is not None:
        answer.requested_amount = details.requested_amount
    if details.forfeited is not None:
        answer.forfeited = details.forfeited
    if details.skipped is not None:
        answer.skipped = details.skipped
    if details.opened:
        answer.lot_ids = [str(lot_id) for lot_id in details.opened]
    if details.joined:
        answer.joined_lot_ids = [str(each.lot_id) for each in details.joined]
    if details.hold is not None:
        answer.hold = hold_answer(details.hold, assets)


def _drawn_answer(debits: Sequence[Entry], drawn: Sequence[Drawn]) -> DrawnAnswer:
    if not drawn and len(debits) == 1:
        return DrawnAnswer(paid=0, promotional=0, main=debits[0].amount, lots=[])
    answer = DrawnAnswer(
        lots=[
            DrawnLotAnswer(
                lot_id=str(each.lot_id),
                wallet_id=str(each.wallet_id),
                category=each.category.value,
                amount=each.amount,
            )
            for each in drawn
            if each.category is not None
        ]
    )
    if len({entry.asset_id for entry in debits}) == 1:
        answer.paid = sum(each.amount for each in drawn if each.category is LotCategory.PAID)
        answer.promotional = sum(each.amount for each in drawn if each.category is LotCategory.PROMOTIONAL)
        # Debits of wallets without lots have only their entries.
        answer.main = sum(entry.amount for entry in debits) - answer.paid - answer.promotional
    return answer


def _refundable(posted: Posted, refunded: Refunded) -> int:
    match refunds_of(posted):
        case Refunds.BY_AMOUNT:
            moved = posted.entries[0].amount if posted.entries else 0  # a grant that was skipped moved nothing
            return moved - refunded.amount
        case Refunds.BY_LEGS:
            return 0 if refunded.times else sum(entry.amount for entry in posted.entries if entry.direction < 0)
        case Refunds.NEVER:
            return 0
        case never:
            assert_never(never)
