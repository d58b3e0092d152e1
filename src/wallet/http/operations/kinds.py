"""All operations that move or reserve money, by name. A batch's item says which it is by that name.

To add one, write its record in posts, holds, refunds or a module beside them: route, document, fast lane and batches
take what they need from it.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from wallet.errors import FieldError, Malformed
from wallet.http.operations import holds, posts, refunds
from wallet.http.operations.operation import Answered, Builder, Operation
from wallet.http.wire.decoding import converted, malformed
from wallet.http.wire.query import path_id
from wallet.ledger.requests import Single

OPERATIONS: Final[Mapping[str, Operation]] = {**posts.OPERATIONS, **holds.OPERATIONS, **refunds.OPERATIONS}

ANSWERS: Final[Mapping[type[Single], Answered]] = {each.kind.request: each.answered for each in OPERATIONS.values()}
"""What answers a request, by its kind."""

ITEMS: Final[Mapping[str, Operation]] = {op: each for op, each in OPERATIONS.items() if each.kind.may_be_an_item}
"""Those that a batch or an import may ask for."""

HOT_ENDS: Final = tuple(each.path.rpartition("/")[2] for each in OPERATIONS.values() if each.is_hot)
"""How the paths of the hot operations end."""


def item_request(
    builder: Builder, op: str, members: Mapping[str, Any], *, path: str = "", dry_run: bool = False
) -> Single:
    """The request of one item of a batch: an operation's own body, with `op` and its path's id as fields.

    members: as decoded from JSON that decoding.refuse_what_json_leaves_open has let through; `op` may be among
    them. path: put before the names of fields in errors, such as `items[3].`. Raises Malformed.
    """
    try:
        request = _item_request(builder, op, {name: each for name, each in members.items() if name != "op"})
    except Malformed as error:
        raise Malformed(
            [FieldError((path + each.field).removesuffix("."), each.message) for each in error.errors]
        ) from None
    if not dry_run or request.options.dry_run:
        return request
    return request._replace(options=request.options._replace(dry_run=True))


def _item_request(builder: Builder, op: str, members: dict[str, Any]) -> Single:
    operation = ITEMS.get(op)
    if operation is None:
        raise malformed("op", f"Must be one of {', '.join(ITEMS)}.")
    errors: list[FieldError] = []
    target: UUID | None = None
    if operation.target is not None:
        try:
            target = _item_id(operation.target.name, members.pop(operation.target.name, msgspec.UNSET))
        except Malformed as error:
            errors += error.errors
    try:
        given: Any = converted(operation.body, members, also_required=("reference_id",))
    except Malformed as error:
        raise Malformed([*errors, *error.errors]) from None
    if errors:
        raise Malformed(errors)
    return operation.build(builder, given, target, given.reference_id)


def _item_id(field: str, given: object) -> UUID:
    if given is msgspec.UNSET:
        raise malformed(field, "This field is required.")
    return path_id(field, given if isinstance(given, str) else "")
