"""The details of an answer beyond its rows, as canonical JSON text. Replays are answered from this text for ever.

A field may be added, never renamed or given another meaning: text that was stored before must still be read. A field
that is left out has its default. Members are in a fixed order, without spaces; times are RFC 3339 in UTC with
microseconds.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

# The driver's own type, as in everything else that storage reads.
from asyncpg.pgproto import pgproto

from wallet.ledger.instants import rfc3339
from wallet.ledger.model import Claim, Details, Drawn, Hold, HoldStatus, LotCategory, Slice

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().decode
_CATEGORY_BY_NAME: Final = {category.value: category for category in LotCategory}
_STATUS_BY_NAME: Final = {status.value: status for status in HoldStatus}


def details_text(details: Details) -> str:
    """The canonical text of `details`: equal details, equal text."""
    members: dict[str, Any] = {
        "requested_amount": details.requested_amount,
        "drawn": [_drawn_members(drawn) for drawn in details.drawn],
        "opened": [str(lot_id) for lot_id in details.opened],
        "forfeited": details.forfeited,
        "hold": None if details.hold is None else _hold_members(details.hold),
        "skipped": details.skipped,
        "joined": [_slice_members(each) for each in details.joined],
    }
    return _encode({name: value for name, value in members.items() if value is not None and value != []})


def details_of(text: str) -> Details:
    """The details from which `details_text` made this text."""
    members = _decode(text)
    hold = members.get("hold")
    return Details(
        requested_amount=members.get("requested_amount"),
        drawn=tuple(_drawn(each) for each in members.get("drawn", ())),
        opened=tuple(_id(lot_id) for lot_id in members.get("opened", ())),
        forfeited=members.get("forfeited"),
        hold=None if hold is None else _hold(hold),
        skipped=members.get("skipped"),
        joined=tuple(_slice(each) for each in members.get("joined", ())),
    )


def changes_text(changes: Sequence[tuple[str, str | int | bool | None]]) -> str:
    """The canonical text of a wallet event's changes: names in order, and null for a cleared field."""
    return _encode(dict(sorted(changes)))


def _drawn_members(drawn: Drawn) -> Mapping[str, Any]:
    if drawn.lot_id is None or drawn.category is None:
        return {"wallet_id": str(drawn.wallet_id), "amount": drawn.amount}
    return {
        "wallet_id": str(drawn.wallet_id),
        "lot_id": str(drawn.lot_id),
        "category": drawn.category.value,
        "amount": drawn.amount,
    }


def _drawn(members: Mapping[str, Any]) -> Drawn:
    lot_id, category = members.get("lot_id"), members.get("category")
    return Drawn(
        _id(members["wallet_id"]),
        None if lot_id is None else _id(lot_id),
        None if category is None else _CATEGORY_BY_NAME[category],
        members["amount"],
    )


def _hold_members(hold: Hold) -> Mapping[str, Any]:
    members = {
        "id": str(hold.id),
        "wallet_id": str(hold.wallet_id),
        "asset_id": hold.asset_id,
        "target": None if hold.target is None else str(hold.target),
        "amount": hold.amount,
        "captured": hold.captured,
        "released": hold.released,
        "expires_at": None if hold.expires_at is None else rfc3339(hold.expires_at),
        "capture_at_expiry": hold.capture_at_expiry,
        "status": hold.status.value,
        "created_at": rfc3339(hold.created_at),
        "slices": [_slice_members(each) for each in hold.slices],
        "carries_lots": hold.carries_lots or None,
        "claim": None if hold.claim is None else _claim_members(hold.claim),
    }
    return {name: value for name, value in members.items() if value is not None}


def _hold(members: Mapping[str, Any]) -> Hold:
    target, expires_at, claim = members.get("target"), members.get("expires_at"), members.get("claim")
    return Hold(
        _id(members["id"]),
        _id(members["wallet_id"]),
        members["asset_id"],
        None if target is None else _id(target),
        members["amount"],
        members["captured"],
        members["released"],
        None if expires_at is None else datetime.fromisoformat(expires_at),
        members["capture_at_expiry"],
        _STATUS_BY_NAME[members["status"]],
        datetime.fromisoformat(members["created_at"]),
        tuple(_slice(each) for each in members["slices"]),
        members.get("carries_lots", False),
        None if claim is None else _claim(claim),
    )


def _claim_members(claim: Claim) -> Mapping[str, Any]:
    """Nobody can find the code by its hash, since it is random and long. As a part of the details, the audit chain
    covers the hash.
    """
    return {
        "amount": claim.amount,
        "uses": claim.uses,
        "once_per_user": claim.once_per_user,
        "code_hash": claim.code_hash.hex(),
    }


def _claim(members: Mapping[str, Any]) -> Claim:
    return Claim(members["amount"], members["uses"], members["once_per_user"], bytes.fromhex(members["code_hash"]))


def _slice_members(slice_: Slice) -> Mapping[str, Any]:
    if slice_.lot_id is None:
        return {"amount": slice_.amount}
    return {"lot_id": str(slice_.lot_id), "amount": slice_.amount}


def _slice(members: Mapping[str, Any]) -> Slice:
    lot_id = members.get("lot_id")
    return Slice(None if lot_id is None else _id(lot_id), members["amount"])


def _id(text: str) -> UUID:
    made: UUID = pgproto.UUID(text)
    return made
