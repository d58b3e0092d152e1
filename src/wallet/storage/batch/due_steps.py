"""The due steps of wallets, in order of their instants, as far as one batch may post them.

A hold that is captured at its expiry is due at its source and at its target. So wallets share due steps, and those of a
linked wallet may come before a wallet's own. The steps found here are the first of all that are due at the given
wallets and at the wallets linked with them: no step that is due before the last one found is missing.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from wallet.errors import WalletBusy, WalletError
from wallet.ledger.model import DueKey, HoldId, LotId, WalletId

DUE_STEPS_MAX: Final = 250
"""The due steps that one batch posts at most. A hold that reserves several slices counts once for each of them.

The number is so low that, also on a busy machine, a batch keeps its locks for less time than others wait for them.
"""

FetchDue: TypeAlias = Callable[..., Awaitable[Sequence[Any]]]


class ManyDue(WalletError):
    """Internal: these wallets have more due steps than one batch may post. They are settled by portions first."""

    def __init__(self, wallets: Collection[WalletId]) -> None:
        super().__init__(f"too much is due at {len(wallets)} wallets to be posted at once")
        self.wallets = wallets


class MoreIsDue(WalletBusy):
    """More is due than could be posted for one request. The request was not applied; the next try finds fewer steps."""


class DueSteps(NamedTuple):
    """Due holds and lots. until: the last of them in order, if there are more (None: these are all)."""

    holds: Sequence[HoldId] = ()
    lots: Sequence[LotId] = ()
    until: DueKey | None = None


NOTHING_DUE: Final = DueSteps()


class _DueStep(NamedTuple):
    """A due step. weight: the number of steps that it counts as. ends: the wallets at which a hold is due."""

    weight: int
    ends: Sequence[WalletId]


async def find_due_steps(fetch: FetchDue, wallets: Sequence[WalletId], at: datetime, steps_max: int) -> DueSteps:
    """The first steps that are due at or before an instant; at least one if there is any.

    fetch: runs `find_due_steps` of load_special.sql, given wallets, an instant and how many rows at most.
    """
    found: dict[DueKey, _DueStep] = {}
    until: DueKey | None = None
    new = list(wallets)
    asked = set(new)
    while new:
        rows = await fetch(new, at if until is None else until[0], steps_max + 1)
        for expires_at, kind, id_, slices, *ends in rows:
            found[expires_at, kind, id_] = _DueStep(max(slices, 1), [end for end in ends if end is not None])
        if len(rows) > steps_max:
            # These wallets may have more steps, from here on.
            last: DueKey = tuple(rows[-1])[:3]
            until = last if until is None else min(until, last)
        found, until = _beginning(found, until, steps_max)
        # Steps after the end of the portion link no wallet to it.
        new = list(dict.fromkeys(end for step in found.values() for end in step.ends if end not in asked))
        asked.update(new)
    return DueSteps([key[2] for key in found if key[1] == 0], [key[2] for key in found if key[1] == 1], until)


def _beginning(
    found: Mapping[DueKey, _DueStep], until: DueKey | None, steps_max: int
) -> tuple[dict[DueKey, _DueStep], DueKey | None]:
    """The steps that fit into one batch, in order, up to `until`; and the last of them, if there are more."""
    kept: dict[DueKey, _DueStep] = {}
    weight = 0
    for key in sorted(found):
        if until is not None and key > until:
            break
        weight += found[key].weight
        if kept and weight > steps_max:
            return kept, next(reversed(kept))
        kept[key] = found[key]
    return kept, until
