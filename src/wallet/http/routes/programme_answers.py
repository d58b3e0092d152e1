"""Answers about programmes, and about the sandbox's clock."""

from msgspec import Struct

from wallet.ledger.instants import rfc3339
from wallet.service.due.sandbox_clock import Advanced
from wallet.storage.registry.programmes import Attached, Programme
from wallet.storage.upkeep.clock import ClockReading


class ProgrammeAnswer(Struct, kw_only=True):
    """A programme. `ends_at`: no period starts then or later."""

    id: str
    asset_code: str
    amount: int
    per: str
    rollover_max: int | None
    expires_in_seconds: int | None
    category: str
    priority: int
    ends_at: str | None
    created_at: str


class AttachmentAnswer(Struct, kw_only=True):
    """A wallet's part in a programme. Periods are counted from 0, the one that starts at `anchor_at`.

    `next_at`: when period `next_period` starts; null: none will. `ended_at`: when the wallet was detached.
    """

    programme_id: str
    wallet_id: str
    anchor_at: str
    next_period: int
    next_at: str | None
    ended_at: str | None


class ClockAnswer(Struct, kw_only=True):
    """The ledger's clock, and how many seconds it is ahead of real time."""

    now: str
    offset_seconds: float


class AdvanceAnswer(Struct, kw_only=True):
    """The clock, advanced. `remaining_seconds` is not 0 where there was too much to do on the way: ask for it next."""

    now: str
    offset_seconds: float
    remaining_seconds: int


def programme_answer(programme: Programme) -> ProgrammeAnswer:
    terms = programme.terms
    return ProgrammeAnswer(
        id=str(programme.id),
        asset_code=terms.asset_code,
        amount=terms.amount,
        per=terms.per,
        rollover_max=terms.rollover_max,
        expires_in_seconds=terms.expires_in_seconds,
        category=terms.category.value,
        priority=terms.priority,
        ends_at=None if terms.ends_at is None else rfc3339(terms.ends_at),
        created_at=rfc3339(programme.created_at),
    )


def attachment_answer(attached: Attached) -> AttachmentAnswer:
    return AttachmentAnswer(
        programme_id=str(attached.programme_id),
        wallet_id=str(attached.wallet_id),
        anchor_at=rfc3339(attached.anchor_at),
        next_period=attached.next_period,
        next_at=None if attached.next_at is None else rfc3339(attached.next_at),
        ended_at=None if attached.ended_at is None else rfc3339(attached.ended_at),
    )


def clock_answer(reading: ClockReading) -> ClockAnswer:
    return ClockAnswer(now=rfc3339(reading.now), offset_seconds=reading.offset_seconds)


def advance_answer(advanced: Advanced) -> AdvanceAnswer:
    reading = advanced.reading
    return AdvanceAnswer(
        now=rfc3339(reading.now),
        offset_seconds=reading.offset_seconds,
        remaining_seconds=advanced.remaining_seconds,
    )
