"""Decodes JSON bodies into structs, strictly: reports all errors of a body, and refuses ambiguous JSON.

A good body costs one pass of the decoder. Only a body that is refused, or that may hold a duplicate key or a NUL, is
read a second time.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final, NoReturn, TypeVar

import msgspec
from msgspec.inspect import ListType, LiteralType, Metadata, StructType, Type, UnionType, type_info

from wallet.errors import FieldError, Malformed
from wallet.service.json_numbers import as_written

METADATA_BYTES_MAX: Final = 4096
METADATA_DEPTH_MAX: Final = 4
# A body of a megabyte can have a hundred thousand errors, and names of members as long as itself.
ERRORS_MAX: Final = 100
NAME_LENGTH_MAX: Final = 100
INT64: Final = range(-(2**63), 2**63)
_REQUIRED: Final = "This field is required."
_LEFT_OUT: Final = (msgspec.UNSET, None)
# An escaped NUL, but not an escaped backslash before the letters u0000.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_Body = TypeVar("_Body", bound=msgspec.Struct)
_canonical = msgspec.json.Encoder(order="sorted")
untyped: Final = msgspec.json.Decoder(float_hook=float).decode
"""Decodes a refused body to find its errors. A number beyond the range of doubles is decoded, too, as infinity: it is
an error of its field, not of the whole body.
"""


def malformed(field: str, message: str) -> Malformed:
    return Malformed([FieldError(field, message)])


def decode(type_: type[_Body], body: bytes, *, also_required: Sequence[str] = ()) -> _Body:
    """The body as a struct of `type_`. Raises Malformed with every field that is wrong.

    `also_required`: fields that are optional in the type but required in this request.
    """
    reading = _reading(type_)
    try:
        decoded: _Body = reading.decode(body)
    except msgspec.ValidationError:
        _refuse(type_, body, also_required)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise malformed("", "The body is not valid JSON in UTF-8." if body else "The body is empty.") from None
    except RecursionError:
        raise malformed("", "The body is nested too deeply.") from None
    # Each member has one colon. So if there are as many colons as decoded members, no key came twice.
    if not reading.is_plain(decoded, body.count(b":")) or b"\\u0000" in body:
        refuse_what_json_leaves_open(body)
    for name in also_required:
        if getattr(decoded, name) in _LEFT_OUT:
            raise malformed(name, _REQUIRED)
    return decoded


def may_be_left_out(type_: type[msgspec.Struct]) -> bool:
    """Whether a body of this type may be absent, because it has no required field."""
    return _reading(type_).required == 0


def converted(type_: type[_Body], members: Mapping[str, Any], *, also_required: Sequence[str] = ()) -> _Body:
    """Already decoded members as a struct of `type_`. Raises Malformed with every field that is wrong."""
    try:
        body = msgspec.convert(members, type_)
    except msgspec.ValidationError:
        errors = list(islice(_wrong_fields(type_, members, also_required), ERRORS_MAX))
        raise Malformed(errors or [FieldError("", "The object does not fit the schema.")]) from None
    for name in also_required:
        if getattr(body, name) in _LEFT_OUT:
            raise malformed(name, _REQUIRED)
    return body


def canonical_metadata(metadata: dict[str, Any] | None) -> str | None:
    """Metadata as the text that the service stores, compares and gives back. Raises Malformed beyond its bounds."""
    if metadata is None:
        return None
    text = _canonical.encode(metadata)
    # Before the values are checked, which takes a hundred times as long as encoding them.
    if len(text) > METADATA_BYTES_MAX:
        raise malformed("metadata", f"Must be at most {METADATA_BYTES_MAX} bytes; it has {len(text)}.")
    _check_values(metadata, depth=1)
    return text.decode()


class _Reading:
    """The decoder of one type of body, and the facts that tell whether a body may hold a duplicate key."""

    def __init__(self, type_: type[msgspec.Struct]) -> None:
        fields = msgspec.structs.fields(type_)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(type_, float_hook=as_written).decode
        self.required = sum(field.required for field in fields)
        self._takes_reference = any(field.name == "reference_id" for field in fields)
        self._defaults = tuple((field.name, field.default) for field in fields)

    def is_plain(self, decoded: msgspec.Struct, colons: int) -> bool:
        """Whether there are as many colons as decoded members. Short bodies are judged without a look at each field."""
        if self._takes_reference:
            # Nearly all movements have just the required fields and a reference.
            if colons == self.required + 1 and decoded.reference_id is not msgspec.UNSET:  # type: ignore[attr-defined]
                return True
        elif colons == self.required:
            return True
        return colons == self.members(decoded)

    def members(self, decoded: msgspec.Struct) -> int:
        """The number of members that the body surely had: those that differ from defaults, nested structs included."""
        found = 0
        for name, default in self._defaults:
            value = getattr(decoded, name)
            if value is not default:
                found += 1
                if isinstance(value, msgspec.Struct):
                    found += _reading(type(value)).members(value)
                elif type(value) is list and value and isinstance(value[0], msgspec.Struct):
                    found += sum(map(_reading(type(value[0])).members, value))
        return found


@cache
def _reading(type_: type[msgspec.Struct]) -> _Reading:
    return _Reading(type_)


def refuse_what_json_leaves_open(body: bytes) -> None:
    """Raise Malformed if a key comes twice in one object, a text holds a NUL, or a number is the integer -0.

    `body` is valid JSON. Each member of metadata has a colon, too, so a body with metadata always comes here.
    """
    if b"\\u0000" in body and _NUL.search(body):
        raise malformed("", "NUL is not allowed in text.")
    try:
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=_refuse_negative_zero)
    except RecursionError:
        raise malformed("", "The body is nested too deeply.") from None


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise malformed("", "A key appears twice in one object.")


def _refuse_negative_zero(digits: str) -> None:
    if digits == "-0":
        raise malformed("", "There is no integer -0: write 0, or -0.0.")


def _check_values(value: object, *, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth > METADATA_DEPTH_MAX:
            raise malformed("metadata", f"May be nested {METADATA_DEPTH_MAX} deep.")
        for each in value.values() if isinstance(value, dict) else value:
            _check_values(each, depth=depth + 1)
    elif isinstance(value, int) and value not in INT64:
        raise malformed("metadata", "Integers must fit 64 bits.")
    elif isinstance(value, msgspec.Raw) and math.isinf(float(bytes(value))):
        # Many JSON readers refuse a whole answer because of such a number.
        raise malformed("metadata", "Numbers must be in the range of doubles.")


def _refuse(type_: type[msgspec.Struct], body: bytes, also_required: Sequence[str]) -> NoReturn:
    """Raise Malformed with every field that is wrong, up to ERRORS_MAX; the decoder stops at the first."""
    try:
        members = untyped(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder stopped at a wrong field, before it reached the bytes that are no JSON.
        raise malformed("", "The body is not valid JSON in UTF-8.") from None
    if not isinstance(members, dict):
        raise malformed("", "The body must be a JSON object.")
    errors = list(islice(_wrong_fields(type_, members, also_required), ERRORS_MAX))
    raise Malformed(errors or [FieldError("", "The body does not fit the schema.")])


def _wrong_fields(
    type_: type[msgspec.Struct], members: Mapping[str, Any], also_required: Sequence[str] = (), *, path: str = ""
) -> Iterator[FieldError]:
    fields = {field.name: field for field in msgspec.structs.fields(type_)}
    for name, field in fields.items():
        if name in also_required and members.get(name) is None:
            yield FieldError(path + name, _REQUIRED)
        elif name in members:
            yield from _wrong_in(field.type, members[name], path + name)
        elif field.required:
            yield FieldError(path + name, _REQUIRED)
    for name in members:
        if name not in fields:
            yield FieldError(path + name[:NAME_LENGTH_MAX], "There is no such field.")


def _wrong_in(type_: Any, value: Any, path: str) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, type_)
        return
    except msgspec.ValidationError as error:
        reason, _, inner = str(error).partition(" - at `$")
    kind = _kind_for(type_info(type_), value)
    if isinstance(kind, StructType) and isinstance(value, dict):
        yield from _wrong_fields(kind.cls, value, path=f"{path}.")
    elif isinstance(kind, ListType) and isinstance(kind.item_type, StructType) and inner:
        for at, each in enumerate(value):
            yield from _wrong_in(kind.item_type.cls, each, f"{path}[{at}]")
    elif choices := not inner and isinstance(value, str) and _choices(kind):
        yield FieldError(path, f"Must be one of {', '.join(choices)}.")
    elif words := not inner and _words(type_info(type_)):
        yield FieldError(path, words)
    else:
        yield FieldError(path + inner.removesuffix("`"), f"{reason}.")


def _choices(kind: Type) -> list[str]:
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    plain = (each.type if isinstance(each, Metadata) else each for each in kinds)
    return [str(value) for each in plain if isinstance(each, LiteralType) for value in each.values]


def _words(kind: Type) -> str | None:
    """The message that a type brings along, because its pattern would be no help to a reader."""
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    said = ((each.extra or {}).get("wrong") for each in kinds if isinstance(each, Metadata))
    return next(filter(None, said), None)


def _kind_for(kind: Type, value: Any) -> Type:
    """The alternative of a field's type that fits the value: a struct for an object, a list for an array."""
    while isinstance(kind, Metadata):
        kind = kind.type
    if isinstance(kind, UnionType):
        kinds = [_kind_for(each, value) for each in kind.types]
        wanted = StructType if isinstance(value, dict) else ListType
        return next((each for each in kinds if isinstance(each, wanted)), kind)
    return kind
