"""Decoding against a slow and obvious reference: what is refused, and that nothing else is."""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wallet.errors import Malformed
from wallet.http.operations import holds, posts, refunds, wallet_changes
from wallet.http.routes import resource_bodies
from wallet.http.routes.key_bodies import NewKey
from wallet.http.routes.programme_bodies import ClockAdvance, NewProgramme
from wallet.http.wire.decoding import canonical_metadata, decode
from wallet.service.json_numbers import as_written

EXAMPLES = settings(max_examples=300, deadline=None)

# Objects are lists of members here, so that a key can come twice.
Members = list[tuple[str, Any]]


class _Object(list[Any]):
    """An object's members, told apart from an array."""


class _Number(str):
    """The digits of a number, which are all that counts of it."""


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
keys = st.sampled_from(["a", "b", "ab", "", "é", "a:b", "\x00", '"', "\\u0000", "amount"]) | texts
integers = st.integers(-(2**63), 2**63 - 1).map(str) | st.sampled_from(["0", "-0"])
digits = st.text("0123456789", min_size=1, max_size=25)
fractions = st.just("") | digits.map(".{}".format)
exponents = st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), digits)
numbers = st.builds("{}{}{}".format, integers, fractions, exponents).map(_Number)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda children: st.lists(children, max_size=3) | st.lists(st.tuples(keys, children), max_size=4).map(_Object),
    max_leaves=12,
)
objects = st.lists(st.tuples(keys, values), max_size=4).map(_Object)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string for the text, some of whose characters are escaped that need not be."""
    written = ""
    for character in text:
        if draw(st.booleans()):
            units = character.encode("utf-16-be")
            written += "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
        else:
            written += json.dumps(character, ensure_ascii=False)[1:-1]
    return f'"{written}"'


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """JSON for the value, in one of its spellings."""
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    if isinstance(value, _Object):
        members = [f"{draw(spelled(name))}{space}:{space}{draw(written(each))}" for name, each in value]
        return "{" + space + f",{space}".join(members) + "}"
    if isinstance(value, list):
        return "[" + f",{space}".join(draw(written(each)) for each in value) + space + "]"
    if isinstance(value, _Number):
        return value
    return draw(spelled(value)) if isinstance(value, str) else json.dumps(value)


def is_doubtful(value: Any) -> bool:
    """The reference check, slow and obvious: some object has a key twice, some text a NUL, or a number is -0."""
    if isinstance(value, _Object):
        names = [name for name, _ in value]
        return (
            len(set(names)) < len(names)
            or any("\x00" in name for name in names)
            or any(is_doubtful(each) for _, each in value)
        )
    if isinstance(value, list):
        return any(is_doubtful(each) for each in value)
    return isinstance(value, str) and ("\x00" in value or (isinstance(value, _Number) and value == "-0"))


def with_digits(text: str | bytes) -> Any:
    """JSON with the digits of its numbers in their place."""
    return json.loads(text, parse_float=_Number, parse_int=_Number)


def cannot_be_kept(value: Any) -> bool:
    """Whether a number is no 64-bit integer, or beyond all doubles, or what must be written otherwise."""
    if isinstance(value, _Number):
        return is_doubtful(value) or (
            math.isinf(float(value)) if set(value) & set(".eE") else not -(2**63) <= int(value) < 2**63
        )
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(cannot_be_kept, inner))


WALLET = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
LEG = {"wallet_id": WALLET, "direction": "debit", "amount": 1}
# A value of each field, whatever body it is in.
EXAMPLES_OF: dict[str, Any] = {
    **dict.fromkeys(("amount", "min_amount", "overdraft_limit", "max_balance", "expires_in_seconds"), 5),
    **{f"{name}wallet_id": WALLET for name in ("", "from_", "to_", "target_", "funding_")},
    **dict.fromkeys(("dry_run", "final", "force", "freeze_outgoing", "freeze_incoming"), True),
    "asset_code": "gold",
    "reference_id": "r",
    "type": "t",
    "legs": [LEG, LEG],
    "metadata": {"a": 1},
    "effective_at": "2026-01-31T12:00:00Z",
    "conditions": [{"wallet_id": WALLET, "expected_version": 1}],
    "lot": {"category": "paid"},
    "amount_mode": "up_to",
    "on_expiry": "capture",
    "label": "l",
    "spending_limits": [{"per": "day", "amount": 1}],
    "expected_version": 1,
    **dict.fromkeys(("asset_type_id", "scale", "grace_seconds", "priority", "advance_seconds"), 3),
    **dict.fromkeys(("expires_in_days", "requests_per_second"), 3),
    **dict.fromkeys(("user_id", "id", "replaces"), WALLET),
    **dict.fromkeys(("max_supply", "rollover_max"), "5"),
    "name": "n",
    "code": "gold",
    "draw_order": "main_first",
    "on_refund_to_expired": "grace",
    "per": "week",
    "category": "paid",
    "ends_at": "2026-01-31T12:00:00Z",
    "scopes": ["read"],
    "wallet_ids": [WALLET],
}
IDS_OF_ASSETS = {resource_bodies.NewAsset: {"id": 7}}
BODIES = (
    posts.TopUpBody, posts.BonusBody, posts.SpendBody, posts.TransferBody, posts.TransactionBody, holds.NewHoldBody,
    holds.CaptureBody, holds.VoidBody, holds.IncreaseBody, holds.ExtendBody, refunds.RefundBody,
    wallet_changes.MergeBody, wallet_changes.WalletChangeBody, wallet_changes.WalletStepBody, resource_bodies.NewUser,
    resource_bodies.NewWallet, resource_bodies.NewAsset, resource_bodies.AssetChange, NewProgramme, ClockAdvance,
    NewKey,
)  # fmt: skip
movement_fields = {"amount": 5, "asset_code": "gold", "reference_id": "r:1"}


@st.composite
def movements(draw: st.DrawFn) -> tuple[_Object, bytes]:
    """A movement's members and their JSON; one may be there twice."""
    members = _Object([*movement_fields.items(), ("metadata", draw(objects))])
    if draw(st.integers(0, 3)) == 0:
        members.append(draw(st.sampled_from(members)))
    members = _Object(draw(st.permutations(members)))
    return members, draw(written(members)).encode()


