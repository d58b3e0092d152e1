"""Items of batches and imports: from a JSON object to a ledger request, and from its outcome to a JSON object.

The fields of an operation are in operations; this is common to all items, and made cheap for the plain ones.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Union

import msgspec

from wallet.errors import FieldError, Malformed, OutcomeUnknown, StorageUnavailable, WalletError
from wallet.http.bulk.lines import LINE_BYTES_MAX
from wallet.http.operations.kinds import ITEMS
from wallet.http.operations.operation import Builder, Operation
from wallet.http.operations.outcomes import missing_assets, outcome_answer
from wallet.http.wire.decoding import converted, malformed, refuse_what_json_leaves_open, untyped
from wallet.http.wire.failures import failure
from wallet.http.wire.fields import Id, Reference
from wallet.http.wire.query import path_id
from wallet.ledger.outcomes import Grouped, Outcome, Replayed
from wallet.ledger.requests import Single
from wallet.service.access.callers import Caller
from wallet.service.access.permissions import Admitted
from wallet.service.json_numbers import as_written
from wallet.service.wallet_service import WalletService

_log = logging.getLogger(__name__)


class ItemResult(msgspec.Struct, kw_only=True):
    """The result of one item. `index`: its place, from 0; in an import, blank lines count. `reference_id` is null
    where it could not be read. `status`, `body`: as the item's own route would have answered, its problems included.
    """

    index: int
    reference_id: str | None
    status: int
    replayed: bool
    body: dict[str, Any]


class ItemAnswer(NamedTuple):
    """The answer that the item would have had on its own: status, whether it is a replay, and the body's JSON."""

    status: int
    replayed: bool
    body: bytes


class _Kind(NamedTuple):
    """members: how many a plain item has, which is one that gives nothing that it could leave out."""

    operation: Operation
    members: int
    optional: tuple[tuple[str, Any], ...]


def _item_types() -> dict[type[msgspec.Struct], _Kind]:
    """A struct per operation: its body, with the operation's name as tag and what its path names as a field."""
    kinds: dict[type[msgspec.Struct], _Kind] = {}
    for op, operation in ITEMS.items():
        fields: list[tuple[str, Any]] = [("reference_id", Reference)]
        if operation.target is not None:
            fields.append((operation.target.name, Id))
        type_ = msgspec.defstruct(
            f"{op.title()}Item",
            fields,
            bases=(operation.body,),
            tag_field="op",
            tag=op,
            kw_only=True,
            namespace={"__doc__": operation.body.__doc__},
        )
        described = msgspec.structs.fields(type_)
        required = sum(field.required for field in described)
        optional = tuple((field.name, field.default) for field in described if not field.required)
        kinds[type_] = _Kind(operation, required + len(("op",)), optional)
    return kinds


_KINDS: Final = _item_types()
ITEM_TYPES: Final = tuple(_KINDS)
"""One per operation; the OpenAPI document describes items by them."""

_decode: Final = msgspec.json.Decoder(Union[ITEM_TYPES], float_hook=as_written).decode  # noqa: UP007  # made from a tuple
_encode: Final = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    reference_id: str | None = None


_decode_named: Final = msgspec.json.Decoder(_Named).decode


