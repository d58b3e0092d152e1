"""Places in the orders of lists. A page ends at a place, and the next page begins after it.

The fields of each kind are the columns that its lists are ordered by, with the names that statements give them.
"""

from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID


class IdPlace(NamedTuple):
    """By descending id."""

    by_id: UUID


class ReferencePlace(NamedTuple):
    """By reference, then origin."""

    by_reference_id: str
    by_origin: str


class PositionPlace(NamedTuple):
    """Along the history of one wallet: by descending position."""

    by_position: int


class LinePlace(NamedTuple):
    """Along the histories of some wallets: by created_at, then wallet, then position, all descending."""

    by_created_at: datetime
    by_wallet_id: UUID
    by_position: int


class LegPlace(NamedTuple):
    """By descending transaction, then leg."""

    by_transaction_id: UUID
    by_leg: int


Place: TypeAlias = IdPlace | ReferencePlace | PositionPlace | LinePlace
"""In a list of transactions."""
