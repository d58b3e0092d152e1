"""Problem details (RFC 9457): the one table from code to HTTP status, and how a problem is written.

Nothing here decides which problem it is: edges map refusals and errors to codes, this module renders codes.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from wallet.errors import ensure

# code -> (status, title). The title never changes with the request; what is particular goes into the detail.
PROBLEMS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "invalid_request": (400, "The request is malformed"),
        "wallet_not_found": (404, "No such wallet"),
        "user_not_found": (404, "No such user"),
        "asset_not_found": (404, "No such asset"),
        "transaction_not_found": (404, "No such transaction"),
        "not_found": (404, "No such resource"),
        "method_not_allowed": (405, "The resource does not take this method"),
        "request_timeout": (408, "The request took too long to arrive"),
        "already_exists": (409, "It exists already, and differs"),
        "payload_too_large": (413, "The body is too large"),
        "unsupported_media_type": (415, "The body is not of a supported media type"),
        "reference_reused": (422, "The reference belongs to another request"),
        "same_wallet": (422, "Source and target are the same wallet"),
        "asset_mismatch": (422, "The wallet is of another asset"),
        "legs_unbalanced": (422, "The legs of an asset do not cancel out"),
        "insufficient_funds": (422, "The wallet cannot afford it"),
        "max_balance_exceeded": (422, "The wallet would hold more than it may"),
        "supply_exceeded": (422, "The asset's supply would be exceeded"),
        "head_too_large": (431, "The request head is too large"),
        "internal_error": (500, "Something is wrong on our side"),
        "overloaded": (503, "Too busy; this try applied nothing"),
        "storage_unavailable": (503, "The database is away; this try applied nothing"),
        "outcome_unknown": (503, "It may have been applied; ask again with the same reference"),
    }
)

CONTENT_TYPE = b"application/problem+json"
# Seconds, in every 503: long enough to let a queue drain, short enough that a client does not give up.
RETRY_AFTER = b"1"

_OWN_MEMBERS = frozenset({"type", "title", "status", "code"})
_encode = msgspec.json.Encoder().encode


def render_problem(
    code: str, *, detail: str, request_id: str, **extra: object
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, JSON body and headers of the problem `code`, which must be in PROBLEMS.

    `extra` members (errors, available, required, differs, …) follow the standard ones in the order given.
    The headers hold no content-length: whoever sends the body adds it.
    """
    ensure(_OWN_MEMBERS.isdisjoint(extra), f"extra members of {code} must not replace the standard ones")
    status, title = PROBLEMS[code]
    body = _encode(
        {
            "type": f"/docs/errors#{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
            **extra,
        }
    )
    headers = [(b"content-type", CONTENT_TYPE)]
    if status == 503:
        headers.append((b"retry-after", RETRY_AFTER))
    return status, body, headers
