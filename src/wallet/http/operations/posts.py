"""Top-up, bonus, spend, transfer and general transactions: their bodies, their requests, and their records.

body_fields explains fields that are left out, and null.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.http.operations.body_fields import AmountMode, Conditions, DryRun, EffectiveAt, LotTermsBody, MinAmount
from wallet.http.operations.body_options import dated_options, up_to_options
from wallet.http.operations.operation import BY_A_TRANSACTION, Builder, Operation, Target, given_id
from wallet.http.wire.decoding import canonical_metadata, malformed
from wallet.http.wire.fields import Amount, AssetCode, Id, Metadata, Reference, TypeName, amount
from wallet.http.wire.query import path_id
from wallet.ledger import requests
from wallet.ledger.kinds import POST
from wallet.ledger.model import Direction, WalletKind
from wallet.ledger.requests import Leg
from wallet.ledger.transaction_types import BUILT_IN
from wallet.service.access.callers import Scope

_DIRECTIONS: Final = {"debit": Direction.DEBIT, "credit": Direction.CREDIT}
_WALLET: Final = Target("wallet_id", "The wallet.")


class WalletMovementBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields that a top-up, a bonus and a spend of the wallet in the path have in common."""

    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class TopUpBody(WalletMovementBody, kw_only=True):
    """A top-up of the wallet in the path."""

    lot: LotTermsBody | None = None


class BonusBody(WalletMovementBody, kw_only=True):
    """A bonus for the wallet in the path, from the treasury or from a funding wallet."""

    lot: LotTermsBody | None = None
    funding_wallet_id: Id | None = None


class SpendBody(WalletMovementBody, kw_only=True):
    """A spend of the wallet in the path, to revenue or to a target wallet."""

    target_wallet_id: Id | None = None
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None


class TransferBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A transfer from wallet to wallet in one asset."""

    from_wallet_id: Id
    to_wallet_id: Id
    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None


class TransactionLeg(Struct, forbid_unknown_fields=True, kw_only=True):
    """One side of a general transaction."""

    wallet_id: Id
    direction: Literal["debit", "credit"]
    amount: Amount


class TransactionBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A general transaction: it names a wallet at most once, and each asset cancels out on its own."""

    type: TypeName
    legs: Annotated[list[TransactionLeg], Meta(min_length=2, max_length=100)]
    reference_id: Reference | UnsetType | None = UNSET
    metadata: Metadata | None = None
    effective_at: EffectiveAt | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


def _topup(by: Builder, given: TopUpBody, wallet_id: UUID, reference_id: str) -> requests.Post:
    return _issue(by, "topup", given, wallet_id, reference_id, None)


def _bonus(by: Builder, given: BonusBody, wallet_id: UUID, reference_id: str) -> requests.Post:
    return _issue(by, "bonus", given, wallet_id, reference_id, given_id("funding_wallet_id", given.funding_wallet_id))


def _issue(
    by: Builder,
    type_: str,
    given: TopUpBody | BonusBody,
    wallet_id: UUID,
    reference_id: str,
    funding: UUID | None,
) -> requests.Post:
    code = given.asset_code.upper()
    others = by.taking_part(code, WalletKind.TREASURY, wallet_id, funding) if given.conditions else None
    return by.commands.wallet_movement(
        type_,
        wallet_id=wallet_id,
        asset_code=code,
        amount=amount(given.amount, "amount"),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=dated_options(given, others, lot=given.lot),
        other_wallet_id=funding,
    )


def _spend(by: Builder, given: SpendBody, wallet_id: UUID, reference_id: str) -> requests.Post:
    code = given.asset_code.upper()
    target = given_id("target_wallet_id", given.target_wallet_id)
    number = amount(given.amount, "amount")
    others = by.taking_part(code, WalletKind.REVENUE, wallet_id, target) if given.conditions else None
    return by.commands.wallet_movement(
        "spend",
        wallet_id=wallet_id,
        asset_code=code,
        amount=number,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=up_to_options(given, number, others),
        other_wallet_id=target,
    )


def _transfer(by: Builder, given: TransferBody, _: None, reference_id: str) -> requests.Post:
    source = path_id("from_wallet_id", given.from_wallet_id)
    target = path_id("to_wallet_id", given.to_wallet_id)
    number = amount(given.amount, "amount")
    return by.commands.transfer(
        from_wallet_id=source,
        to_wallet_id=target,
        asset_code=given.asset_code.upper(),
        amount=number,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=up_to_options(given, number, (source, target)),
    )


def _transaction(by: Builder, given: TransactionBody, _: None, reference_id: str) -> requests.Post:
    if given.type in BUILT_IN:
        raise malformed("type", f"{given.type!r} is a built-in name.")
    ids = [path_id(f"legs[{at}].wallet_id", leg.wallet_id) for at, leg in enumerate(given.legs)]
    return by.commands.transaction(
        given.type,
        legs=[
            Leg(wallet_id, _DIRECTIONS[leg.direction], amount(leg.amount, f"legs[{at}].amount"))
            for at, (leg, wallet_id) in enumerate(zip(given.legs, ids, strict=True))
        ],
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=dated_options(given, ids),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "topup": Operation(
        kind=POST,
        body=TopUpBody,
        build=_topup,
        path="/wallets/{wallet_id}/topup",
        target=_WALLET,
        scopes=(Scope.ISSUE,),
        answered=BY_A_TRANSACTION,
        name="topup",
        description="Top-up: value bought from outside, from the asset's treasury into the wallet.",
        is_hot=True,
    ),
    "bonus": Operation(
        kind=POST,
        body=BonusBody,
        build=_bonus,
        path="/wallets/{wallet_id}/bonus",
        target=_WALLET,
        scopes=(Scope.ISSUE,),
        answered=BY_A_TRANSACTION,
        name="bonus",
        description="Bonus: value given away, from the asset's treasury or a funding wallet into the wallet.",
        is_hot=True,
    ),
    "spend": Operation(
        kind=POST,
        body=SpendBody,
        build=_spend,
        path="/wallets/{wallet_id}/spend",
        target=_WALLET,
        scopes=(Scope.SPEND,),
        answered=BY_A_TRANSACTION,
        name="spend",
        description="Spend: from the wallet to the asset's revenue or a target wallet.",
        is_hot=True,
    ),
    "transfer": Operation(
        kind=POST,
        body=TransferBody,
        build=_transfer,
        path="/transfers",
        target=None,
        scopes=(Scope.SPEND,),
        answered=BY_A_TRANSACTION,
        name="transfer",
        description="Transfer: from wallet to wallet in one asset.",
        is_hot=True,
    ),
    "transaction": Operation(
        kind=POST,
        body=TransactionBody,
        build=_transaction,
        path="/transactions",
        target=None,
        scopes=(Scope.SPEND,),
        answered=BY_A_TRANSACTION,
        name="transaction",
        description="General transaction: 2 to 100 legs over any wallets and assets, all or nothing.",
    ),
}
