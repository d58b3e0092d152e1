"""POST /batches: up to 10,000 items, applied all or none, or each for itself."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Annotated, Final, Literal, Union

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from wallet.errors import (
    FieldError,
    Forbidden,
    GroupTooLarge,
    Malformed,
    OutcomeUnknown,
    Overloaded,
    StorageUnavailable,
    WalletError,
)
from wallet.http.bulk.chunks import ItemChunk, read_items, reading_of, turn_to_read
from wallet.http.bulk.items import ITEM_TYPES, ItemResult, Items, written_item
from wallet.http.wire.decoding import ERRORS_MAX, decode, malformed
from wallet.http.wire.encoding import JSON, Answer
from wallet.http.wire.failures import problem
from wallet.http.wire.query import Headers, ensure_json, wants_amounts_as_strings
from wallet.ledger.outcomes import Grouped, RefusalCode, Refused
from wallet.ledger.requests import Single, legs_of
from wallet.service.access.callers import Caller
from wallet.service.turns import Turn
from wallet.service.wallet_service import WalletService
from wallet.service.writes.bulk import GROUP_ITEMS_MAX, GROUP_LEGS_MAX

CHUNKS_IN_FLIGHT_MAX: Final = 2
"""The chunks of one independent batch that are in progress: one is being decided, and the next one is ready after
it.
"""

UNDER_WAY_BYTES_MAX: Final = 96 * 1024 * 1024
"""The bytes of all batches in one process that have arrived and are not answered."""

ITEM_BYTES_MIN: Final = 2048
"""The least bytes that an item counts for: about what it takes with its answer, even if its text is short."""

LOOKED_THROUGH_BYTES_MAX: Final = 64 * 1024
"""A body up to this size that is wrong around its items is searched for all errors. For a larger one only the first
wrong field is named: the rest would take millions of values, while no other request is served.
"""

_log = logging.getLogger(__name__)


_MODE: Final = "`atomic`: all items or none. `independent`: each for itself. Either way in order."


Batch: Final = msgspec.defstruct(
    "Batch",
    [
        ("mode", Annotated[Literal["atomic", "independent"], Meta(description=_MODE)]),
        ("items", Annotated[list[Union[ITEM_TYPES]], Meta(min_length=1, max_length=GROUP_ITEMS_MAX)]),  # type: ignore[valid-type]  # noqa: UP007  # made from a tuple
        ("dry_run", bool | None, False),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
    namespace={
        "__doc__": "Up to 10,000 items: the bodies of single operations, with what their paths name. If `mode` is"
        " `atomic`, they have up to 20,000 legs together, an item without legs counting as two: 422 `group_too_large`."
    },
)
"""A batch, for the OpenAPI document."""


class BatchAnswer(Struct, kw_only=True):
    """One per item, in order."""

    items: list[ItemResult]


class _Batch(Struct, forbid_unknown_fields=True, kw_only=True):
    """Batch, whose items are read one by one."""

    mode: Literal["atomic", "independent"]
    items: Annotated[list[Raw], Meta(min_length=1, max_length=GROUP_ITEMS_MAX)]
    dry_run: bool | UnsetType | None = UNSET


class _Shape(Struct, forbid_unknown_fields=True, kw_only=True):
    """A batch, for finding all errors around the items."""

    mode: Literal["atomic", "independent"]
    items: Annotated[list[object], Meta(min_length=1, max_length=GROUP_ITEMS_MAX)]
    dry_run: bool | UnsetType | None = UNSET


# An array whose items become objects only up to one too many. In a list, each item becomes an object before the length
# is checked: sixteen megabytes of `{},` would take a second.
_Items: Final = msgspec.defstruct(
    "_Items", [(f"item_{at}", Raw | UnsetType, UNSET) for at in range(GROUP_ITEMS_MAX + 1)], array_like=True
)


class _LargeBatch(Struct, forbid_unknown_fields=True, kw_only=True):
    """The same for a large body. A small body would take a tenth of a millisecond longer with this type."""

    mode: Literal["atomic", "independent"]
    items: _Items  # type: ignore[valid-type]
    dry_run: bool | UnsetType | None = UNSET


_decode: Final = msgspec.json.Decoder(_Batch).decode
_decode_large: Final = msgspec.json.Decoder(_LargeBatch).decode


class Batches:
    """Answers whole batches."""

    def __init__(self, service: WalletService) -> None:
        self._bulk = service.bulk
        self._items = Items(service)
        self._begin_seconds_max = service.stage_seconds_max
        self._bytes_under_way = 0

    async def batch(self, body: bytes, *, caller: Caller, headers: Headers, query: bytes, request_id: str) -> Answer:
        """The whole answer. Raises WalletError if there is none."""
        ensure_json(headers)
        amounts_as_strings = wants_amounts_as_strings(query)
        with self._under_way(len(body)):
            batch = _decoded(body)
            await asyncio.sleep(0)  # reading 16 MiB takes 40 ms, and looking for colons in it 20
            _refuse_duplicates(body, batch)
            with self._under_way(max(0, len(batch.items) * ITEM_BYTES_MIN - len(body))):
                answering = self._atomic if batch.mode == "atomic" else self._independent
                try:
                    return await answering(batch, caller, request_id, amounts_as_strings)
                except WalletError:
                    raise
                except Exception as error:
                    # Money may have moved, so no error on the way to the answer may look like a refusal.
                    _log.exception("batch of request %s failed", request_id)
                    raise OutcomeUnknown("the batch could not be answered") from error

    @contextmanager
    def _under_way(self, size: int) -> Iterator[None]:
        if self._bytes_under_way and self._bytes_under_way + size > UNDER_WAY_BYTES_MAX:
            raise Overloaded("Too many large batches are under way.")
        self._bytes_under_way += size
        try:
            yield
        finally:
            self._bytes_under_way -= size

    async def _atomic(self, batch: _Batch, caller: Caller, request_id: str, amounts_as_strings: bool) -> Answer:
        is_dry = batch.dry_run is True
        requests: list[Single] = []
        errors: list[FieldError] = []
        turn = turn_to_read()
        legs = 0
        for index, text in enumerate(map(bytes, batch.items)):
            await turn.make_way(reading_of(text))
            try:
                requests.append(self._request_of_group(index, text, is_dry=is_dry))
                legs += legs_of(requests[-1])
            except Malformed as error:
                errors += error.errors
                if len(errors) >= ERRORS_MAX:
                    break
            if legs > GROUP_LEGS_MAX:
                raise GroupTooLarge(f"With items[{index}] the group has more than {GROUP_LEGS_MAX} legs")
        if errors:
            raise Malformed(errors[:ERRORS_MAX])
        grouped = await self._decided(requests, caller, is_dry=is_dry)
        await self._items.prepare_answers(grouped.outcomes)
        written: list[bytes] = []
        statuses: set[int] = set()
        turn = Turn()
        for index, (request, outcome) in enumerate(zip(requests, grouped.outcomes, strict=True)):
            await turn.make_way()
            answer = self._items.answer(request, outcome, request_id=request_id, amounts_as_strings=amounts_as_strings)
            statuses.add(answer.status)
            written.append(written_item(index, request.reference_id, answer))
        if grouped.is_refused:
            return _refused(written, grouped, request_id)
        return _answered(201 if 201 in statuses else 200, written)

    async def _decided(self, requests: Sequence[Single], caller: Caller, *, is_dry: bool) -> Grouped:
        """The admitted requests. Raises Forbidden, which names the item, if the caller may not send one of them: then
        none is sent.
        """
        admitted: list[Single] = []
        refused: tuple[int, Refused] | None = None
        for index, each in enumerate(await self._items.admit(caller, requests)):
            if isinstance(each, Forbidden):
                raise Forbidden(f"items[{index}]: {each}")
            if isinstance(each, WalletError):
                raise each
            if isinstance(each, Refused):
                refused = refused or (index, each)
            else:
                admitted.append(each)
        if refused is None:
            return await self._items.mask_group(caller, await self._bulk.all_or_none(admitted, dry_run=is_dry))
        first, why = refused
        others = Refused(RefusalCode.GROUP_REFUSED, f"Nothing was applied, because items[{first}] was refused.")
        return Grouped(tuple(why if index == first else others for index in range(len(requests))))

    def _request_of_group(self, index: int, text: bytes, *, is_dry: bool) -> Single:
        path = f"items[{index}]."
        request = self._items.request(text, path=path, dry_run=is_dry)
        if request.options.dry_run and not is_dry:
            # All items of an atomic batch are applied, or none, so a single item cannot be a dry run.
            raise malformed(f"{path}dry_run", "Only an atomic batch as a whole can be dry.")
        return request

    async def _independent(self, batch: _Batch, caller: Caller, request_id: str, amounts_as_strings: bool) -> Answer:
        written: list[bytes] = []
        in_flight: deque[ItemChunk] = deque()

        async def answer_oldest() -> None:
            chunk = in_flight.popleft()
            answered = await chunk.answered(
                self._items, caller, request_id=request_id, amounts_as_strings=amounts_as_strings
            )
            written.extend(written_item(item.place, item.reference_id, answer) for item, answer in answered)

        begun_at_latest = time.monotonic() + self._begin_seconds_max
        texts = ((index, bytes(item)) for index, item in enumerate(batch.items))
        while chunk := tuple(islice(texts, self._bulk.chunk_items_max)):
            items = await read_items(self._items, chunk, caller, dry_run=batch.dry_run is True)
            if time.monotonic() > begun_at_latest:
                items = [item._replace(denied=StorageUnavailable("its turn did not come in time")) for item in items]
            if len(in_flight) >= CHUNKS_IN_FLIGHT_MAX:
                await answer_oldest()
            in_flight.append(await ItemChunk.begin(self._bulk, items))
        while in_flight:
            await answer_oldest()
        return _answered(200, written)


def _decoded(body: bytes) -> _Batch:
    if len(body) > LOOKED_THROUGH_BYTES_MAX:
        return _decoded_large(body)
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decode(_Shape, body)  # knows everything that is wrong
        raise malformed("", "The body does not fit.") from None


def _decoded_large(body: bytes) -> _Batch:
    try:
        batch = _decode_large(body)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).partition(" - at `$")
        raise malformed(field.strip(".`"), f"{reason}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed("", "The body is not valid JSON in UTF-8.") from None
    items = [each for each in msgspec.structs.astuple(batch.items) if each is not UNSET]
    if not 1 <= len(items) <= GROUP_ITEMS_MAX:
        raise malformed("items", f"Must have 1 to {GROUP_ITEMS_MAX} items.")
    return _Batch(mode=batch.mode, items=items, dry_run=batch.dry_run)


def _refuse_duplicates(body: bytes, batch: _Batch) -> None:
    # Around the items, only the members have colons.
    colons = body.count(b":") - sum(bytes(item).count(b":") for item in batch.items)
    if colons != len(("mode", "items")) + (batch.dry_run is not UNSET):
        raise malformed("", "A key appears twice in one object.")


def _answered(status: int, written: Sequence[bytes]) -> Answer:
    # A copy of many megabytes takes milliseconds, so there is only one.
    pieces = [b'{"items":[', *chain.from_iterable((each, b",") for each in written)]
    pieces[-1] = b"]}"
    return Answer(status, b"".join(pieces), (JSON,))


def _refused(written: Sequence[bytes], grouped: Grouped, request_id: str) -> Answer:
    """The problem of a refused group, with the items as a member of its own."""
    index, first = next(
        (index, outcome)
        for index, outcome in enumerate(grouped.outcomes)
        if isinstance(outcome, Refused) and outcome.code is not RefusalCode.GROUP_REFUSED
    )
    detail = f"Nothing was applied, because items[{index}] was refused: {first.detail}"
    return problem("group_refused", detail, request_id=request_id, items=[Raw(each) for each in written])
