"""All operations that move or reserve money, by name. A batch's item says which it is by that name.

To add one, write its record in posts, holds, refunds or a module beside them: route, document, fast lane and batches
take what they need from it.
"""

from collections.abc import Mapping
from typing import Final

from wallet.http.operations import holds, posts, refunds
from wallet.http.operations.operation import Answered, Operation
from wallet.ledger.requests import Single

OPERATIONS: Final[Mapping[str, Operation]] = {**posts.OPERATIONS, **holds.OPERATIONS, **refunds.OPERATIONS}

ANSWERS: Final[Mapping[type[Single], Answered]] = {each.kind.request: each.answered for each in OPERATIONS.values()}
"""What answers a request, by its kind."""

ITEMS: Final[Mapping[str, Operation]] = {op: each for op, each in OPERATIONS.items() if each.kind.may_be_an_item}
"""Those that a batch or an import may ask for."""

HOT_ENDS: Final = tuple(each.path.rpartition("/")[2] for each in OPERATIONS.values() if each.is_hot)
"""How the paths of the hot operations end."""
