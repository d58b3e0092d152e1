"""The schemas of parameters in the OpenAPI document.

Handlers take all parameters as text and check them by our own rules, which report every wrong one at once. So the
signatures of handlers cannot describe them.
"""

from collections.abc import Mapping
from typing import Any, Final

from wallet.http.wire.fields import NO_CONTROL_CHARACTERS
from wallet.http.wire.query import MEMBER
from wallet.ledger.model import HoldStatus
from wallet.service.reads.filters import MEMBER_LENGTH_MAX
from wallet.service.reads.pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from wallet.storage.reads.wallet_at import Axis

_Schema = Mapping[str, Any]


def _text(length_max: int) -> _Schema:
    return {"type": "string", "minLength": 1, "maxLength": length_max, "pattern": NO_CONTROL_CHARACTERS}


def _one_of(*choices: str) -> _Schema:
    return {"type": "string", "enum": list(choices)}


_INSTANT: Final = {"type": "string", "format": "date-time"}
_ID: Final = {"type": "string", "format": "uuid"}
_SHAPES: Final[Mapping[str, _Schema]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    "offset": {"type": "integer", "minimum": 0, "maximum": OFFSET_MAX, "default": 0},
    "cursor": {"type": "string", "minLength": 1},
    "asset_id": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    "reference_id": _text(255),
    "reference_prefix": _text(255),
    "name": _text(255),
    "label": _text(255),
    "type": _text(64),
    "from": _INSTANT,
    "to": _INSTANT,
    "at": _INSTANT,
    "axis": _one_of(*(axis.value for axis in Axis)),
    "answers": _one_of("all", "failures"),
    "format": _one_of("json", "csv"),
    f"{MEMBER}<key>": {"type": "string", "maxLength": MEMBER_LENGTH_MAX, "pattern": r"^[^\x00]*$"},
}
_SHAPES_OF_ONE: Final[Mapping[tuple[str, str], _Schema]] = {
    ("/wallets/{wallet_id}/holds", "status"): _one_of(*(status.value for status in HoldStatus)),
    ("/wallets/{wallet_id}/lots", "status"): _one_of("live", "all"),
}
_REQUIRED: Final = frozenset({("/declines", "reference_id")})


def described(path: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter of the path or query as the document describes it: its schema, and whether it is required."""
    name: str = parameter["name"]
    known = _ID if name.endswith("_id") else {"type": "string"}
    shape = _SHAPES_OF_ONE.get((path, name)) or _SHAPES.get(name, known)
    return {
        "name": name,
        "in": parameter["in"],
        "required": bool(parameter.get("required")) or (path, name) in _REQUIRED,
        "description": parameter["description"],
        "schema": shape,
    }
