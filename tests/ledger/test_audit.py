"""The audit chain's hashes: whatever is changed changes them, they are those of the document, and never others."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger import audit_oracle as oracle
from tests.ledger.strategies import LAWS
from wallet.ledger.audit import (
    NO_LINK,
    Link,
    Record,
    Salts,
    change_part,
    entry_part,
    event_head,
    inclusion_path,
    leaf_hash,
    leaf_of,
    link_hash,
    lot_part,
    marks_of,
    merkle_root,
    microseconds,
    move_part,
    pair_leaf,
    part_hash,
    root_from_path,
    sorted_lots,
    sorted_steps,
    step_part,
    terms_part,
    transaction_head,
)
from wallet.ledger.model import AMOUNT_MAX, Details, Entry, HoldStep, Lot, LotCategory, LotMove, Posted, WalletEvent

VECTORS = Path(__file__).with_name("audit_vectors.json")
SECRET = bytes(range(32))
SALTS = Salts(SECRET)
AT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
EARLIER = AT - timedelta(days=400, microseconds=1)


def id_of(number: int) -> UUID:
    return UUID(int=number << 64 | 0x8000_0000_0000_0000)


ENTRIES = (
    Entry(id_of(1), 0, id_of(10), 1, -1, 2**63 - 1, None, None),
    Entry(id_of(1), 1, id_of(11), 1, 1, 2**63 - 1, 7, -40),
)
PAIR = Posted(id_of(1), "api", "order 1", b"\x01" + bytes(16), "topup", None, AT, AT, ENTRIES)
FULL = Posted(
    id_of(2),
    "service",
    "Größe 🪙",
    b"\x01" + b"f" * 30,
    "refund",
    '{"a":1}',
    AT,
    EARLIER,
    ENTRIES,
    id_of(20),
    id_of(21),
)
DETAILS = '{"requested_amount":5}'
STEP = HoldStep(id_of(2), id_of(20), id_of(10), 8, "capture", -5, 3, 4, 1, AT)
LOT = Lot(id_of(30), id_of(11), 1, LotCategory.PAID, -50, AT, EARLIER, id_of(2), 9, 0, programme_id=id_of(40))
MOVE = LotMove(id_of(2), 3, id_of(30), id_of(11), -9, -2)
EVENT = WalletEvent(id_of(3), id_of(10), 9, "change", (("limit_day", 5),))

Parts = list[bytes]


def parts_of(posted: Posted, details: str | None, *more: bytes) -> Parts:
    entries = [entry_part(entry, place, microseconds(AT)) for place, entry in enumerate(posted.entries, 5)]
    return [terms_part(posted.fingerprint, details), *entries, *more]


def leaf_of_posted(posted: Posted, parts: Parts) -> bytes:
    head = transaction_head(posted, microseconds(posted.created_at), microseconds(posted.effective_at))
    return leaf_of(Record(posted.id, None, head, parts), SALTS)


def leaf_of_event(event: WalletEvent) -> bytes:
    part = change_part(event.wallet_id, event.version, event.kind, json.dumps(event.changes), microseconds(AT))
    return leaf_of(Record(event.id, event.wallet_id, event_head(event.id), [part]), SALTS)


# The coverage of the chain: each field of each row, by introspection, so that a new one is missed here


def other(value: Any) -> list[Any]:
    """Values that are not this one, and near it."""
    match value:
        case bool():
            return [not value]
        case None:
            return ["", 0, AT, id_of(0)]
        case LotCategory():
            return [each for each in LotCategory if each is not value]
        case int():
            return [value - 1, -value or 1]
        case str():
            return [value + " ", value[1:] + value[:1], ""]
        case bytes():
            return [value + b"\x00", value[:-1]]
        case datetime():
            return [value + timedelta(microseconds=1), EARLIER + timedelta(days=1)]
        case UUID():
            return [UUID(int=value.int + 1), id_of(999)]
        case tuple():
            return [(), value[::-1] if len(value) > 1 else value + value]
    raise TypeError(value)


# By row and field, what says it instead.
ELSEWHERE = {
    (Posted, "details"): "their text is given",
    (Entry, "transaction_id"): "the leaf is of it",
    (HoldStep, "transaction_id"): "the leaf is of it",
    (LotMove, "transaction_id"): "the leaf is of it",
    (Lot, "opened_by"): "the leaf is of it",
    (Lot, "wallet_id"): "changes: moves have it",
    (Lot, "remaining"): "changes: moves have it",
    (Lot, "held"): "changes: moves have it",
    (Lot, "expiries"): "changes: moves have it",
}
AT_US = microseconds(AT)
ROWS: dict[type, tuple[Any, Any]] = {
    Posted: (FULL, lambda row: leaf_of_posted(row, parts_of(row, DETAILS))),
    Entry: (ENTRIES[1], lambda row: entry_part(row, 1, AT_US)),
    HoldStep: (STEP, lambda row: step_part(row, AT_US)),
    Lot: (LOT, lot_part),
    LotMove: (MOVE, lambda row: move_part(row, AT_US)),
    WalletEvent: (EVENT, leaf_of_event),
}


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in ROWS for field in kind._fields], ids=lambda each: str(each)
)
def test_whatever_field_is_changed_changes_what_is_hashed(kind: type, field: str) -> None:
    row, hashed = ROWS[kind]
    if (kind, field) in ELSEWHERE:
        changed = Details(skipped="x") if field == "details" else other(getattr(row, field))[0]
        assert hashed(row._replace(**{field: changed})) == hashed(row)
        return
    seen = {hashed(row)}
    values = [value for value in other(getattr(row, field)) if value != getattr(row, field)]
    for value in values:
        seen.add(hashed(row._replace(**{field: value})))
    assert len(seen) == 1 + len(set(map(repr, values)))


@pytest.mark.parametrize(
    ("kind", "field"),
    [(Posted, "metadata"), (Posted, "hold_id"), (Posted, "refund_of"), (HoldStep, "expires_at"), (Lot, "expires_at"),
     (Lot, "programme_id")],
    ids=str,
)  # fmt: skip
def test_nothing_is_another_thing_than_zero_or_empty(kind: type, field: str) -> None:
    row, hashed = ROWS[kind]
    zero = {"metadata": "", "expires_at": datetime(1970, 1, 1, tzinfo=UTC)}.get(field, UUID(int=0))
    assert hashed(row._replace(**{field: None})) != hashed(row._replace(**{field: zero}))


def test_an_entry_that_has_a_version_is_another_than_one_that_has_a_place() -> None:
    of_version = entry_part(ENTRIES[1]._replace(version=5, balance_after=0), 1, AT_US)
    assert of_version != entry_part(ENTRIES[1]._replace(version=None, balance_after=None), 5, AT_US)


def test_where_there_is_no_version_the_place_in_the_batch_counts() -> None:
    assert entry_part(ENTRIES[0], 1, AT_US) != entry_part(ENTRIES[0], 2, AT_US)
    assert entry_part(ENTRIES[1], 1, AT_US) == entry_part(ENTRIES[1], 2, AT_US)


def test_the_time_of_each_row_counts() -> None:
    later = AT_US + 1
    assert entry_part(ENTRIES[0], 1, AT_US) != entry_part(ENTRIES[0], 1, later)
    assert step_part(STEP, AT_US) != step_part(STEP, later)
    assert move_part(MOVE, AT_US) != move_part(MOVE, later)
    assert change_part(id_of(1), 1, "close", "{}", AT_US) != change_part(id_of(1), 1, "close", "{}", later)


def test_the_details_and_the_place_of_a_part_count() -> None:
    parts = parts_of(FULL, DETAILS, step_part(STEP, AT_US), lot_part(LOT), move_part(MOVE, AT_US))
    leaves = [leaf_of_posted(FULL, parts), leaf_of_posted(FULL, parts[:-1]), leaf_of_posted(FULL, parts[::-1])]
    leaves += [leaf_of_posted(FULL, [terms_part(FULL.fingerprint, text), *parts[1:]]) for text in (None, "", "{}")]
    assert len(set(leaves)) == len(leaves)


def test_text_cannot_move_from_one_field_to_the_next() -> None:
    split = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("", "abc", "d")]
    heads = {
        transaction_head(FULL._replace(type=type_, origin=origin, reference_id=reference), 0, 0)
        for type_, origin, reference in split
    }
    assert len(heads) == len(split)


def test_a_salt_says_nothing_of_another_and_hides_equal_parts() -> None:
    record = Record(id_of(1), None, b"", [b"same"] * 9)
    salts = SALTS.of(record)
    assert len(set(salts)) == 9
    assert len({part_hash(salt, b"same") for salt in salts}) == 9
    assert Salts(b"other").of(record)[0] != salts[0]
    assert SALTS.of(record._replace(id=id_of(2)))[0] != salts[0]
    assert SALTS.of(record._replace(wallet_id=id_of(2)))[0] != salts[0]


def test_one_partys_side_leads_to_the_leaf() -> None:
    parts = parts_of(FULL, DETAILS, step_part(STEP, AT_US))
    head = transaction_head(FULL, AT_US, microseconds(EARLIER))
    record = Record(FULL.id, None, head, parts)
    hashes = [part_hash(*each) for each in zip(SALTS.of(record), parts, strict=True)]
    own = [*hashes[:2], part_hash(SALTS.of(record)[2], parts[2]), *hashes[3:]]
    assert leaf_hash(head, own) == leaf_of(record, SALTS)


def test_parts_are_in_an_order_of_their_own() -> None:
    steps = [STEP._replace(wallet_id=id_of(wallet), version=version) for wallet, version in ((9, 1), (8, 5), (8, 4))]
    assert sorted_steps(steps) == steps[::-1]
    lots = [LOT._replace(id=id_of(number)) for number in (5, 2)]
    assert sorted_lots(lots) == lots[::-1]


def test_leaves_are_in_order_of_ids_and_events_come_last() -> None:
    event, transaction = Record(id_of(1), id_of(5), b"", ()), Record(id_of(9), None, b"", ())
    other_wallet, earlier = event._replace(wallet_id=id_of(4)), transaction._replace(id=id_of(2))
    ordered = sorted([event, transaction, other_wallet, earlier], key=lambda record: record.key)
    assert ordered == [earlier, transaction, other_wallet, event]


LINES = st.just((None, None)) | st.tuples(st.integers(0, AMOUNT_MAX), st.integers(-(2**63), AMOUNT_MAX))


@LAWS
@given(
    metadata=st.none() | st.text(max_size=9),
    reference=st.text(min_size=1, max_size=9),
    lines=st.tuples(LINES, LINES),
    ordinal=st.integers(1, 2**20),
    fingerprint=st.binary(max_size=40),
)
def test_the_ordinary_transaction_in_one_go_is_the_same_leaf(
    metadata: str | None, reference: str, lines: Any, ordinal: int, fingerprint: bytes
) -> None:
    first, second = (
        entry._replace(version=version, balance_after=balance)
        for entry, (version, balance) in zip(ENTRIES, lines, strict=True)
    )
    posted = PAIR._replace(metadata=metadata, reference_id=reference, entries=(first, second), fingerprint=fingerprint)
    parts = [terms_part(fingerprint, None), entry_part(first, ordinal, AT_US), entry_part(second, ordinal + 1, AT_US)]
    assert pair_leaf(posted, ordinal, AT_US, SALTS) == leaf_of_posted(posted, parts)


# As the document has it


def test_it_is_what_the_document_says() -> None:
    assert leaf_of_posted(PAIR, parts_of(PAIR, None)) == oracle.transaction_leaf(
        PAIR, [oracle.terms(PAIR.fingerprint, None), *map(oracle.entry, ENTRIES, (5, 6), (AT, AT))], SECRET
    )
    more = [step_part(STEP, AT_US), lot_part(LOT), move_part(MOVE, AT_US)]
    parts = [oracle.terms(FULL.fingerprint, DETAILS), *map(oracle.entry, ENTRIES, (5, 6), (AT, AT))]
    parts += [oracle.step(STEP, AT), oracle.lot(LOT), oracle.move(MOVE, AT)]
    assert parts_of(FULL, DETAILS, *more) == parts
    assert leaf_of_posted(FULL, parts) == oracle.transaction_leaf(FULL, parts, SECRET)
    change = oracle.change(EVENT.wallet_id, 9, "change", json.dumps(EVENT.changes), AT)
    assert leaf_of_event(EVENT) == oracle.event_leaf(EVENT.id, EVENT.wallet_id, change, SECRET)


LINK = Link(3, 7, 9, id_of(50), AT_US, 2, True, bytes(range(32)))


@pytest.mark.parametrize("field", Link._fields)
def test_a_link_covers_all_that_it_has_and_the_one_before(field: str) -> None:
    values = other(getattr(LINK, field)) if field != "root" else [bytes(32)]
    links = [LINK, *(LINK._replace(**{field: value}) for value in values)]
    hashes = {link_hash(previous, link) for link in links for previous in (NO_LINK, bytes(31) + b"\x01")}
    assert len(hashes) == 2 * len(set(links))


def test_a_link_is_what_the_document_says() -> None:
    previous = bytes(range(32, 64))
    assert link_hash(previous, LINK) == oracle.link(previous, 3, 7, 9, id_of(50), AT, 2, True, bytes(range(32)))


def test_the_format_never_changes() -> None:
    """Links that were published must fit for ever. These were computed once, and are not to be computed again."""
    leaves = [
        leaf_of_posted(PAIR, parts_of(PAIR, None)),
        leaf_of_posted(FULL, parts_of(FULL, DETAILS, step_part(STEP, AT_US), lot_part(LOT), move_part(MOVE, AT_US))),
        leaf_of_event(EVENT),
    ]
    first = link_hash(NO_LINK, LINK._replace(height=1, root=merkle_root(leaves)))
    made = {
        "leaves": [leaf.hex() for leaf in leaves],
        "salts": [salt.hex() for salt in SALTS.of(Record(id_of(1), None, b"", [b""] * 5))],
        "roots": [merkle_root(leaves[:count]).hex() for count in range(4)],
        "marks": marks_of(leaves).hex(),
        "links": [first.hex(), link_hash(first, LINK._replace(height=2, is_given=False)).hex()],
    }
    assert made == json.loads(VECTORS.read_text("utf-8"))


# Trees


def leaves_for(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


@pytest.mark.parametrize("count", range(41))
def test_a_tree_is_that_of_rfc_6962_and_every_leaf_has_a_path(count: int) -> None:
    leaves = leaves_for(count)
    root = merkle_root(leaves)
    assert root == oracle.root(leaves)
    for index, leaf in enumerate(leaves):
        path = inclusion_path(leaves, index)
        assert root_from_path(leaf, index, count, path) == root
        assert root_from_path(b"x" * 32, index, count, path) != root
        for place in range(len(path)):
            wrong = [*path[:place], b"x" * 32, *path[place + 1 :]]
            assert root_from_path(leaf, index, count, wrong) != root
        assert root_from_path(leaf, index, count, [*path, root]) is None
        if path:
            assert root_from_path(leaf, index, count, path[:-1]) is None
            assert root_from_path(leaf, index ^ 1, count, path) != root
        assert root_from_path(leaf, count, count, path) is None
        assert root_from_path(leaf, -1, count, path) is None


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_from_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_path(leaves_for(3), index)


def test_a_node_is_no_leaf() -> None:
    # Without prefixes of their own, two leaves could be taken for the tree of four.
    leaves = leaves_for(4)
    nodes = [merkle_root(leaves[:2]), merkle_root(leaves[2:])]
    assert merkle_root(nodes) == merkle_root(leaves)  # of hashes: what a leaf is made of begins otherwise than a node
    assert leaf_hash(b"", leaves[:2]) != merkle_root(leaves[:2])


def test_marks_are_the_beginnings_of_leaves() -> None:
    assert marks_of([b"abcdefgh" + b"x" * 24, b"ABCDEFGH" + b"y" * 24]) == b"abcdefghABCDEFGH"
