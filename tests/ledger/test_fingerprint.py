"""What makes two requests the same one. Fingerprints are stored for ever, so their bytes are written down here."""

from collections.abc import Sequence
from hashlib import blake2b
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ledger.strategies import LAWS
from wallet.ledger.fingerprint import (
    GENERAL,
    LAYOUTS,
    TRANSFER,
    WALLET_MOVEMENT,
    differing_fields,
    fingerprint,
    is_same,
    layout_of,
)
from wallet.ledger.model import AMOUNT_MAX, Direction, Leg, Post
from wallet.service.commands import Commands

A, B = UUID("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"), UUID("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb")


def wallet_movement(type_: str, metadata: str | None = None) -> Post:
    return Commands().wallet_movement(
        type_, wallet_id=A, asset_code="GOLD", amount=1000, reference_id="r", metadata=metadata
    )


def transfer(metadata: str | None = None) -> Post:
    return Commands().transfer(
        from_wallet_id=A, to_wallet_id=B, asset_code="GOLD", amount=1000, reference_id="r", metadata=metadata
    )


def exchange(*moved: Leg, metadata: str | None = None) -> Post:
    default = (Leg(A, Direction.DEBIT, 1000), Leg(B, Direction.CREDIT, 1000))
    return Commands().transaction("exchange", legs=moved or default, reference_id="r", metadata=metadata)


# A test that fails here has changed what clients' old references mean: add a format, leave this one alone.
GOLDEN = [
    (wallet_movement("topup"), "01229161b04ff60bda8f787046e48bee94c223087d622357400000"),
    (wallet_movement("topup", '{"a":1}'), "01c796a3230997dab70f561f7563cbd18ec223087d6223574002cc"),
    (wallet_movement("bonus"), "01a49c7c2c0d311a83034f8e465bb64cb01f14087d622357400000"),
    (wallet_movement("spend"), "0168dfe0a6511ee923831e33d16e0050ba1411087d622357400000"),
    (transfer(), "018f24d74d7f74666098e0a7252b0a67a4e3f5087d80d7622357400000"),
    (transfer('{"a":1}'), "01cb718a7104da03a83fa8ca372f999d62e3f5087d80d76223574002cc"),
    (exchange(), "01a38027bc644d350b079855bff3757eec83b6a1480000"),
    (exchange(metadata='{"a":1}'), "010faa463be157e8755f80fd074e03901283b6a14802cc"),
]


@pytest.mark.parametrize(("request_", "expected"), GOLDEN, ids=lambda value: getattr(value, "type", "hex"))
def test_the_bytes_of_a_fingerprint_never_change(request_: Post, expected: str) -> None:
    assert request_.fingerprint.hex() == expected


def test_the_layouts_of_the_first_release_never_change_but_by_growing() -> None:
    assert WALLET_MOVEMENT[:5] == ("type", "wallet_id", "asset_code", "amount", "metadata")
    assert TRANSFER[:6] == ("type", "from_wallet_id", "to_wallet_id", "asset_code", "amount", "metadata")
    assert GENERAL[:3] == ("type", "legs", "metadata")
    assert {type_: layout_of(type_) for type_ in ("topup", "bonus", "spend", "transfer", "exchange")} == {
        "topup": WALLET_MOVEMENT,
        "bonus": WALLET_MOVEMENT,
        "spend": WALLET_MOVEMENT,
        "transfer": TRANSFER,
        "exchange": GENERAL,
    }


def test_a_fingerprint_is_a_format_a_digest_over_named_framed_fields_and_a_mark_per_field() -> None:
    framed = (
        b"type:5:topup" + b"wallet_id:16:" + A.bytes + b"asset_code:4:GOLD" + b"amount:4:1000" + b'metadata:7:{"a":1}'
    )
    digest = blake2b(framed, digest_size=16).digest()
    values = (b"topup", A.bytes, b"GOLD", b"1000", b'{"a":1}')
    marks = b"".join((crc32(value) % 65535 + 1).to_bytes(2, "big") for value in values)
    assert wallet_movement("topup", '{"a":1}').fingerprint == b"\x01" + digest + marks


@pytest.mark.parametrize("layout", [WALLET_MOVEMENT, TRANSFER, GENERAL], ids=lambda layout: f"{len(layout)}_fields")
def test_a_fingerprint_is_of_a_fixed_length_for_its_layout(layout: tuple[str, ...]) -> None:
    assert len(fingerprint(layout, [None] * len(layout))) == 17 + 2 * len(layout)


def test_as_many_values_as_fields_are_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        fingerprint(GENERAL, [b"exchange", b"legs"])