class Items:
    """Belongs to one service."""

    def __init__(self, service: WalletService) -> None:
        self._service = service
        self._assets = service.assets.by_id
        self._builder = Builder(service.commands, service.assets.by_code)

    def request(self, item: bytes, *, path: str = "", dry_run: bool = False) -> Single:
        """The request that a JSON object describes. Raises Malformed with every field that is wrong.

        `path` is put before the names of fields in errors, such as `items[3].`.
        """
        try:
            decoded = _decoded(item)
            operation = _KINDS[type(decoded)].operation
            target = None
            if operation.target is not None:
                target = path_id(operation.target.name, getattr(decoded, operation.target.name))
            request = operation.build(self._builder, decoded, target, decoded.reference_id)
        except Malformed as error:
            raise _below(path, error) from None
        if not dry_run or request.options.dry_run:
            return request
        return request._replace(options=request.options._replace(dry_run=True))

    async def admit(self, caller: Caller, requests: Sequence[Single]) -> Sequence[Admitted | WalletError]:
        """The requests as this caller may submit them, or why not, one for one."""
        permissions = self._service.permissions
        if permissions.admits_everything(caller):
            return requests
        try:
            return await permissions.admit_all(caller, requests)
        except StorageUnavailable as error:
            return [error] * len(requests)

    async def mask(self, caller: Caller, outcomes: Sequence[Outcome | WalletError]) -> Sequence[Outcome | WalletError]:
        """These outcomes as this caller may know them, one for one."""
        return await self._service.permissions.mask_each(caller, outcomes) if caller.is_bound else outcomes

    async def mask_group(self, caller: Caller, grouped: Grouped) -> Grouped:
        """The same of a group. Raises OutcomeUnknown or StorageUnavailable where that cannot be found out."""
        return await self._service.permissions.mask_group(caller, grouped) if caller.is_bound else grouped

    async def prepare_answers(self, outcomes: Iterable[Outcome | WalletError]) -> None:
        """To be awaited before the answers to these: they may name assets that another process has made."""
        # Assets of applied items are in the cache since their states were loaded.
        missing = {
            asset_id
            for outcome in outcomes
            if type(outcome) is Replayed
            for asset_id in missing_assets(outcome, self._assets)
        }
        if missing:
            with suppress(StorageUnavailable):  # then answer() will say so
                await self._service.load_assets(missing)

    def answer(
        self, request: Single, outcome: Outcome | WalletError, *, request_id: str, amounts_as_strings: bool = False
    ) -> ItemAnswer:
        """The answer to an item. Never raises: money may have moved, and the other items have answers, too."""
        if isinstance(outcome, WalletError):
            return no_answer(outcome, request_id=request_id)
        try:
            answer = outcome_answer(
                request, outcome, self._assets, request_id=request_id, amounts_as_strings=amounts_as_strings
            )
            return ItemAnswer(answer.status, type(outcome) is Replayed, answer.body)
        except Exception as error:
            if not isinstance(error, OutcomeUnknown):
                _log.exception("the answer to an item of request %s could not be written", request_id)
            return no_answer(OutcomeUnknown("the answer could not be written"), request_id=request_id)


def no_answer(error: WalletError, *, request_id: str) -> ItemAnswer:
    """The answer to an item without an outcome: it is malformed, or an error kept it from having one."""
    whole = failure(error, request_id=request_id, moves_money=True)
    return ItemAnswer(whole.status, False, whole.body)


def written_item(index: int, reference_id: str | None, answer: ItemAnswer) -> bytes:
    """An item of a batch's answer, or a line of an import's without its line feed."""
    return b'{"index":%d,"reference_id":%b,"status":%d,"replayed":%b,"body":%b}' % (
        index,
        _encode(reference_id),
        answer.status,
        b"true" if answer.replayed else b"false",
        answer.body,
    )


def reference_of(item: bytes) -> str | None:
    """The reference of a malformed item, if it has one."""
    try:
        return _decode_named(item).reference_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _decoded(item: bytes) -> Any:
    """An item as a struct of its operation's type. Raises Malformed with every field that is wrong."""
    if len(item) > LINE_BYTES_MAX:
        # Lines of an import are shorter. The process serves nobody else while it decodes an item.
        raise malformed("", f"An item may have {LINE_BYTES_MAX} bytes.")
    try:
        decoded: Any = _decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(_wrong_fields(item)) from None
    if not _is_plain(decoded, _KINDS[type(decoded)], item.count(b":")) or b"\\u00" in item:
        refuse_what_json_leaves_open(item)
    return decoded


def _wrong_fields(item: bytes) -> Sequence[FieldError]:
    """All errors of an item that the decoder has refused; the decoder stops at the first."""
    try:
        members = untyped(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [FieldError("", "This is not valid JSON in UTF-8.")]
    if not isinstance(members, dict):
        return [FieldError("", "An item must be a JSON object.")]
    refuse_what_json_leaves_open(item)
    op = members.pop("op", None)
    operation = ITEMS.get(op) if isinstance(op, str) else None
    if operation is None:
        return [FieldError("op", f"Must be one of {', '.join(ITEMS)}.")]
    errors: list[FieldError] = []
    try:
        if operation.target is not None:
            _ensure_id(operation.target.name, members.pop(operation.target.name, msgspec.UNSET))
    except Malformed as error:
        errors += error.errors
    try:
        converted(operation.body, members, also_required=("reference_id",))
    except Malformed as error:
        errors += error.errors
    return errors or [FieldError("", "The item does not fit.")]


def _ensure_id(name: str, given: object) -> None:
    if given is msgspec.UNSET:
        raise malformed(name, "This field is required.")
    path_id(name, given if isinstance(given, str) else "")


def _is_plain(decoded: Any, kind: _Kind, colons: int) -> bool:
    """Whether as many members were decoded as the text has colons, so that none can have come twice."""
    if colons == kind.members:
        return True
    colons -= decoded.reference_id.count(":")
    return bool(colons == kind.members + sum(getattr(decoded, name) is not default for name, default in kind.optional))


def _below(path: str, error: Malformed) -> Malformed:
    if not path:
        return error
    return Malformed([FieldError((path + each.field).removesuffix("."), each.message) for each in error.errors])
