"""What a bound caller gets to see of what a request came to: all of the movement, of wallets only its own.

`own`: of all wallets that an outcome names, those that are the caller's. Pure functions.
"""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from typing import TypeAlias, assert_never

from wallet.ledger.model import Details, Entry, Posted, WalletId
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, RefusalCode, Refused, Replayed, Settled
from wallet.storage.reads.listings import Decline

Own: TypeAlias = Set[WalletId]


def wallets_shown(outcome: Outcome) -> Iterator[WalletId]:
    """The wallets that an outcome tells something of."""
    match outcome:
        case Applied(posted) | Replayed(posted) | Predicted(posted):
            yield from wallets_of(posted)
        case Refused():
            if outcome.wallet_id is not None:
                yield outcome.wallet_id
        case Grouped(outcomes):
            for each in outcomes:
                yield from wallets_shown(each)
        case Settled():
            pass
        case _:
            assert_never(outcome)


def wallets_of(posted: Posted) -> Iterator[WalletId]:
    """The wallets that a transaction has something of: entries, or the hold that it is a step of."""
    for entry in posted.entries:
        yield entry.wallet_id
    if posted.details is not None and posted.details.hold is not None:
        yield posted.details.hold.wallet_id


def masked(outcome: Outcome, own: Own) -> Outcome:
    """An outcome without what is nobody's business but that of the other wallets' owners."""
    match outcome:
        case Applied(posted) | Replayed(posted) | Predicted(posted):
            return outcome._replace(posted=masked_posted(posted, own))
        case Refused():
            return masked_refused(outcome, own)
        case Grouped(outcomes):
            return Grouped(tuple(masked_single(each, own) for each in outcomes))
        case Settled():
            return outcome
        case _:
            assert_never(outcome)


def masked_single(
    outcome: Applied | Replayed | Predicted | Settled | Refused, own: Own
) -> Applied | Replayed | Predicted | Settled | Refused:
    """The same of what an item came to."""
    made = masked(outcome, own)
    return outcome if isinstance(made, Grouped) else made


def masked_posted(posted: Posted, own: Own) -> Posted:
    """Who moved how much from where to where stays: it is the movement. What was there before and after does not."""
    return posted._replace(
        entries=tuple(_masked_entry(entry, own) for entry in posted.entries),
        details=None if posted.details is None else _masked_details(posted.details, posted.entries, own),
    )


def masked_refused(refused: Refused, own: Own) -> Refused:
    """A refusal for another's wallet says which wallet and which code: none of its numbers, nor where it went."""
    wallet_id = refused.wallet_id
    if wallet_id is None or wallet_id in own or refused.code is RefusalCode.WALLET_NOT_FOUND:
        return refused
    return Refused(refused.code, f"Wallet {wallet_id} cannot take part in this.", wallet_id)


def masked_decline(decline: Decline, own: Own) -> Decline:
    """The same of a refusal that was kept."""
    if decline.wallet_id is None or decline.wallet_id in own:
        return decline
    return replace(decline, available=None, required=None)


def _masked_entry(entry: Entry, own: Own) -> Entry:
    return entry if entry.wallet_id in own else entry._replace(version=None, balance_after=None)


def _masked_details(details: Details, entries: Iterable[Entry], own: Own) -> Details:
    # Wallets that nobody locks have no versions, and nothing that could be told.
    of_others = [entry for entry in entries if entry.version is not None and entry.wallet_id not in own]
    debited = any(entry.direction < 0 for entry in of_others)
    credited = any(entry.direction > 0 for entry in of_others)
    hold = details.hold
    return details._replace(
        # How much less was moved than asked for tells what was there.
        requested_amount=None if debited else details.requested_amount,
        drawn=tuple(drawn for drawn in details.drawn if drawn.wallet_id in own),
        opened=() if credited else details.opened,
        joined=() if credited else details.joined,
        forfeited=None if of_others else details.forfeited,
        hold=hold if hold is not None and hold.wallet_id in own else None,
    )