def test_a_fingerprint_is_the_same_in_every_try() -> None:
    assert transfer().fingerprint == transfer().fingerprint
    assert transfer().id != transfer().id


def test_the_reference_is_no_part_of_it() -> None:
    other = Commands().wallet_movement(
        "topup", wallet_id=A, asset_code="GOLD", amount=1000, reference_id="other", metadata=None
    )
    assert other.fingerprint == wallet_movement("topup").fingerprint


# Growing: a later release knows one more field.


def test_a_field_added_at_a_layouts_end_leaves_the_fingerprints_of_requests_without_it_the_same() -> None:
    values = (b"topup", A.bytes, b"GOLD", b"5", None)
    old, new = fingerprint(WALLET_MOVEMENT, values), fingerprint((*WALLET_MOVEMENT, "lot"), (*values, None))
    assert is_same(old, new)
    assert is_same(new, old)
    assert new == old + b"\x00\x00"


def test_a_field_that_the_first_release_did_not_know_is_named_when_it_is_what_differs() -> None:
    # As if metadata had been added later: what was written before it has no mark for it.
    values = (b"topup", A.bytes, b"GOLD", b"5")
    old, new = fingerprint(WALLET_MOVEMENT[:4], values), fingerprint(WALLET_MOVEMENT, (*values, b"{}"))
    assert not is_same(old, new)
    assert differing_fields(known_type="topup", known=old, request_type="topup", request=new) == ("metadata",)
    assert differing_fields(known_type="topup", known=new, request_type="topup", request=old) == ("metadata",)


def test_a_field_that_only_a_later_release_knows_makes_another_request_before_it_has_a_name() -> None:
    # Two releases side by side: the older one sees that they differ, but has no name for the field.
    values = (b"exchange", b"legs", None)
    old, new = fingerprint(GENERAL, values), fingerprint((*GENERAL, "effective_at"), (*values, b"2026-01-01"))
    assert not is_same(old, new)
    assert differing_fields(known_type="exchange", known=new, request_type="exchange", request=old) == GENERAL


def test_a_fingerprint_of_another_format_is_never_the_same() -> None:
    first = wallet_movement("topup").fingerprint
    assert not is_same(first, b"\x02" + first[1:])
    assert is_same(first, first)


@pytest.mark.parametrize("at", range(17))
def test_every_byte_of_format_and_digest_counts(at: int) -> None:
    first = wallet_movement("topup").fingerprint
    changed = first[:at] + bytes([first[at] ^ 1]) + first[at + 1 :]
    assert not is_same(first, changed)


def test_marks_alone_make_no_difference() -> None:
    # They only say where to look.
    first = wallet_movement("topup").fingerprint
    assert is_same(first, first[:17] + b"\xff" * 10)


# Naming what differs.


def _differs(first: Post, second: Post) -> tuple[str, ...]:
    return differing_fields(
        known_type=first.type, known=first.fingerprint, request_type=second.type, request=second.fingerprint
    )


def test_fields_that_differ_are_named_in_the_order_of_the_layout() -> None:
    assert _differs(wallet_movement("topup"), wallet_movement("bonus", "{}")) == ("type", "metadata")
    assert _differs(transfer(), transfer("{}")) == ("metadata",)
    assert _differs(exchange(), exchange(Leg(A, Direction.DEBIT, 1), Leg(B, Direction.CREDIT, 1))) == ("legs",)


def test_requests_of_different_layouts_differ_in_type() -> None:
    assert _differs(transfer(), exchange()) == ("type",)
    assert _differs(wallet_movement("topup"), transfer()) == ("type",)


def test_two_general_transactions_of_different_types_share_a_layout() -> None:
    moved = (Leg(A, Direction.DEBIT, 1), Leg(B, Direction.CREDIT, 1))
    swap = Commands().transaction("swap", legs=moved, reference_id="r", metadata=None)
    assert _differs(exchange(*moved), swap) == ("type",)


def _value_with_mark(mark: int, *, but: bytes) -> bytes:
    values = (b"%d" % number for number in range(10**6))
    return next(value for value in values if crc32(value) % 65535 + 1 == mark and value != but)


def test_a_value_whose_mark_happens_to_be_equal_still_makes_another_request() -> None:
    twin = _value_with_mark(crc32(b"5") % 65535 + 1, but=b"5")
    first = fingerprint(WALLET_MOVEMENT, (b"topup", A.bytes, b"GOLD", b"5", None))
    second = fingerprint(WALLET_MOVEMENT, (b"topup", A.bytes, b"GOLD", twin, None))
    assert not is_same(first, second)
    # No mark tells them apart, so every field is named: one of them it is.
    assert differing_fields(known_type="topup", known=first, request_type="topup", request=second) == WALLET_MOVEMENT


