"""From the outcome of a request to its answer, in the same way for single routes and for the items of batches."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from wallet.errors import InvariantViolated, OutcomeUnknown
from wallet.http.operations.kinds import ANSWERS
from wallet.http.wire.encoding import JSON, REPLAYED, Answer, written
from wallet.http.wire.failures import refusal
from wallet.ledger.model import Asset, AssetId, Posted
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, Refused, Replayed, Settled
from wallet.ledger.requests import Single

_NOTHING: Final[Mapping[str, Any]] = {}


def outcome_answer(
    request: Single,
    outcome: Outcome,
    assets: Mapping[AssetId, Asset],
    *,
    request_id: str,
    amounts_as_strings: bool,
    shown: Mapping[str, Any] = _NOTHING,
) -> Answer:
    """The whole answer to a movement or a step of a hold. `assets`: no missing_assets. shown: see Performed.

    Raises OutcomeUnknown if an answer cannot be written after the money has moved.
    """
    match outcome:
        case Applied(posted):
            return _written(201, (JSON,), request, posted, assets, amounts_as_strings, dry_run=False, shown=shown)
        case Replayed(posted):
            return _written(200, REPLAYED, request, posted, assets, amounts_as_strings, dry_run=False)
        case Predicted(posted):
            return _written(200, (JSON,), request, posted, assets, amounts_as_strings, dry_run=True)
        case Refused():
            return refusal(outcome, request_id=request_id, amounts_as_strings=amounts_as_strings)
        case Settled() | Grouped():
            raise InvariantViolated(f"{outcome!r} is no outcome of a single movement")
        case _:
            assert_never(outcome)


def missing_assets(outcome: Outcome, assets: Mapping[AssetId, Asset]) -> list[AssetId]:
    """The assets that the answer to an outcome names and that are not among `assets`: another process made them."""
    if not isinstance(outcome, Applied | Replayed | Predicted):
        return []
    posted = outcome.posted
    named = [entry.asset_id for entry in posted.entries]
    if posted.details is not None and posted.details.hold is not None:
        named.append(posted.details.hold.asset_id)
    return [asset_id for asset_id in named if asset_id not in assets]


def _written(
    status: int,
    headers: tuple[tuple[bytes, bytes], ...],
    request: Single,
    posted: Posted,
    assets: Mapping[AssetId, Asset],
    amounts_as_strings: bool,
    *,
    dry_run: bool,
    shown: Mapping[str, Any] = _NOTHING,
) -> Answer:
    try:
        body = ANSWERS[type(request)].write(posted, assets, dry_run=dry_run, **shown)
        return Answer(status, written(body, amounts_as_strings=amounts_as_strings), headers)
    except Exception as error:
        # The money has moved, so no error on the way to the answer may look like a refusal.
        raise OutcomeUnknown("the answer could not be written") from error
