"""Problem details (RFC 9457): the one table from code to HTTP status, and the rendering of a problem.

This module does not choose the code: failures does that for refusals and exceptions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from wallet.errors import ensure


class ProblemKind(NamedTuple):
    """The meaning of a code for programs. The title depends on the code only; the detail is about the request.

    applied: whether this try applied anything. It says nothing of an earlier try of the same request.
    retry: whether to send the same request again. `never`: the answer stays the same until something else changes.
    `later`: after Retry-After seconds, or one second without that header. `same_reference`: likewise, and the reference
    must be the same, because with another one the movement may be applied twice.
    """

    status: int
    title: str
    applied: Literal["no", "unknown"] = "no"
    retry: Literal["never", "later", "same_reference"] = "never"


def _problems(rows: Mapping[str, tuple[Any, ...]]) -> Mapping[str, ProblemKind]:
    return MappingProxyType({code: ProblemKind(*row) for code, row in rows.items()})


PROBLEMS: Mapping[str, ProblemKind] = _problems(
    {
        "invalid_request": (400, "The request is malformed"),
        "unauthenticated": (401, "No valid key came with the request"),
        "forbidden": (403, "The key may not do this"),
        "wallet_not_found": (404, "No such wallet"),
        "user_not_found": (404, "No such user"),
        "asset_not_found": (404, "No such asset"),
        "transaction_not_found": (404, "No such transaction"),
        "hold_not_found": (404, "No such hold"),
        "programme_not_found": (404, "No such programme"),
        "claim_not_found": (404, "No such claim"),
        "key_not_found": (404, "No such key"),
        "not_found": (404, "No such resource"),
        "method_not_allowed": (405, "The resource does not take this method"),
        "request_timeout": (408, "The request took too long to arrive", "no", "later"),
        "not_sealed": (409, "The audit chain does not cover it yet", "no", "later"),
        "already_exists": (409, "The resource exists already, and differs"),
        "version_conflict": (409, "The wallet is of another version"),
        "hold_closed": (409, "The hold is not open any more"),
        "claim_closed": (409, "The claim is not open any more"),
        "hold_is_claim": (409, "The hold is a claim"),
        "wallet_not_empty": (409, "Something is left in the wallet"),
        "wallet_merged": (409, "The wallet was merged into another one"),
        "payload_too_large": (413, "The body is too large"),
        "unsupported_media_type": (415, "The body is not of a supported media type"),
        "reference_reused": (422, "The reference belongs to another request"),
        "same_wallet": (422, "Source and target are the same wallet"),
        "asset_mismatch": (422, "The wallet is of another asset"),
        "system_wallet": (422, "A system wallet cannot do this"),
        "legs_unbalanced": (422, "The legs of an asset do not cancel out"),
        "wallet_closed": (422, "The wallet is closed"),
        "wallet_frozen": (422, "The wallet is frozen"),
        "wallet_without_user": (422, "The wallet belongs to no user"),
        "already_redeemed": (422, "The user has redeemed the claim already"),
        "not_refundable": (422, "The transaction cannot be refunded like this"),
        "effective_in_future": (422, "The effective time is in the future"),
        "effective_before_original": (422, "The refund would take effect before its original"),
        "expiry_out_of_range": (422, "The expiry is out of range"),
        "capture_exceeds_hold": (422, "The amount exceeds what is left of the hold"),
        "refund_exceeds_original": (422, "The amount exceeds what is left to refund"),
        "limit_exceeded": (422, "A spending limit of the wallet would be exceeded"),
        "insufficient_funds": (422, "The wallet has insufficient funds"),
        "max_balance_exceeded": (422, "The wallet would hold more than it may"),
        "too_many_lots": (422, "The wallet would have more lots than it may"),
        "too_many_holds": (422, "The wallet would have more open holds than it may"),
        "supply_exceeded": (422, "The asset's supply would be exceeded"),
        "condition_failed": (422, "A condition of the request is not met"),
        "group_too_large": (422, "The group needs more work than one group may"),
        "group_refused": (422, "Another item of the group was refused"),
        "rate_limited": (429, "The key asks too often", "no", "later"),
        "head_too_large": (431, "The request head is too large"),
        "internal_error": (500, "The service has a fault", "unknown", "never"),
        "overloaded": (503, "Too busy; this try applied nothing", "no", "later"),
        "wallet_busy": (503, "The wallet is busy; this try applied nothing", "no", "later"),
        "storage_unavailable": (503, "The database is away; this try applied nothing", "no", "later"),
        "outcome_unknown": (
            503,
            "It may have been applied; ask again with the same reference",
            "unknown",
            "same_reference",
        ),
    }
)

CONTENT_TYPE = b"application/problem+json"
# Seconds, in every 503: long enough for a queue to drain, and short enough that clients do not give up.
RETRY_AFTER = b"1"
# The further header of answers with these statuses.
_HEADERS: Mapping[int, tuple[bytes, bytes]] = MappingProxyType(
    {401: (b"www-authenticate", b"Bearer"), 503: (b"retry-after", RETRY_AFTER)}
)

_TYPES_PATH = "/docs/errors#"
# The beginning of every `type`. There is one for the process, because all its clients know it by one URL.
_types = _TYPES_PATH

_OWN_MEMBERS = frozenset({"type", "title", "status", "code", "applied", "retry"})
_encode = msgspec.json.Encoder().encode


def link_types_to(public_url: str) -> None:
    """Begin the `type` of every later problem with this URL, which has no slash at its end. Empty: `type` is a path,
    relative to the host of the request.
    """
    global _types
    _types = public_url + _TYPES_PATH


def render_problem(
    code: str, *, detail: str, request_id: str, **extra: object
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, JSON body and headers of the problem `code`, which must be in PROBLEMS.

    `extra` members (errors, available, required, differs, …) follow the standard ones in the order given.
    The headers hold no Content-Length: the code that sends the body adds it.
    """
    ensure(_OWN_MEMBERS.isdisjoint(extra), f"extra members of {code} must not replace the standard ones")
    status, title, applied, retry = PROBLEMS[code]
    body = _encode(
        {
            "type": _types + code,
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
            "applied": applied,
            "retry": retry,
            **extra,
        }
    )
    headers = [(b"content-type", CONTENT_TYPE)]
    if status in _HEADERS:
        headers.append(_HEADERS[status])
    return status, body, headers
