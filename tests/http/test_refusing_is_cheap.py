"""A refusal costs little, and no body keeps the event loop busy. Counted, not timed."""

import asyncio
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from wallet.errors import Malformed
from wallet.http.bulk import batches
from wallet.http.bulk.chunks import ITEM_ERRORS_MAX, READ_BYTES_MAX, READ_ITEMS_MAX, read_items
from wallet.http.bulk.lines import LINE_BYTES_MAX
from wallet.http.operations.posts import TopUpBody
from wallet.http.wire import decoding
from wallet.http.wire.decoding import METADATA_BYTES_MAX, canonical_metadata, decode
from wallet.ledger.requests import Single
from wallet.service.access.callers import DEVELOPER, Caller
from wallet.service.writes.bulk import GROUP_ITEMS_MAX


def test_metadata_that_is_too_large_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    def walked(*_: Any, **__: Any) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr(decoding, "_check_values", walked)
    with pytest.raises(Malformed, match=f"at most {METADATA_BYTES_MAX} bytes"):
        canonical_metadata({"a": [[[[[""]]]]] * METADATA_BYTES_MAX})


def test_nul_is_looked_for_in_the_text_and_not_in_values() -> None:
    head = b'{"amount":1,"asset_code":"gold","reference_id":"r","metadata":{"a":['
    for escaped, is_nul in ((rb"\u0000", True), (rb"\\u0000", False), (rb"\\\u0000", True), (rb"\\\\u0000", False)):
        body = head + b'["x%b"]]}}' % escaped
        if is_nul:
            with pytest.raises(Malformed, match="NUL"):
                decode(TopUpBody, body)
        else:
            decode(TopUpBody, body)


def test_of_a_batch_of_too_many_items_one_too_many_becomes_an_object() -> None:
    body = b'{"mode":"independent","items":[%b{}]}' % (b"{}," * (100 * GROUP_ITEMS_MAX))
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match=f"1 to {GROUP_ITEMS_MAX} items"):
            batches._decoded(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * GROUP_ITEMS_MAX


@pytest.mark.parametrize("size", [0, batches.LOOKED_THROUGH_BYTES_MAX])
@pytest.mark.parametrize("items", [1, 3, GROUP_ITEMS_MAX])
def test_a_large_batch_is_read_as_a_small_one(size: int, items: int) -> None:
    texts = [b'{"a":%d}' % at for at in range(items)]
    batch = batches._decoded(b'{"items":[%b],"mode":"atomic","dry_run":null%b}' % (b",".join(texts), b" " * size))
    assert [bytes(each) for each in batch.items] == texts
    assert (batch.mode, batch.dry_run) == ("atomic", None)


class _Refusing:
    """Items of which each is wrong in a hundred places."""

    def request(self, text: bytes, *, dry_run: bool) -> Single:
        raise Malformed([decoding.FieldError(str(at), "no") for at in range(100)])

    async def admit(self, caller: Caller, requests: Sequence[Single]) -> Sequence[Single]:
        return requests


@pytest.mark.parametrize(
    ("items", "item_bytes", "turns"),
    [
        (READ_ITEMS_MAX, 2, 0),
        (10 * READ_ITEMS_MAX, 2, 9),
        (8, LINE_BYTES_MAX, 7),
        (16, READ_BYTES_MAX // 2, 7),
        (8, READ_BYTES_MAX // 2 + 1, 7),
    ],
)
async def test_reading_makes_way_after_so_many_items_or_bytes(items: int, item_bytes: int, turns: int) -> None:
    taken = 0

    async def others() -> None:
        nonlocal taken
        while True:
            await asyncio.sleep(0)
            taken += 1

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    await read_items(_Refusing(), [(at, b" " * item_bytes) for at in range(items)], DEVELOPER)  # type: ignore[arg-type]
    task.cancel()
    assert taken == turns


async def test_a_malformed_item_among_others_names_some_of_what_is_wrong() -> None:
    (item,) = await read_items(_Refusing(), [(0, b"{}")], DEVELOPER)  # type: ignore[arg-type]
    assert isinstance(item.request, Malformed)
    assert len(item.request.errors) == ITEM_ERRORS_MAX
