"""Changes of a wallet as whole answers: PATCH, close, reopen, merge. All answer the wallet as it is afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wallet.errors import FieldError, InvariantViolated, Malformed, OutcomeUnknown
from wallet.http.operations.asked import Asked
from wallet.http.operations.body_fields import CommonBody, EffectiveAt
from wallet.http.operations.body_options import dated_options
from wallet.http.operations.perform import decoded, reference_of
from wallet.http.operations.resource_answers import MergeAnswer, wallet_answer
from wallet.http.wire.decoding import canonical_metadata, decode, malformed
from wallet.http.wire.encoding import JSON, REPLAYED, Answer, written
from wallet.http.wire.failures import refusal
from wallet.http.wire.fields import Bound, Label, Version, amount
from wallet.http.wire.query import ensure_json, path_id, read_options, wants_amounts_as_strings
from wallet.ledger.model import WalletId
from wallet.ledger.outcomes import Applied, Grouped, Predicted, Refused, Replayed, Settled
from wallet.service.wallet_service import WalletService

MERGE_PATH: Final = "/wallets/{wallet_id}/merge-into/{target_wallet_id}"

Change: TypeAlias = tuple[str, str | int | bool | None]

# The values that null stands for, in fields that have a value for "none".
_CLEARED: Final[dict[str, int | bool]] = {"overdraft_limit": 0, "freeze_outgoing": False, "freeze_incoming": False}


class MergeBody(CommonBody, kw_only=True):
    """Move everything in the first wallet of the path to the second one; the first wallet ends."""

    effective_at: EffectiveAt | None = None


class SpendingLimit(Struct, forbid_unknown_fields=True, kw_only=True):
    """At most this amount per 24 hours rolling, or per calendar month in UTC."""

    per: Literal["day", "month"]
    amount: Bound


WalletMetadata: TypeAlias = Annotated[dict[str, Any], Meta(description="Any JSON object of at most 4 KiB and depth 4.")]


class WalletChangeBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Changes of a wallet: an absent field stays as it is, null clears it. At least one besides `expected_version`."""

    label: Label | UnsetType | None = UNSET
    metadata: WalletMetadata | UnsetType | None = UNSET
    overdraft_limit: Bound | UnsetType | None = UNSET
    max_balance: Bound | UnsetType | None = UNSET
    freeze_outgoing: bool | UnsetType | None = UNSET
    freeze_incoming: bool | UnsetType | None = UNSET
    spending_limits: (
        Annotated[list[SpendingLimit], Meta(max_length=2, description="All limits: those left out are lifted.")]
        | UnsetType
        | None
    ) = UNSET
    expected_version: Version | None = None


class WalletStepBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Closes or reopens a wallet. The body may be left out."""

    expected_version: Version | None = None


class WalletChanges:
    """Answers changes of wallets in full. Methods raise WalletError if there is no such answer."""

    def __init__(self, service: WalletService) -> None:
        self._service = service

    async def change(self, wallet_id: str, asked: Asked) -> Answer:
        """Change a wallet's label, metadata, limits and freezes."""
        amounts_as_strings = wants_amounts_as_strings(asked.query)
        ensure_json(asked.headers)
        given = decode(WalletChangeBody, asked.body)
        changes = wallet_changes(given)
        return await self._submit(
            "change", wallet_id, changes, given.expected_version, asked, amounts_as_strings=amounts_as_strings
        )

    async def close_or_reopen(self, type_: Literal["close", "reopen"], wallet_id: str, asked: Asked) -> Answer:
        """The body may be left out."""
        amounts_as_strings = wants_amounts_as_strings(asked.query)
        expected = None
        if asked.body:
            ensure_json(asked.headers)
            expected = decode(WalletStepBody, asked.body).expected_version
        return await self._submit(type_, wallet_id, (), expected, asked, amounts_as_strings=amounts_as_strings)

    async def merge(self, source: str, target: str, asked: Asked) -> Answer:
        """Merge a wallet into another. Unlike the others this moves money, and so it has a reference."""
        options = read_options(asked.headers, asked.query)
        given = decoded(MergeBody, asked.body, asked.headers, options)
        source_id, target_id = path_id("wallet_id", source), path_id("target_wallet_id", target)
        request = self._service.commands.merge(
            source=source_id,
            target=target_id,
            reference_id=reference_of(given, options),
            metadata=canonical_metadata(given.metadata),
            options=dated_options(given, (source_id, target_id)),
        )
        outcome = await self._service.perform(asked.caller, request)
        amounts_as_strings = options.amounts_as_strings
        match outcome:
            case Applied():
                return await self._wallet(source_id, 201, (JSON,), amounts_as_strings=amounts_as_strings)
            case Replayed():
                return await self._wallet(source_id, 200, REPLAYED, amounts_as_strings=amounts_as_strings)
            case Predicted(posted):
                ended = {"merged_into": target_id, "closed_at": posted.created_at}
                return await self._wallet(
                    source_id, 200, (JSON,), amounts_as_strings=amounts_as_strings, predicted=ended
                )
            case Refused():
                return refusal(outcome, request_id=asked.request_id, amounts_as_strings=amounts_as_strings)
            case Settled() | Grouped():
                raise InvariantViolated(f"{outcome!r} is no outcome of a merge")
            case _:
                assert_never(outcome)

    async def _submit(
        self,
        type_: str,
        wallet_id: str,
        changes: tuple[Change, ...],
        expected_version: int | None,
        asked: Asked,
        *,
        amounts_as_strings: bool,
    ) -> Answer:
        id_ = path_id("wallet_id", wallet_id)
        request = self._service.commands.change_wallet(
            type_, wallet_id=id_, changes=changes, expected_version=expected_version
        )
        outcome = await self._service.perform(asked.caller, request)
        if isinstance(outcome, Refused):
            return refusal(outcome, request_id=asked.request_id, amounts_as_strings=amounts_as_strings)
        return await self._wallet(id_, 200, (JSON,), amounts_as_strings=amounts_as_strings)

    async def _wallet(
        self,
        wallet_id: WalletId,
        status: int,
        headers: tuple[tuple[bytes, bytes], ...],
        *,
        amounts_as_strings: bool,
        predicted: dict[str, Any] | None = None,
    ) -> Answer:
        """The wallet as it is; in a dry run, as it would be."""
        try:
            wallet = await self._service.reads.wallet(wallet_id)
            body: Any = wallet_answer(wallet if predicted is None else replace(wallet, **predicted))
            if predicted is not None:
                body = MergeAnswer(**msgspec.structs.asdict(body), dry_run=True)
            return Answer(status, written(body, amounts_as_strings=amounts_as_strings), headers)
        except Exception as error:
            # The change has happened, so no error on the way to the answer may look like a refusal.
            raise OutcomeUnknown("the wallet was changed, and could not be read afterwards") from error


def wallet_changes(given: WalletChangeBody) -> tuple[Change, ...]:
    """Pairs of a field and its new value. Raises Malformed if there are none."""
    changes: list[Change] = []
    if given.label is not UNSET:
        changes.append(("label", given.label))
    if given.metadata is not UNSET:
        changes.append(("metadata", canonical_metadata(given.metadata)))
    for name, bound in (("overdraft_limit", given.overdraft_limit), ("max_balance", given.max_balance)):
        if bound is not UNSET:
            changes.append((name, _CLEARED.get(name) if bound is None else amount(bound, name)))
    for name, flag in (("freeze_outgoing", given.freeze_outgoing), ("freeze_incoming", given.freeze_incoming)):
        if flag is not UNSET:
            changes.append((name, _CLEARED[name] if flag is None else flag))
    if given.spending_limits is not UNSET:
        changes += _limits(given.spending_limits or ())
    if not changes:
        raise malformed("", "Must change something.")
    return tuple(changes)


def _limits(given: Sequence[SpendingLimit]) -> list[Change]:
    limits: dict[str, int | None] = {"day": None, "month": None}
    for at, each in enumerate(given):
        if limits[each.per] is not None:
            raise Malformed([FieldError(f"spending_limits[{at}].per", "There is one of these already.")])
        limits[each.per] = amount(each.amount, f"spending_limits[{at}].amount")
    return [("limit_day", limits["day"]), ("limit_month", limits["month"])]
