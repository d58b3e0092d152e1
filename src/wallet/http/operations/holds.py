"""Holds and the later steps of holds. Their bodies, their requests, and their records.

body_fields explains fields that are left out, and null.
"""

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from wallet.http.operations.body_fields import (
    AmountMode,
    CommonBody,
    Conditions,
    DryRun,
    EffectiveAt,
    IsFinal,
    MinAmount,
)
from wallet.http.operations.body_options import common_options, up_to_options
from wallet.http.operations.operation import (
    BY_A_HOLD,
    BY_A_TRANSACTION,
    Builder,
    Operation,
    Target,
    given_amount,
    given_id,
)
from wallet.http.wire.decoding import canonical_metadata, malformed
from wallet.http.wire.fields import Amount, AssetCode, HoldSeconds, Id, Metadata, Reference, amount
from wallet.http.wire.query import path_id
from wallet.ledger import requests
from wallet.ledger.kinds import CAPTURE, EXTEND, INCREASE, PLACE_HOLD, VOID
from wallet.ledger.model import WalletKind
from wallet.service.access.callers import Scope

_HOLD: Final = Target("hold_id", "The hold.")


class NewHoldBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Reserve an amount of a wallet, for revenue or for a target wallet."""

    wallet_id: Id
    amount: Amount
    asset_code: AssetCode
    reference_id: Reference | UnsetType | None = UNSET
    target_wallet_id: Id | None = None
    expires_in_seconds: HoldSeconds | None = None
    on_expiry: Literal["release", "capture"] | None = "release"
    metadata: Metadata | None = None
    dry_run: DryRun | None = False
    conditions: Conditions | None = None


class VoidBody(CommonBody, kw_only=True):
    """Release the remaining amount of a hold."""


class IncreaseBody(CommonBody, kw_only=True):
    """Reserve more by an open hold."""

    amount: Amount


class ExtendBody(CommonBody, kw_only=True):
    """Let an open hold expire that many seconds from now, or when it did, whichever is later."""

    expires_in_seconds: HoldSeconds


class CaptureBody(CommonBody, kw_only=True):
    """Move part of a hold to its target; without an amount, all that remains."""

    amount: Amount | None = None
    final: IsFinal | None = False
    amount_mode: AmountMode | None = "exact"
    min_amount: MinAmount | None = None
    effective_at: EffectiveAt | None = None


def _hold(by: Builder, given: NewHoldBody, _: None, reference_id: str) -> requests.PlaceHold:
    if given.on_expiry == "capture" and given.expires_in_seconds is None:
        raise malformed("on_expiry", "Only with expires_in_seconds: without, it never expires.")
    wallet_id = path_id("wallet_id", given.wallet_id)
    code = given.asset_code.upper()
    target = given_id("target_wallet_id", given.target_wallet_id)
    return by.commands.hold(
        wallet_id=wallet_id,
        asset_code=code,
        amount=amount(given.amount, "amount"),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        target=target,
        expires_in_seconds=given.expires_in_seconds,
        capture_at_expiry=given.on_expiry == "capture",
        options=common_options(given, by.taking_part(code, WalletKind.REVENUE, wallet_id, target)),
    )


def _capture(by: Builder, given: CaptureBody, hold_id: UUID, reference_id: str) -> requests.Capture:
    number = given_amount(given.amount)
    return by.commands.capture(
        hold_id=hold_id,
        amount=number,
        final=bool(given.final),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=up_to_options(given, number),
    )


def _void(by: Builder, given: VoidBody, hold_id: UUID, reference_id: str) -> requests.Void:
    return by.commands.void(
        hold_id=hold_id,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=common_options(given),
    )


def _increase(by: Builder, given: IncreaseBody, hold_id: UUID, reference_id: str) -> requests.Increase:
    return by.commands.increase(
        hold_id=hold_id,
        amount=amount(given.amount, "amount"),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=common_options(given),
    )


def _extend(by: Builder, given: ExtendBody, hold_id: UUID, reference_id: str) -> requests.Extend:
    return by.commands.extend(
        hold_id=hold_id,
        expires_in_seconds=given.expires_in_seconds,
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=common_options(given),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "hold": Operation(
        kind=PLACE_HOLD,
        body=NewHoldBody,
        build=_hold,
        path="/holds",
        target=None,
        scopes=(Scope.SPEND,),
        answered=BY_A_HOLD,
        name="place_hold",
        description="Reserve funds: available goes down, the balance does not.",
        is_hot=True,
    ),
    "capture": Operation(
        kind=CAPTURE,
        body=CaptureBody,
        build=_capture,
        path="/holds/{hold_id}/capture",
        target=_HOLD,
        scopes=(Scope.SPEND,),
        answered=BY_A_TRANSACTION,
        name="capture_hold",
        description="Capture: move part or all of what is reserved to the hold's target.",
        is_hot=True,
    ),
    "void": Operation(
        kind=VOID,
        body=VoidBody,
        build=_void,
        path="/holds/{hold_id}/void",
        target=_HOLD,
        scopes=(Scope.SPEND,),
        answered=BY_A_HOLD,
        name="void_hold",
        description="Void: release what is left.",
    ),
    "increase": Operation(
        kind=INCREASE,
        body=IncreaseBody,
        build=_increase,
        path="/holds/{hold_id}/increase",
        target=_HOLD,
        scopes=(Scope.SPEND,),
        answered=BY_A_HOLD,
        name="increase_hold",
        description="Increase: reserve more, checked like a new hold.",
    ),
    "extend": Operation(
        kind=EXTEND,
        body=ExtendBody,
        build=_extend,
        path="/holds/{hold_id}/extend",
        target=_HOLD,
        scopes=(Scope.SPEND,),
        answered=BY_A_HOLD,
        name="extend_hold",
        description="Extend: let it expire that many seconds from now, and never earlier than before.",
    ),
}
