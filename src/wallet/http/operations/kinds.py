"""All operations that move or reserve money, by name. An item of a batch has that name in `op`.

To add one, write its record in posts, holds, refunds or a module beside them: route, document, fast lane and batches
take what they need from it.
"""

from collections.abc import Mapping
from typing import Final

from wallet.http.operations import claims, holds, posts, refunds
from wallet.http.operations.operation import BY_A_TRANSACTION, Answered, Operation
from wallet.ledger.requests import Single

OPERATIONS: Final[Mapping[str, Operation]] = {
    **posts.OPERATIONS,
    **holds.OPERATIONS,
    **claims.OPERATIONS,
    **refunds.OPERATIONS,
}

ANSWERS: Final[Mapping[type[Single], Answered]] = {each.kind.request: each.answered for each in OPERATIONS.values()}
"""The answer type and its writer, by the kind of request."""

ITEMS: Final[Mapping[str, Operation]] = {op: each for op, each in OPERATIONS.items() if each.kind.may_be_an_item}
"""The operations that may be items of a batch or lines of an import."""

HOT_ENDS: Final = tuple(
    each.path.rpartition("/")[2] for each in OPERATIONS.values() if each.is_hot and each.answered is BY_A_TRANSACTION
)
"""The last segments of the paths of hot operations whose answers may be large."""