@EXAMPLES
@given(movements())
def test_it_refuses_exactly_what_the_reference_check_refuses(movement: tuple[_Object, bytes]) -> None:
    members, body = movement
    try:
        decode(posts.WalletMovementBody, body)
    except Malformed:
        assert is_doubtful(members)
    else:
        assert not is_doubtful(members)


@EXAMPLES
@given(movements())
def test_what_it_accepts_is_what_was_sent(movement: tuple[_Object, bytes]) -> None:
    members, body = movement
    if not is_doubtful(members):
        decoded = decode(posts.WalletMovementBody, body)
        assert {name: getattr(decoded, name) for name in movement_fields} == movement_fields
        assert with_digits(msgspec.json.encode(decoded.metadata)) == with_digits(body)["metadata"]


trees = st.recursive(
    numbers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abé"), inner, max_size=3)
)


@EXAMPLES
@given(trees)
def test_metadata_keeps_the_digits_of_its_numbers_or_is_refused(value: Any) -> None:
    sent = msgspec.json.encode({"a": _raw(value)})
    try:
        kept = canonical_metadata(decode(resource_bodies.NewUser, b'{"name":"n","metadata":%b}' % sent).metadata)
    except Malformed as error:
        why = str(error)
    else:
        assert kept is not None
        assert not cannot_be_kept(value)
        assert with_digits(kept) == {"a": value}
        return
    assert cannot_be_kept(value) or "nested" in why or "bytes" in why


def _raw(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _raw(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_raw(each) for each in value]
    return msgspec.Raw(value.encode())


lots = st.sampled_from(
    [
        _Object([("category", "paid"), ("priority", 3)]),
        _Object([("category", "promotional")]),
        _Object([("category", "paid"), ("priority", None)]),
    ]
)
conditions = st.lists(
    st.sampled_from(
        [
            _Object([("wallet_id", WALLET), ("expected_version", 1)]),
            _Object([("wallet_id", WALLET), ("min_balance", 0), ("max_balance", "5")]),
        ]
    ),
    max_size=3,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "lot": lots | st.none(),
        "conditions": conditions,
        "dry_run": st.booleans() | st.none(),
        "metadata": objects,
    },
)


@st.composite
def top_ups(draw: st.DrawFn) -> tuple[_Object, bytes]:
    """A top-up with options and their JSON; a member may be there twice, also one inside."""
    members = _Object([*movement_fields.items(), *draw(options).items()])
    at = draw(st.integers(0, len(members) - 1))
    name, value = members[at]
    match draw(st.integers(0, 4)):
        case 0:
            members.append((name, value))
        case 1 if isinstance(value, _Object) and value:
            members[at] = name, _Object([*value, draw(st.sampled_from(value))])
        case 2 if name == "conditions" and value:
            members[at] = name, [_Object([*value[0], value[0][0]]), *value[1:]]
    members = _Object(draw(st.permutations(members)))
    return members, draw(written(members)).encode()


@EXAMPLES
@given(top_ups())
def test_it_refuses_the_same_inside_of_what_may_be_left_out(top_up: tuple[_Object, bytes]) -> None:
    members, body = top_up
    try:
        decoded = decode(posts.TopUpBody, body)
    except Malformed:
        assert is_doubtful(members)
    else:
        assert not is_doubtful(members)
        assert {name: getattr(decoded, name) for name in movement_fields} == movement_fields


@pytest.mark.parametrize("type_", BODIES, ids=lambda type_: type_.__name__)
def test_a_member_that_comes_twice_is_refused_in_every_body(type_: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(type_)
    examples = EXAMPLES_OF | IDS_OF_ASSETS.get(type_, {})
    filled = msgspec.json.decode(msgspec.json.encode({field.name: examples[field.name] for field in fields}))
    decode(type_, msgspec.json.encode(filled))
    required = {field.name: filled[field.name] for field in fields if field.required or field.name == "reference_id"}
    for members in (required, filled):
        for name, value in members.items():
            twice = msgspec.json.encode({**members, "": value}).replace(b'"":', f'"{name}":'.encode())
            with pytest.raises(Malformed, match="twice"):
                decode(type_, twice)


@EXAMPLES
@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode) | objects.flatmap(written).map(str.encode))
def test_whatever_it_gets_it_answers_or_says_malformed(body: bytes) -> None:
    for type_ in BODIES:
        with suppress(Malformed):
            assert isinstance(decode(type_, body), type_)


@EXAMPLES
@given(objects)
def test_canonical_metadata_is_canonical_again(members: _Object) -> None:
    read = msgspec.json.Decoder(float_hook=as_written).decode
    metadata = read(msgspec.json.encode(_as_dict(members)))
    try:
        text = canonical_metadata(metadata)
    except Malformed:
        return
    assert text is not None
    assert canonical_metadata(read(text)) == text


def _as_dict(value: Any) -> Any:
    if isinstance(value, _Object):
        return {name: _as_dict(each) for name, each in value}
    if isinstance(value, list):
        return [_as_dict(each) for each in value]
    return _raw(value) if isinstance(value, _Number) else value
