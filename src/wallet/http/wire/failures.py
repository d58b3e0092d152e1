"""Turns refusals and exceptions into problems: gives each its code. The module problems renders them."""

import logging
from typing import Any

from wallet.errors import (
    AlreadyExists,
    BadData,
    Forbidden,
    GroupTooLarge,
    Malformed,
    NotFound,
    NotSealed,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
    StorageUnavailable,
    Unauthenticated,
    WalletBusy,
    WalletError,
)
from wallet.http.wire.encoding import AMOUNT_FIELDS, Answer
from wallet.http.wire.problems import render_problem
from wallet.http.wire.query import UnsupportedMediaType
from wallet.ledger.outcomes import Refused

_log = logging.getLogger(__name__)

# The first class that fits counts.
_CODES: dict[type[WalletError], str] = {
    AlreadyExists: "already_exists",
    GroupTooLarge: "group_too_large",
    NotSealed: "not_sealed",
    Overloaded: "overloaded",
    WalletBusy: "wallet_busy",
    StorageUnavailable: "storage_unavailable",
    OutcomeUnknown: "outcome_unknown",
    UnsupportedMediaType: "unsupported_media_type",
    Unauthenticated: "unauthenticated",
    Forbidden: "forbidden",
}


def problem(code: str, detail: str, *, request_id: str, **extra: Any) -> Answer:
    status, body, headers = render_problem(code, detail=detail, request_id=request_id, **extra)
    return Answer(status, body, headers)


def refusal(refused: Refused, *, request_id: str, amounts_as_strings: bool = False) -> Answer:
    """The answer to a request that the ledger refused."""
    extra: dict[str, Any] = {}
    if refused.wallet_id is not None:
        extra["wallet_id"] = str(refused.wallet_id)
    for name, amount in (("available", refused.available), ("required", refused.required)):
        if amount is not None:
            extra[name] = str(amount) if amounts_as_strings else amount
    if refused.differs:
        extra["differs"] = list(refused.differs)
    for name, value in refused.members:
        extra[name] = str(value) if amounts_as_strings and name in AMOUNT_FIELDS else value
    return problem(refused.code.value, refused.detail, request_id=request_id, **extra)


def failure(error: BaseException, *, request_id: str, moves_money: bool) -> Answer:
    """The answer to a request that raised `error`.

    A fault in a movement may have come after COMMIT, so the answer says outcome_unknown.
    """
    if isinstance(error, Malformed):
        errors = [{"field": each.field, "message": each.message} for each in error.errors]
        return problem("invalid_request", str(error), request_id=request_id, errors=errors)
    if isinstance(error, NotFound):
        return problem(error.code, str(error), request_id=request_id)
    if isinstance(error, RateLimited):
        limited = problem("rate_limited", f"{error}.", request_id=request_id)
        retry_after = (b"retry-after", str(error.retry_after_seconds).encode())
        return limited._replace(headers=(*limited.headers, retry_after))
    if isinstance(error, BadData):
        return problem(
            "invalid_request", "The database cannot store a value of this request.", request_id=request_id, errors=[]
        )
    for type_, code in _CODES.items():
        if isinstance(error, type_):
            return problem(code, f"{error}.".replace("..", "."), request_id=request_id)
    _log.error("request %s failed", request_id, exc_info=error)
    if moves_money:
        return problem("outcome_unknown", "Ask again with the same reference.", request_id=request_id)
    return problem("internal_error", "The fault has been logged.", request_id=request_id)
