"""The conditions under which two requests are the same. Fingerprints are stored for ever, so their bytes are written
down here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.ledger.strategies import LAWS
from tests.ledger.worlds import LAYOUTS
from wallet.ledger.fingerprint import differing_fields, fingerprint, is_same
from wallet.ledger.model import AMOUNT_MAX, Direction, LotCategory
from wallet.ledger.requests import NO_OPTIONS, Condition, Leg, LotTerms, Options, Post, Single
from wallet.ledger.transaction_types import (
    GENERAL_FIELDS,
    TRANSFER_FIELDS,
    WALLET_MOVEMENT_FIELDS,
    layout_of,
)
from wallet.service.writes.claim_commands import EXPIRES_IN_SECONDS_DEFAULT, ClaimCommands
from wallet.service.writes.commands import Commands

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
    first = {
        "topup": ("type", "wallet_id", "asset_code", "amount", "metadata"),
        "transfer": ("type", "from_wallet_id", "to_wallet_id", "asset_code", "amount", "metadata"),
        "exchange": ("type", "legs", "metadata"),
    }
    assert tuple(first.values()) == (WALLET_MOVEMENT_FIELDS, TRANSFER_FIELDS, GENERAL_FIELDS)
    assert {type_: layout_of(type_)[: len(layout)] for type_, layout in first.items()} == first
    assert layout_of("topup") == layout_of("bonus") == layout_of("spend")


def test_the_layouts_of_the_second_release_never_change_but_by_growing() -> None:
    grown = ("lot", "funding_wallet_id", "target_wallet_id", "amount_mode", "min_amount", "effective_at")
    assert layout_of("topup")[5:11] == grown
    assert layout_of("transfer")[6:9] == ("amount_mode", "min_amount", "effective_at")
    assert layout_of("exchange")[3:4] == ("effective_at",)
    newer = {type_: layout for type_, layout in LAYOUTS.items() if type_ not in ("topup", "bonus", "spend", "transfer")}
    assert newer == {
        "hold": (
            "type", "wallet_id", "asset_code", "amount", "target_wallet_id", "expires_in_seconds", "on_expiry",
            "metadata",
        ),
        "capture": ("type", "hold_id", "amount", "final", "amount_mode", "min_amount", "effective_at", "metadata"),
        "void": ("type", "hold_id", "metadata"),
        "increase": ("type", "hold_id", "amount", "metadata"),
        "extend": ("type", "hold_id", "expires_in_seconds", "metadata"),
        "claim_place": (
            "type", "wallet_id", "asset_code", "amount", "uses", "once_per_user", "expires_in_seconds", "metadata",
        ),
        "claim_redeem": ("type", "code", "wallet_id", "metadata"),
        "claim_cancel": ("type", "claim_id", "metadata"),
        "refund": ("type", "transaction_id", "amount", "force", "effective_at", "metadata"),
        "merge": ("type", "source_wallet_id", "target_wallet_id", "effective_at", "metadata"),
    }  # fmt: skip


def test_a_fingerprint_is_a_format_a_digest_over_named_framed_fields_and_a_hint_per_field() -> None:
    framed = (
        b"type:5:topup" + b"wallet_id:16:" + A.bytes + b"asset_code:4:GOLD" + b"amount:4:1000" + b'metadata:7:{"a":1}'
    )
    digest = blake2b(framed, digest_size=16).digest()
    values = (b"topup", A.bytes, b"GOLD", b"1000", b'{"a":1}')
    marks = b"".join((crc32(value) % 65535 + 1).to_bytes(2, "big") for value in values)
    assert wallet_movement("topup", '{"a":1}').fingerprint == b"\x01" + digest + marks


@pytest.mark.parametrize(
    "layout", [WALLET_MOVEMENT_FIELDS, TRANSFER_FIELDS, GENERAL_FIELDS], ids=lambda layout: f"{len(layout)}_fields"
)
def test_a_fingerprint_is_of_a_fixed_length_for_its_layout(layout: tuple[str, ...]) -> None:
    assert len(fingerprint(layout, [None] * len(layout))) == 17 + 2 * len(layout)


def test_as_many_values_as_fields_are_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        fingerprint(GENERAL_FIELDS, [b"exchange", b"legs"])


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
    old, new = (
        fingerprint(WALLET_MOVEMENT_FIELDS, values),
        fingerprint((*WALLET_MOVEMENT_FIELDS, "lot"), (*values, None)),
    )
    assert is_same(old, new)
    assert is_same(new, old)
    assert new == old + b"\x00\x00"


def test_a_field_that_the_first_release_did_not_know_is_named_when_it_is_what_differs() -> None:
    # As if metadata had been added later: what was written before it has no mark for it.
    values = (b"topup", A.bytes, b"GOLD", b"5")
    old, new = fingerprint(WALLET_MOVEMENT_FIELDS[:4], values), fingerprint(WALLET_MOVEMENT_FIELDS, (*values, b"{}"))
    assert not is_same(old, new)
    assert differing_fields(known_type="topup", known=old, request_type="topup", request=new) == ("metadata",)
    assert differing_fields(known_type="topup", known=new, request_type="topup", request=old) == ("metadata",)


def test_a_field_that_only_a_later_release_knows_makes_another_request_before_it_has_a_name() -> None:
    # Two releases side by side: the older one sees that they differ, but has no name for the field.
    layout = layout_of("exchange")
    values = (b"exchange", b"legs", *([None] * (len(layout) - 2)))
    old, new = fingerprint(layout, values), fingerprint((*layout, "later"), (*values, b"2026-01-01"))
    assert not is_same(old, new)
    assert differing_fields(known_type="exchange", known=new, request_type="exchange", request=old) == layout


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


# The fields that the second release added.

C, D = UUID(int=3), UUID(int=4)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
COMMANDS, CLAIM_COMMANDS = Commands(), ClaimCommands()
REQUIRED: dict[str, dict[str, Any]] = {
    "topup": {"wallet_id": A, "asset_code": "GOLD", "amount": 1000},
    "bonus": {"wallet_id": A, "asset_code": "GOLD", "amount": 1000},
    "spend": {"wallet_id": A, "asset_code": "GOLD", "amount": 1000},
    "transfer": {"from_wallet_id": A, "to_wallet_id": B, "asset_code": "GOLD", "amount": 1000},
    "exchange": {"legs": (Leg(A, Direction.DEBIT, 1000), Leg(B, Direction.CREDIT, 1000))},
    "hold": {"wallet_id": A, "asset_code": "GOLD", "amount": 1000},
    "capture": {"hold_id": A},
    "void": {"hold_id": A},
    "increase": {"hold_id": A, "amount": 1000},
    "extend": {"hold_id": A, "expires_in_seconds": 60},
    "claim_place": {"wallet_id": A, "asset_code": "GOLD", "amount": 1000, "code_hash": bytes(32)},
    "claim_redeem": {"claim_id": A, "wallet_id": B},
    "claim_cancel": {"claim_id": A},
    "refund": {"transaction_id": A},
    "merge": {"source": A, "target": B},
}
PAID = LotTerms(LotCategory.PAID)


def request_of(type_: str, **fields: Any) -> Single:
    """A request of this type with what it must have, but for the fields given."""
    make: Any = getattr(COMMANDS, type_, None) or getattr(CLAIM_COMMANDS, type_, None)
    if make is None:
        make = partial(COMMANDS.transaction if type_ == "exchange" else COMMANDS.wallet_movement, type_)
    made: Single = make(**{"reference_id": "r", "metadata": None, **REQUIRED[type_], **fields})
    return made


# A test that fails here has changed what clients' old references mean: add a format, leave this one alone.
SECOND_GOLDEN: list[tuple[str, dict[str, Any], str]] = [
    ("topup", {"options": Options(lot=PAID)}, "0135bb4aff8837554d837945e6fbb0a758c223087d622357400000e1fd"),
    (
        "topup",
        {"options": Options(lot=LotTerms(LotCategory.PROMOTIONAL, 5, AT))},
        "01f0e091216b8001515c8c31aa96750fa2c223087d62235740000067cb",
    ),
    (
        "topup",
        {"options": Options(lot=PAID._replace(expires_in_seconds=60))},
        "01563b7a35390441a41decc663de4eccd3c223087d622357400000bcb7",
    ),
    ("bonus", {"other_wallet_id": B}, "0112a3f7b7fa888259571c607d0078c0a51f14087d622357400000000080d7"),
    ("spend", {"other_wallet_id": B}, "01d2944879e57edfe3ff6bd2d2c5f182371411087d6223574000000000000080d7"),
    (
        "spend",
        {"options": Options(up_to=True)},
        "01afc47b761bcf784f0aa4b6ae174c5e521411087d622357400000000000000000ff1a",
    ),
    (
        "spend",
        {"options": Options(up_to=True, min_amount=5)},
        "01d327e98de679010e491add3397beb43e1411087d622357400000000000000000ff1ab060",
    ),
    (
        "spend",
        {"options": Options(effective_at=AT)},
        "01abcf046779105aceb5e819bfa8a40df21411087d6223574000000000000000000000000020ec",
    ),
    (
        "transfer",
        {"options": Options(effective_at=AT, up_to=True)},
        "01988937abce0daf962b95ba85c86098bae3f5087d80d7622357400000ff1a000020ec",
    ),
    ("exchange", {"options": Options(effective_at=AT)}, "0134480123e90ec79136660bcfef30327b83b6a148000020ec"),
    ("hold", {}, "0144eae9c4fb44438c1009c7d622a5a6a32cd2087d622357400000000000000000"),
    (
        "hold",
        {"target": B, "expires_in_seconds": 60, "capture_at_expiry": True, "metadata": "{}"},
        "01ab2c01478cfb5f06ab3963e7c00f8a132cd2087d6223574080d7a14432e562eb",
    ),
    ("capture", {}, "0111a9679c0f9ac7eff4b227331b38260f32e5087d000000000000000000000000"),
    (
        "capture",
        {"amount": 5, "final": True, "options": Options(up_to=True)},
        "016f202e60616f438bf49f6b8f0c731d7332e5087db0604a8bff1a000000000000",
    ),
    ("void", {}, "0159e7e7e62f6df1fb7a5f2fa99d379ccdac6b087d0000"),
    ("increase", {}, "01b964c9b5f313621b83f3b8da9b530cd18539087d57400000"),
    ("extend", {}, "01334e31a16c25b43a8f43d77d2a8e780184e6087da1440000"),
    ("refund", {}, "0197e56afa1672d47d770d80054e3328056f85087d0000000000000000"),
    (
        "refund",
        {"amount": 5, "force": True, "options": Options(effective_at=AT)},
        "018e6e63dac43a07ed7f8df5c68bde157a6f85087db0604a8b20ec0000",
    ),
    ("claim_place", {}, "01985e1d626c19c794193710f98a23b27600dd087d622357400000000000000000"),
    (
        "claim_place",
        {"uses": 3, "once_per_user": True, "expires_in_seconds": 60, "metadata": "{}"},
        "01c65cd484d942e1b404f640a7cf2fc8bd00dd087d62235740fc6e4a8ba14462eb",
    ),
    ("claim_redeem", {}, "01d5e8c41bfd8a72c254163cc13274031ba02c087d80d70000"),
    ("claim_redeem", {"metadata": "{}"}, "0121d22ca5f8ed12e2df34bb8ced0b3ecda02c087d80d762eb"),
    ("claim_cancel", {}, "011f491eea01c6146e15504e2eb56c062335d3087d0000"),
    ("merge", {}, "01c4bc66751e8469fba0aeb901c9b8e2fe82c4087d80d700000000"),
]


@pytest.mark.parametrize(("type_", "fields", "expected"), SECOND_GOLDEN)
def test_the_bytes_of_newer_fingerprints_never_change(type_: str, fields: dict[str, Any], expected: str) -> None:
    assert request_of(type_, **fields).fingerprint.hex() == expected


# By field of a layout: what is said instead of what request_of says. All are different from each other.
LOTS = (
    PAID,
    PAID._replace(category=LotCategory.PROMOTIONAL),
    PAID._replace(priority=5),
    PAID._replace(expires_at=AT),
    PAID._replace(expires_in_seconds=5),
    PAID._replace(expires_in_seconds=55),
)
VARIED: dict[str, list[dict[str, Any]]] = {
    **{
        name: [{name: C}, {name: D}]
        for name in ("wallet_id", "from_wallet_id", "to_wallet_id", "hold_id", "transaction_id")
    },
    "source_wallet_id": [{"source": C}, {"source": D}],
    "target_wallet_id": [{"target": C}, {"target": D}],
    "asset_code": [{"asset_code": "GOLD1"}, {"asset_code": "GOL"}],
    "amount": [{"amount": 1}, {"amount": 10000}, {"amount": AMOUNT_MAX}],
    "expires_in_seconds": [{"expires_in_seconds": 1}, {"expires_in_seconds": 61}],
    "legs": [{"legs": (Leg(B, Direction.CREDIT, 1000), Leg(A, Direction.DEBIT, 1000))}],
    "metadata": [{"metadata": "{}"}, {"metadata": '{"a":1}'}],
    "effective_at": [{"options": Options(effective_at=AT + timedelta(microseconds=each))} for each in (0, 1)],
    "amount_mode": [{"options": Options(up_to=True)}],
    "min_amount": [{"options": Options(up_to=True, min_amount=each)} for each in (5, 55)],
    "uses": [{"uses": 2}, {"uses": 10_000}],
    "once_per_user": [{"once_per_user": True}],
    "code": [{"claim_id": C}, {"claim_id": D}],
    "claim_id": [{"claim_id": C}, {"claim_id": D}],
    "final": [{"final": True}],
    "force": [{"force": True}],
    "on_expiry": [{"capture_at_expiry": True}],
    "lot": [{"options": Options(lot=terms)} for terms in LOTS],
}
OTHER_WALLET = [{"other_wallet_id": C}, {"other_wallet_id": D}]
VARIED_OF_TYPE: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("bonus", "funding_wallet_id"): OTHER_WALLET,
    ("spend", "target_wallet_id"): OTHER_WALLET,
    **{key: [] for key in (("topup", "funding_wallet_id"), ("spend", "funding_wallet_id"), ("spend", "lot"))},
    **{(type_, name): [] for type_ in ("topup", "bonus") for name in ("target_wallet_id", "amount_mode", "min_amount")},
}


@pytest.mark.parametrize("type_", REQUIRED)
def test_every_value_of_every_field_makes_another_request_and_is_named(type_: str) -> None:
    first = request_of(type_)
    digests = {first.fingerprint[:17]}
    for name in layout_of(type_)[1:]:
        for fields in VARIED_OF_TYPE.get((type_, name), VARIED.get(name, [])):
            request = request_of(type_, **fields)
            assert request.fingerprint[:17] not in digests, fields
            digests.add(request.fingerprint[:17])
            differs = differing_fields(
                known_type=type_, known=first.fingerprint, request_type=type_, request=request.fingerprint
            )
            assert differs == (("amount_mode", "min_amount") if name == "min_amount" else (name,))


@pytest.mark.parametrize("type_", REQUIRED)
def test_a_dry_run_and_conditions_are_no_part_of_it(type_: str) -> None:
    options = Options(dry_run=True, conditions=(Condition(A, expected_version=1),))
    assert request_of(type_, options=options).fingerprint == request_of(type_).fingerprint


def test_a_default_that_is_said_is_one_that_is_not() -> None:
    said = request_of("spend", options=Options(up_to=True, min_amount=1))
    assert said.fingerprint == request_of("spend", options=Options(up_to=True)).fingerprint
    said = request_of("claim_place", uses=1, once_per_user=False, expires_in_seconds=EXPIRES_IN_SECONDS_DEFAULT)
    assert said.fingerprint == request_of("claim_place").fingerprint
    said = request_of("topup", options=Options(lot=PAID._replace(priority=50)))
    assert said.fingerprint == request_of("topup", options=Options(lot=PAID)).fingerprint


def test_absent_fields_at_a_grown_layouts_end_leave_no_trace() -> None:
    assert len(request_of("topup", options=Options(lot=PAID)).fingerprint) == 17 + 2 * 6
    assert len(request_of("topup", options=Options(dry_run=True)).fingerprint) == 17 + 2 * 5


def test_requests_without_options_carry_none() -> None:
    assert all(request_of(type_).options is NO_OPTIONS for type_ in REQUIRED)


def test_the_code_of_a_claim_is_no_part_of_it() -> None:
    # It is made anew in each try, and so the same claim asked for again is a replay.
    assert request_of("claim_place", code_hash=b"x" * 32).fingerprint == request_of("claim_place").fingerprint


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
    first = fingerprint(WALLET_MOVEMENT_FIELDS, (b"topup", A.bytes, b"GOLD", b"5", None))
    second = fingerprint(WALLET_MOVEMENT_FIELDS, (b"topup", A.bytes, b"GOLD", twin, None))
    assert not is_same(first, second)
    # No mark tells them apart, so every field is named: one of them it is.
    differs = differing_fields(known_type="topup", known=first, request_type="topup", request=second)
    assert differs == layout_of("topup")


def test_no_value_has_the_mark_of_an_absent_one() -> None:
    empty_looking = _value_with_mark(1, but=b"")
    for value in (b"", empty_looking, _value_with_mark(65535, but=b"")):
        assert fingerprint(("a",), (value,))[17:] != b"\x00\x00"


# Nothing runs together.

NAMES = ("a", "b", "aa", "ab", "ba")
# Texts that would end a field, or begin the next one, if values were joined.
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
    assert LAYOUTS.keys() == {
        "topup", "bonus", "spend", "transfer", "hold", "capture", "void", "increase", "extend", "refund", "merge",
        "claim_place", "claim_redeem", "claim_cancel",
    }  # fmt: skip
