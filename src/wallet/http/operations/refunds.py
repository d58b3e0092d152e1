"""Refunds and reversals: their body, their request, and their record.

body_fields explains fields that are left out, and null.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from wallet.http.operations.body_fields import CommonBody, EffectiveAt, Force
from wallet.http.operations.body_options import dated_options
from wallet.http.operations.operation import BY_A_TRANSACTION, Builder, Operation, Target, given_amount
from wallet.http.wire.decoding import canonical_metadata
from wallet.http.wire.fields import Amount
from wallet.ledger import requests
from wallet.ledger.kinds import REFUND
from wallet.service.access.callers import Scope


class RefundBody(CommonBody, kw_only=True):
    """Refund a transaction in part or as a whole; without an amount, everything that is left to refund."""

    amount: Amount | None = None
    force: Force | None = False
    effective_at: EffectiveAt | None = None


def _refund(by: Builder, given: RefundBody, transaction_id: UUID, reference_id: str) -> requests.Refund:
    return by.commands.refund(
        transaction_id=transaction_id,
        amount=given_amount(given.amount),
        force=bool(given.force),
        reference_id=reference_id,
        metadata=canonical_metadata(given.metadata),
        options=dated_options(given),
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "refund": Operation(
        kind=REFUND,
        body=RefundBody,
        build=_refund,
        path="/transactions/{transaction_id}/refund",
        target=Target("transaction_id", "The transaction to be refunded."),
        scopes=(Scope.REFUND, Scope.REFUND_FORCE),
        answered=BY_A_TRANSACTION,
        name="refund",
        description="Refund or reverse: a new transaction that mirrors an earlier one, in part or whole.",
    ),
}