def test_no_value_has_the_mark_of_an_absent_one() -> None:
    empty_looking = _value_with_mark(1, but=b"")
    for value in (b"", empty_looking, _value_with_mark(65535, but=b"")):
        assert fingerprint(("a",), (value,))[17:] != b"\x00\x00"


# Nothing runs together.

NAMES = ("a", "b", "aa", "ab", "ba")
# What would end a field, or begin the next one, if values were joined.
PIECES = (b"a", b"b", b":", b"1", b"0", b"a:1:", b"b:1:x", b"aa:", b"ab", b"\x00")
values = st.none() | st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join)
field_lists = st.lists(st.sampled_from(NAMES), unique=True, max_size=4).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), values) for name in names))
)
Fields = Sequence[tuple[str, bytes | None]]


def _digest(fields: Fields) -> bytes:
    return fingerprint([name for name, _ in fields], [value for _, value in fields])[:17]


@LAWS
@given(field_lists, field_lists)
@example((("a", b"xb:1:y"), ("b", None)), (("a", b"x"), ("b", b"y")))
@example((("a", b"xb:y"), ("b", None)), (("a", b"x"), ("b", b"y")))
@example((("a", b"1"), ("b", None)), (("a", None), ("b", b"1")))
@example((("a", b"1"),), (("b", b"1"),))
@example((("a", b""),), (("a", None),))
@example((("a", b"12"), ("b", b"3")), (("a", b"1"), ("b", b"23")))
@example((("aa", b""), ("b", b"1")), (("a", b""), ("ab", b"1")))
def test_two_lists_of_fields_share_a_digest_only_if_what_is_present_is_the_same(first: Fields, second: Fields) -> None:
    present = [[(name, value) for name, value in fields if value is not None] for fields in (first, second)]
    assert (_digest(first) == _digest(second)) == (present[0] == present[1])


wallet_ids = st.lists(st.sampled_from([b"+1:5;", b"-1:", b"5", b"15", b";", b"\x00"]), min_size=1, max_size=16).map(
    lambda pieces: UUID(bytes=b"".join(pieces)[:16].ljust(16, b"5"))
)
leg_lists = st.lists(
    st.builds(Leg, wallet_ids, st.sampled_from(Direction), st.sampled_from([1, 5, 11, 15, 51, AMOUNT_MAX])),
    min_size=1,
    max_size=4,
)
LIKE_LEGS = UUID(bytes=b"5;5555555555+1:5")
FIVES = UUID(bytes=b"5" * 16)


@LAWS
@given(leg_lists, leg_lists)
@example([Leg(FIVES, Direction.CREDIT, 1), Leg(FIVES, Direction.CREDIT, 55)], [Leg(FIVES, Direction.CREDIT, 15)] * 2)
@example([Leg(LIKE_LEGS, Direction.CREDIT, 5)], [Leg(FIVES, Direction.CREDIT, 5)])
@example([Leg(A, Direction.CREDIT, 5)], [Leg(A, Direction.DEBIT, 5)])
@example(
    [Leg(A, Direction.CREDIT, 5), Leg(B, Direction.CREDIT, 5)],
    [Leg(B, Direction.CREDIT, 5), Leg(A, Direction.CREDIT, 5)],
)
def test_two_lists_of_legs_share_a_fingerprint_only_if_they_are_the_same(
    first: Sequence[Leg], second: Sequence[Leg]
) -> None:
    assert (exchange(*first).fingerprint == exchange(*second).fingerprint) == (first == second)


movements = st.builds(
    lambda type_, wallet, code, amount, metadata: Commands().wallet_movement(
        type_, wallet_id=wallet, asset_code=code, amount=amount, reference_id="r", metadata=metadata
    ),
    st.sampled_from(["topup", "bonus", "spend"]),
    st.sampled_from([A, B]),
    st.sampled_from(["GOLD", "GOLD1", "G"]),
    st.sampled_from([1, 11, 111, AMOUNT_MAX]),
    st.sampled_from([None, "{}", '{"a":1}']),
)


@LAWS
@given(movements, movements)
def test_two_movements_share_a_fingerprint_only_if_every_field_is_the_same(first: Post, second: Post) -> None:
    fields = [(post.type, post.legs, post.asset_code, post.metadata) for post in (first, second)]
    assert is_same(first.fingerprint, second.fingerprint) == (fields[0] == fields[1])


def test_no_type_has_the_layout_of_another_by_accident() -> None:
    # layout_of falls back to GENERAL, so a new verb without a line in LAYOUTS would name the wrong fields.
    assert LAYOUTS.keys() == {"topup", "bonus", "spend", "transfer"}
