"""The movements, from decoded bodies to ledger requests: what single routes, batches and imports have in common.

One table says what each operation's body is and what its path names. What a body's types cannot say is checked here.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from wallet.errors import FieldError, Malformed
from wallet.http.operations import bodies
from wallet.http.operations.body_options import dated_options, step_options, up_to_options
from wallet.http.wire.decoding import canonical_metadata, converted, malformed
from wallet.http.wire.fields import amount
from wallet.http.wire.query import path_id
from wallet.ledger.model import Asset, Direction, WalletKind
from wallet.ledger.requests import (
    Capture,
    Extend,
    Increase,
    Leg,
    Merge,
    PlaceHold,
    Post,
    Refund,
    Single,
    Void,
)
from wallet.ledger.transaction_types import BUILT_IN
from wallet.service.writes.commands import Commands

_DIRECTIONS: Final = {"debit": Direction.DEBIT, "credit": Direction.CREDIT}


class Operation(NamedTuple):
    """body: what decodes it. target: the id that its path names, a field in batches; empty where there is none."""

    body: type[msgspec.Struct]
    target: str
    build: Callable[["Operations", Any, Any, str], Single]


class Operations:
    """Makes ledger requests of decoded bodies. `assets`: those known so far, by code."""

    def __init__(self, commands: Commands, assets: Mapping[str, Asset]) -> None:
        self._commands = commands
        self._assets = assets

    def item_request(self, op: str, members: Mapping[str, Any], *, path: str = "", dry_run: bool = False) -> Single:
        """The request of one item of a batch: an operation's own body, with `op` and its path's id as fields.

        members: as decoded from JSON that decoding.refuse_what_json_leaves_open has let through; `op` may be among
        them. path: put before the names of fields in errors, such as `items[3].`. Raises Malformed.
        """
        try:
            request = self._item_request(op, {name: each for name, each in members.items() if name != "op"})
        except Malformed as error:
            raise Malformed(
                [FieldError((path + each.field).removesuffix("."), each.message) for each in error.errors]
            ) from None
        if not dry_run or request.options.dry_run:
            return request
        return request._replace(options=request.options._replace(dry_run=True))

    def _item_request(self, op: str, members: dict[str, Any]) -> Single:
        operation = OPERATIONS.get(op)
        if operation is None:
            raise malformed("op", f"Must be one of {', '.join(OPERATIONS)}.")
        errors: list[FieldError] = []
        target: UUID | None = None
        if operation.target:
            try:
                target = _item_id(operation.target, members.pop(operation.target, msgspec.UNSET))
            except Malformed as error:
                errors += error.errors
        try:
            given: Any = converted(operation.body, members, also_required=("reference_id",))
        except Malformed as error:
            raise Malformed([*errors, *error.errors]) from None
        if errors:
            raise Malformed(errors)
        return operation.build(self, given, target, given.reference_id)

    # One per operation.

    def _topup(self, given: bodies.TopUp, wallet_id: UUID, reference_id: str) -> Post:
        return self._issue("topup", given, wallet_id, reference_id, None)

    def _bonus(self, given: bodies.Bonus, wallet_id: UUID, reference_id: str) -> Post:
        return self._issue("bonus", given, wallet_id, reference_id, _id("funding_wallet_id", given.funding_wallet_id))

    def _issue(
        self,
        type_: str,
        given: bodies.TopUp | bodies.Bonus,
        wallet_id: UUID,
        reference_id: str,
        funding: UUID | None,
    ) -> Post:
        code = given.asset_code.upper()
        others = self._taking_part(code, WalletKind.TREASURY, wallet_id, funding) if given.conditions else None
        return self._commands.wallet_movement(
            type_,
            wallet_id=wallet_id,
            asset_code=code,
            amount=amount(given.amount, "amount"),
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=dated_options(given, others, lot=given.lot),
            other_wallet_id=funding,
        )

    def _spend(self, given: bodies.Spend, wallet_id: UUID, reference_id: str) -> Post:
        code = given.asset_code.upper()
        target = _id("target_wallet_id", given.target_wallet_id)
        number = amount(given.amount, "amount")
        others = self._taking_part(code, WalletKind.REVENUE, wallet_id, target) if given.conditions else None
        return self._commands.wallet_movement(
            "spend",
            wallet_id=wallet_id,
            asset_code=code,
            amount=number,
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=up_to_options(given, number, others),
            other_wallet_id=target,
        )

    def _transfer(self, given: bodies.Transfer, _: None, reference_id: str) -> Post:
        source = path_id("from_wallet_id", given.from_wallet_id)
        target = path_id("to_wallet_id", given.to_wallet_id)
        number = amount(given.amount, "amount")
        return self._commands.transfer(
            from_wallet_id=source,
            to_wallet_id=target,
            asset_code=given.asset_code.upper(),
            amount=number,
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=up_to_options(given, number, (source, target)),
        )

    def _transaction(self, given: bodies.Transaction, _: None, reference_id: str) -> Post:
        if given.type in BUILT_IN:
            raise malformed("type", f"{given.type!r} is a built-in name.")
        ids = [path_id(f"legs[{at}].wallet_id", leg.wallet_id) for at, leg in enumerate(given.legs)]
        return self._commands.transaction(
            given.type,
            legs=[
                Leg(wallet_id, _DIRECTIONS[leg.direction], amount(leg.amount, f"legs[{at}].amount"))
                for at, (leg, wallet_id) in enumerate(zip(given.legs, ids, strict=True))
            ],
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=dated_options(given, ids),
        )

    def _hold(self, given: bodies.NewHold, _: None, reference_id: str) -> PlaceHold:
        if given.on_expiry == "capture" and given.expires_in_seconds is None:
            raise malformed("on_expiry", "Only with expires_in_seconds: without, it never expires.")
        wallet_id = path_id("wallet_id", given.wallet_id)
        code = given.asset_code.upper()
        target = _id("target_wallet_id", given.target_wallet_id)
        return self._commands.hold(
            wallet_id=wallet_id,
            asset_code=code,
            amount=amount(given.amount, "amount"),
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            target=target,
            expires_in_seconds=given.expires_in_seconds,
            capture_at_expiry=given.on_expiry == "capture",
            options=step_options(given, self._taking_part(code, WalletKind.REVENUE, wallet_id, target)),
        )

    def _capture(self, given: bodies.Capture, hold_id: UUID, reference_id: str) -> Capture:
        number = _amount(given.amount)
        return self._commands.capture(
            hold_id=hold_id,
            amount=number,
            final=bool(given.final),
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=up_to_options(given, number),
        )

    def _void(self, given: bodies.Void, hold_id: UUID, reference_id: str) -> Void:
        return self._commands.void(
            hold_id=hold_id,
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=step_options(given),
        )

    def _increase(self, given: bodies.Increase, hold_id: UUID, reference_id: str) -> Increase:
        return self._commands.increase(
            hold_id=hold_id,
            amount=amount(given.amount, "amount"),
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=step_options(given),
        )

    def _extend(self, given: bodies.Extend, hold_id: UUID, reference_id: str) -> Extend:
        return self._commands.extend(
            hold_id=hold_id,
            expires_in_seconds=given.expires_in_seconds,
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=step_options(given),
        )

    def _refund(self, given: bodies.Refund, transaction_id: UUID, reference_id: str) -> Refund:
        return self._commands.refund(
            transaction_id=transaction_id,
            amount=_amount(given.amount),
            force=bool(given.force),
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=dated_options(given),
        )

    def merge(self, given: bodies.Merge, source: UUID, target: UUID, reference_id: str) -> Merge:
        """What ends a wallet is no operation of a batch."""
        return self._commands.merge(
            source=source,
            target=target,
            reference_id=reference_id,
            metadata=canonical_metadata(given.metadata),
            options=dated_options(given, (source, target)),
        )

    def _taking_part(self, code: str, kind: WalletKind, wallet_id: UUID, other: UUID | None) -> Collection[UUID] | None:
        """Both wallets of a movement. None: the other is a system wallet of an asset that is not known here yet."""
        if other is None:
            asset = self._assets.get(code)
            return None if asset is None else (wallet_id, asset.system_wallet(kind))
        return wallet_id, other


OPERATIONS: Final[Mapping[str, Operation]] = {
    "topup": Operation(bodies.TopUp, "wallet_id", Operations._topup),
    "bonus": Operation(bodies.Bonus, "wallet_id", Operations._bonus),
    "spend": Operation(bodies.Spend, "wallet_id", Operations._spend),
    "transfer": Operation(bodies.Transfer, "", Operations._transfer),
    "transaction": Operation(bodies.Transaction, "", Operations._transaction),
    "hold": Operation(bodies.NewHold, "", Operations._hold),
    "capture": Operation(bodies.Capture, "hold_id", Operations._capture),
    "void": Operation(bodies.Void, "hold_id", Operations._void),
    "increase": Operation(bodies.Increase, "hold_id", Operations._increase),
    "extend": Operation(bodies.Extend, "hold_id", Operations._extend),
    "refund": Operation(bodies.Refund, "transaction_id", Operations._refund),
}


def _id(field: str, text: str | None) -> UUID | None:
    return None if text is None else path_id(field, text)


def _amount(given: int | str | None) -> int | None:
    return None if given is None else amount(given, "amount")


def _item_id(field: str, given: object) -> UUID:
    if given is msgspec.UNSET:
        raise malformed(field, "This field is required.")
    return path_id(field, given if isinstance(given, str) else "")
