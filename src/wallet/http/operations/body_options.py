"""From the optional fields of bodies, which most movements leave out, to the ledger's Options.

This module checks what types cannot: fields that need or exclude each other, and conditions on wallets that take no
part.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from wallet.errors import FieldError, Malformed
from wallet.http.operations import body_fields
from wallet.http.wire.decoding import malformed
from wallet.http.wire.fields import amount
from wallet.http.wire.instants import kept_instant
from wallet.http.wire.query import path_id
from wallet.ledger.model import LotCategory
from wallet.ledger.requests import NO_OPTIONS, PRIORITY_DEFAULT, Condition, LotTerms, Options

_CATEGORIES: Final = {each.value: each for each in LotCategory}


class Common(Protocol):
    """A body with the fields that this module reads."""

    @property
    def dry_run(self) -> bool | None: ...

    @property
    def conditions(self) -> list[body_fields.ConditionBody] | None: ...


class Dated(Common, Protocol):
    @property
    def effective_at(self) -> str | None: ...


class UpTo(Dated, Protocol):
    @property
    def amount_mode(self) -> str | None: ...

    @property
    def min_amount(self) -> int | str | None: ...


def common_options(body: Common, taking_part: Collection[UUID] | None = None) -> Options:
    """The options of a request that moves nothing from wallet to wallet now. `taking_part`: see conditions."""
    if not body.conditions and not body.dry_run:
        return NO_OPTIONS
    return Options(None, conditions(body.conditions, taking_part), bool(body.dry_run))


def dated_options(
    body: Dated, taking_part: Collection[UUID] | None = None, *, lot: body_fields.LotTermsBody | None = None
) -> Options:
    """The options of a movement of an exact amount."""
    if body.effective_at is None and not body.conditions and not body.dry_run and lot is None:
        return NO_OPTIONS
    return Options(
        effective_at(body),
        conditions(body.conditions, taking_part),
        bool(body.dry_run),
        lot=None if lot is None else lot_terms(lot),
    )


def up_to_options(body: UpTo, asked_for: int | None, taking_part: Collection[UUID] | None = None) -> Options:
    """The options of a movement of up to `asked_for`; None: of everything."""
    if body.amount_mode != "up_to":
        if body.min_amount is not None:
            raise malformed("min_amount", "Only with amount_mode up_to.")
        return dated_options(body, taking_part)
    least = 1 if body.min_amount is None else amount(body.min_amount, "min_amount")
    if asked_for is not None and least > asked_for:
        raise malformed("min_amount", "Must be at most amount.")
    return Options(
        effective_at(body), conditions(body.conditions, taking_part), bool(body.dry_run), up_to=True, min_amount=least
    )


def effective_at(body: Dated) -> datetime | None:
    return None if body.effective_at is None else kept_instant("effective_at", body.effective_at)


def lot_terms(lot: body_fields.LotTermsBody) -> LotTerms:
    if lot.expires_at is not None and lot.expires_in_seconds is not None:
        raise malformed("lot.expires_in_seconds", "Cannot be combined with expires_at.")
    expires_at = None if lot.expires_at is None else kept_instant("lot.expires_at", lot.expires_at)
    priority = PRIORITY_DEFAULT if lot.priority is None else lot.priority
    return LotTerms(_CATEGORIES[lot.category], priority, expires_at, lot.expires_in_seconds)


def conditions(
    given: Sequence[body_fields.ConditionBody] | None, taking_part: Collection[UUID] | None
) -> tuple[Condition, ...]:
    """The conditions on wallets that take part. `taking_part` None: these are unknown here, and the ledger checks
    them.
    """
    if not given:
        return ()
    read: list[Condition] = []
    errors: list[FieldError] = []
    for at, each in enumerate(given):
        path = f"conditions[{at}]"
        try:
            condition = _condition(each, path)
        except Malformed as error:
            errors += error.errors
            continue
        read.append(condition)
        if taking_part is not None and condition.wallet_id not in taking_part:
            errors.append(FieldError(f"{path}.wallet_id", "This wallet takes no part."))
    if errors:
        raise Malformed(errors)
    return tuple(read)


def _condition(given: body_fields.ConditionBody, path: str) -> Condition:
    least = None if given.min_balance is None else amount(given.min_balance, f"{path}.min_balance")
    most = None if given.max_balance is None else amount(given.max_balance, f"{path}.max_balance")
    if given.expected_version is None and least is None and most is None:
        raise malformed(path, "Must have expected_version, min_balance or max_balance.")
    if least is not None and most is not None and least > most:
        raise malformed(f"{path}.min_balance", "Must be at most max_balance.")
    return Condition(path_id(f"{path}.wallet_id", given.wallet_id), given.expected_version, least, most)
