"""Masks for the answers to a bound caller: it sees the whole movement, and of wallets only its own.

`own`: those of the wallets in an outcome that are the caller's. The functions are pure.
"""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from typing import TypeAlias, assert_never

from wallet.ledger.model import Details, Entry, Posted, WalletId
from wallet.ledger.outcomes import Applied, Grouped, Outcome, Predicted, RefusalCode, Refused, Replayed, Settled
from wallet.storage.reads.listings import Decline

Own: TypeAlias = Set[WalletId]


def wallets_shown(outcome: Outcome) -> Iterator[WalletId]:
    """The wallets that an outcome tells something about."""
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
    """The wallets of a transaction: those of its entries, or that of the hold whose step it is."""
    for entry in posted.entries:
        yield entry.wallet_id
    if posted.details is not None and posted.details.hold is not None:
        yield posted.details.hold.wallet_id


def masked(outcome: Outcome, own: Own) -> Outcome:
    """An outcome without the values that only the owners of the other wallets may see."""
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
    """The same for the outcome of an item."""
    made = masked(outcome, own)
    return outcome if isinstance(made, Grouped) else made


def masked_posted(posted: Posted, own: Own) -> Posted:
    """A transaction without the balances and versions of other wallets. Wallets and amounts stay visible."""
    return posted._replace(
        entries=tuple(_masked_entry(entry, own) for entry in posted.entries),
        details=None if posted.details is None else _masked_details(posted.details, posted.entries, own),
    )


def masked_refused(refused: Refused, own: Own) -> Refused:
    """A refusal; for another's wallet it has the code and the wallet, but no number, and not where the wallet went."""
    wallet_id = refused.wallet_id
    if wallet_id is None or wallet_id in own or refused.code is RefusalCode.WALLET_NOT_FOUND:
        return refused
    return Refused(refused.code, f"Wallet {wallet_id} cannot take part in this.", wallet_id)


def masked_decline(decline: Decline, own: Own) -> Decline:
    """The same for a recorded refusal."""
    if decline.wallet_id is None or decline.wallet_id in own:
        return decline
    return replace(decline, available=None, required=None)


def _masked_entry(entry: Entry, own: Own) -> Entry:
    return entry if entry.wallet_id in own else entry._replace(version=None, balance_after=None)


def _masked_details(details: Details, entries: Iterable[Entry], own: Own) -> Details:
    # Wallets that nobody locks have no versions, and nothing to hide.
    of_others = [entry for entry in entries if entry.version is not None and entry.wallet_id not in own]
    debited = any(entry.direction < 0 for entry in of_others)
    credited = any(entry.direction > 0 for entry in of_others)
    hold = details.hold
    return details._replace(
        # The difference between the requested and the moved amount would disclose the funds.
        requested_amount=None if debited else details.requested_amount,
        drawn=tuple(drawn for drawn in details.drawn if drawn.wallet_id in own),
        opened=() if credited else details.opened,
        joined=() if credited else details.joined,
        forfeited=None if of_others else details.forfeited,
        hold=hold if hold is not None and hold.wallet_id in own else None,
    )
