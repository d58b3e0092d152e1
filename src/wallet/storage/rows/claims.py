"""The terms of claims, from rows."""

from typing import Any

from wallet.ledger.model import Claim


def claim_of(row: Any) -> Claim | None:
    """The terms of the claim that a hold's row belongs to, if it belongs to one."""
    if row["claim_amount"] is None:
        return None
    return Claim(row["claim_amount"], row["uses"], row["once_per_user"], row["code_hash"])
